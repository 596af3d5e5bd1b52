"""The client's end of a spliced WebSocket: its bytes pass as they are, and the pings are counted here.

Takes the place of the connection right after the accept: from then on it is the transport's protocol, and one of the
reception's connections. So what only requests need is gone while the WebSocket is open. It parses nothing: its listener
does. Whatever ends it, its listener is told `client_left`, unless it has left before.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from math import inf

from tunnel.override import override

from ..node.stalls import NO_LAGS, Lags
from ..observed.metrics import Limit
from ..public.client_port import SplicedClient, SplicedListener
from .connection_states import CLOSED, CLOSING, OPEN, ROWS, State
from .pings import pings_of
from .port import Reception
from .sockets import cut_off, unsent_bytes
from .turns import SLICE_UNITS

logger = logging.getLogger("gateway")


_CLOSE_SECONDS = ROWS[CLOSING].seconds or inf


class SplicedChannel(SplicedClient, asyncio.Protocol):
    """See the module. A `Pinged`, and as a connection `Waiting` and `Timed`.

    `is_full`: the transport's buffer is above its mark.
    """

    pings_only_silence = True
    requests = 0
    """The handshake was counted as one of the connection's."""
    client = ""
    held_bytes = 0
    """Nothing waits unread here: the exchange has it, and is asked itself."""

    __slots__ = (
        "_listener", "_pings", "_reception", "_waits", "asked", "heard", "is_ending", "is_full", "pinged_at", "state",
        "transport",
    )  # fmt: skip

    def __init__(
        self, reception: Reception, transport: asyncio.Transport, pings: tuple[float | None, float | None], *,
        is_full: bool,
    ) -> None:  # fmt: skip
        self._reception = reception
        self.transport = transport
        self.is_full = is_full
        self.state: State = OPEN
        """OPEN, CLOSING or CLOSED."""
        self._listener: SplicedListener | None = None
        self._waits = False  # the listener, for the transport's buffer to drain
        self._pings = pings
        self.heard = self.asked = False
        self.pinged_at = 0.0
        self.is_ending = False
        """It hangs up, or is gone: it gets no more pings."""
        pings_of(asyncio.get_running_loop()).add(self)

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
        if self.is_full:
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
        self._reception.backlog.call_soon(partial(self._take_turn, step))

    @override
    def hang_up(self) -> None:
        self.is_ending = True
        if self.state is OPEN:
            self.state = CLOSING
            self._reception.deadlines.put(self, asyncio.get_running_loop().time() + _CLOSE_SECONDS)
            self.transport.close()

    @override
    def abort(self) -> None:
        self.is_ending = True
        self.transport.abort()

    # --- told by the transport

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self.heard = True
        listener = self._listener
        if listener is None or self.is_ending:
            return
        try:
            listener.bytes_received(data)
        except Exception:  # a bug: it ends only this WebSocket
            logger.exception("a WebSocket failed")
            self.abort()

    def eof_received(self) -> bool:
        """The client sends no more: it has left."""
        self.hang_up()
        return False

    def pause_writing(self) -> None:
        """The transport's buffer is above its mark."""
        self.is_full = True

    def resume_writing(self) -> None:
        """The transport's buffer has drained."""
        self.is_full = False
        if self._waits and self._listener is not None:
            self._waits = False
            try:
                self._listener.client_writable()
            except Exception:  # as above
                logger.exception("a WebSocket failed")
                self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the transport's)
        """The connection is gone."""
        self.state, self.is_ending = CLOSED, True
        pings_of(asyncio.get_running_loop()).remove(self)
        self._reception.deadlines.remove(self)
        self._reception.parted(self)
        listener = self._listener
        if listener is not None:
            try:
                listener.client_left(1006, "")
            except Exception:  # as above
                logger.exception("a WebSocket failed")
                listener.client_broke()

    # --- told by the server, as a connection is

    def shutdown(self) -> None:
        """The server stops."""
        if self._listener is not None:
            self._listener.server_stops()
        self.hang_up()

    def due(self, now: float, /) -> float:
        """See `Timed`. A client that does not take what was written before the end is cut off."""
        if self.state is not CLOSING:
            return inf
        cut_off(self.transport)
        return now + _CLOSE_SECONDS

    def lags(self) -> Lags:
        """See `Waiting`."""
        return NO_LAGS

    def relieve(self, limit: Limit) -> None:
        """See `Waiting`."""
        self._reception.relieved(self, limit)
        self.abort()

    # --- the pings

    @property
    def ping_interval(self) -> float | None:
        """See `Pinged`."""
        return self._pings[0]

    @property
    def ping_timeout(self) -> float | None:
        """See `Pinged`."""
        return self._pings[1]

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
