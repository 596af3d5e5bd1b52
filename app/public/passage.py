"""One direction of one WebSocket: what passed, at which rate it may, and how long it waited for the receiving side.

Counts and keeps time; what is passed on, and what follows from a limit, is the conversation's.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable

from ..observed import access
from ..observed.access import Direction, Record
from ..observed.metrics import Limit, Metrics, Stall
from ..rules.policy import Policy, rate_limit


class Passage:
    """See the module. Its waits end at the latest with `end`."""

    __slots__ = (
        "_direction",
        "_logs_messages",
        "_metrics",
        "_rate",
        "_record",
        "_stall",
        "_timer",
        "_traffic",
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
        self.limited = self._rate is not None
        self.blocked_since: float | None = None
        """Since when the receiving side takes nothing."""

    @property
    def slowed(self) -> bool:
        """A message waits for the rate."""
        return self._timer is not None

    def passed(self, size_bytes: int, arrived: float, now: float) -> None:
        """A message that was whole at `arrived` has passed."""
        traffic, record = self._traffic, self._record
        traffic.messages += 1
        traffic.bytes += size_bytes
        seconds, durations = now - arrived, traffic.durations  # added here, to save a call per message
        durations.counts[bisect_left(durations.borders, seconds)] += 1
        durations.total += seconds
        if self._up:
            record.messages_up += 1
            record.bytes_up += size_bytes
        else:
            record.messages_down += 1
            record.bytes_down += size_bytes
        if self._logs_messages:
            access.emit_message(self._record, self._direction, size_bytes)

    def admit(self, size_bytes: int) -> float | None:
        """Seconds that a message has to wait for the rate (0: none); None: the limit is crossed."""
        return self._rate.admit(size_bytes, time.monotonic()) if self._rate is not None else 0.0

    def slow_down(self, seconds: float, then: Callable[[], None]) -> None:
        """A message waits so long for the rate, and is passed on by `then`."""
        self._metrics.limit_hit(Limit.MESSAGES_RATE)
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def hurry(self) -> bool:
        """Nothing waits for the rate any more; whether something did."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    def block(self) -> None:
        """The receiving side takes nothing from now on; idempotent."""
        if self.blocked_since is None:
            self.blocked_since = time.monotonic()
            self._stall.begin(self.blocked_since)

    def unblock(self) -> None:
        """It takes something again; idempotent."""
        if self.blocked_since is not None:
            self.blocked_since = None
            self._stall.end(time.monotonic())

    def end(self) -> float:
        """All is over: the seconds it waited for the receiving side."""
        self.hurry()
        self.unblock()
        return self._stall.seconds
