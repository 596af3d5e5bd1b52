"""A connection's work in slices: every outcome of a slice, and what it means for the socket and the loop."""

import asyncio
from typing import cast

import pytest

from app.server.turns import Left, Turns, slices
from tests.fakes.loop import dialogue


class Reading:
    """A transport, as far as its reading goes."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.closing = False

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def is_closing(self) -> bool:
        return self.closing


class Work:
    """Slices with the given outcomes; then nothing is left."""

    def __init__(self, *outcomes: Left) -> None:
        self.outcomes = list(outcomes)
        self.done = 0
        self.transport = Reading()
        self.turns = Turns(asyncio.get_running_loop().call_soon, cast("asyncio.Transport", self.transport), self.slice)

    def slice(self) -> Left:
        self.done += 1
        return self.outcomes.pop(0) if self.outcomes else Left.NOTHING


@pytest.mark.parametrize(
    ("left", "log", "idle"),
    [
        (Left.NOTHING, ["resume"], True),
        (Left.MORE, ["pause"], False),
        (Left.BLOCKED, ["pause"], True),
        (Left.NOT_OURS, [], True),
    ],
)
@dialogue
async def test_after_a_slice(left: Left, log: list[str], idle: bool):
    work = Work(left)
    work.turns.run()
    assert (work.done, work.transport.log, work.turns.due is None) == (1, log, idle)
    work.turns.cancel()


@dialogue
async def test_one_slice_a_turn_until_nothing_is_left():
    work = Work(Left.MORE, Left.MORE)
    work.turns.run()
    seen = [work.done]
    for _ in range(3):
        await asyncio.sleep(0)
        seen.append(work.done)
    assert seen == [1, 2, 3, 3]
    assert work.transport.log == ["pause", "pause", "resume"]
    assert repr(work.turns) == "<Turns idle>"


@dialogue
async def test_no_slice_is_done_out_of_turn():
    work = Work(Left.MORE)
    work.turns.run()
    work.turns.run()
    work.turns.wake()
    assert work.done == 1
    assert repr(work.turns) == "<Turns one is due>"
    await asyncio.sleep(0)
    assert work.done == 2


@dialogue
async def test_a_blocked_connection_goes_on_once_it_is_woken():
    work = Work(Left.BLOCKED)
    work.turns.run()
    await asyncio.sleep(0)
    assert work.done == 1
    work.turns.wake()
    work.turns.wake()
    await asyncio.sleep(0)
    assert (work.done, work.transport.log) == (2, ["pause", "resume"])


@dialogue
async def test_a_connection_that_is_gone_works_no_more():
    work = Work(Left.MORE)
    work.turns.run()
    work.turns.cancel()
    work.turns.cancel()
    await asyncio.sleep(0)
    assert work.done == 1


@dialogue
async def test_a_closing_transport_is_not_read_again():
    work = Work()
    work.transport.closing = True
    work.turns.run()
    assert (work.done, work.transport.log) == (1, [])


@pytest.mark.parametrize("size", [1, 3, 4, 5, 10, 11])
def test_slices(size: int):
    pieces = list(slices(b"0123456789", size))
    assert b"".join(pieces) == b"0123456789"
    assert all(len(piece) == size for piece in pieces[:-1])
    assert 0 < len(pieces[-1]) <= size
