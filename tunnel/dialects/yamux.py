"""The yamux dialect: every exchange is a raw TCP connection to the service, and we speak HTTP/1.1 over it.

`YamuxCarrier` owns the session of one link: the only place that feeds it, drains it and maps its stream ids to
`YamuxStream`s. `YamuxUpstream` carries exchanges to one target over it, with a pool of idle connections.

Invariants: a stream's failure ends that stream only; a session error ends the link (`ProtocolError` leaves
`bytes_received`, and the caller closes the link). Credit returns only through `YamuxStream.acknowledge`.
"""

import contextlib
import logging
from collections.abc import Callable

from tunnel import http1, tls
from tunnel.account import Account
from tunnel.errors import LinkBusyError, LinkLostError, StreamRefusedError, TunnelError
from tunnel.port import Exchange, RequestHead, Sink, Target
from tunnel.routing_header import encode as encode_routing_header
from tunnel.streams import ByteStream, StreamOwner
from tunnel.yamux import (
    DataReceived,
    Event,
    GoAwayReceived,
    Limits,
    LocalError,
    ProtocolError,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

logger = logging.getLogger(__name__)


class _Nobody:
    """The owner of a stream that has none: takes nothing, says nothing."""

    def data_received(self, data: bytes, /) -> None: ...

    def end_received(self) -> None: ...

    def stream_lost(self, error: TunnelError, /) -> None: ...

    def stream_writable(self) -> None: ...


_NOBODY = _Nobody()


class YamuxStream:
    """One stream of the session, as a `ByteStream`."""

    __slots__ = (
        "_carrier",
        "_live",
        "end_received",
        "end_sent",
        "owner",
        "stream_id",
        "unread_bytes",
        "withheld_bytes",
    )

    def __init__(self, carrier: "YamuxCarrier", stream_id: int) -> None:
        self._carrier = carrier
        self._live = True
        self.end_sent = False
        self.end_received = False
        self.stream_id = stream_id
        self.owner: StreamOwner = _NOBODY
        self.unread_bytes = 0  # received, and not yet acknowledged by the owner
        self.withheld_bytes = 0  # acknowledged, but the process holds too much to promise them again

    @property
    def held_bytes(self) -> int:
        """See `ByteStream.held_bytes`."""
        return self.unread_bytes + (self._carrier.session.buffered(self.stream_id) if self._live else 0)

    def write(self, data: bytes, /) -> bool:
        """Buffer `data`; False when the buffer is above its mark."""
        return not self._live or self._carrier.send(self.stream_id, data)

    def write_end(self) -> None:
        """End our direction."""
        if self._live and not self.end_sent:
            self.end_sent = True
            self._carrier.end(self)

    def reset(self) -> None:
        """Abort both directions."""
        if self._live:
            self._carrier.reset(self)

    def acknowledge(self, size: int, /) -> None:
        """Return credit for bytes that were consumed."""
        if self._live:
            self._carrier.acknowledge(self, size)

    def flush_credit(self) -> None:
        """Return the credit that is due now, not at half a window."""
        if self._live:
            self._carrier.session.flush_credit(self.stream_id)

    def lost(self, error: TunnelError) -> None:
        """The session or the peer ended it; only the carrier calls this."""
        self._live = False
        owner, self.owner = self.owner, _NOBODY
        owner.stream_lost(error)

    def forget(self) -> None:
        """No callback comes any more; only the carrier calls this."""
        self._live = False
        self.owner = _NOBODY

    def __repr__(self) -> str:
        return f"<YamuxStream {self.stream_id} {'live' if self._live else 'over'}, {self.unread_bytes} bytes unread>"


class YamuxCarrier:
    """The yamux session of one link, on the gateway's side (even ids).

    `wake` is called whenever there may be something to send; `data_to_send` is then to be called once per loop turn.
    """

    def __init__(
        self, *, wake: Callable[[], None], clock: Callable[[], float], account: Account, limits: Limits | None = None
    ) -> None:
        self.session = Session(Role.SERVER, limits or Limits(), may_grow=account.may_grow)
        self._wake = wake
        self.clock = clock
        self._account = account
        self._buffered_bytes = 0  # of the session's send buffers, as last told to the account
        self._streams: dict[int, YamuxStream] = {}
        self._upstreams: dict[Target, YamuxUpstream] = {}
        self._withheld: set[YamuxStream] = set()
        self.active = 0  # exchanges under way, idle pooled connections not counted
        self.going_away = False

    # --- the link's side

    def bytes_received(self, data: bytes) -> None:
        """Feed bytes of the agent. Raises ProtocolError: the session, and with it the link, is over."""
        streams = self._streams
        for event in self.session.receive_data(data, self.clock()):
            if type(event) is DataReceived:
                stream = streams.get(event.stream_id)
                if stream is not None:
                    size = len(event.data)
                    stream.unread_bytes += size
                    self._account.adjust(size)
                    self._tell(stream, stream.owner.data_received, event.data)
            else:
                self._obey(event)
        self._writable()
        self._count()
        if self.session.wants_to_send:
            self._wake()

    def data_to_send(self, limit: int = 65_536) -> bytes:
        """At most `limit` bytes of frames: control first, then the ready streams in turns."""
        data = self.session.data_to_send(limit)
        self._writable()
        self._count()
        return data

    def lost(self, error: TunnelError) -> None:
        """The link is gone: every stream's owner is told, and nothing is held any more.

        Where the agent may still hear us, resets are left to be sent: it would otherwise wait for those streams, in
        silence, on its next link.
        """
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            self.session.reset_stream(stream.stream_id)
            self._release(stream)
            self._lose(stream, error)
        self._upstreams.clear()
        self._withheld.clear()
        self._account.adjust(-self._buffered_bytes)
        self._buffered_bytes = 0

    def expire(self) -> None:
        """Close connections that idled too long, return credit that was withheld; called about once a second."""
        if self._withheld and not self._account.above_high_mark:
            withheld, self._withheld = self._withheld, set()
            for stream in withheld:
                stream.acknowledge(0)
        for upstream in self._upstreams.values():
            upstream.pool.expire()

    def upstream(self, target: Target) -> "YamuxUpstream":
        """The upstream to `target`, made on first use."""
        upstream = self._upstreams.get(target)
        if upstream is None:
            upstream = self._upstreams[target] = YamuxUpstream(self, target)
        return upstream

    @property
    def stream_count(self) -> int:
        """Streams in the table, idle ones included."""
        return len(self._streams)

    # --- the streams' side

    def open_stream(self) -> YamuxStream:
        """Begin a stream. Raises LinkLostError after a go-away, LinkBusyError when there is no room."""
        if self.going_away:
            raise LinkLostError("the agent is going away")
        try:
            stream_id = self.session.open_stream()
        except LocalError as error:
            raise LinkBusyError(f"no stream could be opened: {error}") from None
        stream = self._streams[stream_id] = YamuxStream(self, stream_id)
        return stream

    def send(self, stream_id: int, data: bytes) -> bool:
        """Buffer for a stream; False when it is above its mark."""
        try:
            welcome = self.session.send_data(stream_id, data)
        except LocalError:
            return True  # it ended while the owner was writing; the owner was told, or ended it itself
        self._count()
        self._wake()
        return welcome

    def end(self, stream: YamuxStream) -> None:
        """Queue the FIN of a stream."""
        self.session.end_stream(stream.stream_id)
        self._drop_if_over(stream)
        self._wake()

    def reset(self, stream: YamuxStream) -> None:
        """Abort a stream; its owner hears nothing more."""
        self._streams.pop(stream.stream_id, None)
        self._release(stream)
        stream.forget()
        self.session.reset_stream(stream.stream_id)
        self._count()
        self._wake()

    def acknowledge(self, stream: YamuxStream, size: int) -> None:
        """Give credit back to the agent."""
        stream.unread_bytes -= size
        self._account.adjust(-size)
        if self._account.above_high_mark and stream.unread_bytes:
            # A consumer that lags gets its window back when there is room again; one that keeps up is not held.
            stream.withheld_bytes += size
            self._withheld.add(stream)
            return
        size += stream.withheld_bytes
        stream.withheld_bytes = 0
        self.session.acknowledge(stream.stream_id, size, self.clock())
        if self.session.wants_to_send:
            self._wake()

    # --- inside

    def _obey(self, event: Event) -> None:
        """What happens to a stream or the session, once each; data has its own, shorter way."""
        match event:
            case StreamEnded():
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    stream.end_received = True
                    self._tell(stream, stream.owner.end_received)
                    self._drop_if_over(stream)
            case StreamReset():
                stream = self._streams.pop(event.stream_id, None)
                if stream is not None:
                    self._release(stream)
                    self._lose(stream, StreamRefusedError("the agent reset the stream"))
            case StreamOpened():
                self.session.reset_stream(event.stream_id)  # agents open none
            case GoAwayReceived():
                self.going_away = True
                for upstream in self._upstreams.values():
                    upstream.pool.close()  # it waits for its streams, and these are nobody's
                if event.code != 0:  # hashicorp's session ends with anything but "normal"
                    raise ProtocolError(f"the agent ended its session with code {event.code}")
            case _:
                pass

    def _tell(self, stream: YamuxStream, callback: Callable[..., None], *arguments: object) -> None:
        """Call an owner; a fault of its costs its stream, never the link."""
        try:
            callback(*arguments)
        except Exception:
            logger.exception("stream %d failed in its owner", stream.stream_id)
            owner = stream.owner
            stream.reset()
            with contextlib.suppress(Exception):  # it failed already, and is logged
                owner.stream_lost(StreamRefusedError("internal error"))

    def _lose(self, stream: YamuxStream, error: TunnelError) -> None:
        try:
            stream.lost(error)
        except Exception:
            logger.exception("stream %d failed in its owner", stream.stream_id)

    def _writable(self) -> None:
        for stream_id in self.session.take_writable():
            stream = self._streams.get(stream_id)
            if stream is not None:
                self._tell(stream, stream.owner.stream_writable)

    def _drop_if_over(self, stream: YamuxStream) -> None:
        # What its owner still holds stays counted, and is acknowledged or released by it later.
        if stream.end_sent and stream.end_received:
            self._streams.pop(stream.stream_id, None)

    def _release(self, stream: YamuxStream) -> None:
        self._account.adjust(-stream.unread_bytes)
        stream.unread_bytes = 0

    def _count(self) -> None:
        buffered = self.session.buffered_bytes
        if buffered != self._buffered_bytes:
            self._account.adjust(buffered - self._buffered_bytes)
            self._buffered_bytes = buffered

    def __repr__(self) -> str:
        return f"<YamuxCarrier {self.active} active, {self.session!r}>"


class YamuxUpstream:
    """Carries exchanges to one target: HTTP/1.1 connections over streams, pooled while idle."""

    def __init__(self, carrier: YamuxCarrier, target: Target) -> None:
        self._carrier = carrier
        self.target = target
        self.pool = http1.Pool(clock=carrier.clock)
        self._streams: dict[http1.Connection, YamuxStream] = {}
        self._busy: set[http1.Connection] = set()
        self._routing_header = encode_routing_header(target.service, target.namespace, target.port)

    def open(self, head: RequestHead, sink: Sink, /, *, fresh: bool = False) -> Exchange:
        """Start an exchange on an idle connection, or on a new stream. Raises TunnelError."""
        connection = None
        if not fresh and not head.upgrade:
            repeatable = head.body_length == 0 and http1.is_repeatable(head.method)
            connection = self.pool.take(None, repeatable=repeatable)
        if connection is None:
            connection = self._connect()
        self._busy.add(connection)
        self._carrier.active += 1
        try:
            return connection.open(head, sink)
        except ValueError:
            self._closed(connection)
            connection.close()
            raise

    def _connect(self) -> http1.Connection:
        stream = self._carrier.open_stream()
        stream.write(self._routing_header)
        target = self.target
        bytestream: ByteStream = stream
        if target.scheme == "https":
            name = target.server_name or f"{target.service}.{target.namespace}.svc.cluster.local"
            context = tls.client_context(ca_file=target.ca_file, verify=target.verify)
            bytestream = tls.TlsStream(stream, context, name)
        connection = http1.Connection(bytestream, clock=self._carrier.clock, on_idle=self._idle, on_closed=self._closed)
        self._streams[connection] = stream
        return connection

    def _idle(self, connection: http1.Connection) -> None:
        self._busy.discard(connection)
        self._carrier.active -= 1
        # The next exchange shall begin with a whole window.
        self._streams[connection].flush_credit()
        self.pool.put(None, connection)

    def _closed(self, connection: http1.Connection) -> None:
        self._streams.pop(connection, None)
        if connection in self._busy:
            self._busy.discard(connection)
            self._carrier.active -= 1
        else:
            self.pool.discard(None, connection)

    def __repr__(self) -> str:
        return f"<YamuxUpstream {self.target}: {len(self._busy)} busy, {len(self.pool)} idle>"
