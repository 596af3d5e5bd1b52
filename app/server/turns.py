"""A connection's work in slices: one slice in each turn of the event loop, and no reading while work is left.

So nobody who sends a flood holds up the others: what is held of a connection is one read of its socket. Knows neither
bytes nor frames: `work` does one slice, and says what is left.
"""

import asyncio
from collections.abc import Callable, Iterator
from enum import Enum


class Left(Enum):
    """What is left after a slice of work."""

    NOTHING = "read on"
    MORE = "another turn"
    BLOCKED = "read nothing until woken"
    NOT_OURS = "somebody else decides about reading"


class Turns:
    """When a connection works, and when its socket is read."""

    __slots__ = ("_due", "_loop", "_transport", "_work")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, work: Callable[[], Left]) -> None:
        self._loop = loop
        self._transport = transport
        self._work = work
        self._due: asyncio.Handle | None = None

    @property
    def idle(self) -> bool:
        """No turn is due."""
        return self._due is None

    def run(self) -> None:
        """Do a slice now, unless a turn is due anyway."""
        if self._due is None:
            self.settle(self._work())

    def wake(self) -> None:
        """Go on in the next turn; idempotent."""
        if self._due is None:
            self._due = self._loop.call_soon(self._turn)

    def settle(self, left: Left) -> None:
        """Read on, or not, after a slice of work."""
        transport = self._transport
        if left is Left.NOTHING:
            if not transport.is_closing():
                transport.resume_reading()
        elif left is not Left.NOT_OURS:
            transport.pause_reading()
            if left is Left.MORE:
                self.wake()

    def cancel(self) -> None:
        """The connection is gone; idempotent."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _turn(self) -> None:
        self._due = None
        self.run()

    def __repr__(self) -> str:
        return f"<Turns {'idle' if self.idle else 'one is due'}>"


def slices(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of at most `size` bytes."""
    return (data[at : at + size] for at in range(0, len(data), size))
