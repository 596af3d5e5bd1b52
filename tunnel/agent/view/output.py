"""Writes to a stream that may be slow, stuck or closed, in a thread of its own, so that nobody waits for it.

At most `MOST_BYTES` wait for the stream; text beyond them is refused. A stream that fails (its reader left) is given up
silently: the output is then `dead`, accepts everything and writes nothing. The thread ends with the process, even while
a write is stuck.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MOST_BYTES = 256 * 1024
"""Some 3,000 lines: what passes while a terminal is stopped with Ctrl-S for a moment."""
CLOSING_SECONDS = 1.0


class Output:
    """The bytes on their way to one stream."""

    def __init__(self, stream: TextIO | None) -> None:
        self._descriptor = _descriptor_of(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self.dead = self._descriptor is None

    def __repr__(self) -> str:
        return f"<Output {'dead' if self.dead else f'{self._waiting_bytes} bytes wait'}>"

    @property
    def idle(self) -> bool:
        """Whether all is written."""
        return not self._waiting_bytes

    def write(self, text: str) -> bool:
        """Take `text`, whole, and say so; False: there is no room."""
        data = text.encode(self._encoding, "replace")
        with self._changed:
            if self.dead or self._closed:
                return True
            if self._waiting_bytes and self._waiting_bytes + len(data) > MOST_BYTES:
                return False
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="view", daemon=True)
                self._thread.start()
        return True

    def flush(self, seconds: float) -> None:
        """Wait until all is written, but no longer."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, seconds)

    def close(self) -> None:
        """Take nothing more, and wait a moment for what was taken. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.flush(CLOSING_SECONDS)

    def _run(self) -> None:
        while data := self._next():
            try:
                self._write(data)
            except (OSError, ValueError):
                with self._changed:
                    self.dead = True
                    self._waiting.clear()
                    self._waiting_bytes = 0
                    self._changed.notify_all()
                return
            with self._changed:
                self._waiting_bytes -= len(data)
                self._changed.notify_all()

    def _next(self) -> bytes:
        """What is to be written now; empty once it is closed and written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else b""

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None  # noqa: S101 (a dead output takes nothing)
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares the terminal made it non-blocking
                select.select((), (self._descriptor,), ())


class LineOutput:
    """Whole lines to an output. Where there was no room for some, the next one, or the last, says how many."""

    def __init__(self, output: Output, lost: Callable[[int], str]) -> None:
        """`lost` makes that line."""
        self._output = output
        self._lost_line = lost
        self._lost = 0

    def __repr__(self) -> str:
        return f"<LineOutput {self._lost} lost, {self._output!r}>"

    def write(self, line: str) -> None:
        """Take the line, with its end, or lose it."""
        self._tell()
        if self._lost or not self._output.write(line):
            self._lost += 1

    def close(self) -> None:
        """See `Output`."""
        self._tell()
        self._output.close()

    def _tell(self) -> None:
        if self._lost and self._output.write(self._lost_line(self._lost)):
            self._lost = 0


def _descriptor_of(stream: TextIO | None) -> int | None:
    """None where there is nothing to write to: a process may be started without standard output."""
    try:
        if stream is None:
            return None
        stream.flush()  # what was printed before comes first
        return stream.fileno()
    except (OSError, ValueError):
        return None
