"""Standard error as the log of a process of our own writes to it: never blocking, and whole lines at a time.

What is given in one piece leaves in one system call, where the pipe takes so much. What a full pipe does not take is
held, up to `HELD_BYTES`; then lines are dropped and counted, and once the pipe is read again a callback says how
many. Only `finish` waits, and not for long.

Others may share the pipe, so its file description is not made non-blocking: their writes would fail. A pipe or a
terminal is opened once more, which gives a description of our own; a socket is told with each write not to block;
where neither is possible, each write is at most PIPE_BUF bytes and comes after `poll` found room for them. Writes to
a pipe never exceed PIPE_BUF, so that lines of several processes do not mix.
"""

import asyncio
import contextlib
import os
import select
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

HELD_BYTES = 4 * 1024 * 1024
"""What may wait for a reader: a second of JSON lines at 5,000 requests a second."""
RETRY_SECONDS = 0.05
"""After a full pipe, when no further line comes."""
FINISH_SECONDS = 1.0
"""How long the end of the process may wait for a reader."""
_PIPE_BYTES: int = getattr(select, "PIPE_BUF", 512)
"""What a pipe takes whole or not at all. 512 is the least of POSIX."""


class StandardError:
    """One descriptor, and what it did not take yet. Any thread may write."""

    def __init__(self, descriptor: int, on_read_again: Callable[[int], None]) -> None:
        """`on_read_again` is called with the number of lines dropped since the last call."""
        self._send, self._piece_bytes, self._close = _sender(descriptor)
        self._descriptor = descriptor
        self._on_read_again = on_read_again
        self._given: list[bytes] = []
        """What came up while other lines were written."""
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._untold = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retrying = False
        self._lock = threading.RLock()
        self._flushing = False
        self.lines_dropped = 0
        """Since the start."""

    def write(self, lines: bytes) -> None:
        """Write whole lines, which end with a newline, after those that came before."""
        with self._lock:
            if self._flushing or self._held or self._untold or len(lines) > self._piece_bytes:
                self._given.append(lines)
            else:
                send = self._send
                self._flushing = True
                try:
                    sent = send(lines)
                except OSError:
                    sent = 0  # `flush` tries again, and knows what to do
                finally:
                    self._flushing = False
                if sent == len(lines) and not self._given:
                    return
                if sent < len(lines):
                    self._hold_piece(lines[sent:])
        self.flush()

    def flush(self) -> None:
        """Write what the descriptor takes now."""
        with self._lock:
            if self._flushing:  # a line that came up while we write: the outer call takes it too
                return
            self._flushing = True
            try:
                taken = self._flush()
            finally:
                self._flushing = False
            untold = 0
            if taken and not self._held:
                untold, self._untold = self._untold, 0
        if untold:
            self._on_read_again(untold)  # not under our lock: it logs, and holds the lock of a handler then
        if self._held:
            self._retry()

    def finish(self) -> None:
        """Write everything, and wait for the reader if need be: for the end of the process."""
        deadline = time.monotonic() + FINISH_SECONDS
        self.flush()
        while self._held and (left := deadline - time.monotonic()) > 0:
            if not _has_room(self._descriptor, left):
                return
            self.flush()

    def close(self) -> None:
        """Give back what was opened; the descriptor itself stays open. Nothing is written afterwards. Idempotent."""
        self._close()
        self._close = _nothing
        self._send = len

    def _flush(self) -> bool:
        """Send what can be sent; whether the last piece was taken."""
        taken = is_full = False
        while True:
            while self._held and not is_full:
                piece = self._held[0]
                try:
                    sent = self._send(piece)
                except BlockingIOError:
                    break
                except OSError:  # the reader has gone, the disk is full: it will not be better in a moment
                    self._held.popleft()
                    self._held_bytes -= len(piece)
                    self._drop(piece)
                    taken = False
                    continue
                self._held_bytes -= sent
                taken = sent == len(piece)
                is_full = not taken
                if taken:
                    self._held.popleft()
                else:
                    self._held[0] = piece[sent:]
            lines, self._given = self._given, []  # only now: what was held made room
            if not lines:
                return taken
            self._hold(lines)

    def _hold(self, lines: list[bytes]) -> None:
        """Join the lines to pieces that are sent at once, cut where a line ends."""
        data, size, start = b"".join(lines), self._piece_bytes, 0
        while len(data) - start > size:
            end = data.rfind(b"\n", start, start + size) + 1 or data.find(b"\n", start) + 1 or len(data)
            self._hold_piece(data[start:end])
            start = end
        if start < len(data):
            self._hold_piece(data[start:])

    def _hold_piece(self, piece: bytes) -> None:
        if self._held_bytes + len(piece) > HELD_BYTES:
            self._drop(piece)
            return
        if self._held and len(self._held[-1]) + len(piece) <= self._piece_bytes:
            self._held[-1] += piece
        else:
            self._held.append(piece)
        self._held_bytes += len(piece)

    def _drop(self, piece: bytes) -> None:
        lines = piece.count(b"\n")
        self.lines_dropped += lines
        self._untold += lines

    def _retry(self) -> None:
        """Try again a little later, though no further line may come."""
        with contextlib.suppress(RuntimeError):  # no loop yet, or none any more: `finish` comes in the end
            loop = self._loop = self._loop or asyncio.get_running_loop()
            if not self._retrying:
                loop.call_soon_threadsafe(loop.call_later, RETRY_SECONDS, self._flush_held)
                self._retrying = True

    def _flush_held(self) -> None:
        self._retrying = False
        self.flush()


_Sender = tuple[Callable[[bytes], int], int, Callable[[], object]]


def _sender(descriptor: int) -> _Sender:
    """How to write to it without blocking, how much at most in one piece, and how to close what was opened for it.

    The first returns how many bytes were taken, and raises OSError: BlockingIOError where there is no room.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        connection = socket.socket(fileno=os.dup(descriptor))
        return lambda piece: connection.send(piece, socket.MSG_DONTWAIT), _PIPE_BYTES, connection.close
    if not stat.S_ISFIFO(mode) and not os.isatty(descriptor):
        return partial(os.write, descriptor), HELD_BYTES, _nothing
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # no /proc, or it belongs to another user
        return partial(_send_polled, descriptor), _PIPE_BYTES, _nothing
    return partial(os.write, own), _PIPE_BYTES, partial(os.close, own)


def _nothing() -> None:
    """Nothing was opened."""


def _send_polled(descriptor: int, piece: bytes) -> int:
    if not _has_room(descriptor, 0):
        raise BlockingIOError
    return os.write(descriptor, piece[:_PIPE_BYTES])


def _has_room(descriptor: int, seconds: float) -> bool:
    """Whether a write of PIPE_BUF bytes would not block, or would fail; waits for it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(int(seconds * 1000)))
