"""Delays the answers to the gateway's pings while a service is slow to take an upload.

These dialects have no flow control. Our gateway sends only so much of its uploads beyond the last pong (PROTOCOL.md,
section 5), so late pongs slow it down, and a service that is slower than its client does not lose its upload. They slow
down the link's other uploads too, so a pong is only a little late, and leaves at once when the lag is over; never so
late that the link seems dead. Invariants: every ping is answered once, in order; at most `WAITING_MAX` answers wait; no
timer is left after `lost`.
"""

import asyncio
from collections import deque
from collections.abc import Callable

WAITING_MAX = 64
"""Far more than our gateway has under way: it sends a ping every 64 KiB, and at most 256 KiB beyond the last pong."""

_DELAYS = ((3 * 1024 * 1024, 2.0), (2 * 1024 * 1024, 1.0), (1024 * 1024, 0.25))
"""Bytes that wait for one service, and seconds. With 256 KiB between two pongs that is 1 MiB/s down to 128 KiB/s. A
service that takes nothing loses its upload after about 13 s, which ends the delay."""


class Pongs:
    """The answers of one link. `lag`: the most bytes that wait for any of its services."""

    def __init__(self, lag: Callable[[], int]) -> None:
        self._lag = lag
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None  # for the oldest

    def __repr__(self) -> str:
        return f"<Pongs {len(self._waiting)} late>"

    def asked(self, answer: Callable[[], None]) -> None:
        """A ping came: call `answer`, now or a little later."""
        delay = self._delay()
        if not delay and not self._waiting:
            answer()
            return
        self._waiting.append((self._loop.time() + delay, answer))
        if len(self._waiting) > WAITING_MAX:
            self._answer_oldest()
        self._wait()

    def taken(self) -> None:
        """A service took some of what waits for it."""
        if self._waiting and not self._delay():
            while self._waiting:
                self._answer_oldest()
            self._wait()

    def lost(self) -> None:
        """The link is gone."""
        self._waiting.clear()
        self._wait()

    def _delay(self) -> float:
        lag = self._lag()
        return next((seconds for waiting_bytes, seconds in _DELAYS if lag >= waiting_bytes), 0.0)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._waiting[0][0], self._due) if self._waiting else None

    def _due(self) -> None:
        self._answer_oldest()
        self._wait()

    def _answer_oldest(self) -> None:
        _, answer = self._waiting.popleft()
        answer()
