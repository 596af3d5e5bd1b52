"""What `LearnedRoutes` offers to nodes that share routes: a check that changes nothing, and what others decided."""

import asyncio
import logging
from pathlib import Path

import pytest

from app.learned import Learned, LearnedRoutes, Store
from app.settings import Settings
from tests.app.learned.claims import DAY, GRANTS, World, claim, lines


def test_a_check_changes_nothing():
    world = World()
    assert world.set.check(claim("x.a.test")) == Learned(claim("x.a.test"), world.now + DAY)
    assert len(world.set) == 0


def test_a_check_refuses_as_a_register_does():
    world = World()
    world.register(claim("x.both.test"))
    with pytest.raises(Exception, match=r"x\.both\.test belongs to another cluster"):
        world.set.check(claim("x.both.test", cluster="b"))


def test_what_is_taken_is_served_and_told_once(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world = World()
    routes = [Learned(claim("x.a.test", path), world.now + 9) for path in ("/", "/api")]
    for _ in range(2):
        world.set.take("x.a.test", routes, "another node")
    assert world.serves("x.a.test") == ["/api a/ingress/traefik:80", "/ a/ingress/traefik:80"]
    assert (len(world.set), world.set.count_of("a")) == (2, 2)
    assert lines(caplog, "learned from") == [
        "route x.a.test/ learned from another node: a/ingress/traefik:80",
        "route x.a.test/api learned from another node: a/ingress/traefik:80",
    ]


def test_what_is_not_taken_is_removed():
    world = World()
    world.register(claim("x.a.test"), claim("x.a.test", "/api"), claim("y.a.test"))
    world.set.take("x.a.test", [Learned(claim("x.a.test", "/new"), world.now + 9)], "another node")
    assert world.serves("x.a.test") == ["/new a/ingress/traefik:80"]
    world.set.take("x.a.test", [], "another node")
    world.set.take("x.a.test", [], "another node")
    assert world.serves("x.a.test") == []
    assert (len(world.set), world.set.count_of("a")) == (1, 1)


def test_a_host_that_another_cluster_has_by_now_goes_to_it_whole():
    world = World()
    world.register(claim("x.both.test"), claim("x.both.test", "/api"))
    world.set.take("x.both.test", [Learned(claim("x.both.test", cluster="b"), world.now + 9)], "another node")
    assert world.serves("x.both.test") == ["/ b/ingress/traefik:80"]
    assert (world.set.count_of("a"), world.set.count_of("b"), len(world.set)) == (0, 1, 1)


def test_what_is_taken_is_in_the_file(tmp_path: Path):
    async def run() -> None:
        settings = Settings(grants=GRANTS)
        first = LearnedRoutes(settings, Store.open(tmp_path), clock=lambda: 1_000.0)
        first.take("x.a.test", [Learned(claim("x.a.test", path), 2_000.0) for path in ("/", "/api")], "another node")
        first.take("x.a.test", [Learned(claim("x.a.test"), 2_000.0)], "another node")
        await first.aclose()
        second = LearnedRoutes(settings, Store.open(tmp_path), clock=lambda: 1_000.0)
        assert list(second) == [Learned(claim("x.a.test"), 2_000.0)]
        await second.aclose()

    asyncio.run(run())
