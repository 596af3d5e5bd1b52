"""Processes of the demonstration that do not exist: a test ends them, and lets them print."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any


class FakeChild:
    """As `app.demo.children.Child`; `signals` is what it was sent. SIGTERM ends it unless it is `deaf`."""

    def __init__(self, name: str, command: Sequence[str], on_line: Callable[[str], None], pid: int) -> None:
        self.name = name
        self.command = list(command)
        self.pid = pid
        self.lines: deque[str] = deque(maxlen=20)
        self.status: int | None = None
        self.signals: list[signal.Signals] = []
        self.told: list[bytes] = []
        self.is_deaf = False
        self._on_line = on_line
        self._ended = asyncio.Event()

    def print(self, line: str) -> None:
        self.lines.append(line)
        self._on_line(line)

    def end(self, status: int) -> None:
        self.status = status
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.status is not None
        return self.status

    async def gone(self) -> None:
        await self._ended.wait()

    def tell(self, line: bytes) -> None:
        self.told.append(line)

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)
        if number is signal.SIGKILL or not self.is_deaf:
            self.end(-number)


class FakeChildren:
    """As `app.demo.children.Children`; `started` are all, the newest last. `refuse` is raised by the next start."""

    def __init__(self) -> None:
        self.started: list[FakeChild] = []
        self.refuse: OSError | None = None

    async def start(self, name: str, command: Sequence[str], on_line: Callable[[str], None], *_: Any) -> FakeChild:
        if self.refuse is not None:
            refused, self.refuse = self.refuse, None
            raise refused
        child = FakeChild(name, command, on_line, 1000 + len(self.started))
        self.started.append(child)
        return child

    def last(self, name: str) -> FakeChild:
        return next(child for child in reversed(self.started) if child.name == name)


class FakeConsole:
    """Keeps what is said: `name: line`."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, name: str, line: str) -> None:
        self.said.append(f"{name}: {line}")
