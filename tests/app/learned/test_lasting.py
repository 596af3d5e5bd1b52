"""The learned set beside settings that change, its bounds, and what is left of it after a restart."""

import asyncio
import contextlib
import logging
import sqlite3
from pathlib import Path

import pytest

from app.learned import Claim, ClaimError, Fault, Learned, LearnedRoutes, Store, refusals, routes
from app.learned.state_file import FILE_NAME
from app.rules.policy import Policy
from app.settings import Grant, Settings
from tests.app.learned.claims import DAY, GRANTS, World, claim, lines
from tunnel.port import Target

# --- settings


def test_a_host_that_no_token_covers_any_more_is_kept_but_not_served(caplog: pytest.LogCaptureFixture):
    world = World()
    world.register(claim("x.both.test"), claim("x.a.test"))
    world.apply(grants={**GRANTS, b"a": Grant(("a",), hosts=("*.a.test",))})
    assert world.serves("x.both.test") == []
    assert world.serves("x.a.test") == ["/ a/ingress/traefik:80"]
    assert lines(caplog, "not served") == [
        "1 learned hosts are not served: no token covers them any more; x.both.test is one of them"
    ]
    world.apply()
    assert world.serves("x.both.test") == ["/ a/ingress/traefik:80"]


def test_a_host_that_no_token_covers_any_more_is_free():
    world = World()
    world.register(claim("x.both.test"))
    world.apply(grants={**GRANTS, b"a": Grant(("a",), hosts=("*.both.test",), revoked=True)})
    assert world.unregister("x.both.test", "b") == 0
    world.register(claim("x.both.test", cluster="b"))
    world.apply()
    assert world.known == ["x.both.test/ b"]


def test_learned_routes_have_the_files_own_policy():
    world = World(policy=Policy(max_websockets=3))
    world.register(claim("x.a.test"))
    (route,) = world.set.of_host("x.a.test") or ()
    assert route.policy.max_websockets == 3
    world.apply(policy=Policy(max_websockets=4))
    (route,) = world.set.of_host("x.a.test") or ()
    assert route.policy.max_websockets == 4


# --- bounds


def test_paths_of_a_host_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "PATHS_PER_HOST", 2)
    world = World()
    world.register(claim("x.a.test", "/1"), claim("x.a.test", "/2"), claim("x.a.test", "/1"))
    assert world.refused(claim("x.a.test", "/3")) is Fault.TOO_MANY
    world.register(claim("y.a.test", "/3"))


def test_routes_of_a_cluster_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "ROUTES_PER_CLUSTER", 2)
    world = World()
    assert len(world.sync("a", [claim(f"{number}.a.test") for number in range(3)])) == 1
    world.register(claim("x.b.test", cluster="b"), claim("1.a.test"))
    assert world.refused(claim("9.a.test")) is Fault.TOO_MANY
    assert world.sync("a", [claim("9.a.test"), claim("8.a.test")]) == []  # it replaces, and has room then


def test_routes_in_all_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "ROUTES_IN_ALL", 2)
    world = World()
    world.register(claim("x.a.test"), claim("x.b.test", cluster="b"))
    assert world.refused(claim("y.b.test", cluster="b")) is Fault.TOO_MANY
    world.unregister("x.a.test", "a")
    world.register(claim("y.b.test", cluster="b"))


def test_a_refused_take_over_for_want_of_room_leaves_the_host(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(routes, "ROUTES_PER_CLUSTER", 1)
    world = World()
    world.register(claim("x.both.test"), claim("y.b.test", cluster="b"))
    world.now += DAY
    world.register(claim("y.b.test", cluster="b"))
    assert world.refused(claim("x.both.test", cluster="b")) is Fault.TOO_MANY
    assert world.known == ["x.both.test/ a", "y.b.test/ b"]


def test_refusals_are_remembered_up_to_a_bound(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusals, "MOST_REFUSALS", 2)
    world = World()
    error = ClaimError(Fault.INVALID, "no")
    for name in ("1", "2", "2", "3", "3", "1"):
        world.set.refuse("a", name, "/", error, "agent x")
    assert [line.split()[1] for line in lines(caplog)] == ["'1/'", "'2/'", "'3/'", "'1/'"]
    world.set.refuse("a", "1", "/", ClaimError(Fault.TAKEN, "for another reason"), "agent x")
    assert lines(caplog)[-1] == "route '1/' of agent x rejected: for another reason"


# --- the store


def test_all_is_there_after_a_restart(tmp_path: Path):
    async def before() -> None:
        learned = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        await learned.register(claim("x.a.test"), "x")
        await learned.register(claim("gone.a.test"), "x")
        await learned.unregister("gone.a.test", ["a"], "x")
        await learned.sync("b", [claim("y.b.test", "/p", cluster="b")], ["*.b.test"], "x")
        await learned.aclose()

    asyncio.run(before())
    world = World(Store.open(tmp_path), now=1001.0)
    assert world.known == ["x.a.test/ a", "y.b.test/p b"]
    assert [one.expires_at for one in world.set] == [1000.0 + DAY] * 2
    assert world.serves("x.a.test") == ["/ a/ingress/traefik:80"]
    assert world.set.clusters == {"a", "b"}


def write(folder: Path, *entries: Learned) -> None:
    async def run() -> None:
        store = Store.open(folder)
        await store.write(entries)
        await store.aclose()

    asyncio.run(run())


def test_what_expired_meanwhile_is_not_served_and_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    write(tmp_path, Learned(claim("x.a.test"), 1000.0), Learned(claim("y.a.test"), 1000.5))

    async def run() -> None:
        learned = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        assert [one.claim.host for one in learned] == ["y.a.test"]
        assert learned.of_host("x.a.test") is None
        learned.tick(0.0)
        await learned.aclose()

    asyncio.run(run())
    assert lines(caplog, "expired") == ["route x.a.test/ of cluster a removed: expired"]
    assert [one.claim.host for one in Store.open(tmp_path).load()] == ["y.a.test"]


def test_a_clock_that_was_ahead_gives_no_longer_life(tmp_path: Path):
    write(tmp_path, Learned(claim("x.a.test"), 9e9))
    world = World(Store.open(tmp_path), now=1000.0)
    assert [one.expires_at for one in world.set] == [1000.0 + DAY]


@pytest.mark.parametrize(
    "bad",
    [
        claim("192.0.2.1"),
        claim("x.a.test", "/../x"),
        Claim("x.a.test", "/", Target("a", "default", "kubernetes", 443)),
        claim("y.a.test", "/of-another", cluster="b"),
    ],
)
def test_a_row_that_could_not_have_been_learned_is_forgotten(
    tmp_path: Path, bad: Claim, caplog: pytest.LogCaptureFixture
):
    write(tmp_path, Learned(claim("y.a.test", "/"), 2000.0), Learned(bad, 2000.0))

    async def run() -> None:
        learned = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        assert [one.claim for one in learned] == [claim("y.a.test")]
        learned.tick(0.0)
        await learned.aclose()

    asyncio.run(run())
    assert len(lines(caplog, "is not valid, and was removed")) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT host, path FROM routes").fetchall() == [("y.a.test", "/")]
