"""Flow control of one stream: the window that we give, and the credit that we got.

The receive window's bytes are always in one of five places, and `size` is their sum: `remaining` (the peer may
send them), `announced` (a header counted them, the body is on its way), unread (delivered, not yet acknowledged by
the consumer), `consumed` (acknowledged, below half a window, so not yet worth a frame) and `due` (to be returned
with the next update). What is due counts as remaining only once it was put on the wire. A window never shrinks.

Growth is by evidence, as in rust-yamux. The window doubles when, within two round trips of the update before, half
a window was consumed and the consumer caught up: nothing is unread. The window, not the consumer, is then the limit.
The consumer need not have caught up when the update leaves: one read brings several frames, and the first is
acknowledged while the others wait. A half window is evidence once. Without a measured round trip nothing grows, and
a consumer that does not catch up in time gets no more: it would only wait there.
On a short path the pace must have held for `_STEADY_SECONDS`: bursts come at any speed there.
"""

from collections.abc import Callable

from tunnel.yamux.errors import CreditOverflow
from tunnel.yamux.frames import MAX_LENGTH

_NEVER = float("-inf")
_STEADY_SECONDS = 0.02
"""A half window is two messages of 64 KiB, which may come together: below 10 ms of round trip one says nothing."""


class ReceiveWindow:
    """What the peer may still send on one stream, and what it gets back."""

    __slots__ = (
        "announced",
        "brisk_since",
        "consumed",
        "due",
        "grow_before",
        "last_update",
        "remaining",
        "settle_from",
        "size",
    )

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self.remaining = size
        self.announced = 0
        self.consumed = 0
        self.due = 0
        self.last_update = now
        self.grow_before = _NEVER
        """Half a window was consumed: a consumer that has nothing left before this time gets a larger one."""
        self.settle_from = (size + 1) // 2
        """`settle` has nothing to do while less is consumed: half a window, or 0 while the window may yet grow."""
        self.brisk_since = now
        """Since then, each half window was consumed in less than two round trips."""

    @property
    def unread(self) -> int:
        """Bytes delivered that the consumer has not acknowledged."""
        return self.size - self.remaining - self.announced - self.consumed - self.due

    def acknowledge(self, taken: int) -> bool:
        """The consumer took `taken` bytes; True when half a window waits to be returned.

        Raises ValueError for more than was delivered: returning it would promise what nobody has room for.
        """
        if not 0 <= taken <= self.size - self.remaining - self.announced - self.consumed - self.due:
            raise ValueError(f"{taken} bytes acknowledged, {self.unread} unread")
        self.consumed += taken
        return self.consumed * 2 >= self.size

    def settle(self, now: float, rtt: float | None, max_size: int, may_grow: Callable[[int], bool]) -> bool:
        """After bytes were consumed: return half a window, and grow where that is due. True: more is `due` now."""
        returned = self.consumed * 2 >= self.size
        if returned:
            self.release(now, rtt)
        return self.grow(now, max_size, may_grow) or returned

    def release(self, now: float, rtt: float | None = None) -> None:
        """All that was consumed becomes due. With `rtt` it was half a window; without, evidence begins anew."""
        self.due += self.consumed
        self.consumed = 0
        grow_before = _NEVER
        if rtt is None or now - self.last_update >= 2 * rtt:
            self.brisk_since = now
        elif now - self.brisk_since >= _STEADY_SECONDS - 2 * rtt:
            grow_before = self.last_update + 2 * rtt
        self._may_grow_before(grow_before)
        self.last_update = now

    def grow(self, now: float, max_size: int, may_grow: Callable[[int], bool]) -> bool:
        """Double (up to `max_size`) if the window is the brake; True when all that the peer lacks became due."""
        in_time = now < self.grow_before
        if in_time and self.unread:
            return False
        self._may_grow_before(_NEVER)
        if not in_time:
            return False
        extra = min(self.size, max_size - self.size)
        if extra <= 0 or not may_grow(extra):
            return False
        self.size += extra
        self.due += extra
        self.release(now)
        return True

    def _may_grow_before(self, time: float) -> None:
        self.grow_before = time
        self.settle_from = (self.size + 1) // 2 if time == _NEVER else 0

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
