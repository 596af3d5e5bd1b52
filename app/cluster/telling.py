"""What this node puts into the buckets: a beat each second, and its links whenever they change.

Each is a task of its own: a write that hangs delays no beat, and the other way round. Whatever fails is put again, from
what is true by then.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from .beats import Beat, encoded
from .bucket import Bucket, BucketError
from .ending import ended
from .own_links import OwnLinks, Write
from .presence import BEAT_SECONDS, Presence

logger = logging.getLogger("gateway.cluster")

WRITES_AT_ONCE: Final = 20
SMALL_BYTES: Final = 8 * 1024
"""Values that are put as often as they change: 60 agents of a cluster."""
BYTES_PER_SECOND: Final = 4 * 1024 * 1024
"""Of one key's larger values. The value of a cluster has all of its agents, so what is put while thousands of them come
would grow with the square of their number: gigabytes. What changes during a pause goes together into the next put."""
AGAIN_SECONDS: Final = 0.5
"""After a write that failed."""
BEAT_AGAIN_SECONDS: Final = 0.2
"""After a beat that could not be put: NATS may be there, and the bucket in a moment."""


class Beating:
    """Puts this node's beat. `beat` makes it, for a number."""

    def __init__(self, bucket: Bucket, presence: Presence, beat: Callable[[int], Beat]) -> None:
        self._bucket = bucket
        self._presence = presence
        self._beat = beat
        self._seq = 0
        self._now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; idempotent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="cluster beats")

    def soon(self) -> None:
        """Something changed that the others should know: put the next beat now."""
        self._now.set()

    async def aclose(self) -> None:
        """Put no more of them. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            await ended({task})

    async def goodbye(self, beat: Beat) -> None:
        """Put the last one, whose `bye` is set, and delete the key. Never raises BucketError."""
        try:
            revision = await self._bucket.put(self._presence.node, encoded(beat))
            await self._bucket.delete(self._presence.node, revision)
        except BucketError as error:
            logger.info("the other nodes were not told that this one stops: %s", error)

    @property
    def seq(self) -> int:
        """Of the latest beat."""
        return self._seq

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._task is not None:
            began, pause = loop.time(), BEAT_SECONDS
            self._now.clear()
            self._seq += 1
            self._presence.sent(self._seq)
            try:
                await self._bucket.put(self._presence.node, encoded(self._beat(self._seq)))
            except BucketError as error:
                logger.debug("beat %d was not put: %s", self._seq, error)
                pause = BEAT_AGAIN_SECONDS
            except Exception:
                logger.exception("beat %d could not be made", self._seq)
            try:
                async with asyncio.timeout_at(began + pause):
                    await self._now.wait()
            except TimeoutError:
                continue


class Putting:
    """Puts this node's links. `due` is to be called whenever there may be something to put."""

    def __init__(self, bucket: Bucket, own: OwnLinks) -> None:
        self._bucket = bucket
        self._own = own
        self._due = asyncio.Event()
        self._ended = asyncio.Event()  # a write
        self._task: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self.failed = 0
        """Writes that were not confirmed."""

    def start(self) -> None:
        """Begin; idempotent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="cluster links")

    def due(self) -> None:
        """Something may have changed."""
        self._due.set()

    async def aclose(self) -> None:
        """Put no more. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            await ended({task, *self._writes})

    async def put_all(self, seconds: float) -> None:
        """Wait until nothing is due or under way, for so long at most."""
        self._due.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._own.is_told:
                    self._ended.clear()
                    await self._ended.wait()

    async def _run(self) -> None:
        while self._task is not None:
            await self._due.wait()
            self._due.clear()
            while len(self._writes) < WRITES_AT_ONCE and (write := self._own.take()) is not None:
                task = asyncio.get_running_loop().create_task(self._put(write))
                self._writes.add(task)
                task.add_done_callback(self._written)

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writes.discard(task)
        self._ended.set()
        self._due.set()  # there is room for another

    async def _put(self, write: Write) -> None:
        done = False
        try:
            if write.value is None:
                await self._bucket.delete(write.key)
            else:
                await self._bucket.put(write.key, write.value)
            done = True
            if write.value is not None and len(write.value) > SMALL_BYTES:
                await asyncio.sleep(len(write.value) / BYTES_PER_SECOND)
        except BucketError as error:
            logger.debug("the links of %s were not put: %s", write.key, error)
            self.failed += 1
            await asyncio.sleep(AGAIN_SECONDS)
        except ValueError as error:
            logger.warning("the links of %s are known on this node only: %s", write.key, error)
            done = True
        except Exception:
            logger.exception("the links of %s could not be put", write.key)
            self.failed += 1
            await asyncio.sleep(AGAIN_SECONDS)
        finally:
            if done:
                self._own.ended(write)
            else:
                self._own.failed(write)
