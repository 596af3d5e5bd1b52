"""Flow control of one stream: the window that we give, and the credit that we got.

The receive window's bytes are always in one of five places, and `size` is their sum: `remaining` (the peer may
send them), `announced` (a header counted them, the body is on its way), unread (delivered, not yet acknowledged by
the consumer), `consumed` (acknowledged, below a portion, so not yet worth a frame) and `due` (to be returned with the
next update). What is due counts as remaining only once it was put on the wire. A window shrinks only by what was
consumed: the peer never has to give back what it was promised.

Credit goes back in small portions. If it waited for half a window, the rest of a burst below that half would come back
a round trip late, and the stream would have half of its window only. `fitting.py` decides how large a window is.
"""

from tunnel.yamux.errors import CreditOverflow
from tunnel.yamux.evidence import Evidence
from tunnel.yamux.frames import MAX_LENGTH

_PORTION_BYTES = 65_536
"""One batch of the sender's. A quarter of the initial window, so a stream at rest has at least three quarters of it."""
_PORTIONS = 16
"""Of a large window: 16 updates for each time that it passes."""


def portion_of(size: int) -> int:
    """How many consumed bytes of a window of this size are worth an update."""
    return min((size + 3) // 4, max(_PORTION_BYTES, size // _PORTIONS))


class ReceiveWindow:
    """What the peer may still send on one stream, and what it gets back."""

    __slots__ = ("announced", "consumed", "due", "evidence", "portion", "remaining", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.remaining = size
        self.announced = 0
        self.consumed = 0
        self.due = 0
        self.portion = portion_of(size)
        """From so many consumed bytes on, they are returned."""
        self.evidence: Evidence | None = None
        """How fast the consumer is; None before the first portion, which most streams never reach."""

    @property
    def unread(self) -> int:
        """Bytes delivered that the consumer has not acknowledged."""
        return self.size - self.remaining - self.announced - self.consumed - self.due

    def acknowledge(self, taken: int) -> bool:
        """The consumer took `taken` bytes; True when a portion waits to be returned.

        Raises ValueError for more than was delivered: returning it would promise what nobody has room for.
        """
        if not 0 <= taken <= self.size - self.remaining - self.announced - self.consumed - self.due:
            raise ValueError(f"{taken} bytes acknowledged, {self.unread} unread")
        self.consumed += taken
        return self.consumed >= self.portion

    def grow(self, extra: int) -> None:
        """The peer may have so many bytes more under way; they become due."""
        self.size += extra
        self.due += extra
        self.portion = portion_of(self.size)

    def shrink(self, cut: int) -> None:
        """So many of the consumed bytes are not returned."""
        self.size -= cut
        self.consumed -= cut
        self.portion = portion_of(self.size)

    def release(self) -> None:
        """All that was consumed becomes due."""
        self.due += self.consumed
        self.consumed = 0

    def take_due(self) -> int:
        """The credit for the update that is being written."""
        credit = self.due
        self.due = 0
        self.remaining += credit
        return credit


def add_credit(credit: int, granted: int, stream_id: int) -> int:
    """Our credit after a window update; raises `CreditOverflow` above what a length field can say."""
    total = credit + granted
    if total > MAX_LENGTH:
        raise CreditOverflow(f"stream {stream_id}: {granted} bytes granted on top of {credit}")
    return total
