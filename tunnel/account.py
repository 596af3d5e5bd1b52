"""The account of a process: how many bytes it really holds for others, and its marks.

It counts bytes received and not yet taken by their consumer, messages being assembled, and bytes waiting to be sent.
It does not count promised windows: 10,000 idle streams promise 2.5 GB and hold nothing. There is one account per
process, and all links count into it.

Above the high mark windows stop growing, consumers that lag get no credit, and `on_high_mark` is called, once until
`eased`: it ends the exchanges that stall. Only where that does not help it sets `is_full`, and new exchanges are
refused. Above the hard mark `on_hard_mark` is called; it resets the exchanges that have held most for longest.
"""

from collections.abc import Callable


class Account:
    """Counts the bytes held. Never blocks and never raises."""

    __slots__ = (
        "hard_mark_bytes",
        "held_bytes",
        "high_mark_bytes",
        "is_full",
        "is_pressed",
        "on_hard_mark",
        "on_high_mark",
    )

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
        self.on_high_mark: Callable[[], None] | None = None
        """Set once this is known."""
        self.held_bytes = 0
        self.is_pressed = False
        """`on_high_mark` was called, and what it began is not over."""
        self.is_full = False
        """Above the high mark there is no room for new exchanges. Whoever hears `on_high_mark` says so."""

    def adjust(self, delta_bytes: int) -> None:
        """Count this many more bytes, or fewer if negative."""
        self.held_bytes += delta_bytes
        if self.held_bytes > self.high_mark_bytes and delta_bytes > 0:
            self._pass_marks()

    def eased(self) -> None:
        """What `on_high_mark` began is over: call it again the next time."""
        self.is_pressed = self.is_full = False

    @property
    def above_high_mark(self) -> bool:
        """Whether windows stop growing and consumers that lag get no credit."""
        return self.held_bytes > self.high_mark_bytes

    @property
    def refuses(self) -> bool:
        """Whether new exchanges are refused."""
        return self.is_full and self.held_bytes > self.high_mark_bytes

    def may_grow(self, extra_bytes: int) -> bool:
        """Whether a receive window may grow by this much: not above half of the high mark."""
        return self.held_bytes + extra_bytes < self.high_mark_bytes // 2

    def _pass_marks(self) -> None:
        if not self.is_pressed and self.on_high_mark is not None:
            self.is_pressed = True
            self.on_high_mark()
        if self.held_bytes > self.hard_mark_bytes and self.on_hard_mark is not None:
            self.on_hard_mark()

    def __repr__(self) -> str:
        return f"<Account {self.held_bytes} of {self.high_mark_bytes} bytes held>"


class Holding:
    """The bytes that one place holds for others, counted in the account.

    Each place that keeps bytes for others owns one, and only says how much it holds. `close` gives everything back,
    and so does the end of the object: no bytes stay in the account once the place that held them is gone.
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
