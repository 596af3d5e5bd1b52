"""One stream and its one connection to a service, joined by callbacks.

Knows its stream's session, and nothing of the WebSocket below it. Invariants: bytes of the gateway are acknowledged
once, when the connection has taken them, so what is held here is at most the stream's window; reading from the service
stops while the stream is full; each direction ends by itself; after `lost` or the end of both directions nothing of
this object is left in the loop.

The session and the transport call `deliver` and `data_received` directly, and these call the transport and
the session: whatever stands between costs every request.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

from tunnel.account import Account, Holding
from tunnel.agent.service.connection import ServiceConnection
from tunnel.agent.service.services import Destination, NotReachableError, Services
from tunnel.wire.refusals import OTHER
from tunnel.wire.routing_header import Decoder, RoutingHeaderError
from tunnel.yamux import Session, StreamClosed

ACKNOWLEDGED_BYTES = 4096
"""Acknowledged together: no credit is given back before 64 KiB were taken."""
REFUSED_LINGER_SECONDS = 10.0
"""How long a refused stream waits for the gateway to end its direction, before it is reset."""
CLOSING_SECONDS = 60.0
"""How long a service that both sides are done with may take for the bytes that wait for it: one window."""


class Streams(Protocol):
    """What a splice asks of its link, besides the session."""

    now: Callable[[], float]
    """The clock of the session."""
    flushing: bool
    """What the session has to send leaves soon: no need to ask."""

    def schedule_flush(self) -> None:
        """The session has something to send."""

    def reset_stream(self, stream_id: int, /) -> None:
        """Abandon both directions, after what was sent."""

    def stream_failed(self, stream_id: int, /) -> None:
        """An exception is being handled: log it, and reset the stream."""

    def stream_refused(self, stream_id: int, target: str, reason: str, kind: str, /) -> None:
        """The stream gets no connection; `kind` is one of `tunnel.wire.refusals`."""

    def stream_opened(self, stream_id: int, target: str, destination: Destination | None, /) -> None:
        """The service is connected."""

    def stream_closed(self, stream_id: int, summary: str, /) -> None:
        """Both directions are over, and the service's connection too. Called once."""


class Splice:
    """Header, dial, bytes both ways, end. The owner of its connection."""

    __slots__ = (
        "_account",
        "_acknowledge_at",
        "_answered_at",
        "_connection",
        "_deadline",
        "_decoder",
        "_dial_seconds",
        "_gateway_ended",
        "_holding",
        "_over",
        "_refused",
        "_services",
        "_session",
        "_stream_id",
        "_streams",
        "_target",
        "_to_gateway_bytes",
        "_to_service_bytes",
        "_waiting",
    )

    def __init__(
        self,
        stream_id: int,
        session: Session,
        streams: Streams,
        *,
        services: Services,
        account: Account,
        dial_seconds: float,
    ) -> None:
        self._stream_id = stream_id
        self._session = session
        self._streams = streams
        self._services = services
        self._dial_seconds = dial_seconds
        self._decoder: Decoder | None = Decoder()
        self._connection: ServiceConnection | None = None
        """From the dial to the end: a splice and its connection refer to each other no longer than they must."""
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting: list[bytes] | None = []
        """What came before the service was connected; None from then on."""
        self._account = account
        self._holding: Holding | None = None
        """Received and not acknowledged; None where that is nothing."""
        self._gateway_ended = False
        self._refused = False
        self._over = False
        self._acknowledge_at = ACKNOWLEDGED_BYTES
        """How many of `_to_service_bytes`; all but the last `ACKNOWLEDGED_BYTES` of them were acknowledged before."""
        self._target = "?"
        self._to_service_bytes = 0
        self._to_gateway_bytes = 0
        self._answered_at = 0
        """What `_to_service_bytes` was when the service last said something."""

    def __repr__(self) -> str:
        state = "over" if self._over else "waiting" if self._connection is None else self._connection.state
        return f"<Splice {self._target} {state} in={self._to_service_bytes} out={self._to_gateway_bytes}>"

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """To the service, and to the gateway."""
        return self._to_service_bytes, self._to_gateway_bytes

    # --- told by the gateway

    def deliver(self, data: bytes) -> None:
        """Bytes of the stream, in order. Raises nothing: what fails here ends this stream only."""
        try:
            connection = self._connection
            if connection is None or (transport := connection.transport) is None:
                self._take_unconnected(data)
                return
            self._to_service_bytes = written = self._to_service_bytes + len(data)
            if not transport.is_closing():
                transport.write(data)  # may call pause_writing before it returns
                if connection.write_paused:
                    self._hold(len(data))
                    return
            if written >= self._acknowledge_at:
                self._acknowledge_written()
        except Exception:  # noqa: BLE001 (it is logged there)
            self._streams.stream_failed(self._stream_id)

    def end_from_gateway(self) -> None:
        """The gateway ended its direction: the service sees an end of file, and may still answer."""
        self._gateway_ended = True
        if self._refused:
            self._finish()
        elif self._decoder is not None:
            self.refuse("the stream ended within its routing header")
        elif self._waiting is None:
            self._end_to_service()

    def lost(self, reason: str) -> None:
        """The stream was reset, or its link is gone: the service's connection is reset."""
        if self._over:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.reset()
        self._finish(reason)

    def writable(self) -> None:
        """The stream has room again."""
        if self._connection is not None:
            self._connection.resume()

    def refuse(self, reason: str, kind: str = OTHER) -> None:
        """End the stream without a byte, like a dial that failed. The reason leaves first."""
        if self._over or self._refused:
            return
        self._refused = True
        self._decoder = self._waiting = None
        if size := self._let_go():
            self._acknowledge(size)
        self._streams.stream_refused(self._stream_id, self._target, reason, kind)
        self._end_to_gateway()
        if self._gateway_ended:
            self._finish()
        else:
            self._end_within(REFUSED_LINGER_SECONDS, "refused")

    # --- told by the service's connection

    def connected(self) -> None:
        """Write what waited."""
        if self._connection is not None:
            self._streams.stream_opened(self._stream_id, self._target, self._connection.destination)
        waiting, self._waiting = self._waiting, None
        if waiting:
            self._let_go()
            self.deliver(b"".join(waiting))
        if self._gateway_ended:
            self._end_to_service()

    def not_connected(self, reason: str, kind: str, /) -> None:
        """Refuse the stream."""
        self._connection = None
        self.refuse(reason, kind)

    def data_received(self, data: bytes, /) -> None:
        """Pass it on; read no more while the stream is full."""
        self._to_gateway_bytes += len(data)
        self._answered_at = self._to_service_bytes
        try:
            room = self._session.send_data(self._stream_id, data)
        except StreamClosed:
            return
        streams = self._streams
        if not streams.flushing:
            streams.schedule_flush()
        if not room and self._connection is not None:
            self._connection.pause()

    def end_received(self) -> None:
        """End our direction; the other one stays while the gateway keeps it open."""
        self._note_unanswered()
        self._end_to_gateway()
        if self._gateway_ended:
            self._end_within(CLOSING_SECONDS, "the service did not take its last bytes")

    def service_writable(self) -> None:
        """The service took what waited: its credit goes back at once."""
        if self._let_go():
            self._acknowledge_written()

    def connection_lost(self, error: Exception | None, /) -> None:
        """Over in order when both directions had ended; else the stream is reset, after what the service had said."""
        connection = self._connection
        if connection is None:
            return
        if error is None and connection.input_ended:
            self._finish()
        else:
            if error is not None:
                self._note_unanswered()
            self._reset(f"service connection lost: {error}" if error else "service connection lost")

    # --- inside

    def _hold(self, size: int) -> None:
        """So many bytes more are received and not acknowledged."""
        if self._holding is None:
            self._holding = Holding(self._account)
        self._holding.add(size)

    def _let_go(self) -> int:
        """Hold nothing any more. Returns how many bytes it was."""
        holding, self._holding = self._holding, None
        if holding is None:
            return 0
        size = holding.size_bytes
        holding.close()
        return size

    def _note_unanswered(self) -> None:
        """The service has ended: say so to whoever dials it next, if it owes an answer."""
        connection = self._connection
        if connection is not None and connection.destination is not None and self._answered_at < self._to_service_bytes:
            self._services.outages.left_unanswered(connection.destination)

    def _take_unconnected(self, data: bytes) -> None:
        """Bytes of the gateway before the service is connected, or when it no longer is."""
        if self._over or self._refused:
            self._acknowledge(len(data))
        elif self._decoder is not None:
            self._read_header(self._decoder, data)
        elif self._waiting is not None:
            self._waiting.append(data)
            self._hold(len(data))
        else:
            self._to_service_bytes += len(data)
            self._acknowledge_written()

    def _acknowledge_written(self) -> None:
        """All that was written and is not acknowledged yet."""
        size = self._to_service_bytes - (self._acknowledge_at - ACKNOWLEDGED_BYTES)
        self._acknowledge_at = self._to_service_bytes + ACKNOWLEDGED_BYTES
        self._acknowledge(size)

    def _acknowledge(self, size: int) -> None:
        if self._session.acknowledge(self._stream_id, size, self._streams.now()):
            self._streams.schedule_flush()

    def _end_to_gateway(self) -> None:
        self._session.end_stream(self._stream_id)
        self._streams.schedule_flush()

    def _read_header(self, decoder: Decoder, data: bytes) -> None:
        try:
            header = decoder.feed(data)
        except RoutingHeaderError as error:
            self._acknowledge(len(data))
            self.refuse(f"bad routing header: {error}")
            return
        self._acknowledge(len(data) - len(decoder.rest))
        if header is None:
            return
        self._decoder = None
        is_printable = header.service.isprintable() and header.namespace.isprintable()
        self._target = sys.intern(str(header)) if is_printable else "?"  # many streams have the same one
        if decoder.rest:
            self._waiting = [decoder.rest]
            self._hold(len(decoder.rest))
        try:
            destination = self._services.destination_of(header)
        except NotReachableError as error:
            self.refuse(str(error), error.kind)
            return
        self._connection = ServiceConnection(self)
        self._connection.dial(destination, self._services, self._dial_seconds)

    def _end_to_service(self) -> None:
        if self._connection is not None:
            if self._connection.input_ended:
                self._end_within(CLOSING_SECONDS, "the service did not take its last bytes")
            self._connection.write_end()

    def _end_within(self, seconds: float, reason: str) -> None:
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._reset, reason)

    def _reset(self, reason: str) -> None:
        self._streams.reset_stream(self._stream_id)
        self.lost(reason)

    def _finish(self, reason: str = "ended") -> None:
        if self._over:
            return
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._connection = self._waiting = None
        self._let_go()
        self._streams.stream_closed(
            self._stream_id,
            f"{self._target} {reason}: {self._to_service_bytes} bytes in, {self._to_gateway_bytes} bytes out",
        )
