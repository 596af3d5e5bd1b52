"""One program of the demonstration, which is started again when it ends, but not for ever.

Each end is said at once, in words, with the last line that it printed. After MOST_ENDS ends within ENDS_SECONDS it is
given up, and all that needs it is no longer announced. Only one that is there to be ended by hand never is.
"""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Sequence

from .board import State
from .children import NOTHING, Child, Needs, ended
from .scene import Scene

MOST_ENDS = 3
ENDS_SECONDS = 60.0
RESTART_SECONDS = 0.5
"""Before it is started again; twice as long the second time."""


class Program:
    """Its name, and how it is started."""

    def __init__(
        self,
        name: str,
        command: Callable[[], Sequence[str]],
        scene: Scene,
        needs: Needs = NOTHING,
        *,
        is_shown: bool = True,
        away_seconds: float = 0.0,
    ) -> None:
        """`command` is asked before each start. `is_shown`: its output.

        `away_seconds`: for a program that people end to see what happens then. So long it stays away, and it is never
        given up.
        """
        self.name = name
        self.child: Child | None = None
        """While it runs."""
        self.starts = 0
        self.why_down = "it was not started yet"
        self.is_given_up = False
        self._command = command
        self._scene = scene
        self._needs = needs
        self._is_shown = is_shown
        self._away_seconds = away_seconds
        self._ends: deque[float] = deque(maxlen=MOST_ENDS)

    async def keep(self) -> None:
        """Run it until it is given up."""
        while not self.is_given_up:
            self._scene.board.set(self.name, self.name, State.STARTING)
            self.why_down = await self._run()
            self.child = None
            if self._away_seconds:
                await self._stay_away()
                continue
            self._ends.append(asyncio.get_running_loop().time())
            self.is_given_up = len(self._ends) == MOST_ENDS and self._ends[-1] - self._ends[0] < ENDS_SECONDS
            if self.is_given_up:
                words = f"{self.why_down}; it ended {MOST_ENDS} times within a minute and is given up"
                self._scene.board.set(self.name, self.name, State.FAILED, words)
                self._scene.say(f"{self.name} {words}")
                return
            self._scene.board.set(self.name, self.name, State.DOWN, f"{self.why_down}; it is being started again")
            self._scene.say(f"{self.name} {self.why_down}: starting it again")
            await asyncio.sleep(RESTART_SECONDS * len(self._ends))

    async def _stay_away(self) -> None:
        again = f"starting it again in {self._away_seconds:g} s"
        self._scene.board.set(self.name, self.name, State.DOWN, f"{self.why_down}; {again}")
        self._scene.say(f"{self.name} {self.why_down}: {again}")
        await asyncio.sleep(self._away_seconds)

    async def _run(self) -> str:
        """Run it once; why it is down."""
        try:
            self.child = await self._scene.children.start(self.name, self._command(), self._show, self._needs)
        except OSError as error:
            return f"cannot be started ({error.strerror or error})"
        self.starts += 1
        self._scene.board.set(self.name, self.name, State.RUNNING, f"process {self.child.pid}")
        status = await self.child.wait()
        is_told = status not in (0, -signal.SIGKILL)  # whoever is killed says nothing about it
        last = next((line for line in reversed(self.child.lines) if line.strip()), "") if is_told else ""
        return ended(status) + (f" ({last.strip()})" if last else "")

    def _show(self, line: str) -> None:
        if self._is_shown:
            self._scene.console.say(self.name, line)
