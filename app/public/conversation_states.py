"""The states of a conversation (`conversation.py`), and what may follow each.

    state      may become       because
    OPEN       CLOSING          the service closed, vanished or failed, or we close
    OPEN       PARTED           the client left
    CLOSING    CLOSED, PARTED   the client has the waiting messages, and was given its close; the client left
    CLOSED     PARTED           the client drained its close, or left
    PARTED     OVER             the service ended its side, or did not within 5 s

A conversation that is dropped becomes OVER from any state. OVER is final.

Beside its state, while it is OPEN or CLOSING, each direction flows or waits: for the other side to drain its buffer, or
for the rate limit.
"""

from enum import Enum
from typing import Literal

from tunnel.errors import EndedByOperatorError, LinkLostError, MessageTooLargeError, TunnelError


class State(Enum):
    """Where a conversation is; the module's table says what may follow."""

    OPEN = "messages pass both ways"
    CLOSING = "what the service sent before goes to the client"
    CLOSED = "the client was given its close"
    PARTED = "the client is done; the service is to end"
    OVER = "over"


OPEN, CLOSING, CLOSED, PARTED, OVER = State
"""A name of a module is read at a tenth of the cost of an enumeration's member."""

DONE = (PARTED, OVER)
"""Nothing more goes to the client, nor comes from it."""

By = Literal["client", "service", "gateway"]
"""Who closed."""

END_OF_SERVICE: tuple[str, By] = ("connection to the service lost", "service")
"""What the client is told when the exchange fails, and who closed."""

END_OF_ERROR: dict[type[TunnelError], tuple[str, By]] = {
    LinkLostError: ("connection to the cluster lost", "gateway"),
    EndedByOperatorError: ("ended by the operator", "gateway"),
    MessageTooLargeError: ("message too large for the agent", "gateway"),
}
"""The same, where it was not the service."""
