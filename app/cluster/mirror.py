"""A bucket's mirror in memory: the real `Bucket`, over whatever connection the engine has.

Reads never wait. What they see is what the watch brought, and this node's own writes from the moment they are
confirmed. While the engine is away everything stays as it was. After a loss the watch goes on from the last revision;
everything is listed again only where it cannot: the bucket was made anew, has lost writes, or the mirror was away for
so long that markers of deletes may have been purged.

`freeze` is for a node that is cut off, or does not trust a bucket that was made anew: nothing is forgotten then until
`thaw`. What is put is taken all the same.

A write is tried once. What is to be done after an UncertainError only the caller can know.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from tunnel.slices import work_off

from ..observed.metrics import WriteEnd
from . import markers
from .bucket import AwayError, BucketError, ConflictError, Entry, UncertainError, key_problem
from .ending import ended
from .jetstream import WRONG_REVISION, JetStream, StreamInfo
from .requests import LostError, NoAnswerError, RefusedError, RequestError
from .watch import Delivery, Watch

if TYPE_CHECKING:
    from .connection import Connection

logger = logging.getLogger("gateway.cluster")

TRUSTED_SECONDS = 20 * 60.0
"""Markers stay for 30 minutes at least. A mirror that was away for longer than this lists everything again."""

_FORGOTTEN_PER_TURN = 50

_HEADERS_BYTES = 1_024
"""What NATS counts of a message besides the value. Our headers are far shorter."""


class Mirror:
    """The bucket of this name. Attach it to an engine; each connection is then used as it comes."""

    def __init__(self, name: str, *, replicas: int = 1) -> None:
        self.name = name
        self.on_change: Callable[[Entry], None] = lambda _: None
        self.on_anew: Callable[[], None] = lambda: None
        self.created: str | None = None
        self.revision = 0
        self.synced = False
        self.frozen = False
        self.lag = 0
        """Writes that the engine had for this mirror and that had not arrived, at the last that did."""
        self.problem: str | None = None
        """What is wrong with this bucket, while there is a connection. For the operator."""
        self.listings = 0
        """How often everything was listed. For the metrics."""
        self.writes = 0
        """Own ones that were confirmed."""
        self.failed = dict.fromkeys(WriteEnd, 0)
        """Own ones that were not."""
        self._replicas = replicas
        self._entries: dict[str, Entry] = {}
        self._ahead: dict[str, int] = {}
        """Own writes that the watch has not brought yet. What it brings of these keys before them is older."""
        self._stale: dict[str, Entry] = {}
        """What was there before the listing that is under way, and has not come again."""
        self._held: dict[str, tuple[Entry, Entry]] = {}
        """While frozen: deletes, with what they delete."""
        self._told_at: tuple[float, float] | None = None
        """When the last write came that was followed at once: by the loop's clock, and by the engine's."""
        self._left = 0.0
        """When the last watch was still whole, on the loop's clock."""
        self._connection: Connection | None = None
        self._stream: JetStream | None = None
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    # Member

    def connected(self, connection: "Connection") -> None:
        """Watch over this connection."""
        self._connection = connection
        self._task = asyncio.get_running_loop().create_task(self._follow(connection), name=f"mirror of {self.name}")

    def lost(self) -> None:
        """Keep what there is."""
        self._interrupt()
        self._stream = self._connection = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """End the watch. What the mirror holds can still be read."""
        self.lost()
        await ended(self._ending)

    # Bucket

    def get(self, key: str) -> Entry | None:
        """See Bucket."""
        return self._entries.get(key)

    def items(self) -> Iterator[Entry]:
        """See Bucket."""
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def ahead_seconds(self) -> float | None:
        """By how much this node's wall clock is ahead of the engine's. None: not known."""
        if self._told_at is None:
            return None
        told_at, engine = self._told_at
        return time.time() - engine - (asyncio.get_running_loop().time() - told_at)

    async def put(self, key: str, value: bytes) -> int:
        """See Bucket."""
        return await self._write(key, value, None)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """See Bucket."""
        return await self._write(key, value, revision)

    async def delete(self, key: str, revision: int | None = None) -> None:
        """See Bucket."""
        await self._write(key, None, revision)

    async def create(self, key: str, value: bytes) -> int:
        """See Bucket."""
        try:
            return await self._write(key, value, 0)
        except ConflictError:
            marker = await self._marker(key)
            if marker is None:
                raise
        return await self._write(key, value, marker)

    # What a cut node does

    def freeze(self) -> None:
        """From now on forget nothing."""
        self.frozen = True

    def thaw(self) -> None:
        """Forget what was to be forgotten meanwhile, in slices."""
        self.frozen = False
        held, self._held = self._held, {}
        work_off(self._forget(held.values()), _FORGOTTEN_PER_TURN)

    async def purge_markers(self, older_than_seconds: float = 30 * 60.0) -> int:
        """Drop the markers of deletes from the engine that are older than this. Returns how many.

        One node is enough to do it: the caller decides which. Raises BucketError.
        """
        try:
            return await markers.purge(
                self._connected(), older_than_seconds=older_than_seconds, live=len(self._entries)
            )
        except RequestError as error:
            raise _bucket_error(error) from None

    # The watch

    async def _follow(self, connection: "Connection") -> None:
        """Watch as long as the connection lives, however often it takes another beginning."""
        stream = JetStream(connection, self.name)

        def is_current() -> bool:  # cancelling is not enough: see `ending`
            return connection is self._connection and not connection.ended.is_set()

        while is_current():
            longest = 0.3
            try:
                info = await stream.bind(self._replicas)
                if is_current():
                    self._open(stream, info)
                    self._watch = Watch(stream, start=self.revision + 1, take=self._take, caught_up=self._caught_up)
                    why = await self._watch.run()
                    logger.info("watches bucket %s anew: %s", self.name, why)
            except Exception as error:
                if not isinstance(error, RequestError):  # of ours: tell it, and be blind for no longer than this
                    logger.exception("the watch of bucket %s failed", self.name)
                if is_current():
                    self._troubled(error)
                longest = 0.3 if isinstance(error, NoAnswerError) else 1.0  # that took long enough
            if is_current():
                self._interrupt()
                await asyncio.sleep(random.uniform(longest / 10, longest))  # noqa: S311

    def _open(self, stream: JetStream, info: StreamInfo) -> None:
        """Begin with a bucket: go on, or list all of it."""
        created = info.created_text
        is_anew = self.created is not None and (created != self.created or info.state.last_seq < self.revision)
        lists = is_anew or self.revision == 0 or asyncio.get_running_loop().time() - self._left > TRUSTED_SECONDS
        self.problem, self._stream, self.created = None, stream, created
        self.lag = max(0, info.state.last_seq - self.revision)
        if lists:
            self.listings += 1
            self.revision = 0
            self._stale = dict(self._entries)
        if is_anew:
            self._ahead.clear()
            logger.warning("bucket %s was made anew, or has lost writes; what nodes keep in it is put again", self.name)
            try:
                self.on_anew()
            except Exception:
                logger.exception("that bucket %s was made anew could not be taken", self.name)

    def _interrupt(self) -> None:
        """The watch has ended, or will."""
        if self._watch is not None:
            self._left = self._watch.alive
        self.synced, self._watch = False, None

    def _troubled(self, error: Exception) -> None:
        text = f"bucket {self.name}: {error}"
        self._stream = None
        if text != self.problem:
            logger.warning("%s; this node serves on, and tries again by itself", text)
        self.problem = text

    def _take(self, delivery: Delivery) -> None:
        self.revision, self.lag = delivery.revision, delivery.pending
        if self.synced and not delivery.pending:
            self._told_at = asyncio.get_running_loop().time(), delivery.written
        key, ahead = delivery.key, self._ahead.get(delivery.key, 0)
        if ahead > delivery.revision:
            return
        if ahead:
            del self._ahead[key]
        if ahead != delivery.revision:
            self._apply(Entry(key, delivery.value, delivery.revision, self.created or ""), is_own=False)

    def _caught_up(self) -> None:
        """All of the bucket has come. What has not is no longer in it."""
        self.lag = 0
        stale, self._stale = self._stale, {}
        gone = {key: (Entry(key, None, 0, self.created or ""), seen) for key, seen in stale.items()}
        if self.frozen:
            self._held |= gone
            gone = {}
        work_off(self._forget(gone.values(), self._watch), _FORGOTTEN_PER_TURN)

    def _forget(self, gone: Iterable[tuple[Entry, Entry]], watch: Watch | None = None) -> Iterator[None]:
        """Delete what is still as it was seen; then the mirror of this watch is whole."""
        for delete, seen in gone:
            if self._entries.get(delete.key) is seen:
                del self._entries[delete.key]
                self._tell(delete)
            yield
        if watch is not None and watch is self._watch:
            self.synced = True

    def _apply(self, entry: Entry, *, is_own: bool) -> None:
        self._stale.pop(entry.key, None)
        seen = self._entries.get(entry.key)
        if entry.value is None:
            if seen is None:
                return
            if self.frozen and not is_own:
                self._held[entry.key] = (entry, seen)
                return
            del self._entries[entry.key]
        else:
            self._entries[entry.key] = entry
        self._held.pop(entry.key, None)
        if entry != seen:  # it may be listed again as it was
            self._tell(entry)

    def _tell(self, entry: Entry) -> None:
        try:
            self.on_change(entry)
        except Exception:
            logger.exception("a change of %s in bucket %s could not be taken", entry.key, self.name)

    # Writes

    async def _write(self, key: str, value: bytes | None, expected: int | None) -> int:
        try:
            revision = await self._write_once(key, value, expected)
        except BucketError as error:
            self.failed[_ENDS[type(error)]] += 1
            raise
        self.writes += 1
        return revision

    async def _write_once(self, key: str, value: bytes | None, expected: int | None) -> int:
        if (problem := key_problem(key)) is not None:
            raise ValueError(problem)
        stream, watch, before = self._connected(), self._watch, self.revision
        if value is not None and len(value) > (most := stream.connection.max_payload - _HEADERS_BYTES):
            raise ValueError(f"a value has at most {most:,} bytes, this one has {len(value):,}")
        try:
            revision = await stream.write(key, value, expected)
        except RequestError as error:
            raise _bucket_error(error) from None
        if revision <= before:
            if watch is not None:
                watch.break_off("a write got an old revision")
            raise UncertainError(f"bucket {self.name} was made anew while {key} was written")
        if revision > self.revision and stream is self._stream:
            self._ahead[key] = revision
            self._apply(Entry(key, value, revision, self.created or ""), is_own=True)
        return revision

    async def _marker(self, key: str) -> int | None:
        """The revision of the key's last write, if that was a delete; 0 if there is none at all."""
        try:
            last = await self._connected().last(key)
        except RequestError as error:
            raise _bucket_error(error) from None
        if last is None:
            return 0
        return last.seq if last.is_marker else None

    def _connected(self) -> JetStream:
        if self._stream is None:
            raise AwayError(self.problem or f"bucket {self.name}: NATS is away")
        return self._stream

    def __repr__(self) -> str:
        state = self.problem or ("synced" if self.synced else "not synced")
        frozen = ", frozen" if self.frozen else ""
        return f"<Mirror {self.name}: {len(self._entries)} entries at {self.revision}, {state}{frozen}>"


_ENDS: Final[dict[type[BucketError], WriteEnd]] = {
    ConflictError: WriteEnd.CONFLICT,
    AwayError: WriteEnd.AWAY,
    UncertainError: WriteEnd.UNCERTAIN,
}


def _bucket_error(error: RequestError) -> BucketError:
    """What a request that failed means for the one who writes."""
    if isinstance(error, RefusedError) and error.number == WRONG_REVISION:
        return ConflictError(str(error))
    if isinstance(error, NoAnswerError | LostError):
        return UncertainError(str(error))
    return AwayError(str(error))
