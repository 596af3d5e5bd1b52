"""The receiving half of a session: splits the byte stream into frames and applies them to the streams.

It keeps at most 11 bytes, of an unfinished header; data is passed on in the pieces in which it came, to the stream's
owner where it has one. An owner may do anything to its stream meanwhile, also reset it; what it took at once is
acknowledged here. A data frame is checked once its header is complete, before its body. Frames for streams that are
not in the table, or whose SYN was not sent yet, are skipped without an answer, as hashicorp's handleStreamMessage
does. So is data after a FIN (two of hashicorp's goroutines may write and close at the same time); it uses up the
window.
"""

from struct import Struct

from tunnel.yamux.errors import (
    FloodError,
    InvalidType,
    InvalidVersion,
    ProtocolError,
    UnexpectedFlag,
    WindowExceeded,
)
from tunnel.yamux.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PongReceived,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from tunnel.yamux.fitting import Fitting
from tunnel.yamux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    GO_AWAY_PROTOCOL_ERROR,
    HEADER_BYTES,
    PING,
    RST,
    SYN,
    VERSION,
    WINDOW_UPDATE,
)
from tunnel.yamux.limits import Limits
from tunnel.yamux.outbox import Outbox
from tunnel.yamux.pings import Pings
from tunnel.yamux.stream import CLOSED, OPEN, QUEUED, REMOTE_ENDED, Move, Stream
from tunnel.yamux.table import StreamTable
from tunnel.yamux.windows import add_credit

_unpack_words = Struct(">III").unpack_from
"""A header in three words; the first is version, type and flags, 0 for the usual frame."""


class Receiver:
    """Turns the peer's bytes into events. Raises a `ProtocolError` at the first frame that breaks a rule."""

    __slots__ = (
        "_body_ends_stream",
        "_body_left",
        "_body_stream",
        "_control_bytes",
        "_fitting",
        "_header",
        "_live",
        "_outbox",
        "_pings",
        "_table",
        "error",
        "now",
    )

    def __init__(self, table: StreamTable, outbox: Outbox, pings: Pings, limits: Limits, fitting: Fitting) -> None:
        self._table = table
        self._live = table.live
        self._outbox = outbox
        self._pings = pings
        self._control_bytes = limits.control_bytes
        self._fitting = fitting
        self.now = 0.0
        """The time of the last call to the session that came with one."""
        self.error: ProtocolError | None = None
        """What the peer broke: the session is over."""
        # Of the unfinished frame: its header so far, or what is left of its body (stream None: skip the body).
        self._header = b""
        self._body_left = 0
        self._body_stream: Stream | None = None
        self._body_ends_stream = False

    def read(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Parse bytes of the peer, cut anywhere. Parts of a data body are reported at once.

        Raises a `ProtocolError` once; the session is over then and ignores what comes after. Events from the same call
        are lost, with all streams; what went to a stream's consumer is not.
        """
        events: list[Event] = []
        if self.error is not None:
            return events
        if type(data) is not bytes:
            data = bytes(data)
        self.now = now
        live = self._live
        position = 0
        end = len(data)
        try:
            while position < end:
                body = position + HEADER_BYTES
                if self._body_left:
                    position += self._read_body(data, position, events)
                elif body > end or self._header:
                    position += self._read_cut_header(data, position, events)
                else:
                    word, stream_id, length = _unpack_words(data, position)
                    after = body + length
                    stream = live.get(stream_id)
                    if (
                        word or not length or after > end
                        or stream is None or stream.state is not OPEN or length > stream.window.remaining
                    ):  # fmt: skip
                        position = body
                        self._read_header(word, stream_id, length, events)
                        continue
                    # A whole frame of plain data is the usual case: what the other methods do, but faster.
                    window, consumer, position = stream.window, stream.consumer, after
                    window.remaining -= length
                    if consumer is None:
                        events.append(DataReceived(stream_id, data[body:after]))
                        continue
                    taken = consumer.deliver(data[body:after])
                    if taken:
                        window.consumed += taken
                        if window.consumed >= window.portion and stream.state is not CLOSED:
                            self.portion_consumed(stream, now)
        except ProtocolError as error:
            self.error = error
            self._table.clear()
            self._outbox.clear()
            self._outbox.answer(GO_AWAY, 0, 0, GO_AWAY_PROTOCOL_ERROR)
            raise
        return events

    def portion_consumed(self, stream: Stream, now: float) -> None:
        """Return what was consumed of the stream's window: it is worth a frame. The window may change its size.

        Only for a stream that the peer may send on.
        """
        if self._pings.bulk_received(now):
            self.ping(now)
        self._fitting.portion_consumed(stream.window, now)
        self._outbox.update(stream)

    def ping(self, now: float) -> int:
        """Send a ping. Returns its id."""
        ping_id = self._pings.sent(now)
        if self.error is None:
            self._outbox.answer(PING, SYN, 0, ping_id)
        return ping_id

    def _read_cut_header(self, data: bytes, position: int, events: list[Event]) -> int:
        """The next bytes of a header that was cut. Returns how many that was."""
        piece = data[position : position + HEADER_BYTES - len(self._header)]
        self._header += piece
        if len(self._header) == HEADER_BYTES:
            header, self._header = self._header, b""
            word, stream_id, length = _unpack_words(header)
            self._read_header(word, stream_id, length, events)
        return len(piece)

    def _read_header(self, word: int, stream_id: int, length: int, events: list[Event]) -> None:
        if word >> 24 != VERSION:
            raise InvalidVersion(f"version {word >> 24}")
        kind, flags = word >> 16, word & 0xFFFF
        if kind == DATA:
            self._read_data(flags, stream_id, length, events)
        else:
            self._read_control(kind, flags, stream_id, length, events)

    def _read_body(self, data: bytes, position: int, events: list[Event]) -> int:
        """What `data` has of the current frame's body. Returns how many bytes that was."""
        piece = data[position : position + self._body_left]
        size = len(piece)
        self._body_left = left = self._body_left - size
        stream = self._body_stream
        if stream is None or stream.state is CLOSED:  # we reset it after its header came
            return size
        window = stream.window
        window.announced = left
        consumer = stream.consumer
        if consumer is None:
            events.append(DataReceived(stream.id, piece))
        else:
            taken = consumer.deliver(piece) or 0
            window.consumed += taken  # not in one line: the owner may have changed it meanwhile
            if window.consumed >= window.portion and stream.state is not CLOSED:
                self.portion_consumed(stream, self.now)
        if self._body_ends_stream and not left and stream.id in self._live:  # its owner did not reset it
            self._receive_fin(stream, events)
        return size

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
                self._receive_flags(stream, flags, events, length)
            else:
                self._pings.bulk_sent(self.now)
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
        if self._table.admit(stream_id) is None:
            self._answer(WINDOW_UPDATE, RST, stream_id, 0)
        else:
            events.append(StreamOpened(stream_id))

    def _receive_flags(self, stream: Stream, flags: int, events: list[Event], code: int = 0) -> None:
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
            events.append(StreamReset(stream.id, code))

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
        rtt = self._pings.answered(value, self.now)
        if rtt is not None:
            events.append(PongReceived(rtt))
            if self._pings.begins:
                self.ping(self.now)

    def _answer(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        self._outbox.answer(kind, flags, stream_id, length)
        if self._outbox.answer_bytes > self._control_bytes:
            raise FloodError(f"{self._outbox.answer_bytes} bytes of answers wait for the peer to read them")
