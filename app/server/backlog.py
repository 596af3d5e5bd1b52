"""What clients' connections have left to do after what they did at once, in the order in which they left it.

A connection does one small step of work for what arrives, at once. Everything beyond that (more chunks of a body, the
next of many requests, a head with hundreds of fields, a burst of frames) waits here, and all connections together get
`UNITS_PER_TURN` in each turn of the event loop. So what fifty clients send that is expensive to read delays the others
by as much as what one sends; it only takes the fifty longer.

A step that took more than its turn had is followed by turns without a step until they have paid for it, or nothing
waits any more.

Invariants: steps are done in the order of `call_soon`, and none that was added in a turn is done in the same turn; a
step that fails takes nobody else's. The bound is a count, not a time: the same input always takes the same turns.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

logger = logging.getLogger("gateway")

UNITS_PER_TURN: Final = 8
"""A unit is some 100 us: a small request."""
MOST_OWED: Final = 16 * UNITS_PER_TURN
"""What a step has to be paid for at the most: 16 turns for a head of 64 KiB and more, which takes 1 to 2 ms."""

Step = Callable[[], int]
"""Does a step of work, of a millisecond at most, and returns what it cost in units."""


class Due:
    """A step that waits."""

    __slots__ = ("_step",)

    def __init__(self, step: Step) -> None:
        self._step: Step | None = step

    def cancel(self) -> None:
        """Do not do it; idempotent."""
        self._step = None

    def run(self) -> int:
        """Do it, unless it was cancelled. Returns its cost."""
        step, self._step = self._step, None
        return step() if step is not None else 0


class Backlog:
    """See the module. One for all clients of a process's door."""

    __slots__ = ("_loop", "_owed", "_turn", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Due] = deque()
        self._turn: asyncio.Handle | None = None
        self._owed = 0  # units that earlier turns took too many

    def call_soon(self, step: Step, /) -> Due:
        """Do the step in a later turn."""
        due = Due(step)
        self._waiting.append(due)
        if self._turn is None:
            self._turn = self._loop.call_soon(self._work)
        return due

    def _work(self) -> None:
        waiting = self._waiting
        units = UNITS_PER_TURN - self._owed
        for _ in range(len(waiting)):
            if units <= 0:
                break
            try:
                units -= waiting.popleft().run()
            except Exception:  # one connection's fault must not stop the others
                logger.exception("a connection failed")
        self._owed = min(max(0, -units), MOST_OWED) if waiting else 0
        self._turn = self._loop.call_soon(self._work) if waiting else None

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Backlog {len(self)} steps>"
