"""The process account: how many bytes this process really holds for others, against its marks.

Counted are bytes received and not yet taken by their consumer, and bytes waiting to leave. Promised windows are
not: 10,000 idle streams promise 2.5 GB and hold nothing. One account per process; every link counts into it.
"""


class Account:
    """Bytes held. Never blocks and never raises: it counts and answers."""

    __slots__ = ("held_bytes", "high_mark_bytes")

    def __init__(self, high_mark_bytes: int = 256 * 1024 * 1024) -> None:
        # 256 MiB: a thousand stalled streams at the initial window of 256 KiB.
        self.high_mark_bytes = high_mark_bytes
        self.held_bytes = 0

    def adjust(self, delta_bytes: int) -> None:
        """Hold so many more bytes, or fewer."""
        self.held_bytes += delta_bytes

    def may_grow(self, extra_bytes: int) -> bool:
        """Whether a receive window may grow by so much: not once half of the high mark is really held."""
        return self.held_bytes + extra_bytes < self.high_mark_bytes // 2

    def __repr__(self) -> str:
        return f"<Account {self.held_bytes} of {self.high_mark_bytes} bytes held>"
