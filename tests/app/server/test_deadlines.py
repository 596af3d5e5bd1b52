"""The deadlines of many connections on one timer: when each is asked, how many in a turn, and what a fault does."""

import asyncio
from collections.abc import Callable
from math import inf

import pytest

from app.node.wheel import SLOT_SECONDS
from app.server.deadlines import AGAIN_SECONDS, LOOKS_PER_TURN, Deadlines
from tests.fakes.loop import VirtualLoop, dialogue


class Item:
    """Is asked, and says what the test wants."""

    def __init__(self, then: Callable[[], float] = lambda: inf) -> None:
        self.asked: list[float] = []
        self._then = then

    def due(self, now: float) -> float:
        self.asked.append(now)
        return self._then()


class Clock:
    """Deadlines, and their loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.deadlines = Deadlines(loop)

    def put(self, item: Item, seconds: float) -> None:
        self.deadlines.put(item, self.loop.time() + seconds)

    @property
    def timers(self) -> int:
        return len(self.loop.live_timers())


@pytest.mark.parametrize(("seconds", "slots"), [(0.0, 1), (0.3, 1), (0.5, 2), (1.0, 3), (10.25, 21)])
@dialogue
async def test_it_is_asked_once_and_never_early(seconds: float, slots: int):
    clock = Clock()
    item = Item()
    slot = clock.loop.time() + slots * SLOT_SECONDS
    clock.put(item, seconds)
    await asyncio.sleep(seconds + 60.0)
    assert item.asked == [slot]
    assert (len(clock.deadlines), clock.timers) == (0, 0)


@dialogue
async def test_one_that_is_put_again_is_asked_at_the_later_time_only():
    clock = Clock()
    item = Item()
    clock.put(item, 1.0)
    clock.put(item, 20.0)
    await asyncio.sleep(19.0)
    assert item.asked == []
    await asyncio.sleep(3.0)
    assert len(item.asked) == 1


@dialogue
async def test_the_timer_stops_with_the_last_one():
    clock = Clock()
    items = [Item(), Item()]
    for item in items:
        clock.put(item, 5.0)
    assert clock.timers == 1
    for item in items:
        clock.deadlines.remove(item)
        clock.deadlines.remove(item)
    assert (clock.timers, repr(clock.deadlines)) == (0, "<Deadlines 0>")


@dialogue
async def test_there_is_one_timer_whatever_the_items_do_when_they_are_asked():
    clock = Clock()
    leaves = Item(lambda: clock.deadlines.remove(leaves) or inf)
    stays = Item(lambda: clock.loop.time() + 10.0)
    for item in (leaves, stays):
        clock.put(item, 1.0)
    await asyncio.sleep(3.0)
    assert (len(leaves.asked), len(stays.asked), clock.timers) == (1, 1, 1)
    clock.deadlines.remove(stays)
    assert clock.timers == 0


@dialogue
async def test_many_that_are_due_together_are_asked_in_several_turns():
    clock = Clock()
    begun = asyncio.Event()
    items = [Item(lambda: begun.set() or inf) for _ in range(3 * LOOKS_PER_TURN)]
    for item in items:
        clock.put(item, 1.0)
    await begun.wait()
    for turn in range(1, 4):
        assert sum(len(item.asked) for item in items) == turn * LOOKS_PER_TURN
        await asyncio.sleep(0)


@dialogue
async def test_one_that_fails_is_asked_again_and_holds_up_nobody(caplog: pytest.LogCaptureFixture):
    clock = Clock()

    def fail() -> float:
        if len(bad.asked) == 1:
            raise ValueError("a bug")
        return inf

    bad, good = Item(fail), Item()
    for item in (bad, good):
        clock.put(item, 1.0)
    await asyncio.sleep(3.0)
    assert (len(bad.asked), len(good.asked)) == (1, 1)
    assert "failed at its deadline" in caplog.text
    await asyncio.sleep(AGAIN_SECONDS)
    assert len(bad.asked) == 2
    assert len(clock.deadlines) == 0
