"""Turns: what is done at once, what waits, in which order, and how much of the time it gets."""

import asyncio
from collections.abc import Callable

import pytest

from app.node.turns import BURST_SECONDS, PERCENT, Turns
from tests.fakes.loop import dialogue

A, B, C = b"token a", b"token b", b"token c"


class World:
    """Turns, and work that takes so many seconds of the clock that measures it."""

    def __init__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.worked = 0.0
        self.turns = Turns(lambda: loop.time() + self.worked)
        self.seconds = seconds
        self.done: list[str] = []

    def work(self, name: str) -> Callable[[], None]:
        def work() -> None:
            self.worked += self.seconds
            self.done.append(name)

        return work

    def take(self, owner: bytes, *names: str) -> None:
        for name in names:
            self.turns.take(owner, self.work(name))


@dialogue
async def test_what_is_short_is_done_at_once():
    world = World(BURST_SECONDS / 10)
    world.take(A, *"0123456789")
    assert world.done == [*"0123456789"]
    assert repr(world.turns) == "<Turns 0 waiting>"


@dialogue
async def test_all_of_it_gets_a_share_of_the_time():
    world = World(0.01)
    world.take(A, *map(str, range(100)))
    assert world.done == ["0"]
    await asyncio.sleep(5)
    assert 0.9 * PERCENT <= 100 * world.worked / (5 + world.worked) <= 1.1 * PERCENT
    await asyncio.sleep(10)
    assert len(world.done) == 100
    assert world.turns._timer is None


@dialogue
async def test_owners_take_turns():
    world = World(1)
    world.take(A, "a0", "a1", "a2", "a3")
    world.take(B, "b0", "b1")
    world.take(C, "c0")
    await asyncio.sleep(100)
    assert world.done == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]


@dialogue
async def test_work_that_waits_keeps_its_place():
    world = World(1)
    first, second = world.work("first"), world.work("second")
    world.take(A, "now")
    for work in (first, second, first):
        world.turns.take(A, work)
    assert repr(world.turns) == "<Turns 2 waiting>"
    await asyncio.sleep(100)
    assert world.done == ["now", "first", "second"]


@dialogue
async def test_what_is_forgotten_is_not_done_and_leaves_no_timer():
    world = World(1)
    first, second = world.work("first"), world.work("second")
    world.take(A, "now")
    world.turns.take(A, first)
    world.turns.take(B, second)
    for _ in range(2):
        world.turns.forget(A, first)
    await asyncio.sleep(100)
    assert world.done == ["now", "second"]
    world.take(A, "again")
    world.turns.take(A, first)
    world.turns.forget(A, first)
    assert world.turns._timer is None
    assert repr(world.turns) == "<Turns 0 waiting>"


@dialogue
async def test_work_that_fails_holds_up_nothing():
    world = World(1)

    def fail() -> None:
        world.worked += 1
        raise ZeroDivisionError

    failed: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failed.append(context.get("exception")))
    with pytest.raises(ZeroDivisionError):
        world.turns.take(A, fail)
    world.turns.take(A, fail)
    world.take(A, "last")
    await asyncio.sleep(100)
    assert world.done == ["last"]
    assert [type(error) for error in failed] == [ZeroDivisionError]
