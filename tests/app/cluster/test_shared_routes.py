"""Routes that are registered on any node: who gets a host, and what the others have."""

import asyncio
import contextlib
import logging
import sqlite3
from pathlib import Path

import msgspec
import pytest

from app.cluster.host_routes import HostRoutes
from app.cluster.keys import host_key
from app.learned import ClaimError, LearnedRoutes, NotSharedError, Store
from app.learned.bounds import PATHS_PER_HOST
from app.learned.state_file import FILE_NAME
from app.settings import Settings
from tests.app.cluster.sharing import Node, Nodes
from tests.app.learned.claims import DAY, GRANTS, claim
from tests.fakes.loop import dialogue

BOTH = "x.both.test"


async def joined(count: int = 2) -> Nodes:
    nodes = Nodes(count)
    await nodes.catch_up()
    return nodes


# --- one engine, several nodes


@dialogue
async def test_a_route_is_known_everywhere_at_once():
    n = await joined(3)
    learned = await n[0].shared.register(claim("x.a.test"), "agent x")
    assert learned.expires_at == n.now + DAY
    await n[1].register(claim("x.a.test", "/api", service="api"), claim("*.w.a.test"))
    for node in n.nodes:
        assert node.has == ["*.w.a.test/ a/traefik", "x.a.test/ a/traefik", "x.a.test/api a/api"]
    assert set(n.shelf.entries) == {"host.x.a.test", "host.=2A.w.a.test"}


@dialogue
async def test_a_host_belongs_to_one_cluster():
    n = await joined()
    await n[0].register(claim(BOTH))
    assert await n[1].refused(claim(BOTH, cluster="b")) == "host_taken"
    await n[0].register(claim("*.w.both.test"))
    assert await n[1].refused(claim("deep.w.both.test", cluster="b")) == "host_taken"


@dialogue
async def test_two_nodes_that_give_one_host_to_two_clusters():
    n = await joined()
    for node in n.nodes:
        node.bucket.hold()
    await n[0].register(claim(BOTH))
    asked = asyncio.ensure_future(n[1].refused(claim(BOTH, cluster="b")))
    await asyncio.sleep(0)
    assert not asked.done()
    for node in n.nodes:
        node.bucket.deliver()
    assert await asked == "host_taken"
    assert n[0].has == n[1].has == [f"{BOTH}/ a/traefik"]


@dialogue
async def test_two_nodes_that_give_one_host_to_one_cluster():
    n = await joined()
    n[1].bucket.hold()
    await n[0].register(claim(BOTH))
    asked = asyncio.ensure_future(n[1].refused(claim(BOTH, "/api")))
    await asyncio.sleep(0)
    n[1].bucket.deliver()
    assert await asked is None
    assert n[0].has == n[1].has == [f"{BOTH}/ a/traefik", f"{BOTH}/api a/traefik"]


@dialogue
async def test_after_three_tries_the_agent_is_to_ask_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.cluster.awaited.MIRROR_SECONDS", 0.0)
    n = await joined()
    n[1].bucket.hold()
    await n[0].register(claim(BOTH))
    with pytest.raises(NotSharedError):
        await n[1].register(claim(BOTH, cluster="b"))
    assert n[1].has == []
    assert repr(n[1].shared._turns) == "<Turns of 0 names>"
    assert repr(n[1].shared._awaited) == "<Awaited 0 keys>"


@dialogue
async def test_two_nodes_that_take_over_a_host_that_expired():
    n = await joined()
    await n[0].register(claim(BOTH))
    n.now += DAY + 1
    n[1].bucket.hold()
    await n[0].register(claim(BOTH))
    asked = asyncio.ensure_future(n[1].refused(claim(BOTH, cluster="b")))
    await asyncio.sleep(0)
    n[1].bucket.deliver()
    assert await asked == "host_taken"
    assert n[0].has == n[1].has == [f"{BOTH}/ a/traefik"]


@dialogue
async def test_many_calls_about_one_host_at_once_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch):
    n = await joined()
    update = n[0].bucket.update

    async def slow(key: str, value: bytes, revision: int) -> int:
        await asyncio.sleep(0)
        return await update(key, value, revision)

    monkeypatch.setattr(n[0].bucket, "update", slow)
    await asyncio.gather(*(n[0].register(claim(BOTH, f"/{number}")) for number in range(30)))
    assert len(n[1].has) == 30
    assert n.shelf.writes == 30


@dialogue
async def test_no_answer_is_told_and_repeating_does_no_harm():
    n = await joined()
    n.shelf.lose_answers = 1
    with pytest.raises(NotSharedError):
        await n[0].register(claim(BOTH))
    await n[0].register(claim(BOTH))
    assert n[0].has == n[1].has == [f"{BOTH}/ a/traefik"]


@dialogue
async def test_a_host_that_nobody_renewed_goes_to_another_cluster():
    n = await joined()
    await n[0].register(claim(BOTH), claim(BOTH, "/api"))
    n.now += DAY + 1
    await n[1].register(claim(BOTH, cluster="b"))
    assert n[0].has == n[1].has == [f"{BOTH}/ b/traefik"]


@dialogue
async def test_paths_of_a_host_are_bounded():
    n = await joined()
    await n[0].register(*(claim(BOTH, f"/{number}") for number in range(PATHS_PER_HOST)))
    assert await n[1].refused(claim(BOTH, "/more")) == "too_many_routes"
    n = await joined()
    wanted = [claim(BOTH, f"/{number}") for number in range(PATHS_PER_HOST + 5)]
    refused = await n[0].shared.sync("a", wanted, ["*.both.test"], "agent x")
    assert len(refused) == 5
    assert len(n[1].has) == PATHS_PER_HOST


@dialogue
async def test_unregister():
    n = await joined()
    await n[0].register(claim(BOTH), claim(BOTH, "/api"), claim("y.both.test"))
    with pytest.raises(ClaimError):
        await n[1].shared.unregister(BOTH, ["b"], "agent y")
    assert await n[1].shared.unregister(BOTH, ["a"], "agent x", path="/api") == 1
    assert n[0].has == [f"{BOTH}/ a/traefik", "y.both.test/ a/traefik"]
    assert await n[1].shared.unregister(BOTH, ["a"], "agent x") == 1
    assert await n[1].shared.unregister(BOTH, ["a"], "agent x") == 0
    assert n[0].has == n[1].has == ["y.both.test/ a/traefik"]


@dialogue
async def test_sync_replaces_what_the_cluster_had_on_any_node():
    n = await joined()
    await n[0].register(claim("x.a.test"), claim("x.a.test", "/old"), claim("old.a.test"), claim(BOTH, cluster="b"))
    await n[0].register(claim("other.both.test", cluster="a2"))
    n.now += 10
    wanted = [claim("x.a.test"), claim("new.a.test"), claim(BOTH)]
    refused = await n[1].shared.sync("a", wanted, ["*.a.test", "*.both.test"], "agent x")
    assert [(one.host, error.fault.value) for one, error in refused] == [(BOTH, "host_taken")]
    assert n[0].has == n[1].has == [
        "new.a.test/ a/traefik", "other.both.test/ a2/traefik", "x.a.test/ a/traefik", f"{BOTH}/ b/traefik",
    ]  # fmt: skip


@dialogue
async def test_what_was_learned_after_a_sync_began_stays():
    n = await joined()
    n.now += 5
    await n[0].register(claim("x.a.test", "/new"))
    n.now -= 5
    await n[1].shared.sync("a", [claim("x.a.test")], ["*.a.test"], "agent x")
    assert n[0].has == ["x.a.test/ a/traefik", "x.a.test/new a/traefik"]


@dialogue
async def test_expired_hosts_are_deleted_by_their_revision():
    n = await joined()
    await n[0].register(claim("x.a.test"), claim("y.a.test"))
    n.now += DAY - 10
    await n[0].register(claim("y.a.test"))
    n.now += 20
    await n.catch_up()
    assert [key for key, entry in n.shelf.entries.items() if entry.value is not None] == ["host.y.a.test"]
    assert n[0].has == n[1].has == ["y.a.test/ a/traefik"]


# --- the engine is away


@dialogue
async def test_while_the_engine_is_away_a_node_serves_what_it_is_told_and_puts_it_later():
    n = await joined()
    await n[0].register(claim("x.a.test"), claim("gone.a.test"))
    n.shelf.away = True
    await n[0].register(claim("x.a.test", "/api"), claim("new.a.test"))
    assert await n[0].shared.unregister("gone.a.test", ["a"], "agent x") == 1
    await n.catch_up()
    assert n[0].has == ["new.a.test/ a/traefik", "x.a.test/ a/traefik", "x.a.test/api a/traefik"]
    assert n[1].has == ["gone.a.test/ a/traefik", "x.a.test/ a/traefik"]
    n.shelf.away = False
    await n.catch_up()
    assert n[0].has == n[1].has == ["new.a.test/ a/traefik", "x.a.test/ a/traefik", "x.a.test/api a/traefik"]
    assert repr(n[0].shared).endswith(", 0 hosts owed>")


def test_what_a_node_is_told_while_the_engine_is_away_is_in_its_file(tmp_path: Path):
    async def run() -> None:
        n = Nodes(0)
        settings = Settings(grants=GRANTS)
        node = Node(n, LearnedRoutes(settings, Store.open(tmp_path), clock=lambda: n.now))
        n.shelf.away = True
        await node.register(claim("x.a.test"))
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
            assert other.execute("SELECT host FROM routes").fetchall() == [("x.a.test",)]
        await node.copy.aclose()

    asyncio.run(run())


@dialogue
async def test_who_loses_a_host_meanwhile_drops_his():
    n = await joined()
    n.shelf.away = True
    await n[0].register(claim(BOTH))
    await n[0].register(claim("deep.w.both.test"))
    n.shelf.away = False
    await n[1].register(claim(BOTH, cluster="b"), claim("*.w.both.test", cluster="b"))
    await n.catch_up()
    assert n[0].has == n[1].has == ["*.w.both.test/ b/traefik", f"{BOTH}/ b/traefik"]


@dialogue
async def test_a_removal_while_away_does_not_remove_what_another_cluster_has_by_then():
    n = await joined()
    await n[0].register(claim(BOTH))
    n.shelf.away = True
    await n[0].shared.unregister(BOTH, ["a"], "agent x")
    n.shelf.away = False
    n.now += DAY + 1
    await n[1].register(claim(BOTH, cluster="b"))
    await n.catch_up()
    assert n[0].has == n[1].has == [f"{BOTH}/ b/traefik"]


@dialogue
async def test_the_later_renewal_of_a_path_counts():
    n = await joined()
    await n[0].register(claim(BOTH))
    n.shelf.away = True
    await n[0].shared.unregister(BOTH, ["a"], "agent x")
    await n[0].register(claim(BOTH))
    n.shelf.away = False
    n.now += 100
    await n[1].register(claim(BOTH))
    await n.catch_up()
    assert [one.expires_at for node in n.nodes for one in node.copy] == [n.now + DAY] * 2


@dialogue
async def test_a_call_that_comes_before_the_owed_was_put_loses_nothing():
    n = await joined()
    n.shelf.away = True
    await n[0].register(claim(BOTH))
    n.shelf.away = False
    await n[0].register(claim(BOTH, "/api"))
    assert n[0].has == n[1].has == [f"{BOTH}/ a/traefik", f"{BOTH}/api a/traefik"]


@dialogue
async def test_the_rules_hold_while_the_engine_is_away():
    n = await joined()
    await n[0].register(claim(BOTH))
    n.shelf.away = True
    assert await n[1].refused(claim(BOTH, cluster="b")) == "host_taken"


# --- values of others


@dialogue
async def test_what_a_newer_release_says_about_a_path_stays():
    n = await joined()
    value = {
        "v": 1, "cluster": "a",
        "paths": {
            "/": {"namespace": "ingress", "service": "traefik", "port": 80, "expires": n.now + 9, "scheme": "https"},
            "/x": {"namespace": "ingress", "service": "traefik", "port": 80, "expires": n.now + 9, "scheme": "https"},
            "/y": {"namespace": "ingress", "service": "traefik", "port": 80, "expires": n.now + 9, "scheme": "https"},
        },
    }  # fmt: skip
    n.shelf.write(host_key(BOTH), msgspec.json.encode(value), expected=None)
    await n[0].register(claim(BOTH, "/api"), claim(BOTH), claim(BOTH, "/y", service="other"))
    paths = msgspec.json.decode(n.shelf.entries[host_key(BOTH)].value)["paths"]
    assert {path: one.get("scheme") for path, one in paths.items()} == {
        "/": "https", "/x": "https", "/y": None, "/api": None,
    }  # fmt: skip
    assert paths["/"]["expires"] == n.now + DAY


@dialogue
async def test_a_host_that_another_release_wrote_is_left_alone(caplog: pytest.LogCaptureFixture):
    n = await joined()
    n.shelf.write(host_key(BOTH), b'{"v":2,"anything":[]}', expected=None)
    with pytest.raises(NotSharedError):
        await n[0].register(claim(BOTH))
    n.now += DAY
    await n.catch_up()
    assert n.shelf.entries[host_key(BOTH)].value == b'{"v":2,"anything":[]}'
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


ENDLESS = b'{"v":1,"cluster":"a","paths":{"/":{"namespace":"apps","service":"web","port":80,"expires":1e300}}}'
"""No such time can be shown to the operator."""

MANY = msgspec.json.encode(
    {
        "v": 1, "cluster": "a",
        "paths": {
            f"/{number}": {"namespace": "apps", "service": "web", "port": 80, "expires": 2e6} for number in range(101)
        },
    }
)  # fmt: skip
"""One path more than a host may have. A megabyte of them took a third of a second."""


@pytest.mark.parametrize(
    "value", [b"", b"nonsense", b'{"v":1}', b'{"v":1,"cluster":"a","paths":{"/":{}}}', ENDLESS, MANY]
)  # fmt: skip
@dialogue
async def test_a_value_of_a_stranger_is_overwritten(value: bytes):
    n = await joined()
    n.shelf.write(host_key(BOTH), value, expected=None)
    assert n[0].has == []
    await n[0].register(claim(BOTH))
    assert n[1].has == [f"{BOTH}/ a/traefik"]


@dialogue
async def test_routes_that_could_not_have_been_learned_are_not_taken():
    n = await joined()
    paths = {
        path: {"namespace": namespace, "service": "web", "port": 80, "expires": n.now + 9}
        for path, namespace in (("/ok", "apps"), ("/%2e", "apps"), ("no-slash", "apps"), ("/ns", "NOT A LABEL"))
    }
    n.shelf.write(host_key(BOTH), msgspec.json.encode({"v": 1, "cluster": "a", "paths": paths}), expected=None)
    for key in ("host.A.test", "x", "host.10.0.0.1"):
        n.shelf.write(key, msgspec.json.encode({"v": 1, "cluster": "a", "paths": paths}), expected=None)
    assert n[0].has == [f"{BOTH}/ok a/web"]


def test_a_value_shows_what_it_is():
    value = msgspec.json.encode({"v": 1, "cluster": "a", "paths": {}})
    assert repr(HostRoutes.read(BOTH, value)) == f"<HostRoutes {BOTH} of a: 0 paths>"


@dialogue
async def test_who_loses_a_host_is_told():
    n = await joined()
    n.shelf.away = True
    await n[0].register(claim(BOTH))
    await n[1].register(claim(BOTH, cluster="b"))
    n.shelf.away = False
    await n.catch_up()
    assert [(one.cluster, one.fault.value) for one in n[1].copy.refusals] == [("b", "host_taken")]
    assert not list(n[0].copy.refusals)


@dialogue
async def test_the_log_says_who_registered(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.routes")
    n = await joined()
    await n[0].register(claim("x.a.test"))
    who = sorted(line.split(" from ")[1].split(":")[0] for line in caplog.messages if " learned from " in line)
    assert who == ["agent x", "another node"]
