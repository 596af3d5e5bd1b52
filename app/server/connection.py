"""One client's connection: what its transport, the server above it and its upgrades ask of it.

The states, and what happens in each, are in `connection_states.py`; requests are read in `reading.py` and answered in
`answering.py`, and how it goes on and ends is in `endings.py`. It knows no routes, no policy and no ASGI: a `Reception`
says who takes a request. Of its transport it uses `write`, `write_eof`, `get_write_buffer_size`, `pause_reading`,
`resume_reading`, `close`, `abort` and the addresses, so it stands on anything that has these.

Invariants: its call is told `finished`, `broken_off` or `left` once, whatever ends the connection; every state has a
deadline, or its call has.
"""

import asyncio
import logging

from tunnel.override import override
from tunnel.port import Headers

from ..node.stalls import NO_LAGS, Lag, Lags
from ..observed.metrics import Limit
from ..public.client_port import HttpListener
from . import connection_states as states
from .backlog import Backlog
from .connection_states import (
    ANSWERING,
    CLOSED,
    CLOSING,
    DROPPING,
    HEAD,
    LINGERING,
    OPEN,
    ROWS,
    UPGRADING,
    WAITING,
    Drain,
    Fin,
)  # fmt: skip
from .endings import Ending
from .heads import Head
from .port import Channel, Peer, Reception
from .tls import limit_buffers

logger = logging.getLogger("gateway")


class Connection(Ending, asyncio.Protocol):
    """See the module."""

    __slots__ = ("__weakref__", "_channel", "_peer")

    def __init__(self, reception: Reception, loop: asyncio.AbstractEventLoop, peer: str = "", local: str = "") -> None:
        """`peer` and `local`: the client's address and the one it connected to, where the transport has others."""
        super().__init__(reception, loop, peer, local)
        self._peer: Peer | None = None  # of a WebSocket
        self._channel: Channel | None = None  # of an open one

    def __repr__(self) -> str:
        return f"<Connection {self.state.value}, {self.requests} requests, {len(self._rest)} bytes wait>"

    # --- told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected: its first head has a deadline."""
        self._transport = transport  # type: ignore[assignment]
        if not self.peer:
            peer = transport.get_extra_info("peername")
            local = transport.get_extra_info("sockname")
            self.peer = peer[0] if isinstance(peer, tuple | list) else "unknown"
            self.local = local[0] if isinstance(local, tuple | list) else ""
        self.scheme = "http"
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = "https"
            limit_buffers(transport)
        self._since = self._time()
        self._reception.joined(self)
        self._reception.deadlines.put(self, self._since + min(states.HEAD_SECONDS, self._reception.keep_alive_seconds))

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        state = self.state
        if state is WAITING and not self._rest:
            self._read_head(data, 0, False)
        elif state is OPEN and self._channel is not None:
            self._channel.data_received(data)
        elif state is HEAD:
            self._read_on(data)
        elif state is LINGERING:
            self._dropped_bytes += len(data)
            if self._dropped_bytes > states.LINGERED_BYTES:
                self._end_flood()
            elif len(data) >= states.FULL_READ_BYTES:
                self._rest_a_turn()
        elif state is not CLOSING and state is not CLOSED:
            self._rest = self._rest[self._rest_at :] + data if self._rest else data
            self._rest_at = 0
            if self._body is not None:
                self._expects = False  # it does not wait
                if self._next_turn is None:
                    self._read_body_in_turn()
            self._keep()

    def eof_received(self) -> bool:
        """The client sends no more. True keeps the connection, for the answer."""
        fin = ROWS[self.state].fin
        waits = fin is Fin.REST and bool(self._rest)
        is_prompt = fin is Fin.HALF and self._time() - self._since <= states.HALF_CLOSE_SECONDS
        if (waits or is_prompt) and self.scheme == "http":  # TLS has no half-closed connections here
            self._ended_input = self._may_have_left = True
            if waits:
                self._wake_reader()
            else:
                self._end_input()
            return True
        if fin is not Fin.CLOSE:
            self._leave()
        self._close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the transport's)
        """The connection is gone."""
        self.state = CLOSED
        self._reception.deadlines.remove(self)
        for turn in (self._turn, self._next_turn):
            if turn is not None:
                turn.cancel()
        self._turn = self._next_turn = None
        self._buffer = self._body = None
        self._rest = b""
        self._keep()
        self._transport = None
        self._reception.parted(self)
        peer, self._peer = self._peer, None
        self._channel = None
        if peer is not None:
            peer.left()
        self._leave()

    @override
    def resume_writing(self) -> None:
        self._untaken = None
        super().resume_writing()
        if self._peer is not None:
            self._peer.on_writable()

    # --- told by the server

    def finish(self) -> None:
        """The gateway drains: close the connection, now or after its answer. A WebSocket is told by its call."""
        self._is_draining = True
        drain = ROWS[self.state].drain
        if drain is Drain.CLOSE and not self._rest:
            self._close()
        elif drain is Drain.FINISH:
            self._is_usual = self._keep_alive = False

    def shutdown(self) -> None:
        """The server stops: as in a drain, and WebSockets that are still open are closed."""
        self.finish()
        if self.state is OPEN and self._peer is not None:
            self._peer.shutdown()
        elif self.state is DROPPING or self.state is LINGERING:
            self._close()

    # --- told by who bounds the connections

    def received_by(self, reception: Reception) -> None:
        """From now on this one takes its requests."""
        self._reception = reception

    def be_brief(self) -> None:
        """End with the first answer, and do not wait for the client after it: others need the place."""
        self._is_draining = self._is_brief = True

    @property
    def idle_since(self) -> float | None:
        """Since when it waits for another request, with nothing left to do. None: it does not."""
        transport = self._transport
        if self.state is not WAITING or not self.requests or self._rest or transport is None:
            return None
        return None if transport.get_write_buffer_size() else self._since

    def give_way(self) -> None:
        """End, for another connection; to be called only if it is idle."""
        self._failed()
        if self._transport is not None:
            self._transport.abort()

    # --- above the marks of the account

    @property
    def client(self) -> str:
        """See `Waiting`."""
        return self.peer

    @property
    def held_bytes(self) -> int:
        """Bytes that came and are not read yet, as the account sees them."""
        return self._held.size_bytes if self._held is not None else 0

    def lags(self) -> Lags:
        """See `Waiting`. A head that does not go on, and what a client sent ahead, wait for the client.

        A body waits for the service, and its call says so.
        """
        waits = self.state is HEAD or self.state is WAITING or self.state is ANSWERING
        return (Lag(None, self.held_bytes), None) if waits else NO_LAGS

    def relieve(self, limit: Limit) -> None:
        """End: the process holds too much, and some of it waits unread here."""
        self._reception.relieved(self, limit)
        self.abort_for("too many of its bytes waited unread")

    # --- upgrades

    @override
    def _upgrade(self, head: Head) -> None:
        if self._ended_input:
            self._close()
            return
        self._enter(UPGRADING)
        self._keep()
        try:
            peer = self._peer = self._reception.upgrade(head, self)
            peer.serve()
        except Exception:  # a bug: it ends only this connection
            logger.exception("a WebSocket failed")
            self.abort()

    def open(self, peer: Peer, channel: Channel) -> None:
        """The WebSocket is open: what came after its handshake, and all that follows, goes to its channel."""
        if self._peer is peer and self.state is UPGRADING:
            self.state = OPEN
            self._channel = channel
            early, self._rest = self._rest[self._rest_at :], b""
            self._rest_at = 0
            self._keep()
            self._reception.deadlines.remove(self)
            if early:
                channel.data_received(early)

    def hand_over(self, heir: asyncio.Protocol) -> bytes:
        """The WebSocket is open, and its transport is this one's from now on. Returns what came after its handshake.

        Nothing of this connection is left.
        """
        transport, self._transport = self._transport, None
        assert transport is not None  # noqa: S101  (who calls it has written to it)
        self.state = OPEN
        self._peer = None
        early, self._rest = self._rest[self._rest_at :], b""
        self._rest_at = 0
        transport.set_protocol(heir)
        if self._is_unread:
            transport.resume_reading()
        self._keep()
        self._reception.deadlines.remove(self)
        self._reception.handed_over(self, heir)
        return early

    def turn_down(self, call: HttpListener, status: int, fields: Headers, body: bytes) -> None:
        """Answer a handshake with this, and go on; `call` is told."""
        if self.state is UPGRADING:
            self._peer = None
            self._call = call
            self.state = ANSWERING
            if status == 400:  # as after any request that was not understood
                self._keep_alive = False
                self._lingers = True
            self.answer(status, fields, body)

    def close(self) -> None:
        """Close the connection after what was written; idempotent."""
        self._close()

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once the connection is gone."""
        return self._transport

    @property
    def reception(self) -> Reception:
        """Who takes its requests."""
        return self._reception

    @property
    def backlog(self) -> Backlog:
        """Where its work waits for its turn."""
        return self._reception.backlog
