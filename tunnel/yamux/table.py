"""The live streams of a session, and the slots that they take.

Three bounds apply here: on live streams (including those whose RST has not been sent), on our opens that the peer has
not acknowledged, and on the peer's opens that the application has not accepted. Our opens without a slot wait in
order; the peer's are refused. Removal works by identity, is idempotent, and frees every slot.
"""

from collections import OrderedDict

from tunnel.yamux.errors import TooManyStreams
from tunnel.yamux.ids import Role, StreamIds
from tunnel.yamux.limits import Limits
from tunnel.yamux.outbox import Outbox
from tunnel.yamux.stream import State, Stream
from tunnel.yamux.windows import ReceiveWindow


class StreamTable:
    """The streams of a session. `live` is read-only for others."""

    __slots__ = (
        "_ids",
        "_limits",
        "_outbox",
        "_waiting",
        "live",
        "peer_refuses",
        "pending",
        "refusing",
        "unacknowledged",
    )

    def __init__(self, role: Role, limits: Limits, outbox: Outbox) -> None:
        self._ids = StreamIds(role)
        self._limits = limits
        self._outbox = outbox
        self._waiting: OrderedDict[int, Stream] = OrderedDict()
        self.live: dict[int, Stream] = {}
        self.unacknowledged = 0
        """Our opens that were sent and are not acknowledged."""
        self.pending = 0
        """The peer's opens that are not accepted yet."""
        self.refusing = False
        """We sent a go-away: refuse the peer's opens."""
        self.peer_refuses = False
        """The peer sent a go-away."""

    @property
    def waiting(self) -> int:
        """Our opens that have no slot yet."""
        return len(self._waiting)

    def open(self) -> Stream:
        """Open a stream of ours; it starts when there is a slot.

        Raises `TooManyStreams` or `StreamIdsExhausted`.
        """
        if self._is_crowded():
            raise TooManyStreams(f"{self._limits.max_streams} streams are alive")
        stream = self._add(self._ids.next_local(), State.QUEUED)
        self._waiting[stream.id] = stream
        self._start_waiting()
        return stream

    def admit(self, stream_id: int) -> Stream | None:
        """Add a stream of the peer; None means refuse it. Its id is used up either way.

        Raises `InvalidStreamId` or `DuplicateStream`.
        """
        self._ids.use_remote(stream_id)
        if self.refusing or self.pending >= self._limits.accept_backlog or self._is_crowded():
            return None
        stream = self._add(stream_id, State.OPEN)
        stream.pending = True
        self.pending += 1
        return stream

    def accept(self, stream: Stream) -> None:
        """The application accepted a pending stream: an ACK is due, and its slot in the backlog is free."""
        stream.pending = False
        stream.ack_due = True
        self.pending -= 1

    def acknowledge(self, stream: Stream) -> None:
        """The peer accepted or ended a stream of ours: its slot is free. Idempotent; ignores the peer's streams."""
        if stream.holds_slot:
            stream.holds_slot = False
            self.unacknowledged -= 1
            self._start_waiting()

    def remove(self, stream: Stream) -> None:
        """The stream is closed: drop what it has queued, and free its slots."""
        if self.live.get(stream.id) is not stream:
            return
        del self.live[stream.id]
        stream.consumer = None
        self._waiting.pop(stream.id, None)
        self._outbox.forget(stream)
        if stream.pending:
            stream.pending = False
            self.pending -= 1
        self.acknowledge(stream)

    def remove_queued(self) -> list[int]:
        """Remove the streams whose SYN was not sent; returns their ids."""
        self._waiting.clear()
        queued = [stream for stream in self.live.values() if stream.state is State.QUEUED]
        for stream in queued:
            stream.state = State.CLOSED
            self.remove(stream)
        return [stream.id for stream in queued]

    def clear(self) -> None:
        """The session is over."""
        self.live.clear()
        self._waiting.clear()
        self.pending = self.unacknowledged = 0

    def _add(self, stream_id: int, state: State) -> Stream:
        window = self._limits.initial_window
        stream = self.live[stream_id] = Stream(stream_id, state, ReceiveWindow(window), window)
        return stream

    def _is_crowded(self) -> bool:
        return len(self.live) + self._outbox.reset_count >= self._limits.max_streams

    def _start_waiting(self) -> None:
        while self._waiting and self.unacknowledged < self._limits.max_unacknowledged_opens:
            _, stream = self._waiting.popitem(last=False)
            stream.holds_slot = True
            self.unacknowledged += 1
            self._outbox.start(stream)
