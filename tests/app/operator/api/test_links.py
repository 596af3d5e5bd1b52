"""`/-/links`: what is said of a link, who is listed, and the drain of one."""

import pytest

from app.operator.api.links import item_of
from app.rules.routes import Route, RouteTable
from app.settings import token_hash
from tests.app.operator.api.calls import ask, request, stage, told
from tests.app.stage import HOST
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.peer import Line
from tunnel.gateway.figures import Figures
from tunnel.gateway.link import LinkState


def named(name: str, **changes: object) -> FakeLink:
    link = FakeLink(cluster="c1")
    link.name = name
    for key, value in changes.items():
        setattr(link, key, value)
    return link


@dialogue
async def test_what_is_said_of_a_link():
    async with stage() as s:
        link = named(
            "link-7", agent_id="a-1", agent_version="0.1.0", address="192.0.2.7", token_hash=token_hash("t"),
            traffic=Figures(5, 262_144, 2, 1_024, 0.0215), heard_seconds=0.25, born=940.0, since=1_799_999_940.0,
        )  # fmt: skip
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        assert (await told(s, "/-/links"))["links"] == [await told(s, "/-/links/link-7")]
        assert await told(s, "/-/links/link-7") == {
            "link": "link-7", "cluster": "c1", "agent": "a-1", "publisher": None,
            "version": "0.1.0", "address": "192.0.2.7",
            "since": "2027-01-15T07:59:00.000Z", "age_seconds": 60.0, "round_trip_seconds": 0.0215,
            "dialect": "yamux", "state": "ready", "streams": 5, "window_bytes": 262_144, "stalled_streams": 2,
            "bytes_waiting": 1_024, "heard_seconds_ago": 0.25, "token": f"sha256:{token_hash('t').hex()[:8]}",
        }  # fmt: skip


@dialogue
async def test_a_link_that_publishes_is_listed_with_its_publisher_and_does_not_connect_its_cluster():
    async with stage() as s:
        link = named("link-7", agent_id="p1", publisher="p1")
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        item = await told(s, "/-/links/link-7")
        assert (item["cluster"], item["agent"], item["publisher"]) == ("c1", "p1", "p1")
        assert [each["link"] for each in (await told(s, "/-/links?cluster=c1"))["links"]] == ["link-7"]
        (cluster,) = [each for each in (await told(s, "/-/clusters"))["clusters"] if each["cluster"] == "c1"]
        assert (cluster["connected"], cluster["links"], cluster["last_seen"]) == (False, 0, None)
        counts = (await told(s, "/-/status"))["counts"]
        assert (counts["links"], counts["clusters_connected"]) == (1, 0)
        (route,) = (await told(s, "/-/routes"))["routes"]
        assert not route["connected"]
        assert ("c1", "ready") not in list(s.gateway.snapshot().links)
        assert (await request(s, "/readyz?cluster=c1").over()).status == 503


@dialogue
async def test_what_is_not_known_is_null():
    async with stage() as s:
        s.gateway.registry.add(named("link-1", agent_id=None, dialect=""))  # type: ignore[arg-type]
        item = await told(s, "/-/links/link-1")
        for field in ("agent", "publisher", "version", "address", "round_trip_seconds", "dialect", "token"):
            assert item[field] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [2, 9, 10, 11]),
        ("?cluster=c1", [2, 9, 10]),
        ("?cluster=c2", [11]),
        ("?cluster=c", []),
        ("?agent=a", [2, 11]),
        ("?agent=a&cluster=c1", [2]),
        ("?state=ready", [2, 11]),
        ("?state=doubted", [9]),
        ("?state=joining", [10]),
        ("?state=leaving", []),
    ],
)
@dialogue
async def test_filters_are_exact_and_the_order_is_that_of_numbers(query: str, found: list[int]):
    async with stage() as s:
        for link in (
            named("link-11", agent_id="a", cluster="c2"), named("link-10", agent_id="b", state=LinkState.JOINING),
            named("link-9", agent_id="d", suspect=True, available=False), named("link-2", agent_id="a"),
        ):  # fmt: skip
            s.gateway.registry.add(link)  # type: ignore[arg-type]
        answer = await told(s, f"/-/links{query}")
        assert [item["link"] for item in answer["links"]] == [f"link-{number}" for number in found]
        assert (answer["next"], answer["total"]) == (None, 4)


@dialogue
async def test_pages_go_on_after_a_link_that_has_gone():
    async with stage() as s:
        links = [named(f"link-{number}", agent_id=f"a{number}") for number in range(1, 6)]
        for link in links:
            s.gateway.registry.add(link)  # type: ignore[arg-type]
        first = await told(s, "/-/links?limit=2")
        assert [item["link"] for item in first["links"]] == ["link-1", "link-2"]
        s.gateway.registry.remove(links[1])  # type: ignore[arg-type]
        second = await told(s, f"/-/links?limit=2&after={first['next']}")
        assert [item["link"] for item in second["links"]] == ["link-3", "link-4"]


@dialogue
async def test_a_link_that_was_here_is_gone_and_one_that_was_not_is_not_found():
    async with stage() as s:
        link = named("link-3")
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        s.gateway.registry.remove(link)  # type: ignore[arg-type]
        for name, status, code in (("link-3", 410, "gone"), ("link-1", 410, "gone"), ("link-4", 404, "not_found")):
            for target, method in ((f"/-/links/{name}", "GET"), (f"/-/links/{name}/drain", "POST")):
                answered, body = await ask(s, target, method)
                assert (answered, body["code"]) == (status, code)


# --- the drain of one


@pytest.mark.parametrize(("query", "seconds"), [("", 10.0), ("?grace=2.5", 2.5), ("?grace=0", 0.0)])
@dialogue
async def test_a_link_is_retired_with_a_grace(query: str, seconds: float):
    async with stage(links=1, shutdown_grace=10.0) as s:
        status, body = await ask(s, f"/-/links/{s.link.name}/drain{query}", "POST")
        assert (status, body["link"], body["state"], s.link.retired) == (202, s.link.name, "leaving", [seconds])
        (event,) = s.gateway.events.since()
        assert (event.kind, event.link, event.cluster) == ("link_drained_by_operator", s.link.name, "c1")


@dialogue
async def test_what_runs_goes_on_and_what_comes_goes_elsewhere():
    async with stage(links=2) as s:
        running = Request(s.app).start()
        await quiet()
        (busy,) = [link for link in s.links if link.exchanges]
        (other,) = [link for link in s.links if not link.exchanges]
        await told(s, f"/-/links/{busy.name}/drain", "POST")
        for _ in range(3):
            Request(s.app).start()
        await quiet()
        assert (len(busy.exchanges), len(other.exchanges)) == (1, 3)
        for exchange in [busy.only, *other.exchanges]:
            exchange.answer(200)
            exchange.finish()
        await running.over()
        assert (running.status, running.complete) == (200, True)


def test_a_link_and_its_peer_in_figures():
    """Of a real link with a real session at its other end."""
    line = Line()
    assert item_of(line.link).state == "joining"
    line.greet()
    line.acknowledge_hello()
    line.run()
    item = item_of(line.link)
    assert (item.state, item.dialect, item.streams, item.bytes_waiting) == ("ready", "yamux", 0, 0)
    assert item.round_trip_seconds is not None


def test_the_table_of_routes_counts_its_clusters():
    table = RouteTable([Route(HOST, b"/", TARGET), Route(HOST, b"/a", TARGET)])
    assert table.per_cluster == {"c1": 2}
