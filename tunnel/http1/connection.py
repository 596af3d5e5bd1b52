"""One HTTP/1.1 connection over a byte stream: one exchange after the other, never two at once.

It owns the stream between exchanges and only waits then; a byte that arrives closes the connection. During an exchange
the `StreamExchange` owns the stream. It gets the time only from `clock`. It does not decide whether it is reused: it
tells its owner.

Invariants: its owner is told `connection_closed` once, whatever ends the connection, and `connection_idle` never after
it. Once it is spliced, the new owner of its stream tells `spliced_ended` in place of both. A connection that ends in
order (request sent, answer complete, and the peer ended its direction) ends its own direction; any other is reset.
"""

from collections.abc import Callable
from typing import Protocol

from tunnel.errors import LinkLostError, StreamRefusedError, TunnelError
from tunnel.http1.exchange import StreamExchange
from tunnel.http1.request import encode_head
from tunnel.http1.whole import WholeReader
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, Sink, SplicedOwner
from tunnel.streams import ByteStream, StreamOwner


class ConnectionOwner(SplicedOwner, Protocol):
    """Who made a connection, and decides about its reuse. Any method of it except `open` may call these."""

    def connection_idle(self, connection: "HttpConnection", /) -> None:
        """The exchange is over, and the connection may carry another."""

    def connection_closed(self, connection: "HttpConnection", /) -> None:
        """It carries no more; the stream is ended or reset."""


class HttpConnection(StreamOwner):
    """One HTTP/1.1 connection.

    `clock` returns seconds and never goes back. `reader` is shared by the connections to one target.
    """

    __slots__ = (
        "_clock",
        "_owner",
        "_stream",
        "active",
        "careful",
        "closed_early",
        "idle_since",
        "input_ended",
        "is_closed",
        "keep_alive_seconds",
        "pooled",
        "reader",
        "spare",
        "suspect",
        "uses",
    )

    def __init__(
        self,
        stream: ByteStream,
        *,
        clock: Callable[[], float],
        owner: ConnectionOwner,
        reader: WholeReader | None = None,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._owner = owner
        self.reader = reader or WholeReader()
        self.active = False
        """It carries an exchange; still true within `on_closed`, if that broke off the exchange."""
        self.pooled = False
        """A pool has it."""
        self.suspect = False
        """The last answer announced a body that it must not have: one may come, and would be taken for the next."""
        self.careful = False
        """It was opened for a request that must not be sent twice."""
        self.closed_early = False
        """The service ended it before a byte of its next answer."""
        self.input_ended = False
        """The peer ended its direction."""
        self.is_closed = False
        """It carries no more exchanges."""
        self.spare: StreamExchange | None = None
        """An exchange whose answer was told by `whole`, so that nobody refers to it: it may begin again."""
        self.idle_since = clock()
        self.keep_alive_seconds: float | None = None
        """How long the service keeps an idle connection, if it says so (`Keep-Alive: timeout=N`)."""
        self.uses = 0
        """The number of exchanges started."""
        stream.owner = self

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "active" if self.active else "idle"
        return f"<HttpConnection {state}, {self.uses} uses>"

    def open(self, head: RequestHead, sink: Sink) -> Exchange:
        """Write `head` and start the exchange.

        Raises StreamRefusedError if the connection is closed by now, and UnsendableHeadError (a ValueError) for a head
        that must not be sent. Nothing is written then, and the connection stays idle.
        """
        if self.is_closed:
            raise StreamRefusedError("the connection was closed while idle")
        if self.active:
            raise RuntimeError("an exchange is under way on this connection")
        encoded = head.encoded
        if encoded is None:
            encoded = encode_head(head)
        self.uses += 1
        self.active = True
        stream = self._stream
        exchange = self.spare
        if exchange is None or head.body_length != 0 or head.upgrade or head.method == b"HEAD":
            exchange = StreamExchange(self, stream, head, sink)
        else:
            self.spare = None
            exchange.begin_again(sink)
        stream.owner = exchange
        stream.write(encoded)
        return exchange

    def close(self) -> None:
        """Close an idle connection; idempotent. Does nothing to one that carries an exchange."""
        if not self.active:
            self.abort()

    # --- told by the stream, between exchanges

    @override
    def data_received(self, data: bytes, /) -> None:
        self._stream.acknowledge(len(data))
        self.abort()

    @override
    def end_received(self) -> None:
        self.input_ended = self.closed_early = True
        self.finish()

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        self.closed_early = not isinstance(error, LinkLostError)
        self._close()

    @override
    def stream_writable(self) -> None: ...

    # --- told by the exchange, when it is over

    def become_idle(self, keep_alive_seconds: float | None) -> None:
        """The connection may carry the next exchange."""
        self.active = False
        self._stream.owner = self
        if keep_alive_seconds is not None:
            self.keep_alive_seconds = keep_alive_seconds
        clock = self._clock
        self.idle_since = clock()
        self._owner.connection_idle(self)

    def finish(self) -> None:
        """Close the connection after an exchange that ended in order.

        Does not wait for a peer that has not ended its direction: nothing here could bound the wait.
        """
        if not self.is_closed:
            if self.input_ended:
                self._stream.owner = self
                self._stream.write_end()
            else:
                self._stream.reset()
            self._close()

    def abort(self) -> None:
        """Reset the stream: the exchange broke off, or there will be none."""
        if not self.is_closed:
            self._stream.reset()
            self._close()

    def lose(self) -> None:
        """The stream was lost during the exchange."""
        self._close()

    # --- after a 101

    def splice(self, owner: StreamOwner, /) -> SplicedOwner:
        """Give the stream to `owner`, who tells what this returns once it has ended. Nothing else of it is needed."""
        self.is_closed = True
        self.spare = None
        self._stream.owner = owner
        return self._owner

    def _close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.spare = None  # they refer to each other
            self._owner.connection_closed(self)
        self.active = False
