"""Why there is no route: what the access log says, and which of the causes it is."""

import dataclasses

import pytest

from app.agents import endpoints as agents
from app.rules import own_paths
from app.rules.policy import Policy
from app.rules.rewrite import Rewrite
from app.rules.routes import Route, RouteTable
from app.settings import token_hash
from tests.app.agents.calls import REGISTER, register_body, told
from tests.app.agents.calls import stage as stage_of_agents
from tests.app.operator.explain.asking import TOKENS, URL, WS_URL, agreeing, answer, explained, foreseen, stage, summary
from tests.app.public.limits import Lines
from tests.app.stage import HOST
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


@pytest.mark.parametrize("url", [URL, WS_URL])
@dialogue
async def test_no_such_host(lines: Lines, url: str):
    near = RouteTable([Route("ap.example.test", b"/", TARGET), Route("far.away.net", b"/", TARGET)])
    async with stage(routes=near) as s:
        told = await foreseen(s, lines, url)
        assert summary(told) == ("no_route", 404, "no_such_host")
        assert told.verdict == f"nothing is published at {HOST}"
        assert [route.host for route in told.candidates] == ["ap.example.test"]


@dialogue
async def test_a_wrong_path(lines: Lines):
    routes = RouteTable([Route(HOST, path, TARGET) for path in (b"/x", b"/y", b"/y/z")])
    async with stage(routes=routes) as s:
        told = await foreseen(s, lines, URL)
        assert summary(told) == ("no_route", 404, "wrong_path")
        assert [route.path for route in told.candidates] == ["/y/z", "/x", "/y"]


@dialogue
async def test_an_unsafe_path(lines: Lines):
    async with stage(routes=RouteTable([Route(HOST, b"/x", TARGET)])) as s:
        told = await foreseen(s, lines, f"http://{HOST}/x/..%2fy")
        assert summary(told) == ("unsafe_path", 400, None)


@dialogue
async def test_what_a_route_rewrites(lines: Lines):
    redirected = Route(HOST, b"/", TARGET, Policy(rewrite=Rewrite(https_redirect=True)))
    stripped = Route(HOST, b"/x", TARGET, Policy(rewrite=Rewrite(b"localhost:5173", b"/x")))
    async with stage(routes=RouteTable([redirected, stripped])) as s:
        told = await foreseen(s, lines, f"http://{HOST}/")
        assert summary(told) == ("https_redirect", 308, None)
        told = await foreseen(s, lines, f"http://{HOST}/x/a/../b")
        assert summary(told) == ("unsafe_path", 400, None)
        told = await agreeing(s, lines, f"http://{HOST}/x/a", answer)
        assert told.policy is not None
        assert (told.policy["host_header"], told.policy["strip_prefix"]) == ("localhost:5173", True)
        assert not {"add_prefix", "https_redirect", "rewrite"} & set(told.policy)


@dialogue
async def test_the_other_routes_of_the_host_are_shown(lines: Lines):
    routes = RouteTable([Route(HOST, b"/%d" % number, TARGET) for number in range(7)] + [Route(HOST, b"/a", TARGET)])
    async with stage(routes=routes) as s:
        told = await agreeing(s, lines, URL, answer)
        assert told.route is not None
        assert told.route.path == "/a"
        assert len(told.candidates) == 5
        assert "/a" not in [route.path for route in told.candidates]


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/-/status", "/somewhere", "/api/v1/x", "/api/v1/clusters/agent/c1/tunnels/x/y"]
)
@dialogue
async def test_a_control_host(lines: Lines, path: str):
    routes = RouteTable([Route("localhost", b"/", TARGET)])
    async with stage(routes=routes) as s:
        told = await foreseen(s, lines, f"http://localhost{path}")
        assert summary(told) == ("no_route", 404, "control_host")
        assert told.candidates == []


@pytest.mark.parametrize(
    "url",
    [
        "http://nobody.test/healthz", "http://localhost/readyz", "http://localhost/metrics", "http://localhost/-/links",
        "http://localhost/api/v1/gateway/routes/sync", "http://localhost/api/v1/clusters/agent/c1/tunnels",
        "ws://localhost/agent", "ws://localhost/ws",
        "ws://localhost/api/v1/clusters/agent/ws", "http://192.0.2.1/-/links",
    ],
)  # fmt: skip
@dialogue
async def test_our_own_endpoints(lines: Lines, url: str):
    async with stage(admin_token_hash=token_hash("admin")) as s:
        told = await explained(s, url)
        assert summary(told) == ("ok", None, "ours")
        assert told.probe is None
        assert lines.ended == []


@dialogue
async def test_what_an_agent_registered_and_the_file_has(lines: Lines):
    routes = RouteTable([Route("*.a.test", b"/app", TARGET)])
    async with stage_of_agents(routes=routes) as s:
        assert (await told(s, REGISTER, register_body("x.a.test", path="/other")))[0] == 200
        found = await foreseen(s, lines, "http://x.a.test/other/page")
        assert summary(found) == ("no_route", 404, "shadowed")
        assert found.verdict == (
            "cluster a registered x.a.test/other, but the file has *.a.test, and so all of its paths"
        )
        assert [(route.host, route.path, route.reason) for route in found.candidates] == [
            ("*.a.test", "/app", "no_token"),
            ("x.a.test", "/other", "shadowed"),
        ]
        assert summary(await foreseen(s, lines, "http://x.a.test/third")) == ("no_route", 404, "wrong_path")


@dialogue
async def test_a_wildcard_of_an_agent_below_which_the_file_has_a_host(lines: Lines):
    async with stage_of_agents(routes=RouteTable([Route("x.a.test", b"/app", TARGET)])) as s:
        await told(s, REGISTER, register_body("*.a.test"))
        assert summary(await foreseen(s, lines, "http://x.a.test/other")) == ("no_route", 404, "shadowed")


@dialogue
async def test_a_wildcard_of_an_agent_below_which_an_agent_has_a_host(lines: Lines):
    async with stage_of_agents() as s:
        await told(s, REGISTER, register_body("*.a.test"))
        await told(s, REGISTER, register_body("x.a.test", path="/app"))
        assert summary(await foreseen(s, lines, "http://x.a.test/other")) == ("no_route", 404, "wrong_path")


@dialogue
async def test_what_an_agent_registered_and_did_not_renew(lines: Lines):
    async with stage_of_agents() as s:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(s.gateway.learned, "_clock", lambda: 1_800_000_000.0)
            await told(s, REGISTER, register_body("x.a.test", path="/app"))
            patch.setattr(s.gateway.learned, "_clock", lambda: 1_800_100_000.0)
            s.gateway.learned.expire()
            found = await foreseen(s, lines, "http://x.a.test/app/page")
            assert summary(found) == ("no_route", 404, "expired")
            assert found.verdict == (
                "cluster a registered x.a.test/app, and did not renew it: it expired 2027-01-16T08:00:00.000Z"
            )
            assert summary(await foreseen(s, lines, "http://x.a.test/other")) == ("no_route", 404, "no_such_host")
            await told(s, REGISTER, register_body("x.a.test", path="/app"))
            assert (await explained(s, "http://x.a.test/app/page", probes=False)).code == "no_agent"
            assert len(s.gateway.learned.expired) == 0


@dialogue
async def test_what_an_agent_registered_and_no_token_covers_any_more(lines: Lines):
    async with stage_of_agents() as s:
        await told(s, REGISTER, register_body("x.a.test"))
        s.gateway.apply(dataclasses.replace(s.gateway.settings, grants=TOKENS))
        await quiet()
        found = await foreseen(s, lines, "http://x.a.test/")
        assert summary(found) == ("no_route", 404, "no_token")
        assert [(route.host, route.reason) for route in found.candidates] == [("x.a.test", "no_token")]


@dialogue
async def test_what_an_agent_wanted_to_register_and_did_not_get(lines: Lines):
    async with stage_of_agents() as s:
        await told(s, REGISTER, register_body("x.b.test", path="/app"))
        found = await foreseen(s, lines, "http://x.b.test/app/page")
        assert summary(found) == ("no_route", 404, "refused")
        assert found.verdict.startswith("cluster a wanted to register x.b.test/app and was refused: ")
        assert summary(await foreseen(s, lines, "http://x.b.test/other")) == ("no_route", 404, "no_such_host")


def test_the_agents_paths_are_those_that_are_served():
    assert set(agents.PATHS) == own_paths.SOCKETS
