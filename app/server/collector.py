"""Python's garbage collector in a process of our own: seldom, and while nothing else is to be done.

Almost everything here is freed by reference counts, so a collection finds little, but it visits every object and stops
the event loop meanwhile. What exists at the start (modules, settings, the application) is frozen: it lives as long as
the process, and no collection visits it again. Later objects never are: a circle among them would stay for ever. The
thresholds are raised, and a full collection comes while no exchange begins, ends or carries anything. A gateway that is
never idle has one every ten minutes.

Never used in an application that mounts the gateway: its collector is its own.
"""

import asyncio
import gc
from collections.abc import Callable

THRESHOLDS = (50_000, 50, 1_000)
"""Python's are (700, 10, 10). A request under way has some 100 objects: 500 at once start one young collection."""
TICK_SECONDS = 1.0
"""Without any activity for so long, the gateway is idle."""
PAUSE_SECONDS = 30.0
"""At least between two collections."""
LATEST_SECONDS = 600.0
"""After a collection, when the gateway was active all the time."""


class Collector:
    """Decides when to collect. Started and stopped with the server."""

    def __init__(self, activity: Callable[[], object]) -> None:
        """`activity`: a value that stays equal only while nothing happens."""
        self._activity = activity
        self._seen: object = None
        self._is_due = False
        """Something happened since the last collection."""
        self._collected_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._thresholds = gc.get_threshold()

    def start(self) -> None:
        """Freeze what there is, and look after the rest from now on. Idempotent."""
        if self._timer is not None:
            return
        gc.collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        loop = asyncio.get_running_loop()
        self._seen = self._activity()
        self._collected_at = loop.time()
        self._timer = loop.call_later(TICK_SECONDS, self._tick)

    def stop(self) -> None:
        """Leave the collector as it was. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
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
            gc.collect()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_SECONDS, self._tick)
        self.tick(loop.time())
