"""How long a WebSocket has been silent: when to ping its service, when to give up, and whether the ledger may sleep.

The ledger looks at a silent WebSocket only when one of the two is due. Whatever happens to the WebSocket wakes it, so
that it is looked at while anything is held or owed.
"""

import time
from abc import ABC, abstractmethod
from typing import Protocol

from tunnel.override import override


class Sleeper(Protocol):
    """The call of an open WebSocket, as its conversation sees it."""

    def wake(self) -> None:
        """Ask the ledger for a look soon."""

    def talked(self) -> None:
        """Both sides are done; called once, unless the call ends it."""


class Silence(ABC):
    """The silence of one WebSocket."""

    __slots__ = ("_active_at", "_asleep", "_limit_seconds", "_pinged")

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._active_at = time.monotonic()
        self._asleep = False
        self._pinged = False  # since the last sign of life

    def broken(self) -> float:
        """Data arrived, from whichever side. Returns the time."""
        self._active_at = now = time.monotonic()
        self._pinged = False
        if self._asleep:
            self.stir()
        return now

    def stir(self) -> None:
        """Something else happened that the ledger has to look at; idempotent."""
        if self._asleep:
            self._asleep = False
            self.wake()

    @abstractmethod
    def wake(self) -> None:
        """Ask the ledger for a look soon."""

    def is_over(self, now: float) -> bool:
        """Whether it has lasted too long."""
        return now - self._active_at > self._limit_seconds

    def asks(self, now: float) -> bool:
        """Whether to ping the service now: once, after half of the limit."""
        due = not self._pinged and now - self._active_at > self._limit_seconds / 2
        self._pinged = self._pinged or due
        return due

    def sleep(self) -> float:
        """When to look again. Until then, `stir` wakes the ledger."""
        self._asleep = True
        return self._active_at + self._limit_seconds * (1.0 if self._pinged else 0.5)


class SilenceOfCall(Silence):
    """That of a WebSocket whose call is what the ledger looks at."""

    __slots__ = ("_call",)

    def __init__(self, limit_seconds: float, call: Sleeper) -> None:
        super().__init__(limit_seconds)
        self._call = call

    @override
    def wake(self) -> None:
        self._call.wake()
