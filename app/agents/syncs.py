"""Whose turn it is to sync: one sync of a cluster at a time, and not more often than the settings allow.

A sync says everything that its cluster routes, so an older one that still waits has nothing to add once a newer one of
the same token came: it is superseded. So at most one waits for each token of a cluster, nothing is refused, and the
newest wins. Decides only: reads no body and changes no route.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable

from ..rules.policy import TokenBucket

_BUCKETS = 4096
"""Rates that are remembered, the least recently used dropped first. One for each token and cluster that synced lately;
only tokens of the file get here."""

_SECONDS = 60.0


class _Waiting:
    """One sync that waits for its turn."""

    __slots__ = ("superseded", "wake")

    def __init__(self) -> None:
        self.superseded = False
        self.wake = asyncio.Event()


class Syncs:
    """The syncs of one gateway that run and wait. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._running: set[str] = set()
        self._waiting: dict[str, dict[bytes, _Waiting]] = {}  # cluster -> token -> the one that waits
        self._buckets: OrderedDict[tuple[str, bytes, float], TokenBucket] = OrderedDict()

    async def begin(self, cluster: str, token: bytes, per_minute: float) -> bool:
        """Wait for the turn of a sync; `end` must follow. False: a newer one took its place, and it is not to run."""
        waiting = self._waiting.setdefault(cluster, {})
        older = waiting.get(token)
        mine = waiting[token] = _Waiting()
        if older is not None:
            older.superseded = True
            older.wake.set()
        bucket = self._bucket(cluster, token, per_minute)
        try:
            while not mine.superseded:
                seconds = bucket.seconds_until(1.0, self._clock())
                if cluster not in self._running and seconds <= 0.0:
                    self._running.add(cluster)
                    bucket.take(1.0, self._clock())
                    return True
                mine.wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds if seconds > 0.0 else None):
                        await mine.wake.wait()
        finally:
            if waiting.get(token) is mine:
                del waiting[token]
            if not waiting and self._waiting.get(cluster) is waiting:
                del self._waiting[cluster]
        return False

    def end(self, cluster: str) -> None:
        """The sync that began is over: the next one of its cluster may run."""
        self._running.discard(cluster)
        for waiting in self._waiting.get(cluster, {}).values():
            waiting.wake.set()

    def _bucket(self, cluster: str, token: bytes, per_minute: float) -> TokenBucket:
        key = (cluster, token, per_minute)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(per_minute / _SECONDS, _SECONDS, self._clock())
            while len(self._buckets) > _BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket

    def __repr__(self) -> str:
        return f"<Syncs {len(self._running)} running, {sum(map(len, self._waiting.values()))} waiting>"
