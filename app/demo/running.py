"""One run of the demonstration, from the first signal handler to the last process.

Every way out ends all processes: Ctrl-C, SIGTERM, SIGHUP, a second one, and a fault of our own. What ended it, and that
all has ended, is said.
"""

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ..settings.environment import without_settings
from .children import Children
from .console import Console
from .scene import DemoError

Shown = Callable[[Path, Children, Console], Coroutine[Any, Any, None]]
"""What is shown, in a temporary folder: runs until nothing of it can work any more, and may raise DemoError."""
_SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal was closed"}


class _NoFolderError(Exception):
    """There is no place for the configuration; the text says what to do."""


class Running:
    """The run, and what asks it to end."""

    def __init__(self, console: Console, shown: Shown) -> None:
        self._console = console
        self._shown = shown
        self._children = Children()
        self._asked = asyncio.Event()
        self._why = ""

    async def run(self) -> int:
        """Run until asked to end. Returns the exit status: 1 if it could not go on."""
        if left_out := without_settings():
            names = ", ".join(ascii(name)[1:-1] for name in left_out)
            self._console.say("demo", f"{names}: not used, the demonstration has settings of its own")
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, self._ask, number)
        try:
            with self._folder() as folder:
                return await self._run(Path(folder))
        except _NoFolderError as error:
            self._console.say("demo", str(error))
            return 1
        finally:
            for number in _SIGNALS:
                if loop.remove_signal_handler(number):
                    signal.signal(number, signal.SIG_IGN)  # all is over: one more changes nothing

    def _folder(self) -> "tempfile.TemporaryDirectory[str]":
        try:
            return tempfile.TemporaryDirectory(prefix="tunnel-demo-", ignore_cleanup_errors=True)
        except OSError as error:
            raise _NoFolderError(
                f"no temporary folder can be used ({error}); make room, or set TMPDIR to a folder elsewhere"
            ) from None

    async def _run(self, folder: Path) -> int:
        status = 0
        try:
            try:
                guard = await self._children.open(folder)
            except OSError as error:
                self._why = f"no process can be started ({error})"
                return 1
            demo = asyncio.create_task(self._shown(folder, self._children, self._console))
            asked = asyncio.create_task(self._asked.wait())
            guarded = asyncio.create_task(guard.gone())
            await asyncio.wait((demo, asked, guarded), return_when=asyncio.FIRST_COMPLETED)
            if demo.done() and not self._asked.is_set():
                self._why = "giving up"
                status = 1
            elif guarded.done() and not self._asked.is_set():
                self._why = "the guard process was killed"
                status = 1
            for task in (demo, asked, guarded):
                task.cancel()
            outcome, *_ = await asyncio.gather(demo, asked, guarded, return_exceptions=True)
            self._report(outcome)
        finally:
            await self._end()
        return status

    def _report(self, outcome: object) -> None:
        """What ended the demonstration itself. Raises what nobody expected."""
        if isinstance(outcome, BaseExceptionGroup):
            expected, others = outcome.split(DemoError)
            if others is not None:
                raise others
            outcome = expected.exceptions[0] if expected is not None else None
        if isinstance(outcome, DemoError):
            self._console.say("demo", str(outcome))
        elif isinstance(outcome, Exception):
            raise outcome

    async def _end(self) -> None:
        begun = time.monotonic()
        self._console.say("demo", f"{self._why or 'a fault'}: stopping everything")
        for sentence in await self._children.end():
            self._console.say("demo", sentence)
        what = "some processes still run" if self._children.is_any_left else "everything has stopped"
        self._console.say("demo", f"{what}, after {time.monotonic() - begun:.1f} s")

    def _ask(self, number: signal.Signals) -> None:
        if self._asked.is_set():
            self._children.hurry()
        self._why = self._why or _SIGNALS[number]
        self._asked.set()
