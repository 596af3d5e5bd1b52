"""What people may try with the nodes, and what comes of it: which process to end, and which pages work without it."""

import asyncio
from collections.abc import Sequence
from functools import partial

from ..program import Program
from ..scene import Scene
from .page import NodePage


class Experiments:
    """Tells them once everything runs and every page works, and again after each end and each start."""

    def __init__(
        self, programs: Sequence[Program], pages: Sequence[NodePage], scene: Scene, away_seconds: float
    ) -> None:
        self._programs = programs
        self._pages = pages
        self._scene = scene
        self._away_seconds = away_seconds

    async def keep(self) -> None:
        """Tell for ever."""
        await self._scene.board.until(self._is_complete)
        known = self._running()
        self._introduce(known)
        while True:
            await self._scene.board.until(partial(self._differs, known))
            before, known = known, self._running()
            for name, pid in known.items():
                if before.get(name) != pid:
                    self._scene.say(f"{name} runs again: kill -9 {pid}")
            if before.keys() - known.keys():
                await asyncio.gather(*(page.ask() for page in self._pages))
                self._scene.say(self._outcome())

    def _is_complete(self) -> bool:
        return all(page.is_ready for page in self._pages) and len(self._running()) == len(self._programs)

    def _differs(self, known: dict[str, int]) -> bool:
        return self._running() != known

    def _running(self) -> dict[str, int]:
        """Name -> process id."""
        return {program.name: program.child.pid for program in self._programs if program.child is not None}

    def _introduce(self, running: dict[str, int]) -> None:
        say = self._scene.say
        say("End any process and see which pages work without it:")
        for name, pid in running.items():
            say(f"    kill -9 {pid:<9} {name}")
        say("kill -STOP freezes a process, kill -CONT wakes it again.")
        say(f"A node or NATS is started again {self._away_seconds:g} s after it ended; agents at once.")
        say(f"{self._scene.board.hint} {self._scene.board.command}")

    def _outcome(self) -> str:
        """Of the pages that were just asked for."""
        names = dict.fromkeys(page.node.name for page in self._pages)
        whole = [name for name in names if all(page.is_ready for page in self._pages if page.node.name == name)]
        if not whole:
            return "no node serves every page now"
        *others, last = whole
        return "every page works through " + (f"{', '.join(others)} and {last}" if others else last)
