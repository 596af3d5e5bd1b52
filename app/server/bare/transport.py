"""A byte stream as the transport of a connection.

It gives the stream credit only for what the connection has let go of: a body that the exchange does not take, or frames
that wait, hold the sender back once its window is used up. What the connection keeps is counted by the stream, as bytes
that were not acknowledged.

Invariants: each byte that came is acknowledged once; nothing reaches the connection while it reads nothing, nor after
`close` and `abort`; `connection_lost` is told once. After `close` it waits for the far end to end its direction, so
that the stream is forgotten on both sides; how long, its connection says.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from tunnel.errors import TunnelError
from tunnel.nobody import NO_OWNER
from tunnel.override import override
from tunnel.streams import ByteStream, StreamOwner


class Reader(Protocol):
    """The connection, as its transport sees it: an `asyncio.Protocol` that says what it keeps."""

    @property
    def unread_bytes(self) -> int:
        """Of the bytes that it was given, those that nobody has taken yet."""

    def data_received(self, data: bytes, /) -> None:
        """Bytes of the far end."""

    def eof_received(self) -> bool:
        """The far end sends no more. True: go on writing."""

    def pause_writing(self) -> None:
        """The stream is above its mark."""

    def resume_writing(self) -> None:
        """It has drained."""

    def connection_lost(self, exc: Exception | None, /) -> None:
        """Nothing more is told."""


BreakOff = Callable[[TunnelError], None]
"""Resets the stream after what was written, and tells the far end this reason as well as it can."""


class StreamTransport(asyncio.Transport, StreamOwner):
    """See the module. It owns the stream from `begin` on."""

    __slots__ = (
        "_break_off", "_has_ended", "_has_lost", "_is_closing", "_is_full", "_loop", "_reader", "_reads", "_stream",
        "_turn", "_unacknowledged_bytes", "_waiting",
    )  # fmt: skip

    def __init__(
        self, stream: ByteStream, reader: Reader, loop: asyncio.AbstractEventLoop, break_off: BreakOff
    ) -> None:
        super().__init__()
        self._break_off = break_off
        self._stream = stream
        self._reader = reader
        self._loop = loop
        self._reads = True
        self._waiting = bytearray()  # came while the connection reads nothing; in one piece, however small they came
        self._unacknowledged_bytes = 0  # given to the connection, or in `_waiting`
        self._turn: asyncio.Handle | None = None  # in which what waits is delivered
        self._is_full = False
        self._has_ended = False  # the far end's direction
        self._is_closing = False
        self._has_lost = False  # the connection is told so, or will be

    def begin(self, early: bytes) -> None:
        """Take over the stream. `early`: what came already, and is not acknowledged."""
        self._stream.owner = self
        if early:
            self.data_received(early)

    @property
    def held_bytes(self) -> int:
        """What the stream holds: bytes that were not acknowledged, and bytes that wait to be sent."""
        return self._stream.held_bytes

    def settle(self) -> None:
        """Acknowledge what the connection has let go of; idempotent."""
        kept_bytes = self._reader.unread_bytes + len(self._waiting)
        taken_bytes = self._unacknowledged_bytes - kept_bytes
        if taken_bytes > 0:
            self._unacknowledged_bytes = kept_bytes
            self._stream.acknowledge(taken_bytes)

    # --- told by the stream

    @override
    def data_received(self, data: bytes, /) -> None:
        if self._is_closing:
            self._stream.acknowledge(len(data))
            return
        self._unacknowledged_bytes += len(data)
        if not self._reads or self._waiting:
            self._waiting += data
            return
        self._reader.data_received(data)
        self.settle()

    @override
    def end_received(self) -> None:
        self._has_ended = True
        if self._is_closing:
            self._lose_soon()
        elif self._reads and not self._waiting:
            self._tell_end()

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self._is_closing = True
        self._waiting.clear()
        self._lose(error)

    @override
    def stream_writable(self) -> None:
        if self._is_full and not self._has_lost:
            self._is_full = False
            self._reader.resume_writing()

    # --- told by the connection

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default  # there is no socket

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or not data:
            return
        if not self._stream.write(bytes(data)) and not self._is_full:
            self._is_full = True
            self._reader.pause_writing()

    @override
    def get_write_buffer_size(self) -> int:
        return max(0, self._stream.held_bytes - self._unacknowledged_bytes)

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        self._stream.write_end()

    @override
    def is_closing(self) -> bool:
        return self._is_closing

    @override
    def close(self) -> None:
        """End our direction after what was written, and read no more; idempotent."""
        if not self._is_closing:
            self._is_closing = True
            self._drop()
            self._stream.write_end()
            if self._has_ended:
                self._lose_soon()

    @override
    def abort(self) -> None:
        """Reset the stream now, whatever waits to be sent; idempotent."""
        self._is_closing = True
        if not self._has_lost:
            self._drop()
            self._stream.reset()
            self._lose_soon()

    def break_off(self, error: TunnelError) -> None:
        """Reset the stream after what was written; idempotent."""
        self._is_closing = True
        if not self._has_lost:
            self._drop()
            self._break_off(error)
            self._lose_soon()

    @override
    def pause_reading(self) -> None:
        self._reads = False

    @override
    def is_reading(self) -> bool:
        return self._reads

    @override
    def resume_reading(self) -> None:
        """Deliver what waits, in a turn of its own: the connection is in the middle of something."""
        self._reads = True
        if (self._waiting or self._has_ended) and self._turn is None and not self._is_closing:
            self._turn = self._loop.call_soon(self._deliver)

    # --- inside

    def _deliver(self) -> None:
        self._turn = None
        if self._waiting and self._reads and not self._is_closing:
            data, self._waiting = bytes(self._waiting), bytearray()
            self._reader.data_received(data)
            self.settle()
        if self._has_ended and self._reads and not self._waiting and not self._is_closing:
            self._tell_end()

    def _tell_end(self) -> None:
        if not self._reader.eof_received():
            self.close()

    def _drop(self) -> None:
        """Nobody reads what came."""
        self._waiting.clear()
        size_bytes, self._unacknowledged_bytes = self._unacknowledged_bytes, 0
        if size_bytes:
            self._stream.acknowledge(size_bytes)

    def _lose_soon(self) -> None:
        if not self._has_lost:
            self._has_lost = True
            self._stream.owner = NO_OWNER
            self._loop.call_soon(self._reader.connection_lost, None)

    def _lose(self, error: Exception) -> None:
        if not self._has_lost:
            self._has_lost = True
            self._reader.connection_lost(error)

    def __repr__(self) -> str:
        state = "lost" if self._has_lost else "closing" if self._is_closing else "open"
        return f"<StreamTransport {state}, {self._unacknowledged_bytes} bytes not acknowledged>"
