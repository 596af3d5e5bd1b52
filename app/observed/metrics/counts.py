"""Counts of the data path: plain numbers on slotted objects. The public side adds to them, a scrape reads them.

Everything runs on one event loop, so there is no lock. Prometheus-client's counter takes a lock and costs 0.5 us per
addition, its histogram 0.8 us; counting a whole message here (number, bytes, duration) costs less than either.
Nothing here reads a clock: callers pass the time in.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

MESSAGE_SECONDS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Bucket borders for one message through this process: from tens of microseconds to the write timeout of 10 s."""

REQUEST_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""Bucket borders for one request: from a nearby service to the idle timeout of 5 min. 60 s is the head timeout."""

HEAD_SECONDS = (0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bucket borders for the heads of one cluster's answers, all of them borders of REQUEST_SECONDS too. Few, because there
are a thousand clusters, and enough for an objective: it is stated at a border."""

LAG_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bucket borders for how late the gateway's own tick is: 2 ms is the clocks' inexactness, 5 ms one slice of work."""

_FEW = 6
"""Up to so many values are added one by one: to look for every border among them would cost more."""


class Distribution:
    """How many values fell into each bucket, and their sum: a histogram."""

    __slots__ = ("borders", "counts", "total")

    def __init__(self, borders: Sequence[float]) -> None:
        self.borders = tuple(borders)
        """Upper borders, inclusive and ascending. A last bucket without a border is implied."""
        self.counts = [0] * (len(self.borders) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.borders, value)] += 1
        self.total += value

    def add_all(self, values: list[float]) -> None:
        """Count these values, and sort the list: for many, at a third of what `add` costs for each."""
        if len(values) <= _FEW:
            for value in values:
                self.add(value)
            return
        self.total = sum(values, self.total)
        values.sort()
        reached = [0, *(bisect_right(values, border) for border in self.borders), len(values)]
        for bucket, (below, up_to) in enumerate(pairwise(reached)):
            self.counts[bucket] += up_to - below

    def cumulative(self) -> list[int]:
        """How many values are at or below each border, and last the total."""
        return list(accumulate(self.counts))


class Traffic:
    """WebSocket messages in one direction. The public side adds to the fields itself, to save a call per message."""

    __slots__ = ("bytes", "durations", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        """Payload bytes; text counts in UTF-8."""
        self.durations = Distribution(MESSAGE_SECONDS)
        """From a message's last byte in, to the moment when the next hop's transport had all of it."""


class Tls:
    """The public listener's TLS: handshakes by how they ended, and renewals of its certificate."""

    __slots__ = ("begun", "failed", "not_after", "ok", "renewals", "renewals_failed", "unfinished")

    def __init__(self) -> None:
        self.begun = 0
        self.ok = 0
        self.failed = 0
        """Ended by an error of either side: no TLS at all, no common version, a certificate that is not trusted."""
        self.unfinished = 0
        """The client left, or was too slow."""
        self.renewals = 0
        self.renewals_failed = 0
        self.not_after: float | None = None
        """The end of the certificate's validity, in seconds since the epoch. None: there is no TLS."""

    @property
    def under_way(self) -> int:
        """Handshakes that have not ended."""
        return self.begun - self.ok - self.failed - self.unfinished


class Reloads:
    """Times that the configuration was read again, by what came of it."""

    __slots__ = ("applied", "refused", "succeeded_at", "successful", "unchanged")

    def __init__(self) -> None:
        self.applied = 0
        self.unchanged = 0
        self.refused = 0
        """Wrong, or it could not be read: the old one stays in force."""
        self.successful = True
        """The last one was not refused."""
        self.succeeded_at: float | None = None
        """The last one that was not, or the start; in seconds since the epoch. None: the gateway did not start."""

    def took(self, now: float, *, changed: bool) -> None:
        """The configuration was read and is in force."""
        if changed:
            self.applied += 1
        else:
            self.unchanged += 1
        self.successful, self.succeeded_at = True, now

    def failed(self) -> None:
        """It was refused."""
        self.refused += 1
        self.successful = False


class StallTotal:
    """Seconds that all exchanges have waited for one side."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


class Stall:
    """How long one exchange has waited for one side. Each wait is added to the total when it ends."""

    __slots__ = ("_since", "_total", "seconds")

    def __init__(self, total: StallTotal) -> None:
        self._total = total
        self._since: float | None = None
        self.seconds = 0.0

    def begin(self, now: float) -> None:
        """The wait starts; idempotent."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> None:
        """The wait ends; idempotent."""
        if self._since is not None:
            passed = now - self._since
            self._since = None
            self.seconds += passed
            self._total.seconds += passed
