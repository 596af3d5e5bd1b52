"""Python's garbage collector in a process of our own: seldom, and while nothing else is to be done.

Almost everything here is freed by reference counts, so a collection finds little, but it visits every object and stops
the event loop meanwhile. So what survived one is frozen, as is what exists at the start: no other visits it again, and
open connections cost a collection nothing. Frozen objects are freed by their reference counts as before. Only a circle
that is closed or let go of later stays; everything is thawed and visited once an hour while there is little of it, and
in any case once a day.

The thresholds are raised, and a full collection comes while no exchange begins, ends or carries anything. A gateway
that is never idle has one every ten minutes.

Never used in an application that mounts the gateway: its collector is its own.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Mapping

THRESHOLDS = (50_000, 50, 1_000)
"""Python's are (700, 10, 10). A request under way has some 100 objects, and so has an open WebSocket: 500 more of them
start one young collection. It visits those 50,000 objects, which takes 5 ms. The older generations are always empty."""
TICK_SECONDS = 1.0
"""Without any activity for so long, the gateway is idle."""
PAUSE_SECONDS = 30.0
"""At least between two collections."""
LATEST_SECONDS = 600.0
"""After a collection, when the gateway was active all the time."""
THAW_SECONDS = 3_600.0
"""At least between two collections of everything, and only while the gateway is idle and small."""
THAW_BLOCKS = 100_000
"""Small: so many blocks of memory more than at the start. They are 500 open WebSockets, which take 25 ms."""
THAW_LATEST_SECONDS = 86_400.0
"""After a collection of everything, whatever there is. 10,000 open WebSockets take 0.6 s."""


class Collector:
    """Decides when to collect. Started and stopped with the server."""

    def __init__(self, activity: Callable[[], object]) -> None:
        """`activity`: a value that stays equal only while nothing happens."""
        self._activity = activity
        self._seen: object = None
        self._is_due = False
        """Something happened since the last collection."""
        self._collected_at = 0.0
        self._thawed_at = 0.0
        self._blocks = 0
        """Of memory, at the start."""
        self._timer: asyncio.TimerHandle | None = None
        self._thresholds = gc.get_threshold()

    def start(self) -> None:
        """Freeze what there is, and look after the rest from now on. Idempotent."""
        if self._timer is not None:
            return
        gc.callbacks.append(_freeze_survivors)
        gc.collect()
        self._blocks = sys.getallocatedblocks()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        loop = asyncio.get_running_loop()
        self._seen = self._activity()
        self._collected_at = self._thawed_at = loop.time()
        self._timer = loop.call_later(TICK_SECONDS, self._tick)

    def stop(self) -> None:
        """Leave the collector as it was. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.callbacks.remove(_freeze_survivors)
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()

    def tick(self, now: float) -> None:
        """Collect if it is time. Called every `TICK_SECONDS`."""
        seen = self._activity()
        is_idle = seen == self._seen
        self._seen = seen
        self._is_due = self._is_due or not is_idle
        passed = now - self._collected_at
        if self._is_due and ((is_idle and passed >= PAUSE_SECONDS) or passed >= LATEST_SECONDS):
            self._is_due = False
            self._collected_at = now
            if self._is_thaw_due(now, is_idle=is_idle):
                self._thawed_at = now
                gc.unfreeze()
            gc.collect()

    def _is_thaw_due(self, now: float, *, is_idle: bool) -> bool:
        passed = now - self._thawed_at
        if passed < THAW_SECONDS or passed >= THAW_LATEST_SECONDS:
            return passed >= THAW_SECONDS
        return is_idle and sys.getallocatedblocks() - self._blocks <= THAW_BLOCKS

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_SECONDS, self._tick)
        self.tick(loop.time())


def _freeze_survivors(phase: str, _: Mapping[str, int]) -> None:
    """Called by the collector around each collection."""
    if phase == "stop":
        gc.freeze()
