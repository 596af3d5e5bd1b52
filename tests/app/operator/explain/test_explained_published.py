"""What becomes of a request for a host that an agent publishes, published until lately, or wanted to publish."""

import dataclasses

import pytest

from app.learned import Claim
from app.published import LINGER_SECONDS
from app.rules.routes import Route, RouteTable
from tests.app.operator.explain.asking import explained, foreseen, stage, summary
from tests.app.operator.published import GRANTS, lose, publish
from tests.app.public.limits import Lines
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue
from tunnel.port import Target

URL = "http://x.dev.test/app/page"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    return Lines(caplog)


@dialogue
async def test_an_agent_that_is_away(lines: Lines):
    async with stage(links=0, grants=GRANTS) as s:
        publish(s, "x.dev.test/")
        lose(s)
        found = await foreseen(s, lines, URL)
        assert summary(found) == ("no_agent", 503, "publisher_away")
        assert found.verdict.startswith("agent me of cluster dev published x.dev.test, and has been gone since 2")
        assert found.hint is not None
        assert found.hint.startswith("Check that tunnel-agent http still runs there")
        assert found.route is not None
        assert (found.route.origin, found.route.publisher, found.cluster) == ("published", "me", None)


@dialogue
async def test_an_agent_that_may_come_back_and_has_an_id_that_is_not_printable():
    async with stage(links=0, grants=GRANTS, reconnect_grace=3.0) as s:
        publish(s, "x.dev.test/", agent="a\x1b[2Jb")
        found = await explained(s, URL, probes=False)
        assert summary(found) == ("no_agent", 503, "returning")
        assert "no agent a\\x1b[2Jb of cluster dev takes requests now" in found.verdict


@dialogue
async def test_a_host_that_was_published_until_lately(lines: Lines):
    async with stage(links=0, grants=GRANTS) as s:
        publish(s, "x.dev.test/")
        publish(s)
        found = await foreseen(s, lines, URL)
        assert summary(found) == ("no_route", 404, "unpublished")
        assert found.verdict.startswith("agent me of cluster dev published x.dev.test until 2")
        assert found.verdict.endswith(": its agent took it back")
        publish(s, "x.dev.test/")
        lose(s)
        s.gateway.published.tick(float("inf"))
        found = await explained(s, URL)
        assert found.verdict.endswith(f": its agent has been away for {LINGER_SECONDS:.0f} s")


@dialogue
async def test_a_host_that_an_agent_did_not_get(lines: Lines):
    async with stage(links=0, grants=GRANTS) as s:
        assert publish(s, "x.dev.test/", scheme="ftp") == ["invalid_route"]
        found = await foreseen(s, lines, URL)
        assert summary(found) == ("no_route", 404, "refused")
        assert found.verdict == (
            "agent me of cluster dev wanted to publish x.dev.test/ and was refused: "
            "scheme: 'ftp' is not valid; use http or https"
        )


@dialogue
async def test_a_host_that_no_token_covers_any_more(lines: Lines):
    async with stage(links=0, grants=GRANTS) as s:
        publish(s, "x.dev.test/")
        s.gateway.apply(dataclasses.replace(s.gateway.settings, grants={}))
        found = await foreseen(s, lines, URL)
        assert summary(found) == ("no_route", 404, "no_token")
        assert found.verdict == (
            "agent me of cluster dev published x.dev.test/, but no token covers that host any more"
        )
        assert [(one.host, one.reason) for one in found.candidates] == [("x.dev.test", "no_token")]


@dialogue
async def test_a_host_that_the_file_has_now(lines: Lines):
    async with stage(links=0, grants=GRANTS) as s:
        publish(s, "x.dev.test/")
        routes = RouteTable([Route("*.dev.test", b"/other", TARGET)])
        s.gateway.apply(dataclasses.replace(s.gateway.settings, routes=routes))
        found = await foreseen(s, lines, URL)
        assert summary(found) == ("no_route", 404, "shadowed")
        assert found.verdict == (
            "agent me of cluster dev published x.dev.test/, but the file has *.dev.test, and so all of its paths"
        )


@dialogue
async def test_a_path_that_only_its_cluster_registered(lines: Lines):
    async with stage(links=0, grants=GRANTS) as s:
        publish(s, "x.dev.test/other")
        await s.gateway.learned.register(Claim("x.dev.test", "/app", Target("dev", "apps", "web", 80)), "dev")
        found = await foreseen(s, lines, URL)
        assert summary(found) == ("no_route", 404, "shadowed")
        assert "but agent me publishes this host" in found.verdict


@dialogue
async def test_a_host_that_is_written_much_like_it(lines: Lines):
    async with stage(links=0, grants=GRANTS, routes=RouteTable(())) as s:
        publish(s, "shop.dev.test/")
        found = await foreseen(s, lines, "http://shoop.dev.test/")
        assert summary(found) == ("no_route", 404, "no_such_host")
        assert [one.host for one in found.candidates] == ["shop.dev.test"]
