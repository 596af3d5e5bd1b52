"""How fast the consumer of one stream took its bytes, epoch by epoch. Only `fitting.py` changes it."""

from collections import deque

EPOCHS_KEPT = 8
"""A consumer that was busy for an epoch takes more in the next: compared with that one alone, it would be rising."""


class Evidence:
    """Made when the first portion of a window was consumed; its first epoch begins then."""

    __slots__ = ("rates", "roomy_epochs", "since", "taken_bytes")

    def __init__(self, now: float) -> None:
        self.since = now
        """When the epoch began."""
        self.taken_bytes = 0
        """What the consumer took in this epoch."""
        self.rates: deque[float] = deque(maxlen=EPOCHS_KEPT)
        """Bytes per second in the epochs before, since the sender paused."""
        self.roomy_epochs = 0.0
        """For how many of the shortest epochs in a row the window was much too large."""

    def begin_epoch(self, now: float) -> None:
        """Count from here."""
        self.since = now
        self.taken_bytes = 0

    def begin_anew(self) -> None:
        """The sender paused: what was seen before says nothing about what comes."""
        self.rates.clear()
        self.roomy_epochs = 0.0
