"""An open WebSocket's hold on its connection: what a channel needs of it (`wire.py`), and what the pings do
(`pings.py`).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tunnel.websocket.frames import Opcode, close_payload, encode_frame

from .pings import pings_of

if TYPE_CHECKING:
    from .connection import Connection

_CLOSE_SECONDS = 10.0
"""Time for a peer to answer our close frame."""
_PING = b"\x89\x00"


def _nobody(*_: object) -> None:
    """There is nobody to tell."""


class OpenSocket:
    """See the module. A `Wire`, and a `Pinged`."""

    pings_only_silence = False

    __slots__ = (
        "__weakref__", "_connection", "asked", "close_sent", "close_timer", "disconnected", "heard", "loop",
        "max_message_bytes", "on_ended", "on_received", "ping_failed", "ping_interval", "ping_timeout", "pinged_at",
        "read_paused", "transport",
    )  # fmt: skip

    def __init__(
        self, connection: "Connection", transport: asyncio.Transport, loop: asyncio.AbstractEventLoop,
        pings: tuple[float | None, float | None], max_message_bytes: int,
    ) -> None:  # fmt: skip
        self._connection = connection
        self.ping_interval, self.ping_timeout = pings
        self.heard = self.asked = False
        self.pinged_at = 0.0
        self.transport = transport
        self.loop = loop
        self.max_message_bytes = max_message_bytes
        self.close_sent = False
        self.close_timer: asyncio.TimerHandle | None = None
        self.disconnected = False
        self.read_paused = False
        self.ping_failed: Callable[[int], None] = _nobody
        """Called with 1006 when nothing came from the peer after a ping."""
        self.on_received: Callable[[str | bytes], None] = _nobody
        self.on_ended: Callable[[int, str], None] = _nobody
        pings_of(loop).add(self)

    # --- the wire

    @property
    def is_writable(self) -> bool:
        """See `Wire`."""
        return not self._connection.is_full

    def received(self, message: str | bytes, /) -> None:
        """See `Wire`."""
        self.on_received(message)

    def ended(self, code: int, reason: str, /) -> None:
        """See `Wire`."""
        self.on_ended(code, reason)

    # --- the pings

    @property
    def is_ending(self) -> bool:
        """See `Pinged`."""
        return self.close_sent or self.disconnected or self.transport.is_closing()

    def send_ping(self) -> None:
        """See `Pinged`. Frames are written whole, so it never comes inside another one."""
        self.transport.write(_PING)

    def keepalive_timeout(self) -> None:
        """See `Pinged`."""
        if not self.is_ending:
            self._write(Opcode.CLOSE, close_payload(1011, "keepalive ping timeout"))
            self.close_sent = True
            self.hang_up()
            self.ping_failed(1006)

    def abort(self) -> None:
        """See `Pinged`."""
        self.transport.abort()

    # --- the end

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, and give the peer time to answer it; idempotent."""
        if not self.is_ending:
            self._write(Opcode.CLOSE, close_payload(code, reason))
            self.await_close()

    def await_close(self) -> None:
        """See `Wire`."""
        self.close_sent = True
        self.close_timer = self.loop.call_later(_CLOSE_SECONDS, self.hang_up)

    def hang_up(self) -> None:
        """See `Wire`."""
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None
        self._connection.close()

    def connection_lost(self) -> None:
        """The connection is gone; idempotent."""
        self.disconnected = True
        self.ping_failed = self.on_received = self.on_ended = _nobody  # who is freed at once, without the collector
        pings_of(self.loop).remove(self)
        if self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = None

    def _write(self, opcode: Opcode, payload: bytes) -> None:
        self.transport.write(encode_frame(opcode, payload, masked=False))
