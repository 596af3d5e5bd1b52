"""The learned routes on disk: one SQLite file in `state_dir`, written on a thread of its own, never on the loop.

When the future of a `write` is done, its changes are committed and synced (WAL, synchronous=FULL). The changes of one
`write` are in one transaction and in order. Changes that arrive during a commit share the next commit. After a failed
write, and after the file was deleted or replaced while it was open, the next write rewrites all routes in force, which
it gets from `everything`.

The file's `user_version` is the version of the schema. An older file is migrated step by step, each step in a
transaction with its number. A newer file, and one that SQLite cannot read, stop the start and are left as they are.

One gateway per folder, because it would not see what another one writes. The folder is locked from `open` to `aclose`,
or to the end of the process. Until the first `write` nothing else is open, and the lock goes when the store is dropped.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tunnel.port import Target

from ..settings import ConfigurationError
from .claims import Claim

with contextlib.suppress(ImportError):  # Windows cannot open folders, so there they are not locked
    import fcntl

logger = logging.getLogger("gateway.routes")

FILE_NAME = "learned-routes.sqlite3"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE routes (
            host TEXT NOT NULL,
            path TEXT NOT NULL,
            cluster TEXT NOT NULL,
            namespace TEXT NOT NULL,
            service TEXT NOT NULL,
            port INTEGER NOT NULL,
            expires_at REAL NOT NULL,
            PRIMARY KEY (host, path)
        ) WITHOUT ROWID""",
    ),
)
"""Step n leads from version n to n + 1. Only add steps: there are files of every version in use."""

_BUSY_SECONDS = 5.0
_PUT = "INSERT OR REPLACE INTO routes VALUES (?, ?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM routes WHERE host = ? AND path = ?"


@dataclass(frozen=True, slots=True)
class Learned:
    """A route that an agent registered, and when it expires. Wall-clock seconds, because they survive a restart."""

    claim: Claim
    expires_at: float


@dataclass(frozen=True, slots=True)
class Drop:
    """One route is removed."""

    host: str
    path: str


Change = Learned | Drop


class StoreError(Exception):
    """A write failed. The log says why."""


class _ReplacedError(Exception):
    """The file was deleted or replaced after it was opened."""


@dataclass(slots=True)
class _Batch:
    """The changes of the next commit."""

    done: "asyncio.Future[None]"
    changes: list[Change] = field(default_factory=list)


class Store:
    """The file of one gateway. `lock`: the descriptor of the locked folder."""

    def __init__(self, file: Path, lock: int | None = None) -> None:
        self.file = file
        self._unlock = weakref.finalize(self, os.close, lock) if lock is not None else _nothing
        self.everything: Callable[[], Sequence[Learned]] | None = None
        """Returns all routes in force, including changes that are not yet written."""
        self._behind = False
        self._mending = False  # all routes in force are being written
        self._connection: sqlite3.Connection | None = None  # used by the worker only
        self._identity = (0, 0)  # of the file that the connection has open
        self._worker = ThreadPoolExecutor(1, "learned-routes")
        self._gathering: _Batch | None = None
        self._committing = False
        self._closed = False
        self._failed = False

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Create or open the store of a `state_dir`: lock, migrate, and check that it is writable.

        Raises ConfigurationError.
        """
        file = folder / FILE_NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"state_dir: {folder} cannot be created: {error.strerror}") from None
        with contextlib.ExitStack() as undo:
            lock = _locked(folder)
            if lock is not None:
                undo.callback(os.close, lock)
            cls._prepare(file)
            undo.pop_all()
        return cls(file, lock)

    @staticmethod
    def _prepare(file: Path) -> None:
        try:
            with contextlib.closing(open_connection(file)) as connection:
                migrate(connection, file)
                if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                    raise ConfigurationError(f"state_dir: {_damaged(file, found)}")
        except sqlite3.OperationalError as error:  # no permission, a full disk, or a lock
            raise ConfigurationError(f"state_dir: {file} cannot be written: {error}") from None
        except sqlite3.DatabaseError as error:
            raise ConfigurationError(f"state_dir: {_damaged(file, str(error))}") from None

    def load(self) -> list[Learned]:
        """All stored routes, unchecked. Raises ConfigurationError."""
        try:
            with contextlib.closing(open_connection(self.file)) as connection:
                found = connection.execute(
                    "SELECT host, path, cluster, namespace, service, port, expires_at FROM routes"
                ).fetchall()
            rows = msgspec.convert(found, list[tuple[str, str, str, str, str, int, float]])
        except (sqlite3.DatabaseError, msgspec.ValidationError) as error:
            raise ConfigurationError(f"state_dir: {_damaged(self.file, str(error))}") from None
        return [
            Learned(Claim(host, path, Target(cluster, namespace, service, port)), expires_at)
            for host, path, cluster, namespace, service, port, expires_at in rows
        ]

    @property
    def behind(self) -> bool:
        """An earlier write is missing in the file. The next `write`, even of nothing, makes up for it."""
        return self._behind or self._mending

    def rewrite(self) -> "asyncio.Future[None]":
        """Write all routes in force. Returns as `write` does."""
        self._behind = True
        return self.write(())

    def write(self, changes: Iterable[Change]) -> "asyncio.Future[None]":
        """Commit these changes together. The future is done when they are on disk, or fails with StoreError."""
        batch = self._gathering
        if batch is None:
            batch = self._gathering = _Batch(asyncio.get_running_loop().create_future())
            batch.done.add_done_callback(_look_at)
        batch.changes += changes
        if self._closed:
            self._gathering = None
            batch.done.set_exception(StoreError("the store is closed"))
        elif not self._committing:
            self._commit()
        return batch.done

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
                logger.error("%s cannot be written, and a restart would lose learned routes: %s", self.file, error)
            elif error is None and self._failed:
                logger.info("%s can be written again", self.file)
            self._failed = error is not None
            if not batch.done.done():
                if error is None:
                    batch.done.set_result(None)
                else:
                    batch.done.set_exception(StoreError(str(error)))
            self._commit()

        running.add_done_callback(committed)

    def _transaction(self, changes: Sequence[Change], everything: Sequence[Learned] | None) -> None:
        """Commit, on the worker's thread. Raises _ReplacedError and SQLite's errors."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            if everything is not None:
                connection.execute("DELETE FROM routes")
            for change in everything if everything is not None else changes:
                if isinstance(change, Learned):
                    claim, target = change.claim, change.claim.target
                    row = (claim.host, claim.path, target.cluster, target.namespace, target.service, target.port)
                    connection.execute(_PUT, (*row, change.expires_at))
                else:
                    connection.execute(_DROP, (change.host, change.path))
            connection.execute("COMMIT")
        except BaseException:
            self._disconnect()  # rolls back; the fault may be gone when the file is opened again
            raise

    def _connected(self) -> sqlite3.Connection:
        """The connection to the current file."""
        if self._connection is not None:
            if _identity(self.file) != self._identity:
                raise _ReplacedError
            return self._connection
        connection = self._connection = open_connection(self.file)
        migrate(connection, self.file)
        self._identity = _identity(self.file)
        return connection

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


def open_connection(file: Path) -> sqlite3.Connection:
    """A connection with our settings. Transactions are started explicitly."""
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, file: Path) -> None:
    """Migrate the file to the current schema, step by step. Raises ConfigurationError for a newer file."""
    connection.execute("BEGIN IMMEDIATE")  # even if there is nothing to do: this proves that the file is writable
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise ConfigurationError(  # noqa: TRY301  (rolled back like any other error)
                f"state_dir: {file} was written by a newer gateway (schema {version}, this gateway knows up to "
                f"{len(MIGRATIONS)}): run the newer one, or delete the file; the agents register their routes again"
            )
        for number in range(version, len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _identity(file: Path) -> tuple[int, int]:
    """Device and inode of the file. (0, 0) if there is none."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _damaged(file: Path, reason: str) -> str:
    return f"{file} is damaged ({reason}): restore a backup, or delete it; the agents register their routes again"


def _look_at(done: "asyncio.Future[None]") -> None:
    """Retrieve the error, because callers need not wait for a write. The log has it."""
    if not done.cancelled():
        done.exception()


def _nothing() -> None: ...
