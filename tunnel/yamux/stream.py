"""One stream: which directions are open, and the table of its legal moves.

A stream knows its own state, window, credit and buffer; it never touches queues or the wire. Whether an open
was acknowledged is not part of the state: a FIN may come before the ACK.
"""

from enum import Enum, auto
from typing import Final

from tunnel.yamux.buffer import SendBuffer
from tunnel.yamux.errors import UnexpectedFlag
from tunnel.yamux.windows import ReceiveWindow


class State(Enum):
    """Which directions of a stream are open."""

    QUEUED = auto()
    """Opened by us, SYN not written: for the peer it does not exist."""
    OPEN = auto()
    LOCAL_ENDED = auto()
    """Our FIN was written."""
    REMOTE_ENDED = auto()
    """The peer's FIN, and all data before it, was received."""
    CLOSED = auto()


class Move(Enum):
    """What changes a state. SENT is the moment of writing, not of asking."""

    SYN_SENT = auto()
    FIN_SENT = auto()
    FIN_RECEIVED = auto()
    RST_SENT = auto()
    RST_RECEIVED = auto()


MOVES: Final[dict[tuple[State, Move], State]] = {
    (State.QUEUED, Move.SYN_SENT): State.OPEN,
    (State.QUEUED, Move.RST_SENT): State.CLOSED,  # without a frame: there is nothing to reset
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
"""Of what is missing, only a FIN in REMOTE_ENDED can be the peer's doing (hashicorp: ErrUnexpectedFlag).

Frames for a QUEUED or CLOSED stream never get here: they are frames for an unknown stream.
"""


class Stream:
    """The record of one live stream."""

    __slots__ = (
        "ack_due",
        "buffer",
        "credit",
        "ending",
        "full",
        "holds_slot",
        "id",
        "pending",
        "state",
        "window",
    )

    def __init__(self, stream_id: int, state: State, window: ReceiveWindow, credit: int) -> None:
        self.id = stream_id
        self.state = state
        self.window = window
        self.credit = credit
        """Bytes that the peer allows us to send."""
        self.buffer = SendBuffer()
        self.ending = False
        """`end_stream` was called: FIN follows the buffer."""
        self.full = False
        """`send_data` said False, and the buffer has not drained since."""
        self.holds_slot = False
        """Opened by us, not acknowledged: counts towards `Limits.max_unacknowledged_opens`."""
        self.pending = False
        """Opened by the peer, not accepted: counts towards `Limits.accept_backlog`."""
        self.ack_due = False
        """Accepted, the ACK not written."""

    def move(self, move: Move) -> None:
        """Follow the table; raises `UnexpectedFlag` for a move that is not in it."""
        state = MOVES.get((self.state, move))
        if state is None:
            raise UnexpectedFlag(f"stream {self.id}: {move.name} in state {self.state.name}")
        self.state = state

    @property
    def wants_turn(self) -> bool:
        """Data with credit, or a FIN, could be written now. A queued stream waits for its SYN instead."""
        if self.state is State.QUEUED:
            return False
        if self.buffer.size:
            return self.credit > 0
        return self.ending and self.state in (State.OPEN, State.REMOTE_ENDED)
