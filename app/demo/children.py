"""The processes of one demonstration: a single process group, which ends as a whole.

`Children.end` ends all of them within END_SECONDS, whatever they do: SIGTERM to each that we started, then SIGKILL to
the group, which reaches what they started in turn. If the demonstration itself is killed, the group's first process,
`guard.py`, does the same. The group is not the terminal's: Ctrl-C reaches only the demonstration. Nothing waits for the
pipes of a process that has ended, because its own children may still hold them.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tunnel.override import override

from .console import cleaned

TERM_SECONDS = 1.4
"""From SIGTERM to SIGKILL. The gateway and the agent need about half a second, and longer on a busy machine."""
LAST_SECONDS = 0.2
"""The part of it that is for processes that end after all others."""
KILL_SECONDS = 0.5
"""From SIGKILL to the end of a process; only one that waits for a broken disk takes longer."""
END_SECONDS = TERM_SECONDS + KILL_SECONDS
_LAST_WORDS_SECONDS = 0.3
"""For the output of a process that has ended to arrive."""
_LINES_KEPT = 20
_LINE_BYTES = 8192
"""Of a line without an end; then it is taken as one."""
_UNREAD_BYTES = 64 * 1024
"""What may wait for a process to read its standard input."""

_GUARD = Path(__file__).with_name("guard.py")


@dataclass(slots=True, frozen=True)
class Needs:
    """What a process gets beside its command."""

    cwd: Path | None = None
    descriptors: Sequence[int] = ()
    """Those it inherits."""
    reads: bool = False
    """It is told lines."""
    end_signal: signal.Signals = signal.SIGTERM
    """What ends it in order."""
    is_last: bool = False
    """Others need it until they have ended."""


NOTHING = Needs()


class Child(asyncio.SubprocessProtocol):
    """One running process, and the last lines of its output."""

    def __init__(self, name: str, on_line: Callable[[str], None], needs: Needs) -> None:
        self.name = name
        self.needs = needs
        self.lines: deque[str] = deque(maxlen=_LINES_KEPT)
        """What it printed last."""
        self.status: int | None = None
        """As `Popen.returncode`."""
        self.is_over = False
        """It has ended, and nobody has its output open any more."""
        self._on_line = on_line
        self._rest = b""
        self._transport: asyncio.SubprocessTransport | None = None
        self._ended = asyncio.Event()
        self._read_all = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{self.name} pid {self.pid} {'running' if self.status is None else ended(self.status)}>"

    @property
    def transport(self) -> asyncio.SubprocessTransport:
        """Not to be asked before it was started."""
        assert self._transport is not None  # noqa: S101  (asyncio calls `connection_made` before it returns it)
        return self._transport

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.transport.get_pid()

    async def wait(self) -> int:
        """Its status, once it has ended and its last lines are here."""
        await self._ended.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self._read_all.wait()
        assert self.status is not None  # noqa: S101  (it is set before the event)
        return self.status

    async def gone(self) -> None:
        """Wait for its end alone."""
        await self._ended.wait()

    def tell(self, line: bytes) -> None:
        """Write a line to its standard input. Dropped if it has ended, or reads nothing."""
        pipe = cast("asyncio.WriteTransport | None", self.transport.get_pipe_transport(0))
        if self.status is None and pipe is not None and pipe.get_write_buffer_size() < _UNREAD_BYTES:
            pipe.write(line)

    def signal(self, number: signal.Signals) -> None:
        """Signal the process; nothing happens if it has ended."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                self.transport.send_signal(number)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    @override
    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) >= _LINE_BYTES:
            whole.append(self._rest[:_LINE_BYTES])
            self._rest = self._rest[_LINE_BYTES:]
        for line in whole:
            self._line(line)

    @override
    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            return
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self._read_all.set()

    @override
    def process_exited(self) -> None:
        self.status = self.transport.get_returncode()
        self._ended.set()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self.transport.close()

    def _line(self, raw: bytes) -> None:
        line = cleaned(raw)
        self.lines.append(line)
        self._on_line(line)


class Children:
    """All of them. `open` it first, and `end` it whatever happens."""

    def __init__(self) -> None:
        self._all: list[Child] = []
        self._guard: Child | None = None
        self._hurry = asyncio.Event()
        self._is_ending = False

    async def open(self, folder: Path) -> Child:
        """Start the guard and return it. It removes the folder if we are killed. Raises OSError."""
        command = [sys.executable, "-I", "-S", str(_GUARD), str(folder)]
        self._guard = await _started(Child("guard", _ignore, Needs(reads=True)), command, group=0)
        return self._guard

    async def start(
        self, name: str, command: Sequence[str], on_line: Callable[[str], None], needs: Needs = NOTHING
    ) -> Child:
        """Start a process. Raises OSError."""
        assert self._guard is not None  # noqa: S101  (the contract of the class)
        if self._is_ending:
            raise OSError(f"{name} is not started: all processes are being ended")
        child = await _started(Child(name, on_line, needs), command, group=self._guard.pid)
        self._all = [each for each in self._all if not each.is_over]
        self._all.append(child)
        return child

    @property
    def is_any_left(self) -> bool:
        """Whether one still runs."""
        return any(child.status is None for child in self._all)

    def hurry(self) -> None:
        """End without a grace what is still running: after a second Ctrl-C."""
        self._hurry.set()

    async def end(self) -> list[str]:
        """End all processes, within END_SECONDS. Returns sentences about those that did not end by themselves."""
        self._is_ending = True
        if self._guard is not None and self._guard.status is not None:
            self._kill()  # while one of them still has the number of the group
        last = [child for child in self._all if child.needs.is_last]
        others = [child for child in self._all if not child.needs.is_last]
        await self._end_in_order(others, TERM_SECONDS - LAST_SECONDS if last else TERM_SECONDS)
        await self._end_in_order(last, LAST_SECONDS)
        killed = [child for child in self._all if child.status is None]
        self._kill()
        group = [*self._all, *([self._guard] if self._guard is not None else [])]
        await _until_ended(group, KILL_SECONDS, asyncio.Event())
        said = [f"{child.name} did not end by itself and was killed" for child in killed if child.status is not None]
        said += [f"{child.name} cannot be killed (process {child.pid})" for child in killed if child.status is None]
        for child in group:
            child.transport.close()
        return said

    async def _end_in_order(self, children: Sequence[Child], seconds: float) -> None:
        for child in children:
            child.signal(child.needs.end_signal)
        await _until_ended(children, seconds, self._hurry)

    def _kill(self) -> None:
        """The whole group. While one process of it was not waited for, its number is no other group's."""
        guard = self._guard
        if guard is not None and any(child.status is None for child in (*self._all, guard)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(guard.pid, signal.SIGKILL)


async def _started(child: Child, command: Sequence[str], *, group: int) -> Child:
    """In this process group; 0: in one of its own."""
    needs = child.needs
    await asyncio.get_running_loop().subprocess_exec(
        lambda: child,
        *command,
        stdin=asyncio.subprocess.PIPE if needs.reads else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=needs.cwd,
        pass_fds=needs.descriptors,
        process_group=group,
    )
    return child


async def _until_ended(children: Sequence[Child], seconds: float, hurry: asyncio.Event) -> None:
    """Until all have ended, or the time is over, or somebody is in a hurry."""
    over = asyncio.gather(*(child.gone() for child in children))
    soon = asyncio.ensure_future(hurry.wait())
    await asyncio.wait((over, soon), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    soon.cancel()
    await asyncio.gather(over, soon, return_exceptions=True)


def ended(status: int) -> str:
    """The end of a process in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _ignore(_: str) -> None:
    """The guard says nothing."""
