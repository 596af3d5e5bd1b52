"""A peer's WebSocket: its handshake, which is a request like any other until its 101, and then its frames.

Both the peer and the exchange speak RFC 6455, so the bytes pass as they are. Towards the exchange they pass a number of
frames at a time, when it is this connection's turn, because each frame becomes a message of the dialect. Extensions
are declined: the dialects carry messages, and never name one in their 101.
"""

from tunnel.account import Account
from tunnel.errors import StoppingError
from tunnel.override import override
from tunnel.port import ResponseHead
from tunnel.websocket import Failed
from tunnel.websocket.scanner import LOOK, FrameScanner

from ..heads import Head
from ..turns import Left, Turns
from .call import BareCall
from .connection import BareConnection

_FRAMES = 32
"""Passed on in one turn: 10 us each, and some milliseconds per MiB for large ones."""
_NO_LIMIT_BYTES = 1 << 62
"""Of a message: the exchange has a limit."""


class BareWebSocket(BareCall):
    """See the module. Once it is open it is the `Frames` of its connection."""

    __slots__ = ("_has_closed", "_is_open", "_scanner", "_turns", "_unread", "_waits")

    def __init__(self, head: Head, connection: BareConnection, account: Account) -> None:
        super().__init__(head, connection, account)
        self._is_open = False
        self._scanner = FrameScanner(masked=True, max_message_bytes=_NO_LIMIT_BYTES)
        self._unread = b""  # frames for a later turn
        self._has_closed = False  # the peer, with a close frame
        self._waits = False  # for the peer to take frames
        self._turns: Turns | None = None

    # --- the sink

    @override
    def head(self, head: ResponseHead, /) -> None:
        connection = self._connection
        transport = connection.transport
        if head.status != 101 or transport is None:
            super().head(head)
            return
        self._is_open = True
        self._turns = Turns(connection.backlog.call_soon, transport, self._work)
        connection.switch(head.headers, self)

    @override
    def data(self, data: bytes, /) -> None:
        if not self._is_open:
            super().data(data)
            return
        connection, exchange = self._connection, self._exchange
        if connection.transport is not None and exchange is not None:
            connection.transport.write(data)
            if connection.is_full:
                self._waits = True
                exchange.pause()

    @override
    def end(self) -> None:
        """After the close frame of either side."""
        if self._is_open:
            self._connection.close()
        else:
            super().end()

    @override
    def writable(self) -> None:
        self.lags_behind = False
        if self._turns is not None:
            self._turns.run()

    # --- told by the connection, once it is open

    def serve(self) -> None:
        """See `Peer`: it has begun long ago."""

    def data_received(self, data: bytes, /) -> None:
        """Frames of the peer, cut anywhere."""
        if not self._unread and not self.lags_behind and self._scanner.glance(data) != LOOK:
            if self._pass_on(data):  # a whole message, or a part of a large one
                return
        else:
            self._unread += data
        if self._turns is not None:
            self._turns.run()

    def on_writable(self) -> None:
        """The peer has taken what was written."""
        if self._waits and self._exchange is not None:
            self._waits = False
            self._exchange.resume()

    def end_received(self) -> None:
        """The peer ended its direction: in order after a close frame."""
        if self._has_closed and self._exchange is not None:
            self._exchange.end()
        else:
            self._connection.abort_for("the peer ended its direction without a close frame")

    def shutdown(self) -> None:
        """The server stops."""
        self._connection.end_with(StoppingError("the node stops"))

    # --- inside

    def _work(self) -> Left:
        if self.lags_behind:
            return Left.BLOCKED
        if not self._unread or self._exchange is None:
            return Left.NOTHING
        found = self._scanner.scan(self._unread, _FRAMES)
        self._unread = b"" if found.end is not None else found.rest
        takes_more = not found.passed or self._pass_on(found.passed)
        if isinstance(found.end, Failed):
            self._connection.abort_for(f"frames of a peer: {found.end.reason}")
            return Left.NOT_OURS
        self._has_closed = self._has_closed or found.end is not None
        self._connection.settle()
        if not takes_more:
            return Left.BLOCKED
        return Left.MORE if self._unread else Left.NOTHING

    def _pass_on(self, data: bytes) -> bool:
        """False: the exchange takes no more."""
        if self._exchange is not None and not self._has_closed:
            self.lags_behind = not self._exchange.send_data(data)
        return not self.lags_behind

    @override
    def _let_go(self, *, reset: bool) -> None:
        if self._turns is not None:
            self._turns.end()
        self._unread = b""
        super()._let_go(reset=reset)

    @property
    @override
    def unread_bytes(self) -> int:
        return len(self._unread) + self._scanner.held_bytes
