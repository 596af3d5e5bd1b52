"""Pings under way and the round trip they measured. Time is the caller's.

`rtt` is the smallest of the session's life. A minimum of the latest answers would forget the empty path while bulk
flows, take its own queue for distance, and let the windows grow by it, which makes the queue longer. A longer round
trip is believed only when several answers in a row agree on it, all to pings that left when no bulk flowed.

The owner sends the first ping. A few follow it, each when the one before was answered; later ones are the owner's
keep-alive, and while bulk is received some more, because the first may have met a busy process.
"""

from tunnel.yamux.frames import MAX_LENGTH

_UNDER_WAY = 64
"""An unanswered ping is forgotten when as many younger ones left: the answer would say nothing any more."""
_FIRST = 4
"""How many answers a session begins with."""
_ENOUGH = 3
"""One answer alone may have waited behind much else, and would let every window grow."""
_BULK_SECONDS = 0.1
"""Between two pings while bulk is received, at least."""
_QUIET_SECONDS = 1.0
"""A ping says what the path is like without bulk when none passed for so long before it, or until its answer."""
_AGREEING = 8
"""Quiet answers in a row, each above the round trip known so far by `_LONGER`, none twice as long as another."""
_LONGER = 1.25


class Pings:
    """`rtt` is in seconds, None before the third answer."""

    __slots__ = ("_answers", "_bulk_at", "_next", "_quiet", "_sent", "_sent_at", "_smallest", "rtt")

    def __init__(self) -> None:
        self._next = 0
        self._sent: dict[int, float] = {}
        self._sent_at = float("inf")  # no pings besides its owner's before these begin
        self._answers = 0
        self._smallest = float("inf")
        self._bulk_at = float("-inf")
        self._quiet: list[float] = []
        self.rtt: float | None = None

    def sent(self, now: float) -> int:
        """A new ping leaves; its id."""
        ping_id = self._next
        self._next = (ping_id + 1) & MAX_LENGTH
        self._sent[ping_id] = self._sent_at = now
        if len(self._sent) > _UNDER_WAY:
            del self._sent[next(iter(self._sent))]
        return ping_id

    def answered(self, ping_id: int, now: float) -> float | None:
        """The round trip of this ping; None for an answer to nothing."""
        sent = self._sent.pop(ping_id, None)
        if sent is None:
            return None
        rtt = max(0.0, now - sent)
        self._answers += 1
        self._smallest = min(self._smallest, rtt)
        if sent - self._bulk_at > _QUIET_SECONDS:
            self._quietly_answered(rtt)
        if self._answers >= _ENOUGH:
            self.rtt = self._smallest
        return rtt

    @property
    def begins(self) -> bool:
        """The next ping of the session's beginning is due."""
        return self._answers < _FIRST and not self._sent

    def bulk_received(self, now: float) -> bool:
        """Bulk is being received. True: send a ping."""
        self._bulk_at = now
        return not self._sent and now - self._sent_at > max(_BULK_SECONDS, self.rtt or 0.0)

    def bulk_sent(self, now: float) -> None:
        """The peer took bulk that we sent."""
        self._bulk_at = now

    def _quietly_answered(self, rtt: float) -> None:
        quiet = self._quiet
        if rtt <= self._smallest * _LONGER:
            quiet.clear()
            return
        quiet.append(rtt)
        while max(quiet) > 2 * min(quiet):
            del quiet[0]
        if len(quiet) >= _AGREEING:
            self._smallest = min(quiet)
            quiet.clear()
