"""Counts of the data path: plain numbers on slotted objects, added to by the doors, read at scrape time.

Everything runs on one event loop, so there is no lock: prometheus-client's own counter takes one and costs 0.5 us an
addition, its histogram 0.8 us; a whole message here (count, bytes, duration) costs less than one of them.
Nothing here reads a clock: time is passed in.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

MESSAGE_SECONDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Bucket borders for one message through this process: tens of microseconds, up to the write stall limit of 10 s."""

REQUEST_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""Bucket borders for one request: from a service next door to the idle limit of 5 min; 60 s is the head's limit."""


class Distribution:
    """How many values fell into each bucket, and their sum: a histogram."""

    __slots__ = ("borders", "counts", "total")

    def __init__(self, borders: Sequence[float]) -> None:
        self.borders = tuple(borders)
        """Upper borders, inclusive, ascending; a last bucket without border is implied."""
        self.counts = [0] * (len(self.borders) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.borders, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """Values at or below each border, and all of them last."""
        return list(accumulate(self.counts))


class Traffic:
    """WebSocket messages in one direction. The public side adds to the fields itself, to save a call per message."""

    __slots__ = ("bytes", "durations", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        """Of the messages' payload, in UTF-8 where it is text."""
        self.durations = Distribution(MESSAGE_SECONDS)
        """From a message's last byte in, to the moment when the next hop's transport had all of it."""


class StallTotal:
    """Seconds that all exchanges spent waiting for one side."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


class Stall:
    """How long one exchange waited for one side; each wait is added to the process's total as it ends."""

    __slots__ = ("_since", "_total", "seconds")

    def __init__(self, total: StallTotal) -> None:
        self._total = total
        self._since: float | None = None
        self.seconds = 0.0

    def begin(self, now: float) -> None:
        """It waits from now on; idempotent."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> None:
        """It goes on; idempotent."""
        if self._since is not None:
            passed = now - self._since
            self._since = None
            self.seconds += passed
            self._total.seconds += passed
