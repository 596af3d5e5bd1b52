"""How long to wait before a gateway is dialled again.

Never sleeps and reads no clock: it is told how the last attempt went, and answers with seconds. A gateway that was away
for up to one second has its link back within two, also when the lost link was young: 0.2 + 0.4 + 0.8 s, each at most
20 % longer, are 1.7 s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

FIRST_SECONDS = 0.2
CAP_SECONDS = 15.0
STABLE_SECONDS = 10.0
"""A link that was registered for this long was sound: after it the delays start over."""
REVOKED_SECONDS = 60.0
"""After a 401: the token is revoked. Only a new one helps, which is read at the next dial."""
_random = SystemRandom()
_JITTER = 0.2
"""Every delay is up to this part shorter or longer, so that agents that lost the same gateway spread out."""
_YOUNG_ATTEMPT = 1
"""Where the delays go on after a registered link was lost too early: 0.4 s, which is no hot loop."""


@dataclass(slots=True, frozen=True)
class Outcome:
    """How one attempt went: seconds registered (None: never was), and whether the token is revoked."""

    registered_seconds: float | None = None
    revoked: bool = False


class Backoff:
    """The delays of one gateway."""

    def __init__(self, jitter: Callable[[float, float], float] = _random.uniform) -> None:
        self._jitter = jitter
        self._attempt = 0

    def __repr__(self) -> str:
        return f"<Backoff attempt {self._attempt}>"

    def delay_after(self, outcome: Outcome) -> float:
        """Seconds to wait now; every call counts as one more attempt."""
        factor = self._jitter(1 - _JITTER, 1 + _JITTER)
        if outcome.revoked:
            return REVOKED_SECONDS * factor
        if outcome.registered_seconds is not None:
            stable = outcome.registered_seconds >= STABLE_SECONDS
            self._attempt = 0 if stable else min(self._attempt, _YOUNG_ATTEMPT)
        delay = min(FIRST_SECONDS * 2.0**self._attempt, CAP_SECONDS)
        if delay < CAP_SECONDS:
            self._attempt += 1
        return min(delay * factor, CAP_SECONDS)
