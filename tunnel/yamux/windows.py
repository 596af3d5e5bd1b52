"""Flow control of one stream: the window that we give, and the credit that we got.

The receive window's bytes are always in one of four places, and `size` is their sum:
`remaining` (the peer may send them), unread (delivered, not yet acknowledged by the consumer), `consumed`
(acknowledged, below half a window, so not yet worth a frame) and `due` (to be returned with the next update).
What is due counts as remaining only once it was put on the wire. A window never shrinks.

Growth is by evidence, as in rust-yamux: a half window that was consumed in less than two round trips since
the last update means that the window, not the consumer, is the brake. Without a measured round trip it stays, and
so does the window of a consumer that still holds some of what was delivered: more would only wait there.
"""

from collections.abc import Callable

from tunnel.yamux.errors import CreditOverflow
from tunnel.yamux.frames import MAX_LENGTH


class ReceiveWindow:
    """What the peer may still send on one stream, and what it gets back."""

    __slots__ = ("consumed", "due", "last_update", "remaining", "size")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self.remaining = size
        self.consumed = 0
        self.due = 0
        self.last_update = now

    @property
    def unread(self) -> int:
        """Bytes delivered that the consumer has not acknowledged."""
        return self.size - self.remaining - self.consumed - self.due

    def acknowledge(self, taken: int) -> bool:
        """The consumer took `taken` bytes; True when half a window waits to be returned.

        Raises ValueError for more than was delivered: returning it would promise what nobody has room for.
        """
        if not 0 <= taken <= self.size - self.remaining - self.consumed - self.due:
            raise ValueError(f"{taken} bytes acknowledged, {self.unread} unread")
        self.consumed += taken
        return self.consumed * 2 >= self.size

    def grow(self, now: float, rtt: float | None, max_size: int, may_grow: Callable[[int], bool]) -> None:
        """Double (up to `max_size`) if the half window just consumed shows that the window is the brake."""
        extra = min(self.size, max_size - self.size)
        if rtt is None or now - self.last_update >= 2 * rtt or extra <= 0 or self.unread or not may_grow(extra):
            return
        self.size += extra
        self.due += extra

    def release(self, now: float) -> None:
        """All that was consumed becomes due."""
        self.due += self.consumed
        self.consumed = 0
        self.last_update = now

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
