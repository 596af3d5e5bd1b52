"""When the gateway's pings are answered: a little later while a service does not take its upload.

These dialects have no flow control, but a gateway that keeps only so much of its uploads beyond the last pong (ours
does) is slowed down by late ones, instead of losing the upload of a service that is slower than its client. Other
uploads of the link are slowed down as well, so a pong is late by little, and at once where the lag is over. Never
answers by itself, and never late enough for a link to seem dead. Invariants: every ping is answered once, in order;
at most `WAITING_MAX` answers wait; no timer is left after `lost`.
"""

import asyncio
from collections import deque
from collections.abc import Callable

WAITING_MAX = 64
"""Our gateway asks once for each 64 KiB of 256 KiB."""

_DELAYS = ((3 * 1024 * 1024, 2.0), (2 * 1024 * 1024, 1.0), (1024 * 1024, 0.25))
"""Bytes that wait for one service, and seconds: with 256 KiB between two pongs 128 KiB/s to 1 MiB/s, and some 13 s
until a service that takes nothing has lost its upload, which ends the delay."""


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
        """A ping came: `answer` it, now or a little later."""
        delay = self._delay()
        if not delay and not self._waiting:
            answer()
            return
        self._waiting.append((self._loop.time() + delay, answer))
        if len(self._waiting) > WAITING_MAX:
            self._answer_oldest()
        self._wait()

    def taken(self) -> None:
        """A service took something."""
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
