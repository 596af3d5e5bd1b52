"""Uptime Kuma's part of the demonstration: whatever it waits for ends, and the words are true meanwhile."""

import asyncio
import signal
from pathlib import Path

import pytest

from app.demo.board import Board, State
from app.demo.kuma import part as module
from app.demo.kuma.part import KumaPart
from app.demo.program import Program
from app.demo.scene import Scene
from tests.fakes.children import FakeChild, FakeChildren, FakeConsole
from tests.fakes.loop import dialogue, quiet

NEED = "Uptime Kuma needs Node.js 14, 16, 18 or at least 20.4"


class Kept:
    """The part, kept by a task. Node and npm are there unless `missing` says what is not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, missing: str | None = None) -> None:
        monkeypatch.setattr(module, "missing", lambda: missing)
        self.children, self.console, self.board = FakeChildren(), FakeConsole(), Board("r")
        scene = Scene(self.children, self.console, self.board)  # type: ignore[arg-type]
        gateway = Program("gateway", list, scene)
        part = KumaPart(
            scene, gateway=gateway, gateway_port=8080, agent_of=lambda port: ["agent", str(port)], folder=folder,
        )  # fmt: skip
        self.task = asyncio.create_task(part.keep())

    async def child(self, name: str) -> FakeChild:
        await quiet()
        return self.children.last(name)

    async def installing(self) -> FakeChild:
        """The installation, behind a good Node."""
        node = await self.child("node")
        node.print("v22.1.0")
        node.end(0)
        return await self.child("npm")

    async def skipped(self) -> str:
        """Why, as it was said and as the index has it."""
        await self.task
        entry = self.board["page kuma"]
        assert entry.state is State.SKIPPED
        assert self.console.said[-1] == f"demo: Uptime Kuma is skipped: {entry.words}. The other pages work without it."
        return entry.words


@dialogue
async def test_without_node(monkeypatch, tmp_path):
    kept = Kept(monkeypatch, tmp_path, "node and npm not found")
    assert await kept.skipped() == f"node and npm not found; {NEED} (https://nodejs.org)"
    assert kept.children.started == []


@pytest.mark.parametrize(
    ("printed", "status", "why"),
    [
        (["v12.22.9"], 0, f"Node.js v12.22.9 is installed; {NEED} (https://nodejs.org)"),
        (["v20.3.1"], 0, f"Node.js v20.3.1 is installed; {NEED} (https://nodejs.org)"),
        (["rubbish", "v22.0.0"], 0, f"`node --version` ended with status 0 and printed 'rubbish'; {NEED}"),
        ([], 0, f"`node --version` ended with status 0 and printed 'nothing'; {NEED}"),
        (["v22.0.0"], -11, f"`node --version` was ended by SIGSEGV and printed 'v22.0.0'; {NEED}"),
        (["v99999999999999.1.1"], 0, f"`node --version` ended with status 0 and printed 'v99999999999999.1.1'; {NEED}"),
    ],
)
@dialogue
async def test_with_a_node_that_is_no_good(monkeypatch, tmp_path, printed, status, why):
    kept = Kept(monkeypatch, tmp_path)
    node = await kept.child("node")
    assert node.command == ["node", "--version"]
    for line in printed:
        node.print(line)
    node.end(status)
    assert await kept.skipped() == why


@dialogue
async def test_with_a_node_that_hangs(monkeypatch, tmp_path):
    kept = Kept(monkeypatch, tmp_path)
    node = await kept.child("node")
    assert await kept.skipped() == f"`node --version` had not answered after 10 s; {NEED}"
    assert node.signals == [signal.SIGKILL]


@dialogue
async def test_with_a_node_that_cannot_be_started(monkeypatch, tmp_path):
    kept = Kept(monkeypatch, tmp_path)
    kept.children.refuse = OSError(8, "Exec format error")
    assert await kept.skipped() == "[Errno 8] Exec format error"


@dialogue
async def test_an_installation_that_hangs_is_named_every_15_s_and_stopped_after_10_minutes(monkeypatch, tmp_path):
    kept = Kept(monkeypatch, tmp_path)
    npm = await kept.installing()
    assert npm.command[1:] == ["-m", "app.demo.kuma"]
    npm.is_deaf = True
    npm.print("step npm downloads it")
    assert kept.board["page kuma"].words == "npm downloads it"
    await asyncio.sleep(46)
    assert kept.console.said == [
        "demo: Uptime Kuma: npm downloads it",
        *(
            f"demo: Uptime Kuma: npm downloads it: {seconds} s so far, 600 s at most. The other pages work meanwhile"
            for seconds in (15, 30, 45)
        ),
    ]
    assert kept.board["page kuma"].state is State.STARTING
    assert await kept.skipped() == (
        "its installation had not ended after 600 s (npm downloads it) and was stopped; "
        "start the demo again to try again"
    )
    assert npm.signals == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize(
    ("printed", "status", "why"),
    [
        (["step npm downloads it", "failed no network"], 1, "no network"),
        (
            ["Traceback (most recent call last):", "MemoryError"],
            1,
            "its installation ended with status 1 (MemoryError)",
        ),
        ([], -9, "its installation was ended by SIGKILL (it printed nothing)"),
        (["installed /nowhere"], 1, "its installation ended with status 1 (installed /nowhere)"),
    ],
)
@dialogue
async def test_an_installation_that_fails(monkeypatch, tmp_path, printed, status, why):
    kept = Kept(monkeypatch, tmp_path)
    npm = await kept.installing()
    for line in printed:
        npm.print(line)
    npm.end(status)
    assert await kept.skipped() == why


@dialogue
async def test_it_is_published_once_it_listens(monkeypatch, tmp_path):
    listens = asyncio.Event()

    async def answering(*_: object) -> None:
        await listens.wait()

    monkeypatch.setattr(module, "answering", answering)
    kept = Kept(monkeypatch, tmp_path)
    npm = await kept.installing()
    npm.print(f"installed {tmp_path}")
    npm.end(0)
    kuma = await kept.child("kuma")
    assert kuma.command[3] == str(tmp_path / "server" / "server.js")
    assert [child.name for child in kept.children.started] == ["node", "npm", "kuma"]
    listens.set()
    agent = await kept.child("kuma's agent")
    port = next(word.removeprefix("--port=") for word in kuma.command if word.startswith("--port="))
    assert agent.command == ["agent", port]
    assert kept.board["page kuma"].state is State.STARTING
    kept.task.cancel()
