"""Steps of work that wait: their order, how many a turn of the loop takes, and what ends them."""

import asyncio
from collections.abc import Callable

import pytest

from app.server.backlog import MOST_OWED, UNITS_PER_TURN, Backlog
from tests.fakes.loop import dialogue, quiet


class Work:
    """A backlog, and what was done of it."""

    def __init__(self) -> None:
        self.backlog = Backlog(asyncio.get_running_loop())
        self.done: list[str] = []

    def step(self, name: str, cost: int = 1, then: Callable[[], object] = lambda: None) -> Callable[[], int]:
        def do() -> int:
            self.done.append(name)
            then()
            return cost

        return do


@dialogue
async def test_steps_are_done_later_in_their_order():
    work = Work()
    for name in ("a", "b", "c"):
        work.backlog.call_soon(work.step(name))
    assert (work.done, repr(work.backlog)) == ([], "<Backlog 3 steps>")
    await asyncio.sleep(0)
    assert (work.done, len(work.backlog)) == (["a", "b", "c"], 0)


@pytest.mark.parametrize(
    ("cost", "after_each_turn"),
    [
        (1, [8, 16, 24]),
        (3, [3, 6, 8, 11, 14, 16]),
        (UNITS_PER_TURN, [1, 2, 3]),
        (10 * UNITS_PER_TURN, [1] * 10 + [2] * 10 + [3]),
        (10 * MOST_OWED, [1] * 17 + [2] * 17 + [3]),
    ],
)
@dialogue
async def test_all_turns_together_pay_for_the_steps(cost: int, after_each_turn: list[int]):
    work = Work()
    for number in range(100):
        work.backlog.call_soon(work.step(str(number), cost))
    done = []
    for _ in after_each_turn:
        await asyncio.sleep(0)
        done.append(len(work.done))
    assert done == after_each_turn
    for _ in range(17 * 100):
        await asyncio.sleep(0)
    assert work.done == [str(number) for number in range(100)]


@dialogue
async def test_nothing_is_owed_once_nothing_waits():
    work = Work()
    work.backlog.call_soon(work.step("dear", 10 * MOST_OWED))
    await asyncio.sleep(0)
    work.backlog.call_soon(work.step("next"))
    await asyncio.sleep(0)
    assert work.done == ["dear", "next"]


@dialogue
async def test_who_goes_on_waits_for_all_others_and_for_the_next_turn():
    work = Work()
    left = [2]

    def again() -> None:
        if left[0]:
            left[0] -= 1
            work.backlog.call_soon(work.step("flood", then=again))

    work.backlog.call_soon(work.step("flood", then=again))
    work.backlog.call_soon(work.step("other"))
    await asyncio.sleep(0)
    assert work.done == ["flood", "other"]
    await asyncio.sleep(0)
    assert work.done == ["flood", "other", "flood"]
    await quiet()
    assert work.done == ["flood", "other", "flood", "flood"]


@dialogue
async def test_a_step_that_is_cancelled_costs_nothing():
    work = Work()
    dues = [work.backlog.call_soon(work.step(str(number))) for number in range(3 * UNITS_PER_TURN)]
    for due in dues[: 2 * UNITS_PER_TURN]:
        due.cancel()
        due.cancel()
    await asyncio.sleep(0)
    assert work.done == [str(number) for number in range(2 * UNITS_PER_TURN, 3 * UNITS_PER_TURN)]


@dialogue
async def test_a_step_that_fails_is_one_connections_fault(caplog: pytest.LogCaptureFixture):
    work = Work()

    def fail() -> None:
        raise ValueError("a bug")

    work.backlog.call_soon(work.step("bad", then=fail))
    work.backlog.call_soon(work.step("good"))
    await asyncio.sleep(0)
    assert work.done == ["bad", "good"]
    assert "a connection failed" in caplog.text
