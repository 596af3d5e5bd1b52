"""`/-/routes`: filters, pages over both origins, and why a route leads nowhere."""

import base64
import dataclasses
from typing import Any

import pytest

from app.learned.claims import Claim, ClaimError, Fault
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import ask, names, pages_of, stage, told
from tests.app.public.test_declined import Others
from tests.app.stage import Stage
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue
from tunnel.port import Target


def to(cluster: str) -> Target:
    return Target(cluster, "apps", "web", 80)


FILE = RouteTable(
    [
        Route("a.test", b"/", to("c1")), Route("*.test", b"/", to("c2")), Route("*.x.test", b"/x", to("c1")),
        Route("localhost", b"/", to("c1")),
    ]
)  # fmt: skip
GRANTS = {
    token_hash("1"): Grant(("c1",), hosts=("*.c1.example", "*.test")), token_hash("2"): Grant(("c2",)),
}  # fmt: skip
CLAIMS = [Claim("b.c1.example", "/", to("c1")), Claim("a.c1.example", "/b", to("c1")),
          Claim("a.c1.example", "/a", to("c1")), Claim("a.test", "/", Target("c1", "other", "web", 80))]  # fmt: skip
IN_ORDER = ["a.test/", "*.test/", "*.x.test/x", "localhost/", "a.c1.example/a", "a.c1.example/b", "a.test/",
            "b.c1.example/"]  # fmt: skip


async def known(s: Stage) -> Stage:
    for claim in CLAIMS:
        await s.gateway.learned.register(claim, "c1")
    return s


def made(**settings: Any) -> Stage:
    return stage(**{"routes": FILE, "grants": GRANTS, **settings})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", IN_ORDER),
        ("?origin=file", IN_ORDER[:4]),
        ("?origin=learned", IN_ORDER[4:]),
        ("?cluster=c2", ["*.test/"]),
        ("?cluster=none", []),
        ("?host=a.test", ["a.test/", "*.test/", "a.test/"]),
        ("?host=A.TEST.:443", ["a.test/", "*.test/", "a.test/"]),
        ("?host=q.x.test", ["*.test/", "*.x.test/x"]),
        ("?host=a.c1.example&origin=learned", ["a.c1.example/a", "a.c1.example/b"]),
        ("?host=nobody.example", []),
        ("?in_force=false", ["localhost/", "a.test/"]),
        ("?in_force=false&origin=learned", ["a.test/"]),
        ("?in_force=true&cluster=c2", ["*.test/"]),
    ],
)
@dialogue
async def test_filters(query: str, found: list[str]):
    async with made() as s:
        page = await told(await known(s), f"/-/routes{query}")
        assert names(page) == found
        assert (page["total"], page["next"]) == (8, None)


@pytest.mark.parametrize("limit", range(1, 9))
@dialogue
async def test_pages_over_both_origins_have_each_once(limit: int):
    async with made() as s:
        await known(s)
        found = [name async for page in pages_of(s, f"/-/routes?limit={limit}") for name in names(page)]
        assert found == IN_ORDER


@dialogue
async def test_refusals_come_with_the_first_page():
    async with made() as s:
        await known(s)
        claim = Claim("z.elsewhere", "/", to("c1"))
        s.gateway.learned.refuse("c1", claim.host, claim.path, ClaimError(Fault.NOT_ALLOWED, "not covered"), "c1")
        first = await told(s, "/-/routes?limit=1")
        assert [each["route"] for each in first["refused"]] == ["z.elsewhere/"]
        assert (await told(s, f"/-/routes?limit=1&after={first['next']}"))["refused"] == []


@pytest.mark.parametrize("key", ["x", "f", "fx", "f-1", "f1.5"])
@dialogue
async def test_a_cursor_of_another_list_is_refused(key: str):
    async with made() as s:
        cursor = base64.urlsafe_b64encode(key.encode()).decode()
        status, body = await ask(s, f"/-/routes?after={cursor}")
        assert status == (200 if key == "f" else 400)
        assert status == 200 or body["parameter"] == "after"


# --- why one leads nowhere


async def reason(s: Stage, host: str, origin: str) -> tuple[str | None, str | None, bool]:
    (route, *_) = (await told(s, f"/-/routes?host={host}&origin={origin}"))["routes"]
    return route["reason"], route["explanation"], route["in_force"]


@dialogue
async def test_a_control_host_is_never_routed():
    async with made() as s:
        code, text, in_force = await reason(s, "localhost", "file")
        assert (code, in_force) == ("control_host", False)
        assert (
            text
            == "localhost is a control host, and is never routed; use another host, or take it out of control_hosts"
        )


@dialogue
async def test_a_route_of_the_file_without_a_token_answers_503_and_is_not_in_force():
    async with made(grants={}) as s:
        text = "no token covers cluster c1, so it answers 503; add an [[agents]] entry for the cluster"
        assert await reason(s, "a.test", "file") == ("no_token", text, False)


@dialogue
async def test_what_the_file_has_shadows_what_agents_register():
    async with made() as s:
        code, text, in_force = await reason(await known(s), "a.test", "learned")
        assert (code, in_force) == ("shadowed", False)
        assert text is not None
        assert "take the host out of the file" in text
        assert text.startswith("the file routes a.test, so all paths"), "the rule is named"


@dialogue
async def test_a_learned_route_that_no_token_covers_any_more():
    async with made() as s:
        await known(s)
        s.gateway.apply(dataclasses.replace(s.gateway.settings, grants={token_hash("1"): Grant(("c1",))}))
        code, text, in_force = await reason(s, "b.c1.example", "learned")
        assert (code, in_force) == ("no_token", False)
        assert text == "no token of cluster c1 covers this host any more; add it to `hosts` of an [[agents]] entry"


@dialogue
async def test_one_that_is_served_has_none_and_says_whether_an_agent_is_there():
    async with made() as s:
        await known(s)
        assert await reason(s, "b.c1.example", "learned") == (None, None, True)
        assert (await told(s, "/-/routes?host=b.c1.example"))["routes"][0]["connected"] is False
        s.gateway.elsewhere = Others(None)
        assert (await told(s, "/-/routes?host=b.c1.example"))["routes"][0]["connected"] is True, "on another node"
        s.gateway.elsewhere = None
        s.gateway.registry.add(FakeLink("a1", "c1"))  # type: ignore[arg-type]
        assert (await told(s, "/-/routes?host=b.c1.example"))["routes"][0]["connected"] is True
