"""One direction of one WebSocket: its counts, its rate limit, and the time it waited for the receiving side.

Only counts and measures. The conversation passes the messages on and acts on the limits.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable

from ..node.stalls import Lag
from ..observed import access
from ..observed.access import Direction, Record
from ..observed.metrics import Limit, Metrics, Stall, Traffic
from ..rules.policy import Policy, rate_limit


def count(traffic: Traffic, record: Record, size_bytes: int, seconds: float, up: bool) -> None:
    """Count a message that took so long to pass. `up`: it came from the client."""
    traffic.messages += 1
    traffic.bytes += size_bytes
    durations = traffic.durations  # inlined: this runs for every message
    durations.counts[bisect_left(durations.borders, seconds)] += 1
    durations.total += seconds
    if up:
        record.messages_up += 1
        record.bytes_up += size_bytes
    else:
        record.messages_down += 1
        record.bytes_down += size_bytes


def looks_at_each(policy: Policy) -> bool:
    """Whether a passage has more to do with a message than to count it: there is a rate limit, or each is logged."""
    return access.logs_messages() or rate_limit(policy, 0.0) is not None


class Passage:
    """One direction of one WebSocket. `end` cancels whatever still waits."""

    __slots__ = (
        "_direction",
        "_logs_messages",
        "_metrics",
        "_rate",
        "_record",
        "_stall",
        "_timer",
        "_traffic",
        "_unsent_bytes",
        "_up",
        "blocked_since",
        "limited",
    )

    def __init__(self, direction: Direction, policy: Policy, metrics: Metrics, record: Record) -> None:
        self._direction = direction
        self._metrics = metrics
        self._record = record
        up = self._up = direction == "client_to_service"
        self._traffic = metrics.client_to_service if up else metrics.service_to_client
        self._stall = Stall(metrics.stalled_by_service if up else metrics.stalled_by_client)
        self._rate = rate_limit(policy, time.monotonic())
        self._logs_messages = access.logs_messages()
        self._timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0
        self.limited = self._rate is not None
        self.blocked_since: float | None = None
        """When the receiving side stopped reading; None while it reads."""

    @property
    def slowed(self) -> bool:
        """Whether the rate limit is holding a message back."""
        return self._timer is not None

    def passed(self, size_bytes: int, arrived: float, now: float) -> None:
        """Count a message that was complete at `arrived` and has now been passed on."""
        count(self._traffic, self._record, size_bytes, now - arrived, self._up)
        if self._logs_messages:
            access.emit_message(self._record, self._direction, size_bytes)

    def all_passed(self, messages: list[tuple[int, float]]) -> None:
        """Count these, of which each has a size and the time it was complete at: they have all now been passed on."""
        now = time.monotonic()
        for size_bytes, arrived in messages:
            self.passed(size_bytes, arrived, now)

    @property
    def is_at_rest(self) -> bool:
        """Nothing waits, and there is nothing that the next message would have to know."""
        return self.blocked_since is None and not (self.limited or self._logs_messages or self._timer)

    def admit(self, size_bytes: int) -> float | None:
        """Seconds that the rate limit delays a message (0: none). None: the limit is exceeded."""
        return self._rate.admit(size_bytes, time.monotonic()) if self._rate is not None else 0.0

    def slow_down(self, seconds: float, then: Callable[[], None]) -> None:
        """Hold a message back for `seconds`, then call `then`, which passes it on."""
        self._metrics.limit_hit(Limit.MESSAGES_RATE)
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def hurry(self) -> bool:
        """Cancel the wait for the rate limit. Returns whether a message was waiting."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    def block(self, unsent_bytes: int = 0) -> None:
        """The receiving side has stopped reading, with so much unsent; idempotent."""
        self._unsent_bytes = unsent_bytes
        if self.blocked_since is None:
            self.blocked_since = time.monotonic()
            self._stall.begin(self.blocked_since)

    def overdue(self, now: float, limit_seconds: float, unsent_bytes: int = 0) -> bool:
        """Whether the receiving side has read nothing for too long. While less and less is unsent, it reads."""
        if self.blocked_since is None:
            return False
        before, self._unsent_bytes = self._unsent_bytes, unsent_bytes
        if unsent_bytes < before:
            self.blocked_since = now  # slow, but still reading
        return now - self.blocked_since > limit_seconds

    def lag(self, unsent_bytes: int) -> Lag | None:
        """Whether bytes wait for the receiving side, of which so many are unsent."""
        return Lag(self.blocked_since, unsent_bytes) if self.blocked_since is not None else None

    def unblock(self) -> None:
        """The receiving side reads again; idempotent."""
        if self.blocked_since is not None:
            self.blocked_since = None
            self._stall.end(time.monotonic())

    def end(self) -> float:
        """Cancel all waits. Returns the seconds spent waiting for the receiving side."""
        self.hurry()
        self.unblock()
        return self._stall.seconds
