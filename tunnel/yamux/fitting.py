"""Makes receive windows fit the path: as large as what the consumer takes in a round trip, and a little more.

Called each time a portion of a window was consumed. It measures the consumer's rate over epochs of at least one round
trip (within a burst half a window passes in a millisecond) and of at least `EPOCH_SECONDS`. A window that is the brake
passes once per round trip, so the rate says so, and the window doubles; a path or a consumer that is the brake ends
the growth. No more than the window is ever promised, so a consumer that stands still holds that much at most.

`rate` is what the consumer took, never what came: a slow client's window does not grow, and one that grew before
shrinks. On loopback a round trip is so short that the initial window is enough.

A sender that was silent for a while says nothing about the path: the window stays, so that a burst below it needs no
round trip. But where it had used most of the window, it was the consumer who was slow, and the window shrinks.
"""

from typing import Final, Protocol

from tunnel.yamux.evidence import Evidence
from tunnel.yamux.limits import Limits
from tunnel.yamux.pings import Pings
from tunnel.yamux.windows import ReceiveWindow

EPOCH_SECONDS: Final = 0.01
"""The shortest epoch: on a short path bursts come at any speed."""
PAUSE_EPOCHS: Final = 4
"""An epoch as long as so many of the shortest: the sender paused, or the consumer is slow."""
HEADROOM: Final = 1.25
"""Beyond rate x round trip: room for the rate to rise, and for its measurement to be wrong."""
RISE: Final = 0.1
"""A rate higher than those before by more than this still rises: the window leads it by as much, at most by twice."""
SLACK: Final = 1.02
"""Credit takes a little longer than a ping: a window that is the brake passes a little less than once a round trip."""
ROOMY_EPOCHS: Final = 8
"""For so long, in shortest epochs, a window must be much too large before it shrinks."""


class Memory(Protocol):
    """Whom to ask before more is promised."""

    @property
    def above_high_mark(self) -> bool:
        """Whether large windows should go back to the initial size."""

    def may_grow(self, extra_bytes: int, /) -> bool:
        """Whether a window may grow by this much. Must not call the session."""


class Unlimited:
    """There is memory for any window."""

    above_high_mark = False

    def may_grow(self, extra_bytes: int, /) -> bool:  # noqa: ARG002 (the protocol's parameter)
        """Always."""
        return True


class Fitting:
    """The rule, for all windows of one session."""

    __slots__ = ("_largest", "_memory", "_pings", "_smallest")

    def __init__(self, limits: Limits, pings: Pings, memory: Memory) -> None:
        self._smallest = limits.initial_window
        self._largest = limits.max_window
        self._pings = pings
        self._memory = memory

    def portion_consumed(self, window: ReceiveWindow, now: float) -> None:
        """Return what was consumed, and with it, at the end of an epoch, what the window grows by or shrinks to."""
        rtt = self._pings.rtt
        evidence = window.evidence
        if evidence is None:
            window.evidence = Evidence(now)
        elif rtt is not None:
            evidence.taken_bytes += window.consumed
            span = now - evidence.since
            shortest = max(rtt, EPOCH_SECONDS)
            if span >= shortest:
                epochs = span / shortest
                if epochs < PAUSE_EPOCHS or window.remaining * 2 < window.size:
                    self._fit(window, evidence, evidence.taken_bytes / span, rtt, epochs)
                else:
                    evidence.begin_anew()
                evidence.begin_epoch(now)
        window.release()

    def _fit(self, window: ReceiveWindow, evidence: Evidence, rate: float, rtt: float, epochs: float) -> None:
        """Change the window at the end of an epoch."""
        rates, rise = evidence.rates, 1.0
        if rates:
            best = max(rates)
            if rates[-1] < best * (1 - RISE):  # this epoch makes up for the one before
                rate = (rate + rates[-1]) / 2
            rise = min(rate / best - 1, 1.0)
        rates.append(rate)
        size, needed = window.size, rate * rtt
        if needed * SLACK + window.portion >= size:
            # The window is the brake: the peer lacks what was not worth an update.
            needed = max(needed, size)
        wanted = self._wanted(needed, rise)
        if wanted * HEADROOM < size:
            evidence.roomy_epochs += min(epochs, PAUSE_EPOCHS)
            if evidence.roomy_epochs >= ROOMY_EPOCHS:
                window.shrink(min(size - wanted, window.consumed // 2))
            return
        evidence.roomy_epochs = 0.0
        extra = min(wanted, 2 * size) - size
        if extra > 0 and self._memory.may_grow(extra):
            window.grow(extra)

    def _wanted(self, needed: float, rise: float) -> int:
        """The size that would fit where `needed` bytes are taken in a round trip, within the limits."""
        if self._memory.above_high_mark:
            return self._smallest
        wanted = HEADROOM * needed * (1 + (rise if rise > RISE else 0))
        return max(self._smallest, min(round(wanted), self._largest))
