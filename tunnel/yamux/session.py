"""A yamux v0 session, sans-I/O: bytes in, events out; calls in, bytes out.

It never reads a clock (time is passed in), never waits, never logs, and keeps no received data. The wire format and
the rules are hashicorp's (github.com/hashicorp/yamux, session.go and stream.go). It is stricter where hashicorp's
receiver accepts what its sender never sends (parity and reuse of ids, overflow of credit): it ends the session.

Invariants:
- a stream is in the table from `open_stream`, or its SYN, until both FINs or an RST have passed;
- it never sends more data than the peer's credit, two FINs, an id twice, or an ACK as the opener;
- a FIN is a frame of its own: hashicorp's reader may see the end before the data of the same frame;
- after a `ProtocolError` the session holds one go-away frame and nothing else.
"""

from tunnel.yamux.batch import BATCH_BYTES, Batch
from tunnel.yamux.errors import GoneAway, StreamClosed
from tunnel.yamux.fitting import Fitting, Memory, Unlimited
from tunnel.yamux.frames import GO_AWAY
from tunnel.yamux.ids import Role
from tunnel.yamux.limits import Limits
from tunnel.yamux.outbox import Outbox
from tunnel.yamux.pings import Pings
from tunnel.yamux.receiver import Receiver
from tunnel.yamux.stream import QUEUED, REMOTE_ENDED, Consumer, Move
from tunnel.yamux.table import StreamTable
from tunnel.yamux.windows import ReceiveWindow


class Session:
    """One end of a yamux connection. `memory` is asked before a receive window grows."""

    def __init__(self, role: Role, limits: Limits | None = None, *, memory: Memory | None = None) -> None:
        self._role = role
        self._limits = limits = limits or Limits()
        self._frame_bytes = limits.frame_bytes
        self._pings = Pings()
        self.outbox = Outbox(limits.frame_bytes, limits.lone_frame_bytes, limits.send_buffer_bytes // 2)
        """What waits to be sent: for the owner to look at. It may take what is packed; all else is for the session."""
        self._table = StreamTable(role, limits, self.outbox)
        self._streams = self._table.live
        fitting = Fitting(limits, self._pings, memory or Unlimited())
        self._receiver = Receiver(self._table, self.outbox, self._pings, limits, fitting)
        self.receive_data = self._receiver.read
        """Takes bytes of the peer and the time, and returns the events: see `Receiver.read`."""

    def __repr__(self) -> str:
        error = self._receiver.error
        if error is not None:
            state = type(error).__name__
        elif self._table.refusing or self._table.peer_refuses:
            state = "going away"
        else:
            state = "open"
        table = self._table
        rtt = "?" if self.rtt is None else f"{self.rtt * 1000:.1f} ms"
        return (
            f"<Session {self._role.value}, {state}, {len(self._streams)} streams "
            f"({table.unacknowledged} unacknowledged, {table.waiting} waiting, {table.pending} to accept), "
            f"{self.buffered_bytes} bytes buffered, rtt {rtt}>"
        )

    # --- what the owner may look at ---

    @property
    def rtt(self) -> float | None:
        """The round trip of the path without queues, in seconds; None before the third pong."""
        return self._pings.rtt

    @property
    def buffered_bytes(self) -> int:
        """Bytes in all send buffers."""
        return self.outbox.unsent_bytes

    @property
    def wants_to_send(self) -> bool:
        """`data_to_send` would return something."""
        return bool(self.outbox)

    def totals(self) -> tuple[int, int, int]:
        """How many streams are live, the bytes of their receive windows, and how many stall.

        A stream stalls while data waits that the peer gives no credit for, or that our consumer has not acknowledged.
        Looks at every stream.
        """
        window_bytes = stalled = 0
        for stream in self._streams.values():
            window = stream.window
            window_bytes += window.size
            if (stream.credit <= 0 and stream.buffer.size) or window.unread:
                stalled += 1
        return len(self._streams), window_bytes, stalled

    def buffered(self, stream_id: int) -> int:
        """Bytes in the stream's send buffer; 0 for an unknown id."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else self.outbox.unsent_bytes_of(stream)

    # --- streams ---

    def open_stream(self) -> int:
        """Open a stream. It takes data at once; nothing is sent before `data_to_send`.

        Above `max_unacknowledged_opens` it waits in the session for its turn. Raises `GoneAway`, `TooManyStreams` or
        `StreamIdsExhausted`.
        """
        if self._table.peer_refuses or self._receiver.error is not None:
            raise GoneAway("the peer takes no new streams")
        return self._table.open().id

    def window_of(self, stream_id: int) -> ReceiveWindow:
        """The receive window of a live stream: for its owner to look at, never to change."""
        return self._streams[stream_id].window

    def deliver_to(self, stream_id: int, consumer: Consumer) -> None:
        """From now on the stream's data goes to `consumer`, from within `receive_data`, instead of into events.

        It comes in its order with the end of the stream, though not with events of other streams. It must not raise,
        nor call `receive_data`. What it returns is acknowledged as by `acknowledge`: bytes that the consumer
        took, of these or of earlier ones, and that were not acknowledged yet.
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.consumer = consumer

    def accept_stream(self, stream_id: int) -> None:
        """Accept a stream of the peer. Idempotent; unknown ids are ignored (the peer may have reset it)."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.pending:
            self._table.accept(stream)
            self.outbox.update(stream)

    def send_data(self, stream_id: int, data: bytes | bytearray | memoryview) -> bool:
        """Take all of `data`. False: the buffer is full, so wait for the id in `take_writable`.

        A memoryview must be of single, contiguous bytes. Accepts the stream if that was not done yet. Raises
        `StreamClosed` if it was ended or reset, or never existed.
        """
        stream = self._streams.get(stream_id)
        if stream is not None and stream.settled:
            if self.outbox.pack(stream, data):
                return True
        elif stream is None or stream.ending:
            raise StreamClosed(f"stream {stream_id} takes no data")
        elif stream.pending:
            self._table.accept(stream)  # without an update: the ACK rides on the data
        if data:
            self.outbox.append(stream, data if type(data) is bytes else bytes(data))
        elif stream.ack_due:
            self.outbox.update(stream)
        if stream.buffer.size >= self._limits.send_buffer_bytes:
            stream.full = True
        return not stream.full

    def end_stream(self, stream_id: int) -> None:
        """End our direction (FIN) after what is buffered. Idempotent; unknown ids are ignored."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.ending:
            return
        if stream.pending:
            self._table.accept(stream)
        self.outbox.end(stream)

    def reset_stream(self, stream_id: int, code: int = 0) -> None:
        """Abort both directions (RST) and drop what is buffered. Idempotent; unknown ids are ignored.

        No event of the stream is reported after this. For a stream whose SYN was not sent, nothing is sent. `code`, up
        to 65,535, says why, to a peer that reads it (`StreamReset`): to others it is credit that nobody can use.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.state is not QUEUED:
            self.outbox.reset(stream, code)
        stream.move(Move.RST_SENT)
        self._table.remove(stream)

    # --- flow control ---

    def acknowledge(self, stream_id: int, size: int, now: float) -> bool:
        """The consumer took `size` received bytes. Credit goes back in portions; the window may change its size.

        True: there is something to send now. Unknown and ended streams are ignored. Raises ValueError for more than
        was received.
        """
        self._receiver.now = now
        stream = self._streams.get(stream_id)
        if stream is None or stream.state is REMOTE_ENDED:
            return False
        if not stream.window.acknowledge(size):
            return False
        self._receiver.portion_consumed(stream, now)
        return True

    def restrain(self, stream_id: int, most_bytes: int) -> int:
        """Send at most so many bytes on a stream that was just opened, until `release`. Returns what is kept back."""
        stream = self._streams[stream_id]
        kept = max(stream.credit - most_bytes, 0)
        stream.credit -= kept
        return kept

    def release(self, stream_id: int, kept: int) -> None:
        """Give back the credit that `restrain` kept. Unknown ids are ignored."""
        stream = self._streams.get(stream_id)
        if stream is not None and kept:
            stream.credit += kept
            self.outbox.ready(stream)

    def take_writable(self) -> list[int]:
        """Live streams that were full and have drained to half the mark since the last call."""
        drained = self.outbox.drained
        if not drained:
            return []
        writable = list(drained)
        drained.clear()
        return writable

    # --- the session ---

    def ping(self, now: float) -> int:
        """Send a ping; `PongReceived` follows. Returns its id."""
        self._receiver.now = now
        return self._receiver.ping(now)

    def go_away(self, code: int = 0, *, refuse: bool = True) -> None:
        """Ask the peer to open no streams. Live streams and our own opens continue. Idempotent.

        `refuse`: reset those that come all the same. Else they are told as ever, for the caller to answer.
        """
        if not self._table.refusing and self._receiver.error is None:
            self.outbox.answer(GO_AWAY, 0, 0, code)
            self._table.refusing = refuse

    def next_batch(self, limit: int = BATCH_BYTES, frame_bytes: int = BATCH_BYTES) -> Batch:
        """The next whole frames to send, at most `limit` bytes; b"" if nothing can be sent now.

        Control frames come first, then streams with little to send, then the others in turns; while several wait,
        each gets at most `frame_bytes` of data a turn (and `Limits.frame_bytes`). A limit too small for a frame
        gives b"".
        """
        outbox = self.outbox
        most = self._frame_bytes
        batch = outbox.take(limit, frame_bytes if frame_bytes < most else most)  # noqa: FURB136 (a call, every batch)
        if outbox.closed:
            for stream in outbox.closed:
                self._table.remove(stream)
            outbox.closed.clear()
        return batch

    def data_to_send(self, limit: int = BATCH_BYTES) -> bytes:
        """`next_batch` in one piece."""
        return bytes(self.next_batch(limit))
