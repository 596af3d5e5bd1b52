"""Uptime Kuma's part of the demonstration with programs called node and npm that do everything wrong."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app.demo.board import Board, State
from app.demo.children import Children
from app.demo.kuma.npm import LateError, run
from app.demo.kuma.part import KumaPart
from app.demo.program import Program
from app.demo.scene import Scene
from tests.fakes.children import FakeConsole
from tests.system.process import wait_until
from tests.system.test_demo_processes import guard_of, members

pytestmark = pytest.mark.anyio

GOOD_NODE = "echo v22.1.0"
HANG = "exec sleep 600"
ONLINE = '[ "$1" = ci ] || exit 0; '
"""Of an npm that reaches its registry."""


class Machine:
    """One with these programs on PATH, and a home that is empty."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.children, self.console, self.board = Children(), FakeConsole(), Board("r")
        self.scene = Scene(self.children, self.console, self.board)  # type: ignore[arg-type]
        monkeypatch.setenv("PATH", f"{self.programs}:/usr/bin:/bin")
        monkeypatch.setenv("HOME", str(self.home))
        self.has("node", GOOD_NODE)

    def has(self, name: str, script: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def part(self, **seconds: float) -> KumaPart:
        gateway = Program("gateway", list, self.scene)
        return KumaPart(
            self.scene, gateway=gateway, gateway_port=1, agent_of=lambda _: ["false"], folder=self.folder, **seconds,
        )  # fmt: skip

    async def skipped(self, **seconds: float) -> str:
        """Why, as the index has it."""
        await self.part(**seconds).keep()
        entry = self.board["page kuma"]
        assert entry.state is State.SKIPPED
        assert entry.words in self.console.said[-1]
        return entry.words


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path, monkeypatch)
    await machine.children.open(tmp_path / "nothing")
    try:
        yield machine
    finally:
        await machine.children.end()


@pytest.mark.parametrize(
    ("npm", "words"),
    [
        (
            "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network getaddrinfo' >&2; exit 1",
            "npm does not reach its registry (ENOTFOUND): check the network and npm's proxy settings and start again",
        ),
        (
            "echo 'npm ERR! code ENOSPC' >&2; exit 228",
            "npm finds no space on the disk (ENOSPC): make room, or set HOME to a folder elsewhere",
        ),
        (
            ONLINE + "echo 'npm error code ECONNRESET' >&2; for i in 1 2 3; do sleep .02; echo more >&2; done; exit 1",
            "npm does not reach its registry (ECONNRESET): check the network",
        ),
        ("kill -9 $$", "npm failed with status -9: it printed nothing"),
        ("printf '\\377\\033[2J rubbish' >&2; exit 3", "npm failed with status 3: "),
        ("head -c 3000000 /dev/zero >&2; printf '\\nthe last words\\n' >&2; exit 3", "the last words"),
    ],
    ids=["no network", "no space", "network lost", "killed", "rubbish", "megabytes"],
)
async def test_npm_fails(machine: Machine, npm: str, words: str) -> None:
    machine.has("npm", npm)
    assert words in await machine.skipped()
    assert any("asking the npm registry" in line for line in machine.console.said)


async def test_npm_hangs(machine: Machine) -> None:
    machine.has("npm", ONLINE + HANG)
    words = await machine.skipped(install_seconds=1.0, remind_seconds=0.4)
    assert words.startswith(
        "its installation had not ended after 1 s (npm is downloading and compiling it) and was stopped"
    )
    assert sum("s so far, 1 s at most" in line for line in machine.console.said) >= 2
    wait_until(lambda: not runs(machine.children, "sleep"), 5, "npm has ended with its installation")


async def test_npm_asks_and_gets_no_answer(machine: Machine) -> None:
    machine.has("npm", f"trap '' TERM; {HANG}")
    with pytest.raises(LateError):
        await asyncio.to_thread(run, ["view"], machine.folder, seconds=0.2)
    assert not any("sleep" in " ".join(child.cmdline()) for child in psutil.Process().children())


async def test_somebody_else_installs_it(machine: Machine) -> None:
    machine.has("npm", "exit 0")
    cache = machine.home / ".cache" / "tunnel-gateway"
    cache.mkdir(parents=True)
    with (cache / "uptime-kuma.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = await machine.skipped(install_seconds=0.5, remind_seconds=0.2)
    assert "waiting for another program that is installing it" in words


async def test_a_home_that_cannot_be_written(machine: Machine) -> None:
    (machine.home / ".cache").write_text("no folder")
    machine.has("npm", HANG)
    words = await machine.skipped()
    assert words.endswith(f"make {machine.home}/.cache/tunnel-gateway writable, or set HOME to a folder that is")


async def test_a_node_that_hangs(machine: Machine) -> None:
    machine.has("npm", HANG)
    machine.has("node", HANG)
    assert (await machine.skipped(node_seconds=0.2)).startswith("`node --version` had not answered after 0.2 s")


async def test_a_node_that_is_none(machine: Machine) -> None:
    machine.has("npm", HANG)
    machine.has("node", "echo hello; exit 3")
    assert (await machine.skipped()).startswith("`node --version` ended with status 3 and printed 'hello'")


async def test_an_end_while_npm_runs(machine: Machine) -> None:
    """Nothing of it is left, and nothing waits for it."""
    machine.has("npm", f"{ONLINE}trap '' TERM; echo > {machine.folder}/fifo; sleep 600")
    os.mkfifo(machine.folder / "fifo")
    task = asyncio.create_task(machine.part().keep())
    await asyncio.to_thread((machine.folder / "fifo").read_text)  # npm runs
    task.cancel()
    await asyncio.wait([task])
    await machine.children.end()
    wait_until(lambda: not runs(machine.children, ""), 5, "all has ended")


def runs(children: Children, program: str) -> bool:
    """Whether a process of the group was started as this program; with "": whether anything runs."""
    group = guard_of(children)
    return any(program in " ".join(process.cmdline()) for process in members(group) if os.getpgid(process.pid) == group)
