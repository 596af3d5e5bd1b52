"""The receiving half of a session: splits the byte stream into frames and applies them to the streams.

It keeps at most 11 bytes, of an unfinished header; data is passed on in the pieces in which it came, to the stream's
owner where it has one. An owner may do anything to its stream meanwhile, also reset it. A data frame is
checked once its header is complete, before its body. Frames for streams that are not in the table, or whose SYN was
not sent yet, are skipped without an answer, as hashicorp's handleStreamMessage does. So is data after a FIN (two of
hashicorp's goroutines may write and close at the same time); it uses up the window.
"""

from tunnel.yamux.errors import FloodError, InvalidType, InvalidVersion, UnexpectedFlag, WindowExceeded
from tunnel.yamux.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PongReceived,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from tunnel.yamux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    HEADER_BYTES,
    PING,
    RST,
    SYN,
    VERSION,
    WINDOW_UPDATE,
)
from tunnel.yamux.outbox import Outbox
from tunnel.yamux.pings import Pings
from tunnel.yamux.stream import CLOSED, OPEN, QUEUED, REMOTE_ENDED, Move, Stream
from tunnel.yamux.table import StreamTable
from tunnel.yamux.windows import add_credit

_unpack_from = HEADER.unpack_from


class Receiver:
    """Turns the peer's bytes into events. Raises a `ProtocolError` at the first frame that breaks a rule."""

    __slots__ = (
        "_body_ends_stream",
        "_body_left",
        "_body_stream",
        "_control_bytes",
        "_header",
        "_now",
        "_outbox",
        "_pings",
        "_table",
    )

    def __init__(self, table: StreamTable, outbox: Outbox, pings: Pings, control_bytes: int) -> None:
        self._table = table
        self._outbox = outbox
        self._pings = pings
        self._control_bytes = control_bytes
        self._now = 0.0
        # Of the unfinished frame: its header so far, or what is left of its body (stream None: skip the body).
        self._header = b""
        self._body_left = 0
        self._body_stream: Stream | None = None
        self._body_ends_stream = False

    def read(self, data: bytes | memoryview, now: float, events: list[Event]) -> None:
        """Parse `data` and append its events to `events`."""
        self._now = now
        live = self._table.live
        position = 0
        end = len(data)
        while position < end:
            left = self._body_left
            if left:
                size = min(left, end - position)
                self._read_body(data[position : position + size], left - size, events)
                position += size
            elif end - position >= HEADER_BYTES and not self._header:
                version, kind, flags, stream_id, length = _unpack_from(data, position)
                position += HEADER_BYTES
                if version != VERSION:
                    raise InvalidVersion(f"version {version}")
                if kind == DATA and not flags and 0 < length <= end - position:
                    stream = live.get(stream_id)
                    if stream is not None and stream.state is OPEN and length <= stream.window.remaining:
                        # A whole frame of plain data is the usual case: the same as below, but faster.
                        stream.window.remaining -= length
                        body = bytes(data[position : position + length])
                        position += length
                        deliver = stream.deliver
                        if deliver is not None:
                            deliver(body)
                        else:
                            events.append(DataReceived(stream_id, body))
                        continue
                if kind == DATA:
                    self._read_data(flags, stream_id, length, events)
                else:
                    self._read_control(kind, flags, stream_id, length, events)
            else:
                taken = HEADER_BYTES - len(self._header)
                self._read_cut_header(bytes(data[position : position + taken]), events)
                position += taken

    def _read_cut_header(self, data: bytes, events: list[Event]) -> None:
        """The next bytes of a header that was cut."""
        header = self._header + data
        if len(header) < HEADER_BYTES:
            self._header = header
        else:
            self._header = b""
            self.read(header, self._now, events)

    def _read_body(self, data: bytes | memoryview, left: int, events: list[Event]) -> None:
        self._body_left = left
        stream = self._body_stream
        if stream is None or stream.state is CLOSED:  # we reset it after its header came
            return
        stream.window.announced = left
        if stream.deliver is not None:
            stream.deliver(bytes(data))
        else:
            events.append(DataReceived(stream.id, bytes(data)))
        if self._body_ends_stream and not left and stream.id in self._table.live:  # its owner did not reset it
            self._receive_fin(stream, events)

    def _read_data(self, flags: int, stream_id: int, length: int, events: list[Event]) -> None:
        if flags & SYN:
            self._receive_syn(stream_id, events)
        self._body_left = length
        self._body_stream = None
        self._body_ends_stream = False
        stream = self._table.live.get(stream_id)
        if stream is None or stream.state is QUEUED:
            return
        window = stream.window
        if length > window.remaining:
            raise WindowExceeded(f"stream {stream_id}: {length} bytes announced, {window.remaining} left")
        window.remaining -= length
        if stream.state is not REMOTE_ENDED:
            self._body_stream = stream
            window.announced = length
        if flags:
            self._receive_flags(stream, flags, events)

    def _read_control(self, kind: int, flags: int, stream_id: int, length: int, events: list[Event]) -> None:
        if kind == WINDOW_UPDATE:
            if flags & SYN:
                self._receive_syn(stream_id, events)
            stream = self._table.live.get(stream_id)
            if stream is None or stream.state is QUEUED:
                return
            stream.credit = add_credit(stream.credit, length, stream_id)
            self._outbox.ready(stream)
            if flags:
                self._receive_flags(stream, flags, events)
        elif kind == PING:
            self._receive_ping(flags, length, events)
        elif kind == GO_AWAY:
            self._table.peer_refuses = True
            events.append(GoAwayReceived(length))
            events.extend(StreamReset(stream_id) for stream_id in self._table.remove_queued())
        else:
            raise InvalidType(f"type {kind}")

    def _receive_syn(self, stream_id: int, events: list[Event]) -> None:
        """Admit or refuse a new stream. The rest of the frame is handled as for any stream, or skipped."""
        if self._table.admit(stream_id, self._now) is None:
            self._answer(WINDOW_UPDATE, RST, stream_id, 0)
        else:
            events.append(StreamOpened(stream_id))

    def _receive_flags(self, stream: Stream, flags: int, events: list[Event]) -> None:
        """ACK, then FIN (after the body, if there is one), then RST: hashicorp's order (processFlags)."""
        if flags & (ACK | FIN | RST):
            self._table.acknowledge(stream)
        if flags & FIN:
            if stream.state is REMOTE_ENDED:
                raise UnexpectedFlag(f"stream {stream.id}: a second FIN")
            if self._body_left:
                self._body_ends_stream = True
            else:
                self._receive_fin(stream, events)
        if flags & RST and stream.state is not CLOSED:
            stream.move(Move.RST_RECEIVED)
            self._table.remove(stream)
            events.append(StreamReset(stream.id))

    def _receive_fin(self, stream: Stream, events: list[Event]) -> None:
        stream.move(Move.FIN_RECEIVED)
        if stream.state is CLOSED:
            self._table.remove(stream)
        else:
            self._outbox.cancel_update(stream)
        events.append(StreamEnded(stream.id))

    def _receive_ping(self, flags: int, value: int, events: list[Event]) -> None:
        if flags & SYN:
            self._answer(PING, ACK, 0, value)
            return
        rtt = self._pings.answered(value, self._now)
        if rtt is not None:
            events.append(PongReceived(rtt))

    def _answer(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        self._outbox.answer(kind, flags, stream_id, length)
        if self._outbox.answer_bytes > self._control_bytes:
            raise FloodError(f"{self._outbox.answer_bytes} bytes of answers wait for the peer to read them")
