"""Does a connection's work in slices, one per turn of the event loop, and reads nothing while work is left.

So a peer that sends a flood cannot hold up the others, and a connection holds at most one read of its socket. Knows
neither bytes nor frames: `work` does one slice and returns what is left. `soon` says when the next one is done: in the
loop's next turn (its `call_soon`, for an agent), or when it is the connection's turn (`backlog.py`, for clients).
"""

import asyncio
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, Protocol


class Left(Enum):
    """What is left after a slice of work."""

    NOTHING = "read on"
    MORE = "another turn"
    BLOCKED = "read nothing until woken"
    NOT_OURS = "leave reading as it is"


SLICE_UNITS: Final = 4
"""What a slice counts as in the backlog: 0.4 ms at most."""


class Cancellable(Protocol):
    """A call that is due."""

    def cancel(self) -> None:
        """Do not make it; idempotent."""


Soon = Callable[[Callable[[], int]], Cancellable]
"""Arranges a call for a later turn of the loop. The call returns its cost in the units of `backlog.py`."""


def _nothing() -> Left:
    return Left.NOT_OURS


class Turns:
    """When a connection works, and when its socket is read."""

    __slots__ = ("_soon", "_transport", "_work", "due")

    def __init__(self, soon: Soon, transport: asyncio.Transport, work: Callable[[], Left]) -> None:
        self._soon = soon
        self._transport = transport
        self._work = work
        self.due: Cancellable | None = None
        """The turn that is due; None: the connection is idle. To be looked at only."""

    def run(self) -> None:
        """Do a slice now, unless a turn is due."""
        if self.due is None:
            self.schedule(self._work())

    def wake(self) -> None:
        """Do a slice in the next turn; idempotent."""
        if self.due is None:
            self.due = self._soon(self._turn)

    def schedule(self, left: Left) -> None:
        """After a slice of work, resume or pause reading, and wake if there is more to do."""
        transport = self._transport
        if left is Left.NOTHING:
            if not transport.is_closing():
                transport.resume_reading()
        elif left is not Left.NOT_OURS:
            transport.pause_reading()
            if left is Left.MORE:
                self.wake()

    def cancel(self) -> None:
        """Cancel the turn that is due; idempotent."""
        if self.due is not None:
            self.due.cancel()
            self.due = None

    def end(self) -> None:
        """Work no more; idempotent. Who works is then freed at once, without the collector."""
        self.cancel()
        self._work = _nothing

    def _turn(self) -> int:
        self.due = None
        self.run()
        return SLICE_UNITS

    def __repr__(self) -> str:
        return f"<Turns {'idle' if self.due is None else 'one is due'}>"


def slices(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of at most `size` bytes."""
    return (data[at : at + size] for at in range(0, len(data), size))
