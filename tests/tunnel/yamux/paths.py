"""One stream over a path, in a time of its own: the rule of `fitting.py`, a sender that has no end of data, a consumer.

Bytes arrive half a round trip after they were sent, credit likewise. The path carries `bytes_per_second`, and what is
sent faster waits in its queue. The consumer takes what it can, at its own rate.
"""

from collections import deque

from tunnel.yamux import Limits
from tunnel.yamux.fitting import Fitting, Memory, Unlimited
from tunnel.yamux.pings import Pings
from tunnel.yamux.windows import ReceiveWindow

STEP_SECONDS = 0.0005
PIECE_BYTES = 65_536
"""What arrives and what is taken together, at most."""
START = 100.0
LIMITS = Limits()


def measured(rtt: float) -> Pings:
    """The round trip is known."""
    pings = Pings()
    for _ in range(4):
        pings.answered(pings.sent(START - rtt), START)
    assert pings.rtt is not None
    return pings


class Path:
    """`run` passes time; the rest may be changed between two calls."""

    def __init__(self, rtt: float, bytes_per_second: float, memory: Memory | None = None) -> None:
        self.rtt = rtt
        self.bytes_per_second = bytes_per_second
        self.consumer_bytes_per_second = float("inf")
        self.sends = True
        self.now = START
        self.window = ReceiveWindow(LIMITS.initial_window)
        self.credit = LIMITS.initial_window
        self.sent = 0
        self.consumed = 0
        self.updates = 0
        self.grows = 0
        """How often the window became larger."""
        self.largest = self.window.size
        self._fitting = Fitting(LIMITS, measured(rtt), memory or Unlimited())
        self._coming: deque[tuple[float, int]] = deque()
        self._returning: deque[tuple[float, int]] = deque()
        self._room = 0.0
        self._appetite = 0.0

    @property
    def product(self) -> float:
        """Bandwidth x round trip, in bytes."""
        return self.bytes_per_second * self.rtt

    def run(self, seconds: float) -> float:
        """Let time pass. The rate at which the consumer took its bytes."""
        before = self.consumed
        for _ in range(round(seconds / STEP_SECONDS)):
            self.now += STEP_SECONDS
            self._send()
            self._receive()
        return (self.consumed - before) / seconds

    def burst(self, size: int) -> None:
        """The sender has so much to say, all of it now; and the path lets it through."""
        assert size <= self.credit, "it must wait for credit"
        self.credit -= size
        self.sent += size
        self._coming.append((self.now + self.rtt / 2, size))

    def take_all(self) -> None:
        """The consumer takes everything that waits for it, in one call."""
        taken = self.window.unread
        self.consumed += taken
        if self.window.acknowledge(taken):
            self._return()

    def _send(self) -> None:
        while self._returning and self._returning[0][0] <= self.now:
            self.credit += self._returning.popleft()[1]
        self._room = min(self._room, 0.0) + self.bytes_per_second * STEP_SECONDS
        size = min(self.credit, int(self._room)) if self.sends else 0
        if size > 0:
            self._room -= size
            self.credit -= size
            self.sent += size
            self._coming.append((self.now + self.rtt / 2, size))

    def _receive(self) -> None:
        own = self.window
        appetite = self.consumer_bytes_per_second * STEP_SECONDS
        self._appetite = min(self._appetite, PIECE_BYTES) + appetite
        self._consume()
        while self._coming and self._coming[0][0] <= self.now:
            left = self._coming.popleft()[1]
            assert left <= own.remaining, "the sender uses credit that it was not given"
            while left:
                piece = min(left, PIECE_BYTES)
                left -= piece
                own.remaining -= piece
                self._consume()

    def _consume(self) -> None:
        own = self.window
        while taken := int(min(own.unread, self._appetite, PIECE_BYTES)):
            self._appetite -= taken
            self.consumed += taken
            if own.acknowledge(taken):
                self._return()

    def _return(self) -> None:
        own = self.window
        size = own.size
        self._fitting.portion_consumed(own, self.now)
        self.grows += own.size > size
        self.largest = max(self.largest, own.size)
        self.updates += 1
        self._returning.append((self.now + self.rtt / 2, own.take_due()))
