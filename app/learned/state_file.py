"""The SQLite file of the learned routes: its schema, what is in it, and what becomes of a file that cannot be used.

The file's `user_version` is the version of its schema. An older file is migrated step by step, each step in a
transaction with its number. A file that is damaged, and one that a newer gateway wrote, is renamed and kept, and a new
one takes its place. The newer gateway takes its own up again when it starts (`take_up`), and then it is gone. Whatever
cannot be read or written for another reason is left where it is: that raises sqlite3.Error or OSError, and the caller
does without the file.

Everything here blocks.
"""

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from tunnel.port import Target

from .claims import Claim

FILE_NAME: Final = "learned-routes.sqlite3"

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

ASIDE_FILES: Final = 10
"""Of one kind in a folder. More would fill a disk that damages each file anew."""

_BUSY_SECONDS = 5.0
_PUT = "INSERT OR REPLACE INTO routes VALUES (?, ?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM routes WHERE host = ? AND path = ?"
_ALL = "SELECT host, path, cluster, namespace, service, port, expires_at FROM routes"
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
"""What SQLite says of a file that is none, or whose tables are not ours. Everything else may pass."""
_SUFFIXES = ("", "-wal", "-shm")
_NEWER = re.compile(r"learned-routes\.schema-([0-9]{1,9})(?:\.[0-9]+)?\.sqlite3")

Fault = Literal["damaged", "newer"]
FAULTS: tuple[Fault, ...] = ("damaged", "newer")

_T = TypeVar("_T")


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


class _UnusableError(Exception):
    """The file as it is cannot be used."""

    def __init__(self, fault: Fault, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.kind = kind
        """What its new name says of it."""


Told = Callable[[Fault, Path, str], None]
"""Told of a file that was renamed: why, its new name, and what is wrong with it in words."""


def open_file(file: Path, told: Told) -> sqlite3.Connection:
    """A connection to a file of the current schema. Raises sqlite3.Error and OSError."""
    return _usable(file, told, _opened)


def open_and_read(file: Path, told: Told) -> tuple[sqlite3.Connection, list[Learned]]:
    """The same, after a look at the whole file, and all that is in it, unchecked."""
    return _usable(file, told, _opened_and_read)


def read_only(file: Path) -> list[Learned] | None:
    """What is in a file that cannot be written. None: it cannot be read either."""
    with contextlib.suppress(sqlite3.Error, OSError, _UnusableError):
        # Without a log the file itself has everything, and SQLite needs no memory file beside it, for which a full disk
        # has no room. Nobody else writes it: the folder is ours.
        log = Path(f"{file}-wal")
        mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True)) as connection:
            _check_version(connection)
            return _read(connection)
    return None


def take_up(connection: sqlite3.Connection, folder: Path, gone: Callable[[Path, int], None]) -> list[Learned]:
    """Take up what newer gateways left in this folder, as far as they were no newer than this one.

    A host that the current file has keeps what it has there. Returns what was added; `gone` is told of each file, and
    how many routes came from it. Raises sqlite3.Error and OSError.
    """
    added: list[Learned] = []
    held = {host for (host,) in connection.execute("SELECT DISTINCT host FROM routes")}
    files = [
        file for file in folder.iterdir() if (named := _NEWER.fullmatch(file.name)) and int(named[1]) <= _version()
    ]
    for file in sorted(files, key=lambda one: one.stat().st_mtime, reverse=True):
        try:
            other, found = _opened_and_read(file)
        except (sqlite3.Error, _UnusableError):  # it stays
            continue
        other.close()
        new = [learned for learned in found if learned.claim.host not in held]
        connection.execute("BEGIN IMMEDIATE")
        put(connection, new)
        connection.execute("COMMIT")
        for suffix in reversed(_SUFFIXES):  # a log that is left alone would belong to the next file of this name
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        gone(file, len(new))
        held.update(learned.claim.host for learned in new)
        added += new
    return added


def put(connection: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Write these changes, in their order, in the transaction that is open."""
    for change in changes:
        if isinstance(change, Learned):
            claim, target = change.claim, change.claim.target
            row = (claim.host, claim.path, target.cluster, target.namespace, target.service, target.port)
            connection.execute(_PUT, (*row, change.expires_at))
        else:
            connection.execute(_DROP, (change.host, change.path))


def identity(file: Path) -> tuple[int, int]:
    """Device and inode of the file. (0, 0) if there is none."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def _version() -> int:
    """Of the current schema."""
    return len(MIGRATIONS)


def _usable(file: Path, told: Told, opened: Callable[[Path], _T]) -> _T:
    """What `opened` makes of the file, or of a new one in its place."""
    try:
        return opened(file)
    except _UnusableError as error:
        told(error.fault, _set_aside(file, error.kind), str(error))
    try:
        return opened(file)
    except _UnusableError as error:
        raise sqlite3.DatabaseError(str(error)) from None


def _opened(file: Path) -> sqlite3.Connection:
    """Raises _UnusableError, sqlite3.Error."""
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    with _closed_on_error(connection):
        _check_version(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection)
    return connection


def _opened_and_read(file: Path) -> tuple[sqlite3.Connection, list[Learned]]:
    connection = _opened(file)
    with _closed_on_error(connection):
        _check_pages(connection)
        return connection, _read(connection)


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Close the connection when an error leaves. An error that means damage becomes _UnusableError."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            raise _UnusableError("damaged", "damaged", str(error)) from None
        raise


def _check_pages(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _UnusableError("damaged", "damaged", found)


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _version():
        raise _UnusableError(
            "newer", f"schema-{version}", f"its schema is {version}, and this gateway knows up to {_version()}"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")  # even if there is nothing to do: this proves that the file is writable
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for number in range(version, len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _read(connection: sqlite3.Connection) -> list[Learned]:
    found = connection.execute(_ALL).fetchall()
    try:
        rows = msgspec.convert(found, list[tuple[str, str, str, str, str, int, float]])
    except msgspec.ValidationError as error:
        raise _UnusableError("damaged", "damaged", str(error)) from None
    return [
        Learned(Claim(host, path, Target(cluster, namespace, service, port)), expires_at)
        for host, path, cluster, namespace, service, port, expires_at in rows
    ]


def _set_aside(file: Path, kind: str) -> Path:
    """Rename the file, and its write-ahead log with it: SQLite would take that for the new file's. Raises OSError."""
    for number in range(1, ASIDE_FILES + 1):
        name = f"{file.stem}.{kind}{f'.{number}' if number > 1 else ''}{file.suffix}"
        aside = file.with_name(name)
        if not aside.exists():
            for suffix in reversed(_SUFFIXES):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{file}{suffix}").rename(f"{aside}{suffix}")
            return aside
    raise OSError(f"{ASIDE_FILES} files {file.stem}.{kind} are kept already: delete some")
