"""Whether this node's wall clock is right, as far as NATS can say: it writes the time of its server into all it sends.

Routes that agents register expire by the wall clock, and any node deletes what has expired. One whose clock is a day
ahead would delete everybody's. So a node whose clock differs from NATS' by more than `MOST_SECONDS`, or that does not
know, deletes nothing: the others do.
"""

import logging
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("gateway.cluster")

MOST_SECONDS: Final = 60.0
"""Agents renew every 5 minutes what lasts for 24 hours."""


class WallClock:
    """That of this node. `ahead`: by how many seconds it is ahead of NATS'; None: it is not known."""

    def __init__(self, ahead: Callable[[], float | None]) -> None:
        self._ahead = ahead
        self._was_wrong = False

    def is_right(self) -> bool:
        """Whether it is known to be. Tells the log when that changes."""
        ahead = self._ahead()
        if ahead is None:
            return False
        is_wrong = abs(ahead) > MOST_SECONDS
        if is_wrong and not self._was_wrong:
            logger.warning(
                "this node's clock is %.0f s %s that of NATS; set the clocks of both (NTP)", *_difference(ahead)
            )
        elif self._was_wrong and not is_wrong:
            logger.info("this node's clock is that of NATS again")
        self._was_wrong = is_wrong
        return not is_wrong

    @property
    def problem(self) -> str | None:
        """What is wrong, for the operator."""
        ahead = self._ahead()
        if ahead is None or abs(ahead) <= MOST_SECONDS:
            return None
        seconds, way = _difference(ahead)
        return f"this node's clock is {seconds:.0f} s {way} that of NATS; set the clocks of both (NTP)"

    def __repr__(self) -> str:
        return f"<WallClock, ahead by {self._ahead()} s>"


def _difference(ahead: float) -> tuple[float, str]:
    return abs(ahead), "ahead of" if ahead > 0 else "behind"
