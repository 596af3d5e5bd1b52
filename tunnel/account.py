"""The process account: how many bytes this process really holds for others, against its marks.

Counted are bytes received and not yet taken by their consumer, messages being assembled, and bytes waiting to leave.
Promised windows are not: 10,000 idle streams promise 2.5 GB and hold nothing. One account per process; every link
counts into it.

At the high mark new exchanges are refused, windows stop growing, and credit is withheld from consumers that lag. At
the hard mark `on_hard_mark` is called, which resets who has held most for longest.
"""

from collections.abc import Callable


class Account:
    """Bytes held. Never blocks and never raises: it counts, answers, and calls for help at the hard mark."""

    __slots__ = ("hard_mark_bytes", "held_bytes", "high_mark_bytes", "on_hard_mark")

    def __init__(
        self,
        high_mark_bytes: int = 256 * 1024 * 1024,
        hard_mark_bytes: int | None = None,
        on_hard_mark: Callable[[], None] | None = None,
    ) -> None:
        # 256 MiB: a thousand stalled streams at the initial window of 256 KiB.
        self.high_mark_bytes = high_mark_bytes
        self.hard_mark_bytes = hard_mark_bytes if hard_mark_bytes is not None else 2 * high_mark_bytes
        self.on_hard_mark = on_hard_mark
        self.held_bytes = 0

    def adjust(self, delta_bytes: int) -> None:
        """Hold so many more bytes, or fewer."""
        self.held_bytes += delta_bytes
        if self.held_bytes > self.hard_mark_bytes and delta_bytes > 0 and self.on_hard_mark is not None:
            self.on_hard_mark()

    @property
    def above_high_mark(self) -> bool:
        """No new exchange, no credit for those who lag."""
        return self.held_bytes > self.high_mark_bytes

    def may_grow(self, extra_bytes: int) -> bool:
        """Whether a receive window may grow by so much: not once half of the high mark is really held."""
        return self.held_bytes + extra_bytes < self.high_mark_bytes // 2

    def __repr__(self) -> str:
        return f"<Account {self.held_bytes} of {self.high_mark_bytes} bytes held>"


class Holding:
    """What one place holds for others, counted into the account.

    Every place that keeps bytes for somebody else owns one and says only how much it holds. `close` gives everything
    back, and so does the end of the object: bytes cannot stay in the account after the place that held them is gone.
    """

    __slots__ = ("_account", "_closed", "size_bytes")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._closed = False
        self.size_bytes = 0

    def set(self, size_bytes: int) -> None:
        """Hold exactly this much. Ignored after `close`."""
        delta_bytes = size_bytes - self.size_bytes
        if delta_bytes and not self._closed:
            self.size_bytes = size_bytes
            self._account.adjust(delta_bytes)

    def add(self, delta_bytes: int) -> None:
        """Hold this much more, or less where negative. Ignored after `close`."""
        if not self._closed:
            self.size_bytes += delta_bytes
            self._account.adjust(delta_bytes)

    def close(self) -> None:
        """Hold nothing, now and later; idempotent."""
        self.set(0)
        self._closed = True

    def __del__(self) -> None:
        if self.size_bytes:
            self._account.adjust(-self.size_bytes)

    def __repr__(self) -> str:
        return f"<Holding {'closed' if self._closed else f'{self.size_bytes} bytes'}>"
