"""What is remembered of routes that nobody renewed: the latest, and none that is there again."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from app.learned import Learned, Store
from tests.app.learned.claims import DAY, World, claim


def names(expired: Iterable[Learned]) -> list[str]:
    """The earliest first."""
    return [f"{one.claim.host}{one.claim.path}" for one in expired]


def test_the_latest_come_last_and_one_that_is_there_again_is_forgotten():
    world = World()
    world.register(claim("x.a.test"), claim("y.a.test"), claim("y.a.test", "/app"))
    world.now += DAY / 2
    world.register(claim("x.a.test"))
    world.now += DAY / 2
    world.set.expire()
    assert sorted(names(world.set.expired)) == ["y.a.test/", "y.a.test/app"]
    world.now += DAY
    world.set.expire()
    assert names(world.set.expired)[-1] == "x.a.test/"
    world.register(claim("y.a.test"))
    assert sorted(names(world.set.expired)) == ["x.a.test/", "y.a.test/app"]


def test_what_is_removed_for_another_reason_has_not_expired():
    world = World()
    world.register(claim("x.both.test"))
    world.now += DAY
    world.register(claim("x.both.test", cluster="b"))
    world.set.expire()
    assert names(world.set.expired) == []


def test_what_is_found_expired_in_the_file_is_remembered(tmp_path: Path):
    world = World(Store.open(tmp_path))
    world.register(claim("x.a.test"))
    asyncio.run(world.set.aclose())
    later = World(Store.open(tmp_path), now=world.now + DAY)
    assert names(later.set.expired) == ["x.a.test/"]
    asyncio.run(later.set.aclose())


def test_there_is_a_bound():
    assert repr(World().set.expired) == "<Latest 0 of at most 1000>"
