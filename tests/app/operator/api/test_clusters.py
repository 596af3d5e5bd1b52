"""`/-/clusters`: every cluster that a route, a token or an agent names, and why one is not connected."""

from datetime import datetime
from typing import Any

import pytest

from app.node.last_seen import MOST_CLUSTERS, LastSeen
from app.rules.routes import Route, RouteTable
from app.settings import Grant, token_hash
from tests.app.agents.calls import REGISTER, register_body
from tests.app.agents.calls import told as registered
from tests.app.operator.api.calls import stage, told
from tests.app.stage import Stage
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue
from tunnel.gateway.link import LinkState
from tunnel.port import Target

HEARD = 1_800_000_000.0


def to(cluster: str) -> Route:
    return Route(f"{cluster}.example.test", b"/", Target(cluster, "apps", "web", 80))


def add(s: Stage, cluster: str, **changes: object) -> FakeLink:
    link = FakeLink("a1", cluster)
    for name, value in changes.items():
        setattr(link, name, value)
    s.gateway.registry.add(link)  # type: ignore[arg-type]
    return link


async def item(s: Stage, name: str) -> dict[str, Any]:
    found = [each for each in (await told(s, "/-/clusters"))["clusters"] if each["cluster"] == name]
    assert len(found) == 1, name
    return found[0]


@dialogue
async def test_all_that_are_named_anywhere_are_listed_by_name():
    grants = {token_hash("t"): Grant(("granted", "here")), token_hash("r"): Grant(("revoked",), revoked=True)}
    async with stage(grants=grants, routes=RouteTable([to("routed"), to("here"), to("here")])) as s:
        add(s, "here")
        add(s, "stranger")
        s.gateway.last_seen.ended("was-here", HEARD)
        page = await told(s, "/-/clusters")
        assert [(each["cluster"], each["configured"], each["has_token"], each["connected"], each["routes"])
                for each in page["clusters"]] == [
            ("granted", True, True, False, 0),
            ("here", True, True, True, 2),
            ("revoked", True, False, False, 0),
            ("routed", True, False, False, 1),
            ("stranger", False, False, True, 0),
            ("was-here", False, False, False, 0),
        ]  # fmt: skip
        assert (page["next"], page["total"]) == (None, 6)


WHY = [
    ("no token", {}, [], "no token covers it; add an [[agents]] entry that names this cluster"),
    ("revoked", {"t": Grant(("c1",), revoked=True)}, [],
     "every token that covers it is revoked; add an [[agents]] entry with a new one"),
    ("never", {"t": Grant(("c1",))}, [],
     "no agent has connected since the gateway started; check that its agent is running and can reach the gateway"),
    ("joining", {"t": Grant(("c1",))}, [{"state": LinkState.JOINING, "available": False}],
     "its agent has connected and is registering"),
    ("doubted", {"t": Grant(("c1",))}, [{"suspect": True, "available": False}],
     "its link is being checked, because a newer one has connected"),
    ("leaving", {"t": Grant(("c1",))}, [{"available": False}], "its agent is leaving; it takes no new exchange"),
    ("connected", {"t": Grant(("c1",))}, [{"available": False}, {}], None),
]  # fmt: skip


@pytest.mark.parametrize(("grants", "links", "why"), [row[1:] for row in WHY], ids=[row[0] for row in WHY])
@dialogue
async def test_why_not(grants: dict[str, Grant], links: list[dict[str, object]], why: str | None):
    hashed = {token_hash(token): grant for token, grant in grants.items()}
    async with stage(grants=hashed, routes=RouteTable([to("c1")])) as s:
        for number, changes in enumerate(links):
            add(s, "c1", agent_id=f"a{number}", **changes)
        found = await item(s, "c1")
        assert (found["why_not"], found["connected"], found["links"]) == (why, why is None, len(links))


@dialogue
async def test_one_that_was_here_says_until_when():
    async with stage(grants={token_hash("t"): Grant(("c1",))}) as s:
        s.gateway.last_seen.ended("c1", HEARD)
        found = await item(s, "c1")
        assert found["last_seen"] == "2027-01-15T08:00:00.000Z"
        assert found["why_not"] == (
            "its last link ended 2027-01-15T08:00:00.000Z; check that its agent is running and can reach the gateway"
        )


@dialogue
async def test_one_whose_agent_was_refused_says_so():
    async with stage(grants={token_hash("t"): Grant(("c1",))}) as s:
        for code in ("too_many_links", "unknown_token"):
            s.gateway.events.emit("link_refused", f"agent refused: {code}", cluster="c1", code=code)
        s.gateway.events.emit("link_refused", "agent refused: other", cluster="c2")
        why = (await item(s, "c1"))["why_not"]
        assert why.startswith("an agent that claims it was refused at ")
        assert why.endswith(": agent refused: unknown_token")


@dialogue
async def test_a_refusal_before_its_last_link_ended_is_no_reason_any_more():
    async with stage(grants={token_hash("t"): Grant(("c1",))}) as s:
        refused = s.gateway.events.emit("link_refused", "agent refused: full", cluster="c1", code="full")
        at = datetime.fromisoformat(refused.at).timestamp()
        s.gateway.last_seen.ended("c1", at - 1)
        assert (await item(s, "c1"))["why_not"].startswith(f"an agent that claims it was refused at {refused.at}")
        s.gateway.last_seen.ended("c1", at + 1)
        assert (await item(s, "c1"))["why_not"].startswith("its last link ended ")


@dialogue
async def test_one_that_is_here_was_seen_when_it_was_last_heard():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: HEARD)
        async with stage() as s:
            add(s, "c1", heard_seconds=60.0)
            add(s, "c1", heard_seconds=2.5, agent_id="a2")
            assert (await item(s, "c1"))["last_seen"] == "2027-01-15T07:59:57.500Z"


@pytest.mark.parametrize(("query", "found"), [("", "abc"), ("?connected=true", "b"), ("?connected=false", "ac")])
@dialogue
async def test_connected_or_not(query: str, found: str):
    async with stage(routes=RouteTable([to("c"), to("a"), to("b")])) as s:
        add(s, "b")
        page = await told(s, f"/-/clusters{query}")
        assert "".join(each["cluster"] for each in page["clusters"]) == found
        assert page["total"] == 3


@dialogue
async def test_pages_go_on_by_name():
    names = [f"c{number:03}" for number in range(250)]
    async with stage(routes=RouteTable([to(name) for name in reversed(names)])) as s:
        found: list[str] = []
        cursor = ""
        while cursor is not None:
            page = await told(s, f"/-/clusters?limit=100{cursor}")
            found += [each["cluster"] for each in page["clusters"]]
            cursor = f"&after={page['next']}" if page["next"] else None
        assert found == names


@dialogue
async def test_routes_that_agents_registered_count():
    grants = {token_hash("of-a"): Grant(("a",), hosts=("*.a.test",))}
    async with stage(grants=grants, control_hosts=frozenset({"localhost", "gw.test"})) as s:
        for host in ("x.a.test", "y.a.test"):
            await registered(s, REGISTER, register_body(host))
        assert (await item(s, "a"))["routes"] == 2


def test_of_the_clusters_that_were_here_a_thousand_are_remembered():
    seen = LastSeen()
    for number in range(MOST_CLUSTERS + 10):
        seen.ended(f"c{number}", float(number))
        seen.ended("always", float(number))
    assert len(seen) == MOST_CLUSTERS
    assert seen.of("always") == MOST_CLUSTERS + 9
    assert seen.of("c5") is None
    assert seen.of(f"c{MOST_CLUSTERS}") == MOST_CLUSTERS
    assert repr(seen) == "<LastSeen 1000 clusters>"
