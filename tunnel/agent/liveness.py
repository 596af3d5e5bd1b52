"""When to ask a link for a sign of life, and when it is dead.

Reads no clock: time is passed in. A ping leaves every `ping_seconds`; a link is dead when nothing at all was heard for
`dead_seconds` after a ping. Anything received counts, not only the pong, so a busy link stays alive while its pong
waits behind much data.
"""

from collections import deque


class Liveness:
    """The pings of one link."""

    def __init__(self, ping_seconds: float, dead_seconds: float, now: float) -> None:
        self.ping_seconds = ping_seconds
        self._dead_seconds = dead_seconds
        self._next_ping = now + ping_seconds
        self._unanswered: deque[float] = deque()
        self.heard_at = now
        """When anything was last received; the link sets it."""

    def ping_due(self, now: float) -> bool:
        """Whether to ping now; True once per interval."""
        if now < self._next_ping:
            return False
        self._next_ping = now + self.ping_seconds
        self._unanswered.append(now)
        return True

    def is_dead(self, now: float) -> bool:
        """Whether a ping has gone unanswered for too long."""
        while self._unanswered and self._unanswered[0] <= self.heard_at:
            self._unanswered.popleft()
        return bool(self._unanswered) and now >= self._unanswered[0] + self._dead_seconds

    def next_look(self) -> float:
        """When to ask again, at the latest."""
        if self._unanswered:
            return min(self._next_ping, self._unanswered[0] + self._dead_seconds)
        return self._next_ping
