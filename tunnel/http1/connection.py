"""One HTTP/1.1 connection over a byte stream: one exchange after the other, never two at once.

It owns the stream. Between exchanges it only waits; a byte that arrives then closes the connection. It gets the time
only from `clock`. It does not decide whether it is reused: it calls `on_idle` and `on_closed`.

Invariants: `on_closed` is called once, whatever ends the connection, and `on_idle` never after it. A connection that
ends in order (request sent, answer complete, and the peer ended its direction) ends its own direction; any other is
reset.
"""

from collections.abc import Callable

from tunnel.errors import StreamRefusedError, TunnelError
from tunnel.http1.exchange import StreamExchange
from tunnel.http1.request import encode_head
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, Sink
from tunnel.streams import ByteStream, StreamOwner


class HttpConnection(StreamOwner):
    """One HTTP/1.1 connection.

    `clock` returns seconds and never goes back. `on_idle`: the exchange is over, and the connection may carry
    another. `on_closed`: it carries no more; the stream is ended or reset. Any method here except `open` may call
    them.
    """

    __slots__ = (
        "_clock",
        "_closed",
        "_exchange",
        "_on_closed",
        "_on_idle",
        "_stream",
        "idle_since",
        "input_ended",
        "keep_alive_seconds",
        "uses",
    )

    def __init__(
        self,
        stream: ByteStream,
        *,
        clock: Callable[[], float],
        on_idle: Callable[["HttpConnection"], None],
        on_closed: Callable[["HttpConnection"], None],
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._exchange: StreamExchange | None = None
        self.input_ended = False
        """The peer ended its direction."""
        self._closed = False
        self.idle_since = clock()
        self.keep_alive_seconds: float | None = None
        """How long the service keeps an idle connection, if it says so (`Keep-Alive: timeout=N`)."""
        self.uses = 0
        """The number of exchanges started."""
        stream.owner = self

    def __repr__(self) -> str:
        state = "closed" if self._closed else "idle" if self._exchange is None else "active"
        return f"<HttpConnection {state}, {self.uses} uses>"

    @property
    def is_closed(self) -> bool:
        """It carries no more exchanges."""
        return self._closed

    def open(self, head: RequestHead, sink: Sink) -> Exchange:
        """Write `head` and start the exchange.

        Raises StreamRefusedError if the connection is closed by now, and UnsendableHeadError (a ValueError) for a head
        that must not be sent. Nothing is written then, and the connection stays idle.
        """
        if self._closed:
            raise StreamRefusedError("the connection was closed while idle")
        if self._exchange is not None:
            raise RuntimeError("an exchange is under way on this connection")
        encoded = encode_head(head)
        self.uses += 1
        exchange = self._exchange = StreamExchange(self, self._stream, head, sink)
        self._stream.write(encoded)
        return exchange

    def close(self) -> None:
        """Close an idle connection; idempotent. Does nothing to one that carries an exchange."""
        if self._exchange is None:
            self.abort()

    # --- told by the stream

    @override
    def data_received(self, data: bytes, /) -> None:
        if self._exchange is not None:
            self._exchange.data_received(data)
        else:
            self._stream.acknowledge(len(data))
            self.abort()

    @override
    def end_received(self) -> None:
        self.input_ended = True
        if self._exchange is not None:
            self._exchange.end_received()
        else:
            self.finish()

    @override
    def stream_lost(self, error: TunnelError, /) -> None:
        if self._exchange is not None:
            self._exchange.stream_lost(error)
        else:
            self._close()

    @override
    def stream_writable(self) -> None:
        if self._exchange is not None:
            self._exchange.stream_writable()

    # --- told by the exchange, when it is over

    def become_idle(self, keep_alive_seconds: float | None) -> None:
        """The connection may carry the next exchange."""
        self._exchange = None
        if keep_alive_seconds is not None:
            self.keep_alive_seconds = keep_alive_seconds
        self.idle_since = self._clock()
        self._on_idle(self)

    def finish(self) -> None:
        """Close the connection after an exchange that ended in order.

        Does not wait for a peer that has not ended its direction: nothing here could bound the wait.
        """
        if not self._closed:
            if self.input_ended:
                self._stream.write_end()
            else:
                self._stream.reset()
            self._close()

    def abort(self) -> None:
        """Reset the stream: the exchange broke off, or there will be none."""
        if not self._closed:
            self._stream.reset()
            self._close()

    def lose(self) -> None:
        """The stream was lost during the exchange."""
        self._close()

    def _close(self) -> None:
        self._exchange = None
        if not self._closed:
            self._closed = True
            self._on_closed(self)
