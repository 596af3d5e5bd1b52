"""The file of the learned routes: every version is read, and no file that cannot be used stops a gateway or is lost."""

import asyncio
import contextlib
import logging
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.learned import Claim, Learned, LearnedRoutes, Store, StoreError, state_file
from app.learned.state_file import ASIDE_FILES, FILE_NAME, MIGRATIONS
from app.settings import Settings
from tests.app.learned.claims import GRANTS, lines
from tunnel.port import Target

DAMAGED = "learned-routes.damaged.sqlite3"
NEXT = len(MIGRATIONS) + 1
NEWER = f"learned-routes.schema-{NEXT}.sqlite3"
ADDED = (f"CREATE TABLE schema_{NEXT} (x)",)


def learned(host: str, path: str = "/", expires_at: float = 2_000_000_000.0) -> Learned:
    return Learned(Claim(host, path, Target("a", "ingress", "traefik", 80)), expires_at)


def write(folder: Path, *entries: Learned) -> None:
    async def run() -> None:
        opened = Store.open(folder)
        await opened.write(entries)
        await opened.aclose()

    asyncio.run(run())


def stored(folder: Path) -> list[str]:
    return sorted(one.claim.host for one in Store.open(folder).load())


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def version(file: Path) -> int:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def execute(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@contextlib.contextmanager
def newer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A gateway whose schema is one step further."""
    with monkeypatch.context() as patched:
        patched.setattr(state_file, "MIGRATIONS", (*MIGRATIONS, ADDED))
        yield


# --- versions


def at_version(folder: Path, number: int) -> None:
    """A file as the gateway of that version left it."""
    steps = [statement for step in MIGRATIONS[:number] for statement in step]
    execute(folder / FILE_NAME, *steps, f"PRAGMA user_version = {number}")


@pytest.mark.parametrize("number", range(len(MIGRATIONS) + 1))
def test_every_version_is_brought_up_to_date(tmp_path: Path, number: int):
    at_version(tmp_path, number)
    write(tmp_path, learned("a.test"))
    assert version(tmp_path / FILE_NAME) == len(MIGRATIONS)
    assert stored(tmp_path) == ["a.test"]
    assert names(tmp_path) == [FILE_NAME]


def test_version_1_keeps_its_routes(tmp_path: Path):
    at_version(tmp_path, 1)
    execute(tmp_path / FILE_NAME, "INSERT INTO routes VALUES ('a.test', '/', 'a', 'ingress', 'traefik', 80, 2e9)")
    assert Store.open(tmp_path).load() == [learned("a.test")]


def test_a_step_is_taken_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that a step fails for is kept as it was."""
    write(tmp_path, learned("a.test"))
    broken = (*MIGRATIONS, ("CREATE TABLE most (x)", "NO SQL"))
    with monkeypatch.context() as patched:
        patched.setattr(state_file, "MIGRATIONS", broken)
        assert Store.open(tmp_path).load() == []
    assert version(tmp_path / DAMAGED) == len(MIGRATIONS)
    with contextlib.closing(sqlite3.connect(tmp_path / DAMAGED)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("routes",)]
        assert connection.execute("SELECT host FROM routes").fetchall() == [("a.test",)]


# --- a file of a newer gateway


def test_a_newer_file_is_kept_for_the_newer_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.INFO)
    with newer(monkeypatch):
        write(tmp_path, learned("both.test", "/newer"), learned("newer.test"))
    whole = (tmp_path / FILE_NAME).read_bytes()

    opened = Store.open(tmp_path)
    assert opened.load() == []
    assert opened.set_aside == {"damaged": 0, "newer": 1}
    assert opened.is_kept
    del opened
    assert (tmp_path / NEWER).read_bytes() == whole
    (line,) = lines(caplog)
    assert line == (
        f"{tmp_path / FILE_NAME} was written by a newer gateway (its schema is {NEXT}, and this gateway knows up to "
        f"{NEXT - 1}): kept as {tmp_path / NEWER}, from which the newer one takes it up again"
    )
    write(tmp_path, learned("both.test", "/older"), learned("older.test"))
    assert stored(tmp_path) == ["both.test", "older.test"]

    with newer(monkeypatch):
        # What the older gateway learned since is newer than what was kept.
        found = Store.open(tmp_path).load()
        assert sorted(found, key=lambda one: one.claim.host) == [
            learned("both.test", "/older"), learned("newer.test"), learned("older.test"),
        ]  # fmt: skip
        assert names(tmp_path) == [FILE_NAME]
        assert version(tmp_path / FILE_NAME) == NEXT
        assert stored(tmp_path) == ["both.test", "newer.test", "older.test"]
    assert lines(caplog)[1:] == [f"1 learned routes of {tmp_path / NEWER} were taken up again"]


def test_going_back_and_forth_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        with newer(monkeypatch):
            write(tmp_path, learned(f"newer-{number}.test"))
        write(tmp_path, learned(f"older-{number}.test"))
    with newer(monkeypatch):
        assert stored(tmp_path) == [f"{age}-{number}.test" for age in ("newer", "older") for number in range(3)]


def test_several_that_were_kept_are_all_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        with newer(monkeypatch), monkeypatch.context() as patched:
            patched.setattr("app.learned.store.take_up", lambda *_: [])
            write(tmp_path, learned(f"{number}.test"))
        Store.open(tmp_path)
    kept = [NEWER, *(f"learned-routes.schema-{NEXT}.{number}.sqlite3" for number in (2, 3))]
    assert names(tmp_path) == sorted([FILE_NAME, *kept])
    with newer(monkeypatch):
        assert stored(tmp_path) == ["0.test", "1.test", "2.test"]
        assert names(tmp_path) == [FILE_NAME]


def test_a_file_that_was_taken_up_goes_after_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A log that is left without its file, by a kill in between, would be read into the next file of that name."""
    with newer(monkeypatch):
        write(tmp_path, learned("newer.test"))
    assert stored(tmp_path) == []
    unlink, gone = Path.unlink, []

    def note(file: Path, missing_ok: bool = False) -> None:
        gone.append(file.name)
        unlink(file, missing_ok=missing_ok)

    with newer(monkeypatch), monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", note)
        assert stored(tmp_path) == ["newer.test"]
    assert gone[-2:] == [f"{NEWER}-wal", NEWER]


def test_one_that_is_still_too_new_or_was_damaged_since_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / NEWER).write_bytes(b"no database" * 1000)
    (tmp_path / f"learned-routes.schema-{NEXT + 1}.sqlite3").write_bytes(b"later")
    with newer(monkeypatch):
        write(tmp_path, learned("a.test"))
        assert stored(tmp_path) == ["a.test"]
    assert len(names(tmp_path)) == 3


# --- a damaged one


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_file_is_kept_and_another_takes_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
):
    (tmp_path / FILE_NAME).write_bytes(content)
    opened = Store.open(tmp_path)
    assert opened.load() == []
    assert opened.set_aside == {"damaged": 1, "newer": 0}
    del opened
    assert (tmp_path / DAMAGED).read_bytes() == content
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    (line,) = lines(caplog, "is damaged")
    assert line.startswith(f"{tmp_path / FILE_NAME} is damaged (")
    assert line.endswith(f"): kept as {tmp_path / DAMAGED}; agents register their routes again")
    write(tmp_path, learned("a.test"))
    assert stored(tmp_path) == ["a.test"]


def test_a_damaged_page_is_found(tmp_path: Path):
    write(tmp_path, *(learned(f"host-{number}.test") for number in range(500)))
    whole = bytearray((tmp_path / FILE_NAME).read_bytes())
    whole[4096 : 4096 + 2048] = bytes(2048)
    (tmp_path / FILE_NAME).write_bytes(whole)
    assert stored(tmp_path) == []
    assert names(tmp_path) == [DAMAGED, FILE_NAME]


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO routes VALUES ('a.test', '/', 'a', 'n', 's', 'http', 1e9)", "DROP TABLE routes",
     "ALTER TABLE routes RENAME COLUMN port TO door"],
)  # fmt: skip
def test_a_table_that_is_not_ours_is_damage(tmp_path: Path, statement: str):
    write(tmp_path, learned("b.test"))
    execute(tmp_path / FILE_NAME, statement)
    assert stored(tmp_path) == []
    assert names(tmp_path) == [DAMAGED, FILE_NAME]


def test_what_a_killed_gateway_left_beside_it_does_not_get_into_the_new_file(tmp_path: Path):
    """SQLite's log has the last routes that it wrote."""
    before, folder = tmp_path / "before", tmp_path / "state"
    folder.mkdir()

    async def run() -> None:
        opened = Store.open(before)
        await opened.write([learned("a.test")])
        for file in before.iterdir():
            shutil.copy(file, folder)
        await opened.aclose()

    asyncio.run(run())
    assert (folder / f"{FILE_NAME}-wal").stat().st_size > 4096
    (folder / FILE_NAME).write_bytes(b"no database" * 1000)
    write(folder, learned("b.test"))
    assert stored(folder) == ["b.test"]
    assert (folder / DAMAGED).exists()


def test_a_disk_that_damages_each_file_is_not_filled(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for number in range(ASIDE_FILES + 2):
        (tmp_path / FILE_NAME).write_bytes(b"no database %d " % number * 100)
        assert stored(tmp_path) == []
    assert len(names(tmp_path)) == ASIDE_FILES + 1
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"no database 11")
    assert f"{ASIDE_FILES} files learned-routes.damaged are kept already: delete some" in caplog.text


# --- one that cannot be written


def test_a_file_that_cannot_be_opened_is_left_and_the_memory_serves(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / FILE_NAME).mkdir()

    async def run() -> None:
        routes = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        assert not routes.is_kept
        await routes.register(learned("x.a.test").claim, "agent x")
        assert routes.of_host("x.a.test")
        await routes.aclose()

    asyncio.run(run())
    assert names(tmp_path) == [FILE_NAME]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert lines(caplog)[0].endswith("and a restart would lose learned routes: unable to open database file")


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow. (Python ignores the signal that comes with it.)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_what_is_in_the_file_is_served(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    write(tmp_path, learned("old.a.test"))
    whole = (tmp_path / FILE_NAME).read_bytes()

    async def run() -> None:
        with full_disk():
            routes = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
            assert [one.claim.host for one in routes] == ["old.a.test"]
            await routes.register(learned("new.a.test").claim, "agent x")
            assert not routes.is_kept
        assert (tmp_path / FILE_NAME).read_bytes() == whole
        routes.tick(0.0)  # there is room again
        await routes.aclose()
        assert routes.is_kept

    asyncio.run(run())
    assert stored(tmp_path) == ["new.a.test", "old.a.test"]
    assert [line for line in lines(caplog) if "again" in line or "cannot" in line] == [
        f"{tmp_path / FILE_NAME} cannot be written, and a restart would lose learned routes: disk I/O error",
        "1 learned routes of 1 hosts are served again",
        f"{tmp_path / FILE_NAME} can be written again",
    ]


def test_a_disk_that_fills_up_later_loses_nothing(tmp_path: Path):
    async def run() -> None:
        routes = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        await routes.register(learned("old.a.test").claim, "agent x")
        with full_disk():
            with pytest.raises(StoreError):
                await routes.register(learned("new.a.test").claim, "agent x")
            assert routes.of_host("new.a.test")
            assert not routes.is_kept
        await routes.register(learned("newest.a.test").claim, "agent x")
        assert routes.is_kept
        await routes.aclose()

    asyncio.run(run())
    assert stored(tmp_path) == ["new.a.test", "newest.a.test", "old.a.test"]


def test_damage_that_comes_later_is_found_by_the_write_that_meets_it(tmp_path: Path):
    """That one fails; the next has all routes in a new file."""
    write(tmp_path, *(learned(f"{number}.a.test") for number in range(500)))

    async def run() -> None:
        routes = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        with (tmp_path / FILE_NAME).open("r+b") as file:
            file.seek(4096)
            file.write(bytes(2048))
        with pytest.raises(StoreError, match="malformed"):
            await routes.register(learned("x.a.test").claim, "agent x")
        await routes.register(learned("y.a.test").claim, "agent x")
        assert routes.files_set_aside["damaged"] == 1
        await routes.aclose()

    asyncio.run(run())
    assert len(stored(tmp_path)) == 502
    assert names(tmp_path) == [DAMAGED, FILE_NAME]


def test_what_was_never_read_is_not_overwritten(tmp_path: Path):
    """A file that could not be read at the start may be whole: its routes are there after the next one."""
    write(tmp_path, learned("old.a.test"))
    whole = tmp_path / "whole"
    (tmp_path / FILE_NAME).rename(whole)
    (tmp_path / FILE_NAME).mkdir()

    async def run() -> None:
        routes = LearnedRoutes(Settings(grants=GRANTS), Store.open(tmp_path), clock=lambda: 1000.0)
        await routes.register(learned("new.a.test").claim, "agent x")
        (tmp_path / FILE_NAME).rmdir()
        whole.rename(tmp_path / FILE_NAME)
        routes.tick(0.0)
        await routes.aclose()

    asyncio.run(run())
    assert stored(tmp_path) == ["new.a.test", "old.a.test"]


def test_a_folder_that_cannot_be_made_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Once it can be it is made, and locked."""
    folder = tmp_path / "volume" / "state"

    def refuses(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    async def run() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "mkdir", refuses)
            routes = LearnedRoutes(Settings(grants=GRANTS), Store.open(folder), clock=lambda: 1000.0)
        await routes.register(learned("x.a.test").claim, "agent x")
        assert not routes.is_kept
        routes.tick(0.0)
        await routes.aclose()
        assert routes.is_kept

    asyncio.run(run())
    assert stored(folder) == ["x.a.test"]
