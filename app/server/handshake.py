"""A client's WebSocket handshake on a connection of our own, and the WebSocket once it is open (RFC 6455 section 4.2).

The client is answered only when its call says so: 101, and then the connection's bytes are the channel's, those that
came early first; or a refusal, after which the connection goes on as any other.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tunnel import websocket
from tunnel.account import Account
from tunnel.override import override
from tunnel.port import Headers

from ..public.client_port import Handshake, HandshakeListener, HttpListener, SplicedClient, WebSocketClient
from ..rules.problems import Problem
from .client_channel import ClientChannel
from .spliced_channel import SplicedChannel
from .upgraded import Upgraded

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("gateway")


class ClientHandshake(Upgraded[ClientChannel], Handshake):
    """See the module. `make` gives the call."""

    __slots__ = ("_call", "_make", "_spliced")

    def __init__(
        self, connection: "Connection", key: bytes, pings: tuple[float | None, float | None], max_message_bytes: int,
        make: "Callable[[ClientHandshake], HandshakeListener]",
    ) -> None:  # fmt: skip
        super().__init__(connection, key, pings, max_message_bytes)
        self._make: Callable[[ClientHandshake], HandshakeListener] | None = make
        self._call: HandshakeListener | None = None
        self._spliced: tuple[SplicedChannel, bytes] | None = None  # with what came early, until it is told

    # --- told by the connection

    def serve(self) -> None:
        """Make the call, and let it begin; once."""
        make, self._make = self._make, None  # it has the request
        assert make is not None  # noqa: S101  (the connection serves once)
        try:
            call = self._call = make(self)
            call.begin()
        except Exception:  # a bug: it ends only this WebSocket
            logger.exception("a WebSocket failed")
            self._broke()

    def left(self) -> None:
        """The connection is gone; idempotent."""
        call, self._call = self._call, None
        is_open = self._channel is not None
        try:
            self._lose()
        except Exception:  # a bug: it ends only this WebSocket
            logger.exception("a WebSocket failed")
            if call is not None:
                call.broke()
        self._channel = None
        if call is not None and not is_open:
            call.left()

    def shutdown(self) -> None:
        """The server stops."""
        channel = self._channel
        if channel is not None and self._socket is not None:
            self._socket.close(1012, "")
            channel.ended(1012)
            self._socket.hang_up()

    # --- told by the call

    @override
    def accept(self, subprotocol: str | None, headers: Headers, /) -> None:
        transport = self._connection.transport
        if transport is not None and not transport.is_closing():
            transport.write(accepting(self._key, subprotocol, headers))
            self._loop.call_soon(self._accepted)

    @override
    def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        self._connection.turn_down(TurnedDown(self._refused), status, headers, body)

    @override
    def open(self, max_message_bytes: int, account: Account, /) -> WebSocketClient:
        transport = self._connection.transport
        assert transport is not None  # noqa: S101  (`_accepted` looked)
        wire = self._make_socket(transport)
        channel = self._channel = ClientChannel(wire, max_message_bytes, account, self._connection.backlog)
        wire.ping_failed = channel.ended
        return channel

    @property
    @override
    def passes_bytes(self) -> bool:
        return True

    @override
    def splice(self) -> SplicedClient:
        transport = self._connection.transport
        assert transport is not None  # noqa: S101  (`_accepted` looked)
        pings, _ = self._settings
        reception, is_full = self._connection.reception, self._connection.is_full
        channel = SplicedChannel(reception, transport, pings, is_full=is_full)
        self._spliced = channel, self._connection.hand_over(channel)
        return channel

    @override
    def end(self) -> None: ...  # the channel ends the connection

    def _refused(self, was_sent: bool) -> None:
        call, self._call = self._call, None
        if call is not None and was_sent:
            call.refused()
        elif call is not None:
            call.left()

    def _accepted(self) -> None:
        if self._call is None or self._connection.transport is None:
            return
        try:
            self._call.accepted()
        except Exception:  # a bug: it ends only this WebSocket
            logger.exception("a WebSocket failed")
            self._broke()
            return
        if self._channel is not None:
            self._connection.open(self, self._channel)
        elif self._spliced is not None:
            channel, early = self._spliced
            self._call = self._spliced = None
            if early:
                channel.data_received(early)

    def _broke(self) -> None:
        if self._call is not None:
            self._call.broke()
        if self._spliced is not None:
            self._spliced[0].abort()
        self._connection.abort()


class TurnedDown(HttpListener):
    """The listener of a connection while it answers a refused handshake. `over`: called once; whether it was sent."""

    __slots__ = ("_over",)

    def __init__(self, over: Callable[[bool], None]) -> None:
        self._over = over

    @override
    def begin(self) -> None: ...

    @override
    def body(self, data: bytes, /, *, last: bool) -> bool:
        return False  # a handshake has none

    @override
    def spoil(self, problem: Problem, why: str, /) -> None: ...

    @override
    def sending(self) -> None: ...

    @override
    def sent(self, size_bytes: int, /) -> None: ...

    @override
    def finished(self, size_bytes: int = 0, /) -> None:
        self._over(True)

    @override
    def broken_off(self) -> None: ...

    @override
    def left(self, why: str = "", /) -> None:
        self._over(False)

    @override
    def broke(self) -> None:
        self._over(False)


def accepting(key: bytes, subprotocol: str | None, headers: Headers) -> bytes:
    """The 101, with what the service says."""
    chosen = b"sec-websocket-protocol: %b\r\n" % subprotocol.encode("latin-1") if subprotocol else b""
    return b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n%b%b%b\r\n" % (
        b"sec-websocket-accept: %b\r\n" % websocket.accept_for(key), chosen,
        b"".join([b"%b: %b\r\n" % field for field in headers]),
    )  # fmt: skip
