"""Pings under way and the round trip they measured. Time is the caller's."""

from collections import deque

from tunnel.yamux.frames import MAX_LENGTH

_UNDER_WAY = 64
"""An unanswered ping is forgotten when as many younger ones left: the answer would say nothing any more."""
_SAMPLES = 8
"""The minimum of so many is the path without queues; older ones may be of another path."""


_ENOUGH = 3
"""One answer alone may have waited behind much else, and would let every window grow."""


class Pings:
    """`rtt` is the minimum of the last eight answers in seconds, None before the third."""

    __slots__ = ("_next", "_samples", "_sent", "rtt")

    def __init__(self) -> None:
        self._next = 0
        self._sent: dict[int, float] = {}
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self.rtt: float | None = None

    def sent(self, now: float) -> int:
        """A new ping leaves; its id."""
        ping_id = self._next
        self._next = (ping_id + 1) & MAX_LENGTH
        self._sent[ping_id] = now
        if len(self._sent) > _UNDER_WAY:
            del self._sent[next(iter(self._sent))]
        return ping_id

    def answered(self, ping_id: int, now: float) -> float | None:
        """The round trip of this ping; None for an answer to nothing."""
        sent = self._sent.pop(ping_id, None)
        if sent is None:
            return None
        rtt = max(0.0, now - sent)
        self._samples.append(rtt)
        if len(self._samples) >= _ENOUGH:
            self.rtt = min(self._samples)
        return rtt
