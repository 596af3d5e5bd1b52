"""What runs now: the state of every program and page, which the index shows, and what follows from it.

One thing has one entry. Who changes an entry says in words what has happened; the board wakes those who wait and calls
its listeners. Nothing here does I/O.
"""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from .ports import SIGN


class State(StrEnum):
    """How it stands with a program or a page."""

    STARTING = "starting"
    RUNNING = "running"  # a program
    READY = "ready"  # a page: it was answered through the tunnel
    DOWN = "down"  # for now: it is being started again, or asked again
    SKIPPED = "skipped"
    FAILED = "failed"  # for good


class Entry(msgspec.Struct, frozen=True):
    """One line of the index. `url`: only of a page."""

    name: str
    title: str
    state: State
    words: str = ""
    url: str = ""
    since: float = 0.0
    """Unix time of its last change."""


class Snapshot(msgspec.Struct, frozen=True):
    """The whole board, as the index gets and serves it."""

    url: str
    """Of the index itself."""
    run: str
    """Tells this demonstration from every other."""
    entries: list[Entry]
    command: str = ""
    """What the user may run beside these."""
    hint: str = ""
    """What that does."""
    demo: str = SIGN


class Board:
    """All entries, in the order in which they were first set."""

    def __init__(self, run: str, url: str = "") -> None:
        self.run = run
        self.url = url
        self.command = ""
        self.hint = ""
        self.listeners: list[Callable[[], None]] = []
        """Called after each change."""
        self._entries: dict[str, Entry] = {}
        self._changed = asyncio.Event()

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def set(self, name: str, title: str, state: State, words: str = "", url: str = "") -> None:
        """What is true of it from now on."""
        old = self._entries.get(name)
        entry = Entry(
            name, title, state, words, url, old.since if old is not None and old.state is state else time.time()
        )
        if entry == old:
            return
        self._entries[name] = entry
        self._changed.set()
        self._changed = asyncio.Event()
        for listener in self.listeners:
            listener()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it; asked again after each change."""
        while not condition():
            await self._changed.wait()

    def snapshot(self) -> Snapshot:
        """The board as it is now."""
        return Snapshot(self.url, self.run, list(self._entries.values()), self.command, self.hint)
