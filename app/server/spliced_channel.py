"""The client's end of a spliced WebSocket: its bytes pass as they are, and the pings are counted here.

Takes over both directions of a connection right after the accept. It parses nothing: its listener does.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tunnel.override import override

from ..public.client_port import SplicedClient, SplicedListener
from .pings import pings_of
from .sockets import unsent_bytes
from .turns import SLICE_UNITS

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("gateway")


class SplicedChannel(SplicedClient):
    """See the module. A `Channel`, and a `Pinged`."""

    pings_only_silence = True

    __slots__ = (
        "_connection", "_listener", "_loop", "_waits", "asked", "heard", "is_ending", "ping_interval", "ping_timeout",
        "pinged_at", "transport",
    )  # fmt: skip

    def __init__(
        self, connection: "Connection", transport: asyncio.Transport, loop: asyncio.AbstractEventLoop,
        pings: tuple[float | None, float | None],
    ) -> None:  # fmt: skip
        self._connection = connection
        self.transport = transport
        self._loop = loop
        self._listener: SplicedListener | None = None
        self._waits = False  # the listener, for the transport's buffer to drain
        self.ping_interval, self.ping_timeout = pings
        self.heard = self.asked = False
        self.pinged_at = 0.0
        self.is_ending = False
        """It hangs up, or is gone: it gets no more pings."""
        pings_of(loop).add(self)

    def __repr__(self) -> str:
        state = "free" if self._listener is None else "ending" if self.is_ending else "open"
        return f"<SplicedChannel {state}, {self.unsent_bytes} unsent>"

    @override
    def start(self, listener: SplicedListener, /) -> None:
        self._listener = listener

    @override
    def leave(self) -> None:
        self._listener = None

    # --- called by the splice

    @property
    @override
    def unsent_bytes(self) -> int:
        return unsent_bytes(self.transport)

    @override
    def write(self, data: bytes, /) -> bool:
        if self.is_ending or self.transport.is_closing():
            return True
        self.transport.write(data)
        if self._connection.is_full:
            self._waits = True
            return False
        return True

    @override
    def pause_reading(self) -> None:
        self.transport.pause_reading()

    @override
    def resume_reading(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    @override
    def later(self, step: Callable[[], None], /) -> None:
        self._connection.backlog.call_soon(partial(self._take_turn, step))

    @override
    def hang_up(self) -> None:
        self.is_ending = True
        self._connection.close()

    @override
    def abort(self) -> None:
        self.is_ending = True
        self.transport.abort()

    # --- called by the connection

    def data_received(self, data: bytes, /) -> None:
        """Bytes from the client."""
        self.heard = True
        listener = self._listener
        if listener is None:
            return
        try:
            listener.bytes_received(data)
        except Exception:  # a bug: it ends only this WebSocket
            logger.exception("a WebSocket failed")
            self.abort()

    def on_writable(self) -> None:
        """The transport's buffer has drained."""
        if self._waits and self._listener is not None:
            self._waits = False
            try:
                self._listener.client_writable()
            except Exception:  # as above
                logger.exception("a WebSocket failed")
                self.abort()

    def shutdown(self) -> None:
        """The server stops."""
        if self._listener is not None:
            self._listener.server_stops()
        self.hang_up()

    def connection_lost(self) -> None:
        """The connection is gone."""
        self.is_ending = True
        pings_of(self._loop).remove(self)
        listener = self._listener
        if listener is not None:
            listener.client_left(1006, "")

    # --- the pings

    def send_ping(self) -> None:
        """See `Pinged`. A client that cannot be pinged now was not asked, and has nothing to answer."""
        self.asked = self._listener is not None and self._listener.ping_client()

    def keepalive_timeout(self) -> None:
        """See `Pinged`."""
        if self._listener is not None:
            self._listener.client_silent()

    def _take_turn(self, step: Callable[[], None]) -> int:
        try:
            step()
        except Exception:  # as above
            logger.exception("a WebSocket failed")
            self.abort()
        return SLICE_UNITS
