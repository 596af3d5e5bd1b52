"""How long to wait before a gateway is dialled again.

Never sleeps and reads no clock: it is told how the last attempt went and when, and answers with seconds. A gateway that
was away for up to one second has its link back within two, also when the lost link was young: 0.2 + 0.4 + 0.8 s, each
at most 20 % longer, are 1.7 s. One that is away for longer, as when its node restarts, is dialled every 1 to 2 s for
two minutes: whoever waits for this agent waits no longer than that once the gateway is back. Then the delays grow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

FIRST_SECONDS = (0.2, 0.4, 0.8)
OFTEN_SECONDS = (1.0, 2.0)
"""Between two attempts that follow these, at least and at most. It is random, so that agents that lost the same gateway
spread out: 10,000 of them are 6,700 attempts a second."""
OFTEN_FOR_SECONDS = 120.0
"""Since the link was lost, or since the first attempt that failed."""
RARELY_SECONDS = (4.0, 8.0, 15.0)
"""The delays from then on; the last one stays."""
STABLE_SECONDS = 10.0
"""A link that was registered for this long was sound: after it the delays start over."""
REVOKED_SECONDS = 60.0
"""After a 401: the token is revoked. Only a new one helps, which is read at the next dial."""
HURRIED_SECONDS = 1.0
"""The least delay when the host's addresses or routes change meanwhile. Where containers start and stop, they change
many times a second."""
_random = SystemRandom()
_JITTER = 0.2
"""Every other delay is up to this part shorter or longer."""
_YOUNG_ATTEMPT = 1
"""Where the delays go on after a registered link was lost too early: 0.4 s, which is no hot loop."""


@dataclass(slots=True, frozen=True)
class Outcome:
    """How one attempt went: seconds registered (None: never was), and whether the token is revoked."""

    registered_seconds: float | None = None
    revoked: bool = False


def least_delay(delay: float, outcome: Outcome) -> float:
    """What is left of `delay` after `outcome` when the host's addresses change; another address mends no token."""
    return delay if outcome.revoked else min(delay, HURRIED_SECONDS)


class Backoff:
    """The delays of one gateway."""

    def __init__(self, jitter: Callable[[float, float], float] = _random.uniform) -> None:
        self._jitter = jitter
        self._attempt = 0
        self._rare_attempt = 0
        self._since: float | None = None  # when the link was lost, or the first attempt failed

    def __repr__(self) -> str:
        return f"<Backoff attempt {self._attempt}>"

    def delay_after(self, outcome: Outcome, now: float) -> float:
        """Seconds to wait at `now`; every call counts as one more attempt."""
        if outcome.revoked:
            return self._about(REVOKED_SECONDS)
        if outcome.registered_seconds is not None:
            is_stable = outcome.registered_seconds >= STABLE_SECONDS
            self._attempt = 0 if is_stable else min(self._attempt, _YOUNG_ATTEMPT)
            self._rare_attempt, self._since = 0, now
        if self._since is None:
            self._since = now
        attempt = self._attempt
        self._attempt += 1
        if attempt < len(FIRST_SECONDS):
            return self._about(FIRST_SECONDS[attempt])
        if now - self._since < OFTEN_FOR_SECONDS:
            return self._jitter(*OFTEN_SECONDS)
        delay = RARELY_SECONDS[self._rare_attempt]
        self._rare_attempt = min(self._rare_attempt + 1, len(RARELY_SECONDS) - 1)
        return min(self._about(delay), RARELY_SECONDS[-1])

    def _about(self, seconds: float) -> float:
        return seconds * self._jitter(1 - _JITTER, 1 + _JITTER)
