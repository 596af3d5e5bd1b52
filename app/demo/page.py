"""One page of the demonstration: announced once a real request for it was answered through the tunnel, and only then.

It needs some programs. When one of them ends, the page is not ready any more at that moment, and it is asked again once
they run. When one of them is given up, the page is too.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from .board import State
from .probe import ASK_SECONDS, Answer, NoAnswerError, ask
from .program import Program
from .scene import Scene

ASK_LATE_SECONDS = 2.0
"""Between two requests to what is late."""


class Page:
    """Its public address, what it needs, and which answer is the right one."""

    def __init__(
        self,
        name: str,
        title: str,
        host: str,
        port: int,
        needs: Sequence[Program],
        is_right: Callable[[Answer], bool],
        scene: Scene,
        *,
        path: str = "/",
        late_seconds: float = 30.0,
    ) -> None:
        """`path`: what is asked for; `late_seconds`: how long it may take before that is said."""
        self.title = title
        self.url = f"http://{host}:{port}/"
        self.is_given_up = False
        self._name = name
        self._host = host
        self._port = port
        self._needs = needs
        self._is_right = is_right
        self._scene = scene
        self._path = path
        self._late_seconds = late_seconds
        self._was_ready = False

    async def keep(self) -> None:
        """Announce it, take that back, and announce it again, until it is given up."""
        self._set(State.STARTING)
        while True:
            await self._scene.board.until(lambda: self._all_run() or self._lost() is not None)
            if (lost := self._lost()) is not None:
                self.is_given_up = True
                self._set(State.FAILED, f"{lost.name} {lost.why_down}")
                self._scene.say(f"{self.title} is not available: {lost.name} {lost.why_down}")
                return
            starts = self._starts()
            if not await self._answered(starts):
                continue
            self._announce()
            await self._scene.board.until(partial(self._is_interrupted, starts))
            ended = next((program for program in self._needs if program.child is None), None)
            why = f"{ended.name} {ended.why_down}" if ended is not None else "a program was started again"
            self._set(State.DOWN, why)
            self._scene.say(f"{self.title} is down: {why}. A line will follow when {self.url} works again")

    async def _answered(self, starts: list[int]) -> bool:
        """Ask until the right answer comes; False if one of the programs has ended meanwhile."""
        loop = asyncio.get_running_loop()
        begun, is_late = loop.time(), False
        while self._run_since(starts):
            try:
                answer = await ask("127.0.0.1", self._port, self._host, self._path)
                if self._is_right(answer):
                    return self._run_since(starts)
                why = f"the answer has status {answer.status}"
            except NoAnswerError as error:
                why = str(error)
            if not is_late and loop.time() - begun > self._late_seconds:
                is_late = True
                self._scene.say(f"{self.title} has not answered for {self._late_seconds:g} s ({why}); still trying")
            if is_late:
                self._set(State.DOWN, f"does not answer: {why}")
            await asyncio.sleep(ASK_LATE_SECONDS if is_late else ASK_SECONDS)
        return False

    def _announce(self) -> None:
        self._set(State.READY)
        if self._was_ready:
            self._scene.say(f"{self.title} works again: {self.url}")
        else:
            self._scene.say(f"{self.title + ':':<22} {self.url}")
        self._was_ready = True

    def _set(self, state: State, words: str = "") -> None:
        self._scene.board.set(f"page {self._name}", self.title, state, words, self.url)

    def _lost(self) -> Program | None:
        return next((program for program in self._needs if program.is_given_up), None)

    def _all_run(self) -> bool:
        return all(program.child is not None for program in self._needs)

    def _starts(self) -> list[int]:
        return [program.starts for program in self._needs]

    def _is_interrupted(self, starts: list[int]) -> bool:
        return not self._run_since(starts)

    def _run_since(self, starts: list[int]) -> bool:
        return self._all_run() and self._starts() == starts
