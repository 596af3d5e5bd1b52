"""Two ends of one byte stream, as a yamux session delivers it: in later turns, within a window, cut into frames."""

import asyncio
from typing import Self

from tunnel.account import Account, Holding
from tunnel.errors import StreamRefusedError, TunnelError
from tunnel.streams import StreamOwner

WINDOW_BYTES = 256 * 1024
MARK_BYTES = 64 * 1024
"""Waiting to be sent; above it the writer waits."""
FRAME_BYTES = 32 * 1024


class _Nobody:
    """The owner of a stream that is about to be reset."""

    def data_received(self, data: bytes, /) -> None: ...

    def end_received(self) -> None: ...

    def stream_lost(self, error: TunnelError, /) -> None: ...

    def stream_writable(self) -> None: ...


NOBODY: StreamOwner = _Nobody()


class PipeEnd:
    """A `ByteStream`. What breaks the contract fails. `account` counts what it holds."""

    owner: StreamOwner

    def __init__(self, account: Account | None = None) -> None:
        self.other: PipeEnd
        self.written = bytearray()
        """All of it, also what has not arrived."""
        self.received = bytearray()
        self.acknowledged = 0
        self.was_reset = self.is_lost = self.has_ended = False
        self.told_end = False
        self.frame_bytes = FRAME_BYTES
        self._unsent = bytearray()
        self._credit = WINDOW_BYTES
        self._is_full = False
        self._turn: asyncio.Handle | None = None
        self._doom: TunnelError | None = None
        self._held = Holding(account or Account())

    @classmethod
    def pair(cls, account: Account | None = None) -> tuple[Self, Self]:
        """The near end, and the far one, which counts in `account`."""
        near, far = cls(), cls(account)
        near.other, far.other = far, near
        return near, far

    # --- told by the owner

    @property
    def held_bytes(self) -> int:
        return len(self._unsent) + len(self.received) - self.acknowledged

    def write(self, data: bytes, /) -> bool:
        assert data
        if self.is_over or self.has_ended:
            return True
        self.written += data
        self._unsent += data
        self._is_full = len(self._unsent) > MARK_BYTES
        self._wake()
        return not self._is_full

    def write_end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._wake()

    def reset(self) -> None:
        if not self.is_over:
            self.was_reset = True
            self.owner = NOBODY
            self._unsent.clear()
            self._count()
            asyncio.get_running_loop().call_soon(self.other.lose, StreamRefusedError("reset by the far end"))

    def break_off(self, error: TunnelError, /) -> None:
        """Reset it after what was written; the far end is told this reason."""
        if not self.is_over and self._doom is None:
            self._doom = error
            self.owner = NOBODY
            self._wake()

    def acknowledge(self, size: int, /) -> None:
        assert size > 0
        self.acknowledged += size
        assert self.acknowledged <= len(self.received)
        if not self.is_over:
            self.other._credit += size
            self.other._wake()
        self._count()

    # --- the wire

    @property
    def is_over(self) -> bool:
        return self.was_reset or self.is_lost

    def lose(self, error: TunnelError) -> None:
        """The far end reset the stream, or its link is gone; idempotent."""
        if not self.is_over:
            self.is_lost = True
            self._unsent.clear()
            self._count()
            owner, self.owner = self.owner, NOBODY
            owner.stream_lost(error)

    @property
    def state(self) -> str:
        ends = "ended" if self.has_ended else "open"
        return "lost" if self.is_lost else "reset" if self.was_reset else ends

    def _wake(self) -> None:
        self._count()
        if self._turn is None and not self.is_over:
            self._turn = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._turn = None
        other = self.other
        while self._unsent and self._credit and not self.is_over and not other.is_over:
            size = min(len(self._unsent), self._credit, self.frame_bytes)
            data = bytes(self._unsent[:size])
            del self._unsent[:size]
            self._credit -= size
            other._deliver(data)
        if self.has_ended and not self._unsent and not self.is_over and not other.is_over and not other.told_end:
            other.told_end = True
            other.owner.end_received()
        self._count()
        if self._doom is not None and not self._unsent and not self.is_over:
            self.was_reset = True
            other.lose(self._doom)
        if self._is_full and len(self._unsent) <= MARK_BYTES // 2 and not self.is_over:
            self._is_full = False
            self.owner.stream_writable()

    def _deliver(self, data: bytes) -> None:
        self.received += data
        self.owner.data_received(data)
        self._count()

    def _count(self) -> None:
        self._held.set(0 if self.is_over else self.held_bytes)

    def __repr__(self) -> str:
        return f"<PipeEnd {self.state}, {self.held_bytes} bytes held>"
