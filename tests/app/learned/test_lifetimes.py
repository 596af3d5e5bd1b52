"""Ten thousand lifetimes that follow a clock that jumped: a few in each turn of the loop, and none twice."""

import asyncio

import pytest

from app.learned import Claim
from app.learned.lifetimes import LIFETIME_SECONDS, Lifetimes
from app.learned.served import Host
from app.learned.state_file import Learned
from tests.fakes.loop import dialogue, quiet
from tunnel.port import Target

NOW = 1_000_000.0
LEAP = 7_200.0


class Many:
    """So many hosts of one route each, which expire in an hour, and a clock that can be set."""

    def __init__(self, count: int) -> None:
        self.wall = NOW
        self.moved = 0
        self.hosts: dict[str, Host] = {}
        for number in range(count):
            host = self.hosts[f"h{number}.a.test"] = Host("c1")
            claim = Claim(f"h{number}.a.test", "/", Target("c1", "apps", "web", 80))
            host.paths["/"] = Learned(claim, NOW + 3_600.0)
        self.lifetimes = Lifetimes(self.hosts, clock=lambda: self.wall, on_moved=self._on_moved)
        self.lifetimes.follow(100.0)

    def _on_moved(self) -> None:
        self.moved += 1

    def leap(self, seconds: float) -> None:
        self.wall += seconds
        self.lifetimes.follow(100.0)

    @property
    def left(self) -> list[float]:
        """Seconds that each has left at the time that was set."""
        return [host.paths["/"].expires_at - self.wall for host in self.hosts.values()]


@dialogue
async def test_a_turn_moves_a_few_and_in_the_end_all_were_moved_once():
    many = Many(1_000)
    many.leap(LEAP)
    turns = 0
    while not many.lifetimes.settled:
        before = many.left.count(3_600.0)
        await asyncio.sleep(0)
        turns += 1
        assert many.left.count(3_600.0) - before <= 20
    assert set(many.left) == {3_600.0}
    assert turns >= 49
    await quiet()
    assert many.moved == 1


@dialogue
async def test_who_looks_before_its_turn_sees_it_moved_and_it_is_not_moved_again():
    many = Many(100)
    many.leap(LEAP)
    many.lifetimes.settle("h99.a.test")
    assert many.left[99] == 3_600.0
    await quiet()
    assert many.lifetimes.settled
    assert set(many.left) == {3_600.0}


@dialogue
async def test_a_second_leap_waits_for_nobody():
    many = Many(100)
    many.leap(LEAP)
    await asyncio.sleep(0)
    many.leap(LEAP)
    await quiet()
    assert many.lifetimes.settled
    assert set(many.left) == {3_600.0}
    assert many.moved == 1


@pytest.mark.parametrize("seconds", [-LEAP, -10 * LIFETIME_SECONDS])
@dialogue
async def test_a_clock_that_is_set_back_makes_no_lifetime_longer(seconds: float):
    many = Many(50)
    many.leap(seconds)
    await quiet()
    assert many.lifetimes.settled
    assert set(many.left) == {min(3_600.0 - seconds, LIFETIME_SECONDS)}
