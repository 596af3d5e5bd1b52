"""When to ask a link for a sign of life, and when it is dead.

Reads no clock: time is passed in. A ping leaves every `ping_seconds`; a link is dead when nothing at all was heard for
`dead_seconds` after a ping. Anything received counts, not only the pong, so a busy link stays alive while its pong
waits behind much data. `probe` asks at once and waits no longer than `PROBE_SECONDS`: for a path that may be gone.
"""

from collections import deque

PROBE_SECONDS = 2.0
"""For an answer where the path is in doubt: the host has another address, or this process was stopped for a while."""
PROBE_EVERY_SECONDS = 1.0
"""Addresses change in bursts; one probe answers for all of them."""
_PAUSE_SECONDS = 2.0
"""Later than this, a look says that the process or its machine stood still."""


class Liveness:
    """The pings of one link."""

    def __init__(self, ping_seconds: float, dead_seconds: float, now: float) -> None:
        self.ping_seconds = ping_seconds
        self.dead_seconds = dead_seconds
        self._next_ping = now + ping_seconds
        self._unanswered: deque[tuple[float, float]] = deque()  # when each left, and until when it may be unanswered
        self._probed_at = float("-inf")
        self._ahead: float | None = None  # wall clock minus the loop's clock, which stands still while a machine sleeps
        self.heard_at = now
        """When anything was last received; the link sets it."""

    def ping_due(self, now: float) -> bool:
        """Whether to ping now; True once per interval."""
        if now < self._next_ping:
            return False
        self._next_ping = now + self.ping_seconds
        self._unanswered.append((now, now + self.dead_seconds))
        return True

    def probe(self, now: float) -> bool:
        """The path is in doubt. True: ping now, and look again at `next_look`. False: one is under way already."""
        if now < self._probed_at + PROBE_EVERY_SECONDS:
            return False
        self._probed_at = now
        self._unanswered.append((now, now + PROBE_SECONDS))
        return True

    def stood_still(self, due: float, now: float, wall: float) -> bool:
        """Whether this process, or its machine, stood still before this look, which was due at `due`.

        `wall`: seconds of the wall clock. If it stood still, no ping of before counts: what was received meanwhile has
        not been read yet. Ask with `probe`.
        """
        before, self._ahead = self._ahead, wall - now
        leapt = before is not None and abs(self._ahead - before) > _PAUSE_SECONDS
        if not leapt and now - due <= _PAUSE_SECONDS:
            return False
        self._unanswered.clear()
        return True

    def is_dead(self, now: float) -> bool:
        """Whether a ping has gone unanswered for too long."""
        while self._unanswered and self._unanswered[0][0] <= self.heard_at:
            self._unanswered.popleft()
        return any(until <= now for _, until in self._unanswered)

    def next_look(self) -> float:
        """When to ask again, at the latest."""
        return min([self._next_ping, *(until for _, until in self._unanswered)])
