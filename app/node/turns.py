"""Work that agents ask for, done in turns, so that they cannot have the loop to themselves, however many they are.

What comes while there is time for it is done at once. Else it waits: its owners take turns, and what each of them wants
is done in the order in which it came. One piece of work is short; there is no other bound on it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

PERCENT: Final = 10
"""Of the loop's time, for all of this work together."""
BURST_SECONDS: Final = 0.005
"""Of work that is done without a pause, after a time without any."""

_REST: Final = 100 / PERCENT

Work = Callable[[], None]


class Turns:
    """See the module. `clock`: what the work takes is measured by it."""

    __slots__ = ("_clock", "_free_at", "_queues", "_timer")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._free_at = 0.0  # the share is used up until then
        self._queues: dict[bytes, dict[Work, None]] = {}  # by owner; the next one first, and none is empty
        self._timer: asyncio.TimerHandle | None = None

    def take(self, owner: bytes, work: Work) -> None:
        """Have it done, at once or in its turn. Work that waits already keeps its place."""
        if not self._queues and self._free_at <= self._clock():
            self._do(work)
            return
        self._queues.setdefault(owner, {})[work] = None
        self._wait()

    def forget(self, owner: bytes, work: Work) -> None:
        """It is no longer wanted; idempotent."""
        queue = self._queues.get(owner)
        if queue is None:
            return
        queue.pop(work, None)
        if not queue:
            del self._queues[owner]
        if not self._queues and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        self._timer = None
        owner, queue = next(iter(self._queues.items()))
        work = next(iter(queue))
        del queue[work], self._queues[owner]
        if queue:
            self._queues[owner] = queue  # behind all others
        try:
            self._do(work)
        finally:
            if self._queues:
                self._wait()

    def _do(self, work: Work) -> None:
        began = self._clock()
        try:
            work()
        finally:
            took = self._clock() - began
            self._free_at = max(self._free_at, began - BURST_SECONDS * _REST) + took * _REST

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._free_at - self._clock()), self._next)

    def __repr__(self) -> str:
        return f"<Turns {sum(map(len, self._queues.values()))} waiting>"
