"""A program of the demonstration: every end is said, it is started again, and at last given up."""

import asyncio

from app.demo.board import Board, State
from app.demo.program import MOST_ENDS, Program
from app.demo.scene import Scene
from tests.fakes.children import FakeChildren, FakeConsole
from tests.fakes.loop import dialogue, quiet


class Kept:
    """A program called chat, kept by a task."""

    def __init__(self, away_seconds: float = 0.0) -> None:
        self.children, self.console, self.board = FakeChildren(), FakeConsole(), Board("r")
        self.scene = Scene(self.children, self.console, self.board)  # type: ignore[arg-type]
        self.program = Program("chat", lambda: ["chat"], self.scene, away_seconds=away_seconds)
        self.task = asyncio.create_task(self.program.keep())

    @property
    def state(self) -> State:
        return self.board["chat"].state


@dialogue
async def test_an_end_is_said_at_once_with_its_last_words_and_it_is_started_again():
    kept = Kept()
    await quiet()
    assert (kept.state, kept.board["chat"].words) == (State.RUNNING, "process 1000")
    child = kept.children.last("chat")
    child.print("Address already in use ")
    child.print("")
    child.end(1)
    await quiet()
    assert kept.program.child is None
    assert kept.state is State.DOWN
    assert kept.board["chat"].words == "ended with status 1 (Address already in use); it is being started again"
    assert kept.console.said[-1] == "demo: chat ended with status 1 (Address already in use): starting it again"
    await asyncio.sleep(1)
    assert (kept.state, kept.program.starts) == (State.RUNNING, 2)
    assert kept.program.child is kept.children.last("chat") is not child  # type: ignore[comparison-overlap]
    kept.task.cancel()


@dialogue
async def test_what_a_killed_one_printed_last_is_no_reason():
    kept = Kept()
    await quiet()
    child = kept.children.last("chat")
    child.print("ready")
    child.end(-9)
    await quiet()
    assert kept.console.said[-1] == "demo: chat was ended by SIGKILL: starting it again"
    kept.task.cancel()


@dialogue
async def test_one_that_people_end_stays_away_for_a_while_and_is_never_given_up():
    kept = Kept(away_seconds=20)
    for starts in range(1, 2 * MOST_ENDS):
        await quiet()
        kept.children.last("chat").end(-9)
        await quiet()
        assert kept.console.said[-1] == "demo: chat was ended by SIGKILL: starting it again in 20 s"
        await asyncio.sleep(19)
        assert (kept.state, kept.program.starts) == (State.DOWN, starts)
        assert kept.board["chat"].words == "was ended by SIGKILL; starting it again in 20 s"
        await asyncio.sleep(2)
        assert kept.state is State.RUNNING
    kept.task.cancel()


@dialogue
async def test_one_that_ends_again_and_again_is_given_up():
    kept = Kept()
    for _ in range(MOST_ENDS):
        await quiet()
        kept.children.last("chat").end(-9)
        await asyncio.sleep(5)
    assert kept.task.done()
    assert kept.program.is_given_up
    assert kept.state is State.FAILED
    assert kept.console.said[-1] == (
        "demo: chat was ended by SIGKILL; it ended 3 times within a minute and is given up"
    )
    assert len(kept.children.started) == MOST_ENDS


@dialogue
async def test_one_that_ends_now_and_then_is_not():
    kept = Kept()
    for number in range(10):
        await quiet()
        assert len(kept.children.started) == number + 1
        kept.children.last("chat").end(0)
        await asyncio.sleep(40)
    assert not kept.program.is_given_up
    kept.task.cancel()


@dialogue
async def test_one_that_cannot_be_started_says_why():
    kept = Kept()
    kept.children.refuse = OSError(2, "No such file or directory")
    await quiet()
    assert kept.console.said == ["demo: chat cannot be started (No such file or directory): starting it again"]
    kept.task.cancel()


@dialogue
async def test_only_what_is_shown_is_printed():
    kept = Kept()
    await quiet()
    kept.children.last("chat").print("hello")
    assert kept.console.said == ["chat: hello"]
    kept.task.cancel()
    task = asyncio.create_task(Program("kuma", lambda: ["kuma"], kept.scene, is_shown=False).keep())
    await quiet()
    kept.children.last("kuma").print("much")
    assert kept.console.said == ["chat: hello"]
    task.cancel()
