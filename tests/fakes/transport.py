"""A transport without a socket: its buffer obeys the test, and it tells its protocol what asyncio's transports do."""

import asyncio
from typing import Any

HIGH_WATER = 64 * 1024


class FakeTransport(asyncio.Transport):
    """While `stuck`, what is written stays in `buffer` until the test takes it; `written` has left.

    Above `high_water` bytes the protocol is told to pause, below a quarter of it to resume. A close or an abort is
    followed by `connection_lost` in a later turn of the loop, once and after the buffer is empty, unless the test
    loses the connection first. Nothing may be written after a close. `done` is all of it in order: bytes, and calls
    by their names.
    """

    def __init__(self, protocol: Any = None, socket: Any = None) -> None:
        super().__init__({"peername": ("203.0.113.9", 50_123), "sockname": ("192.0.2.1", 8080)})
        self.protocol = protocol
        self.socket = socket
        self.done: list[bytes | str] = []
        self.written = b""
        self.buffer = b""
        self.high_water = HIGH_WATER
        self.stuck = False
        self.reading = True
        self.ended = False
        self.closed = False
        self.aborted = False
        self.lost = False
        self._full = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket" and self.socket is not None:
            return self.socket
        return super().get_extra_info(name, default)

    # --- told by the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "nothing is written after the close"
        assert not self.ended, "nothing is written after the end"
        self.done.append(bytes(data))
        self.buffer += bytes(data)
        if not self.stuck:
            self.take(len(self.buffer))
        elif len(self.buffer) > self.high_water and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert low is None
        self.high_water = HIGH_WATER if high is None else high

    def write_eof(self) -> None:
        self.done.append("eof")
        self.ended = True

    def close(self) -> None:
        if not self.closed:
            self.done.append("close")
            self.closed = True
            if not self.buffer:
                self._lose_soon()

    def abort(self) -> None:
        self.done.append("abort")
        self.closed = self.aborted = True
        self.buffer = b""
        self._lose_soon()

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def pause_reading(self) -> None:
        self.done.append("pause")
        self.reading = False

    def resume_reading(self) -> None:
        self.done.append("resume")
        self.reading = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    # --- the far end

    def take(self, size: int) -> None:
        """The far end reads so many bytes."""
        self.written += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if self._full and len(self.buffer) <= self.high_water // 4:
            self._full = False
            self.protocol.resume_writing()
        if self.closed and not self.buffer:
            self.lose()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone; idempotent."""
        if not self.lost:
            self.lost = self.closed = True
            self.protocol.connection_lost(error)

    @property
    def writes(self) -> int:
        """How often bytes were written."""
        return sum(isinstance(done, bytes) for done in self.done)

    def _lose_soon(self) -> None:
        if self.protocol is not None:  # else there is nobody to tell
            asyncio.get_running_loop().call_soon(self.lose)
