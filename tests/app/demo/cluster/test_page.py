"""A page through one node: what is said of it is what the last request got, whatever runs."""

import asyncio
from types import SimpleNamespace

import pytest

from app.demo.board import Board, State
from app.demo.cluster import page as module
from app.demo.cluster.nodes import Node
from app.demo.cluster.page import ASK_SECONDS, LATE_SECONDS, NodePage
from app.demo.probe import Answer, NoAnswerError
from app.demo.program import Program
from app.demo.scene import Scene
from tests.fakes.children import FakeChildren, FakeConsole
from tests.fakes.loop import dialogue, quiet

URL = "http://chat.localhost:8081/"
RIGHT = Answer(200, b"the page")


class Kept:
    """The chat through node-2, and both programs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.children, self.console, self.board = FakeChildren(), FakeConsole(), Board("r")
        scene = Scene(self.children, self.console, self.board)  # type: ignore[arg-type]
        self.answer: Answer | NoAnswerError = NoAnswerError("Connection refused")
        self.asked: list[tuple[object, ...]] = []
        monkeypatch.setattr(module, "ask", self._ask)
        self.node = Program("node-2", lambda: ["x"], scene, away_seconds=20)
        chat = Program("chat", lambda: ["x"], scene)
        application = SimpleNamespace(program=chat, name="chat", host="chat.localhost", path="/", is_right=RIGHT.__eq__)
        self.page = NodePage(application, Node(self.node, 8081), scene)  # type: ignore[arg-type]
        self.tasks = [asyncio.create_task(part.keep()) for part in (self.node, chat, self.page)]

    async def _ask(self, *asked: object) -> Answer:
        self.asked.append(asked)
        if isinstance(self.answer, NoAnswerError):
            raise self.answer
        return self.answer

    @property
    def state(self) -> tuple[State, str]:
        entry = self.board["page Chat through node-2"]
        return entry.state, entry.words

    def said(self) -> list[str]:
        return [line for line in self.console.said if "Chat" in line]

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()


@dialogue
async def test_it_is_announced_after_a_right_answer_and_asked_for_again_and_again(monkeypatch):
    kept = Kept(monkeypatch)
    await asyncio.sleep(3)
    assert (kept.state, kept.said()) == ((State.STARTING, ""), [])
    kept.answer = RIGHT
    await asyncio.sleep(ASK_SECONDS)
    assert kept.page.is_ready
    assert kept.said() == [f"demo: Chat through node-2:   {URL}"]
    asked = len(kept.asked)
    await asyncio.sleep(10 * ASK_SECONDS)
    assert len(kept.asked) == asked + 10
    assert set(kept.asked) == {("127.0.0.1", 8081, "chat.localhost", "/")}
    assert len(kept.said()) == 1
    kept.close()


@dialogue
async def test_a_node_that_runs_and_does_not_answer_is_told_of_and_so_is_its_return(monkeypatch):
    kept = Kept(monkeypatch)
    kept.answer = RIGHT
    await quiet()
    kept.answer = NoAnswerError("no answer within 2 s")
    await asyncio.sleep(3)
    assert kept.state == (State.DOWN, "no answer within 2 s")
    assert not kept.page.is_ready
    kept.answer = Answer(503, b"no agent")
    await asyncio.sleep(3)
    assert kept.state == (State.DOWN, "the answer has status 503")
    kept.answer = RIGHT
    await asyncio.sleep(3)
    assert kept.state == (State.READY, "")
    assert kept.said()[1:] == [
        "demo: Chat through node-2 is down: no answer within 2 s",
        f"demo: Chat through node-2 works again: {URL}",
    ]
    kept.close()


@dialogue
async def test_an_ended_node_is_the_reason_and_not_what_the_request_got(monkeypatch):
    kept = Kept(monkeypatch)
    kept.answer = RIGHT
    await quiet()
    kept.answer = NoAnswerError("Connection refused")
    kept.children.last("node-2").end(-9)
    await asyncio.sleep(3)
    assert kept.state == (State.DOWN, "node-2 was ended by SIGKILL")
    kept.close()


@dialogue
async def test_one_that_is_late_says_what_is_answered_instead(monkeypatch):
    kept = Kept(monkeypatch)
    kept.answer = Answer(502, b"")
    await asyncio.sleep(LATE_SECONDS - 2)
    assert kept.state == (State.STARTING, "")
    await asyncio.sleep(4)
    assert kept.state == (State.DOWN, "the answer has status 502")
    kept.close()
