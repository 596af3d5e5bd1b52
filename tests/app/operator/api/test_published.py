"""`/-/routes` with what agents publish: filters, pages over three origins, why one is not served, and what it costs."""

import dataclasses
from typing import Any

import pytest

from app.learned import Claim
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import names, pages_of, request, stage, told
from tests.app.operator.api.lines import costs_little
from tests.app.operator.published import DEV, GRANTS, TOKEN_HASH, holder, link, lose, publish
from tests.app.stage import Stage
from tests.fakes.growth import calls_of
from tests.fakes.loop import dialogue
from tunnel.port import Target

FILE = RouteTable([Route("a.test", b"/", Target("c1", "apps", "web", 80))])
ALL = {**GRANTS, token_hash("1"): Grant(("c1",), hosts=("*.c1.test", "*.dev.test"))}
IN_ORDER = ["a.test/", "x.dev.test/", "x.dev.test/api", "y.dev.test/", "b.c1.test/"]


async def known(s: Stage) -> Stage:
    await s.gateway.learned.register(Claim("b.c1.test", "/", Target("c1", "apps", "web", 80)), "c1")
    assert publish(s, "y.dev.test/", "x.dev.test/", "x.dev.test/api") == ["", "", ""]
    return s


def made(**settings: Any) -> Stage:
    return stage(**{"routes": FILE, "grants": ALL, **settings})


async def route_of(s: Stage, host: str, origin: str = "published") -> Any:
    (route,) = (await told(s, f"/-/routes?host={host}&origin={origin}"))["routes"]
    return route


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", IN_ORDER),
        ("?origin=published", IN_ORDER[1:4]),
        ("?origin=learned", IN_ORDER[4:]),
        ("?origin=file", IN_ORDER[:1]),
        ("?cluster=dev", IN_ORDER[1:4]),
        ("?publisher=me", IN_ORDER[1:4]),
        ("?publisher=you", []),
        ("?host=x.dev.test", ["x.dev.test/", "x.dev.test/api"]),
        ("?in_force=true&origin=published", IN_ORDER[1:4]),
        ("?in_force=false&origin=published", []),
    ],
)
@dialogue
async def test_filters(query: str, found: list[str]):
    async with made() as s:
        page = await told(await known(s), f"/-/routes{query}")
        assert names(page) == found
        assert (page["total"], page["next"]) == (5, None)


@pytest.mark.parametrize("limit", range(1, 6))
@dialogue
async def test_pages_over_three_origins_have_each_once(limit: int):
    async with made() as s:
        await known(s)
        found = [name async for page in pages_of(s, f"/-/routes?limit={limit}") for name in names(page)]
        assert found == IN_ORDER


@dialogue
async def test_what_is_shown_of_one():
    async with made() as s:
        publish(s, "x.dev.test/app", host_header="localhost:5173", strip_prefix=True)
        shown = {
            "host": "x.dev.test", "path": "/app", "cluster": "dev", "target": "dev/published/localhost:5173",
            "scheme": "http", "origin": "published", "in_force": True, "expires_at": None, "reason": None,
            "explanation": None, "connected": False, "publisher": "me",
            "rewrite": {"host_header": "localhost:5173", "strip_prefix": True},
        }  # fmt: skip
        assert await route_of(s, "x.dev.test") == shown
        link(s)
        assert await route_of(s, "x.dev.test") == shown | {"connected": True}
        link(s, "you")
        lose(s)
        expires_at = (await route_of(s, "x.dev.test"))["expires_at"]
        assert expires_at.endswith("+00:00")
        status = await told(s, "/-/status")
        assert status["counts"]["routes"] == 2
        (cluster,) = [one for one in (await told(s, "/-/clusters"))["clusters"] if one["cluster"] == "dev"]
        assert (cluster["routes"], cluster["connected"]) == (1, False)


@dialogue
async def test_refusals_name_the_agent_and_who_has_the_host():
    async with made() as s:
        publish(s, "x.dev.test/")
        assert publish(s, "x.dev.test/", agent="you") == ["host_taken"]
        (refused,) = (await told(s, "/-/routes"))["refused"]
        del refused["refused_at"]
        assert refused == {
            "route": "x.dev.test/", "cluster": "dev", "agent": "you", "code": "host_taken",
            "reason": f"x.dev.test is taken: {holder()} has published it",
        }  # fmt: skip
        (event,) = (await told(s, "/-/events?kind=route_refused"))["events"]
        assert (event["agent"], event["link"], event["code"]) == ("you", "link-of-you", "host_taken")


# --- why one is not served


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"grants": {}}, "no_token", "the token of agent me does not cover this host any more; add it to `hosts`"),
        ({"grants": {TOKEN_HASH: dataclasses.replace(DEV, revoked=True)}}, "no_token", "the token of agent me"),
        (
            {"routes": RouteTable([Route("*.test", b"/", Target("c1", "apps", "web", 80))])},
            "shadowed", "the file routes *.test, which covers x.dev.test, so all paths",
        ),
        ({"control_hosts": frozenset({"localhost", "x.dev.test"})}, "control_host", "x.dev.test is a control host"),
    ],
)  # fmt: skip
@dialogue
async def test_why_a_published_route_is_not_served(changes: dict[str, Any], reason: str, words: str):
    async with made() as s:
        publish(s, "x.dev.test/")
        s.gateway.apply(dataclasses.replace(s.gateway.settings, **changes))
        route = await route_of(s, "x.dev.test")
        assert (route["in_force"], route["reason"]) == (False, reason)
        assert route["explanation"].startswith(words)


@dialogue
async def test_what_is_published_shadows_what_its_cluster_registers():
    async with made(grants={TOKEN_HASH: DEV}) as s:
        publish(s, "x.dev.test/")
        await s.gateway.learned.register(Claim("x.dev.test", "/", Target("dev", "apps", "web", 80)), "dev")
        route = await route_of(s, "x.dev.test", "learned")
        assert (route["in_force"], route["reason"]) == (False, "shadowed")
        assert route["explanation"] == "agent me publishes this host, and so all of its paths, until it takes it back"
        publish(s)
        assert (await route_of(s, "x.dev.test", "learned"))["in_force"] is True


# --- a thousand


def full(agents: int) -> Stage:
    """A hundred routes of each agent."""
    grants = {TOKEN_HASH: dataclasses.replace(DEV, max_published=10_000)}
    s = stage(routes=FILE, grants=grants)
    for agent in range(agents):
        publish(s, *(f"h{agent}-{one}.dev.test" for one in range(100)), agent=f"a{agent}")
    return s


@dialogue
async def test_all_of_a_thousand_are_listed_once():
    async with full(10) as s:
        pages = [page async for page in pages_of(s, "/-/routes?limit=300")]
        found = [name for page in pages for name in names(page)]
        assert (len(found), len(set(found)), pages[-1]["total"]) == (1_001, 1_001, 1_001)
        assert found[1:] == sorted(found[1:])
        assert names(await told(s, "/-/routes?publisher=a7&limit=1")) == ["h7-0.dev.test/"]


@pytest.mark.parametrize("query", ["", "?origin=published", "?publisher=a99", "?host=h9-9.dev.test"])
@dialogue
async def test_the_first_page_of_many_costs_little_and_no_turn_is_long(query: str):
    async with full(50) as s:
        await costs_little(request(s, f"/-/routes{query}"))


def test_what_a_request_costs_does_not_grow():
    small, large = full(1).gateway, full(10).gateway
    cost = [calls_of(lambda of=of: of.routes_of("h0-7.dev.test")) for of in (small, large)]  # type: ignore[misc]
    assert cost[0] == cost[1]
