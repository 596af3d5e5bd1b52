"""A page: announced after a real answer, taken back when a program ends, and never announced instead of it."""

import asyncio
from collections.abc import Callable

import pytest

from app.demo import page as module
from app.demo.board import Board, State
from app.demo.page import Page
from app.demo.probe import Answer, NoAnswerError
from app.demo.program import Program
from app.demo.scene import Scene
from tests.fakes.children import FakeChildren, FakeConsole
from tests.fakes.loop import dialogue, quiet

URL = "http://chat.localhost:8080/"
RIGHT = Answer(200, b"the page")


class Kept:
    """A page of two programs, kept by tasks. `answer`: of the next requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.children, self.console, self.board = FakeChildren(), FakeConsole(), Board("r")
        scene = Scene(self.children, self.console, self.board)  # type: ignore[arg-type]
        self.answer: Answer | NoAnswerError = NoAnswerError("Connection refused")
        self.asked: list[tuple[object, ...]] = []
        monkeypatch.setattr(module, "ask", self._ask)
        self.programs = [Program(name, lambda: ["x"], scene) for name in ("chat", "agent")]
        is_right: Callable[[Answer], bool] = lambda answer: answer == RIGHT  # noqa: E731
        self.page = Page("chat", "Chat", "chat.localhost", 8080, self.programs, is_right, scene)
        self.tasks = [asyncio.create_task(part.keep()) for part in (*self.programs, self.page)]

    async def _ask(self, *asked: object) -> Answer:
        self.asked.append(asked)
        if isinstance(self.answer, NoAnswerError):
            raise self.answer
        return self.answer

    @property
    def state(self) -> State:
        return self.board["page chat"].state

    def said_of_the_page(self) -> list[str]:
        return [line for line in self.console.said if "Chat" in line]

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()


@dialogue
async def test_it_is_announced_once_it_was_answered_and_not_before(monkeypatch):
    kept = Kept(monkeypatch)
    await asyncio.sleep(1)
    assert (kept.state, kept.said_of_the_page()) == (State.STARTING, [])
    kept.answer = Answer(502, b"no service")
    await asyncio.sleep(1)
    assert (kept.state, kept.said_of_the_page()) == (State.STARTING, [])
    kept.answer = RIGHT
    await asyncio.sleep(1)
    assert kept.state is State.READY
    assert kept.said_of_the_page() == [f"demo: Chat:                  {URL}"]
    assert set(kept.asked) == {("127.0.0.1", 8080, "chat.localhost", "/")}
    asked = len(kept.asked)
    await asyncio.sleep(60)
    assert len(kept.asked) == asked  # it does not disturb the traffic
    kept.close()


@dialogue
async def test_it_is_taken_back_when_a_program_ends_and_announced_again_after_an_answer(monkeypatch):
    kept = Kept(monkeypatch)
    kept.answer = RIGHT
    await asyncio.sleep(1)
    kept.answer = NoAnswerError("Connection refused")
    kept.children.last("agent").end(3)
    await quiet()
    assert kept.state is State.DOWN
    assert kept.board["page chat"].words == "agent ended with status 3"
    assert kept.said_of_the_page()[-1] == (
        f"demo: Chat is down: agent ended with status 3. A line will follow when {URL} works again"
    )
    await asyncio.sleep(5)
    assert kept.state is State.DOWN
    kept.answer = RIGHT
    await asyncio.sleep(5)
    assert kept.state is State.READY
    assert kept.said_of_the_page()[-1] == f"demo: Chat works again: {URL}"
    kept.close()


@dialogue
async def test_one_that_is_late_says_what_is_answered_instead(monkeypatch):
    kept = Kept(monkeypatch)
    kept.answer = Answer(502, b"")
    await asyncio.sleep(40)
    assert kept.said_of_the_page() == ["demo: Chat has not answered for 30 s (the answer has status 502); still trying"]
    assert (kept.state, kept.board["page chat"].words) == (
        State.DOWN, "does not answer: the answer has status 502",
    )  # fmt: skip
    kept.answer = RIGHT
    await asyncio.sleep(5)
    assert kept.state is State.READY
    kept.close()


@dialogue
async def test_with_a_program_that_is_given_up_it_is_not_available(monkeypatch):
    kept = Kept(monkeypatch)
    kept.answer = RIGHT
    for _ in range(3):
        await asyncio.sleep(2)
        child = kept.children.last("chat")
        child.print("ModuleNotFoundError: No module named 'x'")
        child.end(1)
    await asyncio.sleep(2)
    assert kept.page.is_given_up
    assert kept.state is State.FAILED
    assert kept.said_of_the_page()[-1] == (
        "demo: Chat is not available: chat ended with status 1 (ModuleNotFoundError: No module named 'x')"
    )
    kept.close()


@dialogue
async def test_an_answer_of_a_program_that_has_ended_meanwhile_counts_for_nothing(monkeypatch):
    kept = Kept(monkeypatch)
    came, answer = asyncio.Event(), asyncio.Event()

    async def slowly(*_: object) -> Answer:
        came.set()
        await answer.wait()
        return RIGHT

    monkeypatch.setattr(module, "ask", slowly)
    await came.wait()
    kept.children.last("chat").end(1)
    await quiet()
    answer.set()
    await quiet()
    assert kept.state is State.STARTING
    assert kept.said_of_the_page() == []
    await asyncio.sleep(2)
    assert kept.state is State.READY
    kept.close()
