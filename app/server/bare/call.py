"""One request of a peer with its answer, as plain calls: the sink of its exchange, and the listener of its connection.

It decides nothing. While the peer has not taken 16 KiB of the answer, the exchange is paused; while the exchange does
not take the body, the stream is not read. An exchange that fails resets the stream, a stream that is lost resets the
exchange.
"""

import logging

from tunnel.account import Account, Holding
from tunnel.errors import RequestRefusedError, TunnelError
from tunnel.http1 import UnsendableHeadError
from tunnel.override import override
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead, Sink

from ...public.client_port import HttpListener
from ...rules.problems import Problem
from ...rules.shape import REQUEST_ID
from ..handshake import TurnedDown
from ..heads import Head
from .connection import BareConnection

logger = logging.getLogger("gateway")

PAUSE_BYTES = 16 * 1024
"""When the peer has not taken this much, the exchange is paused."""

_OF_THE_STREAM = frozenset((b"connection", b"transfer-encoding"))
"""What the peer's HTTP/1.1 adds for this hop. Only a handshake's Connection says something to the service."""


class BareCall(HttpListener, Sink):
    """See the module."""

    limits_client = True  # the peer does

    __slots__ = (
        "_connection", "_exchange", "_given_bytes", "_head", "_held", "_is_answered", "_is_sent", "lags_behind",
        "request_id",
    )  # fmt: skip

    def __init__(self, head: Head, connection: BareConnection, account: Account) -> None:
        self._connection = connection
        self._head: Head | None = head
        self.request_id = _request_id(head)
        """The peer's, for the log."""
        self._exchange: Exchange | None = None
        framing = head.fields.framing
        self._is_sent = not (framing.chunked or framing.length)
        self._is_answered = False  # the exchange told the end
        self.lags_behind = False
        """The exchange takes no more of the body."""
        self._given_bytes = 0  # to the connection, and the stream has not taken them
        self._held = Holding(account)  # of these, what is not with the stream, which counts what it has

    # --- told by the connection

    @override
    def begin(self) -> None:
        connection, head = self._connection, self._head
        self._head = None
        assert head is not None  # noqa: S101  (it begins once)
        try:
            exchange = connection.upstream.open(request_head(head), self, connection.fresh)
        except (TunnelError, UnsendableHeadError) as error:
            if not connection.is_asked:  # else who answers logs it
                self._log(error)
            connection.refuse(error)
            return
        connection.carried = self
        self._exchange = exchange
        connection.fresh = False
        connection.through()
        if not self._is_sent:
            connection.read_body()

    @override
    def body(self, data: bytes, /, *, last: bool) -> bool:
        exchange = self._exchange
        if exchange is None:
            return False
        if data and not exchange.send_data(data) and not last:
            self.lags_behind = True
            self._connection.pause_body()
        if last:
            self._is_sent = True
            exchange.end()
        return True

    @override
    def spoil(self, problem: Problem, why: str, /) -> None:
        self._connection.abort_for(why)

    @override
    def sending(self) -> None:
        self._held.set(0)  # it is with the stream

    @override
    def sent(self, size_bytes: int, /) -> None:
        self._given_bytes -= size_bytes
        self._held.set(self._given_bytes)
        if not self._given_bytes and not self._is_answered and self._exchange is not None:
            self._exchange.resume()

    @override
    def finished(self, size_bytes: int = 0, /) -> None:
        if self.lags_behind:
            self._connection.resume_body()
        self._let_go(reset=not self._is_sent)

    @override
    def broken_off(self) -> None:
        self._let_go(reset=True)

    @override
    def left(self, why: str = "", /) -> None:
        self._let_go(reset=True)

    @override
    def broke(self) -> None:
        self._let_go(reset=True)

    # --- the sink

    @override
    def head(self, head: ResponseHead, /) -> None:
        fields = [(name.lower(), value) for name, value in head.headers]
        if head.status >= 200:
            self._connection.start(head.status, fields)
        else:
            self._connection.interim(head.status, fields)

    @override
    def data(self, data: bytes, /) -> None:
        size_bytes = len(data)
        self._given_bytes += size_bytes
        self._held.add(size_bytes)
        if size_bytes < PAUSE_BYTES:
            self._connection.send(data)
        elif self._connection.pass_on(data):
            self.sent(size_bytes)
        if self._given_bytes >= PAUSE_BYTES and self._exchange is not None:
            self._exchange.pause()

    @override
    def trailers(self, headers: Headers, /) -> None:
        self._connection.trailers([(name.lower(), value) for name, value in headers])

    @override
    def end(self) -> None:
        self._is_answered = True
        self._connection.end()

    @override
    def failed(self, error: TunnelError, /) -> None:
        self._exchange = None
        self._log(error)
        self._connection.fail(error)

    @override
    def writable(self) -> None:
        self.lags_behind = False
        self._connection.resume_body()

    # --- what is held

    @property
    def held_bytes(self) -> int:
        """See `Carried`."""
        return self._held.size_bytes + (self._exchange.held_bytes if self._exchange is not None else 0)

    @property
    def unread_bytes(self) -> int:
        """See `Carried`: a body is passed on whole."""
        return 0

    # --- inside

    def _let_go(self, *, reset: bool) -> None:
        """It is over; idempotent."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None and reset:
            exchange.reset()
        self._held.close()
        if self._connection.carried is self:
            self._connection.carried = None

    def _log(self, error: Exception) -> None:
        logger.info(
            "%s: a request of node %s failed: %s", self._connection.upstream.label, self._connection.peer, error,
            extra={"request_id": self.request_id},
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request_id}, {self.held_bytes} bytes held>"


class BareRefusal(TurnedDown):
    """What was not a request: the peer is told why, if it can still be told."""

    __slots__ = ("_connection", "_why")

    def __init__(self, why: str, connection: BareConnection) -> None:
        super().__init__(lambda _: None)
        self._connection = connection
        self._why = why

    @override
    def begin(self) -> None:
        self._connection.refuse(RequestRefusedError(self._why))


def _request_id(head: Head) -> str:
    return next((value.decode("latin-1") for name, value in head.fields.lines if name == REQUEST_ID), "-")


def request_head(head: Head) -> RequestHead:
    """The head for the upstream: the fields as they came, but for those of the stream."""
    fields, framing = head.fields.lines, head.fields.framing
    if not framing.upgrades:
        fields = [field for field in fields if field[0] not in _OF_THE_STREAM]
    length = None if framing.chunked else framing.length
    return RequestHead(head.method.encode("ascii"), head.target, fields, length, framing.upgrades)
