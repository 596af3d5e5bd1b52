"""HTTP/1.1 connections to one target over yamux streams, pooled while idle; with TLS in them for https targets."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from tunnel import http1, tls
from tunnel.account import Account
from tunnel.errors import TlsFailedError
from tunnel.gateway.carrier import LinkSide
from tunnel.gateway.yamux.stream import YamuxStream
from tunnel.http1 import REPEATABLE
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, Sink, Target, Upstream
from tunnel.streams import ByteStream
from tunnel.wire.routing_header import encode as encode_routing_header


class _CarrierOfUpstreams(Protocol):
    """What an upstream asks of what keeps its session. `YamuxCarrier` documents it."""

    active: int

    @property
    def going_away(self) -> bool:
        """No stream may be opened any more."""

    @property
    def account(self) -> Account: ...

    @property
    def clock(self) -> Callable[[], float]: ...


class _CarrierOfLink(_CarrierOfUpstreams, Protocol):
    """The same, on the link of an agent."""

    @property
    def link(self) -> LinkSide: ...

    def open_stream(self) -> YamuxStream: ...


class PooledUpstream(Upstream, ABC):
    """Carries exchanges to one target: HTTP/1.1 connections over streams, pooled while idle.

    A subclass opens the streams: see `_open_stream`.
    """

    __slots__ = ("_carrier", "_connections", "_handshakes", "_reader", "label", "pool", "target")

    label: str
    passes_bytes = True
    node = ""

    def __init__(self, carrier: _CarrierOfUpstreams, target: Target, label: str) -> None:
        self._carrier = carrier
        self.target = target
        self.label = label
        self.pool = http1.Pool(clock=carrier.clock)
        self._reader = http1.WholeReader()
        self._connections = 0  # busy or pooled
        self._handshakes: list[tuple[float, tls.TlsStream]] = []  # with their deadlines, as of the last look

    @abstractmethod
    def _open_stream(self, head: RequestHead, /, *, fresh: bool) -> YamuxStream:
        """A stream to the target's service, for this request first. Raises TunnelError."""

    @property
    @override
    def upgrade_allowance(self) -> float:
        return 0.0

    @override
    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> Exchange:
        repeatable = head.body_length == 0 and head.method in REPEATABLE
        connection = None if fresh or head.upgrade else self.pool.take(repeatable)
        if connection is None:
            connection = self._connect(head, fresh)
            connection.careful = not repeatable
        self._carrier.active += 1
        try:
            return connection.open(head, sink)
        except ValueError:
            self._carrier.active -= 1
            connection.close()
            raise

    def expire(self, now: float) -> None:
        """Close connections idle for too long, and give up slow TLS handshakes. Called about once a second."""
        self.pool.expire()
        if self._handshakes:
            waiting, self._handshakes = self._handshakes, []
            for deadline, stream in waiting:
                if now >= deadline:
                    stream.give_up_handshake()
                elif stream.is_shaking_hands:
                    self._handshakes.append((deadline, stream))

    @property
    def idle(self) -> bool:
        """No exchange is running, no connection is pooled, and there is nothing to remember of the service."""
        return not self._connections and not self.pool.distrusts

    def _connect(self, head: RequestHead, fresh: bool) -> http1.HttpConnection:
        target = self.target
        context = tls.client_context(ca_file=target.ca_file, verify=target.verify) if target.scheme == "https" else None
        stream = self._open_stream(head, fresh=fresh)
        bytestream: ByteStream = stream
        if context is not None:
            name = target.server_name or f"{target.service}.{target.namespace}.svc.cluster.local"
            try:
                bytestream = secured = tls.TlsStream(stream, context, name, account=self._carrier.account)
                self._handshakes.append((self._carrier.clock() + tls.HANDSHAKE_SECONDS, secured))
            except TlsFailedError:
                stream.reset()
                raise
        self._connections += 1
        return http1.HttpConnection(
            bytestream,
            clock=self._carrier.clock,
            owner=self,
            reader=self._reader,
        )

    # --- told by its connections

    def connection_idle(self, connection: http1.HttpConnection, /) -> None:
        """See `ConnectionOwner`."""
        self._carrier.active -= 1
        if self._carrier.going_away:
            connection.close()  # nothing new comes, and the agent may wait for its last stream
        else:
            self.pool.put(connection)

    def connection_closed(self, connection: http1.HttpConnection, /) -> None:
        """See `ConnectionOwner`."""
        self._connections -= 1
        if connection.closed_early:
            self.pool.closed_by_service(connection)
        if connection.active:
            self._carrier.active -= 1
        else:
            self.pool.discard(connection)

    def spliced_ended(self) -> None:
        """See `ConnectionOwner`."""
        self._connections -= 1
        self._carrier.active -= 1

    def __repr__(self) -> str:
        idle = len(self.pool)
        return f"<{type(self).__name__} {self.target}: {self._connections - idle} busy, {idle} idle>"


class YamuxUpstream(PooledUpstream):
    """Over one agent's link."""

    __slots__ = ("_link_carrier", "_routing_header")

    dialect = "yamux"

    def __init__(self, carrier: _CarrierOfLink, target: Target) -> None:
        super().__init__(carrier, target, carrier.link.name)
        self._link_carrier = carrier
        self._routing_header = encode_routing_header(target.service, target.namespace, target.port)

    @property
    @override
    def agent_id(self) -> str | None:
        return self._link_carrier.link.agent_id

    @override
    def _open_stream(self, _head: RequestHead, /, *, fresh: bool) -> YamuxStream:
        stream = self._link_carrier.open_stream()
        stream.target = self.target
        stream.write(self._routing_header)
        return stream
