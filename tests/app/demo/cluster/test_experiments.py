"""What people are told to try, and what comes of it."""

import asyncio
from types import SimpleNamespace

from app.demo.board import Board, State
from app.demo.cluster.experiments import Experiments
from app.demo.program import Program
from app.demo.scene import Scene
from tests.fakes.children import FakeChildren, FakeConsole
from tests.fakes.loop import dialogue, quiet

AWAY = 20.0


class FakePage:
    """Of one node; it works while that runs and `works`."""

    def __init__(self, node: Program) -> None:
        self.node = SimpleNamespace(name=node.name)
        self.works = True
        self.is_ready = False
        self._node = node

    async def ask(self) -> None:
        self.is_ready = self.works and self._node.child is not None


class Tried:
    """Two nodes and NATS, and two pages through each node."""

    def __init__(self) -> None:
        self.children, self.console, self.board = FakeChildren(), FakeConsole(), Board("r")
        self.board.hint, self.board.command = "Watch them:", "nodes --follow"
        scene = Scene(self.children, self.console, self.board)  # type: ignore[arg-type]
        programs = [Program(name, lambda: ["x"], scene, away_seconds=AWAY) for name in ("node-1", "node-2", "nats")]
        self.pages = [FakePage(node) for node in programs[:2] for _ in range(2)]
        experiments = Experiments(programs, self.pages, scene, AWAY)  # type: ignore[arg-type]
        self.tasks = [asyncio.create_task(part.keep()) for part in (*programs, experiments)]

    async def ready(self) -> None:
        await quiet()
        for page in self.pages:
            await page.ask()
        self.board.set("page", "page", State.READY, f"of {len(self.children.started)} processes")
        await quiet()

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()


@dialogue
async def test_once_every_page_works_each_process_is_named_with_what_ends_it():
    tried = Tried()
    await quiet()
    assert tried.console.said == []
    await tried.ready()
    assert [line.split() for line in tried.console.said[1:4]] == [
        ["demo:", "kill", "-9", "1000", "node-1"],
        ["demo:", "kill", "-9", "1001", "node-2"],
        ["demo:", "kill", "-9", "1002", "nats"],
    ]
    assert tried.console.said[-1] == "demo: Watch them: nodes --follow"
    tried.close()


@dialogue
async def test_nothing_is_told_before_everything_runs():
    tried = Tried()
    tried.children.refuse = OSError("no memory")
    await tried.ready()
    assert [line for line in tried.console.said if "kill" in line] == []
    await asyncio.sleep(AWAY + 1)
    await tried.ready()
    assert len([line for line in tried.console.said if "kill -9" in line]) == 3
    tried.close()


@dialogue
async def test_after_an_end_the_pages_are_asked_for_and_after_a_start_the_new_process_is_named():
    tried = Tried()
    await tried.ready()
    tried.children.last("nats").end(-9)
    await quiet()
    assert tried.console.said[-1] == "demo: every page works through node-1 and node-2"
    tried.children.last("node-1").end(-9)
    await quiet()
    assert tried.console.said[-1] == "demo: every page works through node-2"
    tried.pages[-1].works = False
    tried.children.last("node-2").end(-9)
    await quiet()
    assert tried.console.said[-1] == "demo: no node serves every page now"
    await asyncio.sleep(AWAY + 1)
    assert [line for line in tried.console.said if "runs again" in line] == [
        "demo: nats runs again: kill -9 1003",
        "demo: node-1 runs again: kill -9 1004",
        "demo: node-2 runs again: kill -9 1005",
    ]
    tried.close()
