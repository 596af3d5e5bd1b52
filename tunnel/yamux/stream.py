"""One stream: which directions are open, and the table of its legal moves.

A stream knows its state, window, credit and buffer. It never touches queues or the wire. Whether an open was
acknowledged is not part of the state, because a FIN may come before the ACK.
"""

from enum import Enum, auto
from typing import Final, Protocol

from tunnel.yamux.buffer import EMPTY, SendBuffer
from tunnel.yamux.errors import UnexpectedFlag
from tunnel.yamux.windows import ReceiveWindow


class State(Enum):
    """Which directions of a stream are open."""

    QUEUED = auto()
    """Opened by us, SYN not sent: it does not exist for the peer."""
    OPEN = auto()
    LOCAL_ENDED = auto()
    """Our FIN was sent."""
    REMOTE_ENDED = auto()
    """The peer's FIN, and all data before it, was received."""
    CLOSED = auto()


OPEN, QUEUED, REMOTE_ENDED, CLOSED = State.OPEN, State.QUEUED, State.REMOTE_ENDED, State.CLOSED
"""By names of the module: read for every frame."""


class Move(Enum):
    """What changes a state. SENT means written to a batch, not just asked for."""

    SYN_SENT = auto()
    FIN_SENT = auto()
    FIN_RECEIVED = auto()
    RST_SENT = auto()
    RST_RECEIVED = auto()


MOVES: Final[dict[tuple[State, Move], State]] = {
    (State.QUEUED, Move.SYN_SENT): State.OPEN,
    (State.QUEUED, Move.RST_SENT): State.CLOSED,  # without a frame: the peer does not know the stream
    (State.OPEN, Move.FIN_SENT): State.LOCAL_ENDED,
    (State.OPEN, Move.FIN_RECEIVED): State.REMOTE_ENDED,
    (State.OPEN, Move.RST_SENT): State.CLOSED,
    (State.OPEN, Move.RST_RECEIVED): State.CLOSED,
    (State.LOCAL_ENDED, Move.FIN_RECEIVED): State.CLOSED,
    (State.LOCAL_ENDED, Move.RST_SENT): State.CLOSED,
    (State.LOCAL_ENDED, Move.RST_RECEIVED): State.CLOSED,
    (State.REMOTE_ENDED, Move.FIN_SENT): State.CLOSED,
    (State.REMOTE_ENDED, Move.RST_SENT): State.CLOSED,
    (State.REMOTE_ENDED, Move.RST_RECEIVED): State.CLOSED,
}
"""Of the missing moves, the peer can cause only a FIN in REMOTE_ENDED (hashicorp: ErrUnexpectedFlag).

Frames for a QUEUED or CLOSED stream never get here: they count as frames for an unknown stream.
"""


class Consumer(Protocol):
    """Who takes the data of a stream."""

    def deliver(self, data: bytes, /) -> int | None:
        """Take this data. Returns what to acknowledge of it, or of earlier data. Must not raise."""


class Stream:
    """The record of one live stream."""

    __slots__ = (
        "ack_due",
        "buffer",
        "consumer",
        "credit",
        "ending",
        "full",
        "holds_slot",
        "id",
        "pending",
        "settled",
        "state",
        "window",
    )

    def __init__(self, stream_id: int, state: State, window: ReceiveWindow, credit: int) -> None:
        self.id = stream_id
        self.state = state
        self.window = window
        self.credit = credit
        """Bytes that the peer allows us to send."""
        self.consumer: Consumer | None = None
        """Takes the peer's data as it is parsed. None: it is reported as events."""
        self.buffer = EMPTY
        self.ending = False
        """`end_stream` was called: FIN follows the buffer."""
        self.full = False
        """`send_data` returned False, and the buffer has not drained since."""
        self.holds_slot = False
        """Opened by us and not acknowledged: counts towards `Limits.max_unacknowledged_opens`."""
        self.pending = False
        """Opened by the peer and not accepted: counts towards `Limits.accept_backlog`."""
        self.ack_due = False
        """Accepted, and the ACK was not sent yet."""
        self.settled = False
        """Its SYN or ACK was sent, and no FIN is asked for: data needs no flags."""

    def move(self, move: Move) -> None:
        """Apply the table. Raises `UnexpectedFlag` for a move that is not in it."""
        state = MOVES.get((self.state, move))
        if state is None:
            raise UnexpectedFlag(f"stream {self.id}: {move.name} in state {self.state.name}")
        self.state = state

    def keep(self, data: bytes) -> None:
        """Let `data`, which must not be empty, wait to be sent."""
        if self.buffer is EMPTY:
            self.buffer = SendBuffer()
        self.buffer.append(data)

    def take(self, size: int, parts: list[bytes | memoryview]) -> None:
        """Move the first `size` bytes that wait to the end of `parts`."""
        self.buffer.take(size, parts)
        if not self.buffer.size:
            self.buffer = EMPTY

    @property
    def wants_turn(self) -> bool:
        """Data with credit, or a FIN, could be sent now. A queued stream has to send its SYN first."""
        if self.state is State.QUEUED:
            return False
        if self.buffer.size:
            return self.credit > 0
        return self.ending and self.state in (State.OPEN, State.REMOTE_ENDED)
