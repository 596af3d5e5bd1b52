"""The learned routes on disk: one SQLite file in `state_dir`, written on a thread of its own, never on the loop.

When the future of a `write` is done, its changes are committed and synced (WAL, synchronous=FULL). The changes of one
`write` are in one transaction and in order. Changes that arrive during a commit share the next commit. After a failed
write, and after the file was deleted, replaced or set aside while it was open, the next write rewrites all routes in
force, which it gets from `everything`. `state_file.py` says which files are set aside.

A file that cannot be written when it is opened, or whose trouble lasts until a `look`, is out: it is left as it is,
nobody waits for it, and each `look` tries it once more. No trouble with the file stops a gateway.

One gateway per folder, because it would not see what another one writes. The folder is locked from `open` to `aclose`,
or to the end of the process. Until the first `write` nothing else is open, and the lock goes when the store is dropped.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..settings import ConfigurationError
from .state_file import (
    FAULTS,
    FILE_NAME,
    Change,
    Fault,
    Learned,
    identity,
    open_and_read,
    open_file,
    put,
    read_only,
    take_up,
)

with contextlib.suppress(ImportError):  # Windows cannot open folders, so there they are not locked
    import fcntl

logger = logging.getLogger("gateway.routes")

_TOLD = 16
"""Files set aside that nobody has asked for yet."""
_WORDS: dict[Fault, str] = {"damaged": "damaged", "newer": "of a newer gateway"}


class StoreError(Exception):
    """A write failed. The log says why."""


class _ReplacedError(Exception):
    """The file was deleted or replaced after it was opened."""


@dataclass(slots=True)
class _Batch:
    """The changes of the next commit."""

    done: "asyncio.Future[None]"
    changes: list[Change] = field(default_factory=list)
    is_look: bool = False


class Store:
    """The file of one gateway."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set_aside: dict[str, int] = dict.fromkeys(FAULTS, 0)
        """Files that were renamed since the start."""
        self._told_aside: deque[tuple[str, str]] = deque(maxlen=_TOLD)  # the worker appends, the loop takes
        self.everything: Callable[[], Sequence[Learned]] | None = None
        """Returns all routes in force, including changes that are not yet written."""
        self._unlock: Callable[[], object] | None = None  # once the folder is ours
        self._found: list[Learned] = []
        self._is_unread = False  # there may be more in the file than we know
        self._behind = False
        self._mending = False  # all routes in force are being written
        self._connection: sqlite3.Connection | None = None  # used by the worker only
        self._identity = (0, 0)  # of the file that the connection has open
        self._is_doubted = False  # the last transaction failed: the whole file is looked at before the next
        self._worker = ThreadPoolExecutor(1, "learned-routes")
        self._gathering: _Batch | None = None
        self._committing = False
        self._closed = False
        self._failed = False
        self._out = False

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Create or open the store of a `state_dir`.

        Raises ConfigurationError: another gateway uses the folder, or there is something else in its place.
        """
        store = cls(folder / FILE_NAME)
        try:
            store._take_folder()
            connection, store._found = open_and_read(store.file, store._told)
            with contextlib.closing(connection):
                store._found += take_up(connection, folder, _told_gone)
        except (NotADirectoryError, FileExistsError) as error:
            raise ConfigurationError(f"state_dir: {folder} cannot be created: {error.strerror}") from None
        except (sqlite3.Error, OSError) as error:
            store._failed = store._out = store._behind = True
            known = read_only(store.file)
            store._is_unread = known is None
            store._found = known or []
            store._log_failure(error)
        return store

    def load(self) -> list[Learned]:
        """What was in the file when it was opened, unchecked. Asked once: the store does not keep it."""
        found, self._found = self._found, []
        return found

    def take_set_aside(self) -> list[tuple[str, str]]:
        """The files that were set aside since the last call: what is wrong with each, and a line about it."""
        found = []
        while self._told_aside:
            found.append(self._told_aside.popleft())
        return found

    @property
    def is_kept(self) -> bool:
        """Whether the last write succeeded: a restart loses nothing that was promised."""
        return not self._failed

    @property
    def behind(self) -> bool:
        """An earlier write is missing in the file. The next `write`, even of nothing, makes up for it."""
        return self._behind or self._mending

    def rewrite(self) -> "asyncio.Future[None]":
        """Write all routes in force. Returns as `write` does."""
        self._behind = True
        return self.write(())

    def write(self, changes: Iterable[Change]) -> "asyncio.Future[None]":
        """Commit these changes together. The future is done when they are on disk, or fails with StoreError.

        While the file is out it is done at once.
        """
        if self._out and not self._closed:
            self._behind = True
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        return self._gather(changes).done

    def look(self, changes: Iterable[Change]) -> None:
        """Write as `write` does, and try a file that is out. If an earlier write failed and this one does, it is out.

        Called about once a minute.
        """
        self._gather(changes).is_look = True

    def _next_batch(self) -> _Batch:
        if self._gathering is None:
            self._gathering = _Batch(asyncio.get_running_loop().create_future())
            self._gathering.done.add_done_callback(_look_at)
        return self._gathering

    def _gather(self, changes: Iterable[Change]) -> _Batch:
        batch = self._next_batch()
        batch.changes += changes
        if self._closed:
            self._gathering = None
            batch.done.set_exception(StoreError("the store is closed"))
        elif not self._committing:
            self._commit()
        return batch

    def _commit(self) -> None:
        batch, self._gathering = self._gathering, None
        if batch is not None:
            self._run(batch)

    def _run(self, batch: _Batch) -> None:
        self._committing = True
        self._mending, self._behind = self._behind, False
        everything = self.everything() if self._mending and self.everything is not None else None
        running = asyncio.get_running_loop().run_in_executor(self._worker, self._transaction, batch.changes, everything)

        def committed(result: "asyncio.Future[None]") -> None:
            self._committing = False
            error = None if result.cancelled() else result.exception()
            self._mending = False
            self._behind = self._behind or error is not None
            if isinstance(error, _ReplacedError):
                logger.warning("%s was deleted or replaced: writing all learned routes again", self.file)
                self._run(batch)
                return
            if error is not None and not self._failed:
                self._log_failure(error)
            elif error is None and self._failed:
                logger.info("%s can be written again", self.file)
            was_out, self._out = self._out, error is not None and (self._out or (self._failed and batch.is_look))
            self._failed = error is not None
            if was_out and not self._out and self._behind:  # something came during this commit
                self._next_batch()
            if not batch.done.done():
                if error is None:
                    batch.done.set_result(None)
                else:
                    batch.done.set_exception(StoreError(str(error)))
            self._commit()

        running.add_done_callback(committed)

    def _transaction(self, changes: Sequence[Change], everything: Sequence[Learned] | None) -> None:
        """Commit, on the worker's thread. Raises _ReplacedError, ConfigurationError, OSError and SQLite's errors."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            if everything is not None and not self._is_unread:
                connection.execute("DELETE FROM routes")
            put(connection, everything if everything is not None else changes)
            connection.execute("COMMIT")
        except BaseException:
            self._is_doubted = True
            self._disconnect()  # rolls back; the fault may be gone when the file is opened again
            raise
        self._is_doubted = False

    def _connected(self) -> sqlite3.Connection:
        """The connection to the current file."""
        if self._connection is not None:
            if identity(self.file) != self._identity:
                raise _ReplacedError
            return self._connection
        self._take_folder()
        before = sum(self.set_aside.values())
        if self._is_doubted:
            self._connection, _ = open_and_read(self.file, self._told)
        else:
            self._connection = open_file(self.file, self._told)
        self._identity = identity(self.file)
        if sum(self.set_aside.values()) > before:
            raise _ReplacedError
        return self._connection

    def _take_folder(self) -> None:
        """Create the folder and lock it, unless it is ours. Raises OSError, ConfigurationError."""
        if self._unlock is None:
            folder = self.file.parent
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _locked(folder)
            self._unlock = weakref.finalize(self, os.close, lock) if lock is not None else _nothing

    def _told(self, fault: Fault, aside: Path, reason: str) -> None:
        self.set_aside[fault] += 1
        self._told_aside.append((fault, f"{self.file} is {_WORDS[fault]}: kept as {aside}"))
        if fault == "newer":
            logger.warning(
                "%s was written by a newer gateway (%s): kept as %s, from which the newer one takes it up again",
                self.file, reason, aside,
            )  # fmt: skip
        else:
            logger.error("%s is damaged (%s): kept as %s; agents register their routes again", self.file, reason, aside)

    def _log_failure(self, error: BaseException) -> None:
        logger.error("%s cannot be written, and a restart would lose learned routes: %s", self.file, str(error))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    async def aclose(self) -> None:
        """Commit pending writes, then close; idempotent."""
        if self._closed:
            return
        self._closed = True
        while self._gathering is not None or self._committing:
            await self._last()
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._disconnect)
        self._worker.shutdown()
        if self._unlock is not None:
            self._unlock()

    async def _last(self) -> None:
        """Wait until the worker has done everything it was given so far."""
        await asyncio.get_running_loop().run_in_executor(self._worker, _nothing)


def _locked(folder: Path) -> int | None:
    """Lock the folder itself, so that no lock file is left behind. None if its file system has no locks."""
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ConfigurationError(
                f"state_dir: {folder} is in use by another gateway process: stop that one, or give each its own folder"
            ) from None
        logger.warning(
            "state_dir: %s cannot be locked (%s): make sure that no other gateway uses it", folder, error.strerror
        )
        return None
    return descriptor


def _told_gone(file: Path, count: int) -> None:
    logger.info("%d learned routes of %s were taken up again", count, file)


def _look_at(done: "asyncio.Future[None]") -> None:
    """Retrieve the error, because callers need not wait for a write. The log has it."""
    if not done.cancelled():
        done.exception()


def _nothing() -> None: ...
