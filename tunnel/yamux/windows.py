"""Flow control of one stream: the window that we give, and the credit that we got.

The receive window's bytes are always in one of four places, and `size` is their sum:
`remaining` (the peer may send them), unread (delivered, not yet acknowledged by the consumer), `consumed`
(acknowledged, below half a window, so not yet worth a frame) and `due` (to be returned with the next update).
What is due counts as remaining only once it was put on the wire. A window never shrinks.

Growth is by evidence, as in rust-yamux: the window doubles when, within two round trips of the update before,
half a window was consumed and the consumer then had nothing left. Then it waits for the peer, and the peer for
credit: the window is the limit. It need not have nothing left at the moment of the update: one read brings several
frames, and the first are acknowledged while the others wait. Without a measured round trip the window stays, and so
does that of a consumer that never catches up in time: more would only wait there. Each half window is evidence once.
"""

from collections.abc import Callable

from tunnel.yamux.errors import CreditOverflow
from tunnel.yamux.frames import MAX_LENGTH

_NEVER = float("-inf")


class ReceiveWindow:
    """What the peer may still send on one stream, and what it gets back."""

    __slots__ = ("consumed", "due", "grow_before", "last_update", "remaining", "size")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self.remaining = size
        self.consumed = 0
        self.due = 0
        self.last_update = now
        self.grow_before = _NEVER
        """Half a window was consumed: a consumer that has nothing left before this time gets a larger one."""

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

    def release(self, now: float, rtt: float | None = None) -> None:
        """All that was consumed becomes due. With `rtt`: it was half a window, the evidence for `grow`."""
        self.due += self.consumed
        self.consumed = 0
        self.grow_before = _NEVER if rtt is None else self.last_update + 2 * rtt
        self.last_update = now

    def grow(self, now: float, max_size: int, may_grow: Callable[[int], bool]) -> bool:
        """Double (up to `max_size`) if the window is the brake; True when all that the peer lacks became due."""
        if now >= self.grow_before or self.unread:
            return False
        self.grow_before = _NEVER
        extra = min(self.size, max_size - self.size)
        if extra <= 0 or not may_grow(extra):
            return False
        self.size += extra
        self.due += extra
        self.release(now)
        return True

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
