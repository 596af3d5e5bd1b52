"""The file of the learned routes: what is promised is on disk, every version is read, nothing is guessed."""

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.learned import Claim, Learned, Store, StoreError, store
from app.learned.store import FILE_NAME, MIGRATIONS, Drop
from app.settings import ConfigurationError
from tunnel.port import Target


def learned(host: str, path: str = "/", expires_at: float = 2_000_000_000.0) -> Learned:
    return Learned(Claim(host, path, Target("a", "ingress", "traefik", 80)), expires_at)


def with_store(folder: Path, use: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        opened = Store.open(folder)
        try:
            await use(opened)
        finally:
            await opened.aclose()

    asyncio.run(run())


def stored(folder: Path) -> list[Learned]:
    return sorted(Store.open(folder).load(), key=lambda one: (one.claim.host, one.claim.path))


def version(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_what_was_written_is_read_again(tmp_path: Path):
    async def use(opened: Store) -> None:
        assert opened.load() == []
        await opened.write([learned("a.test"), learned("a.test", "/x"), learned("b.test", expires_at=5.25)])
        await opened.write([learned("a.test", expires_at=7.0), Drop("b.test", "/"), Drop("never.test", "/")])

    with_store(tmp_path / "new" / "state", use)
    assert stored(tmp_path / "new" / "state") == [learned("a.test", expires_at=7.0), learned("a.test", "/x")]
    assert (tmp_path / "new" / "state").stat().st_mode & 0o777 == 0o700


def test_a_write_is_done_when_another_process_would_read_it(tmp_path: Path):
    """Not before: the commit is held up, and so is the promise."""

    async def use(opened: Store) -> None:
        with contextlib.closing(sqlite3.connect(opened.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first, second = opened.write([learned("a.test")]), opened.write([learned("b.test")])
            done, _ = await asyncio.wait((first, second), timeout=0.2)
            assert not done
            assert other.execute("SELECT count(*) FROM routes").fetchone() == (0,)
            other.execute("ROLLBACK")
            await first
            assert other.execute("SELECT count(*) FROM routes WHERE host = 'a.test'").fetchone() == (1,)
            await second
            assert other.execute("SELECT count(*) FROM routes").fetchone() == (2,)

    with_store(tmp_path, use)


def test_every_commit_is_synced(tmp_path: Path):
    Store.open(tmp_path)
    with contextlib.closing(store.open_connection(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_changes_that_gather_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    transaction = Store._transaction

    def counted(opened: Store, changes: list[store.Change], everything: list[Learned] | None) -> None:
        sizes.append(len(changes))
        transaction(opened, changes, everything)

    monkeypatch.setattr(Store, "_transaction", counted)

    async def use(opened: Store) -> None:
        await asyncio.gather(*(opened.write([learned(f"h{number}.test")]) for number in range(100)))

    with_store(tmp_path, use)
    assert sizes == [1, 99]
    assert len(stored(tmp_path)) == 100


def test_one_that_leaves_takes_nobody_along(tmp_path: Path):
    async def use(opened: Store) -> None:
        opened.write([learned("first.test")])
        leaver = asyncio.ensure_future(asyncio.shield(opened.write([learned("left.test")])))
        stays = opened.write([learned("stays.test")])
        leaver.cancel()
        await stays

    with_store(tmp_path, use)
    assert [one.claim.host for one in stored(tmp_path)] == ["first.test", "left.test", "stays.test"]


def test_closing_commits_what_was_promised(tmp_path: Path):
    async def use(opened: Store) -> None:
        opened.write([learned("a.test")])
        later = opened.write([learned("b.test")])
        await opened.aclose()
        assert later.done()
        await opened.aclose()
        with pytest.raises(StoreError):
            await opened.write([learned("c.test")])

    with_store(tmp_path, use)
    assert [one.claim.host for one in stored(tmp_path)] == ["a.test", "b.test"]
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]  # nothing is left open beside it


def test_a_write_that_fails_says_so_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level(logging.INFO)
    connect = store.open_connection
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.01)

    async def use(opened: Store) -> None:
        with contextlib.closing(connect(opened.file)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(StoreError, match="locked"):
                    await opened.write([learned("a.test")])
            other.execute("ROLLBACK")
        bad = Learned(Claim("b.test", None, Target("a", "n", "s", 80)), 1.0)  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="NOT NULL"):
            await opened.write([learned("half.test"), bad])
        await opened.write([learned("c.test")])

    with_store(tmp_path, use)
    assert [one.claim.host for one in stored(tmp_path)] == ["c.test"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]  # once per trouble
    assert "can be written again" in caplog.text


# --- one gateway per folder


def test_a_second_gateway_is_refused_until_the_first_has_ended(tmp_path: Path):
    async def use(opened: Store) -> None:
        await opened.write([learned("a.test")])
        with pytest.raises(ConfigurationError, match=r"^state_dir: .* is in use by another gateway process") as caught:
            Store.open(tmp_path)
        assert str(tmp_path) in str(caught.value)
        await opened.write([learned("b.test")])  # the first one goes on
        await opened.aclose()
        assert stored(tmp_path) == [learned("a.test"), learned("b.test")]

    with_store(tmp_path, use)


def test_another_process_is_refused_with_status_2(tmp_path: Path):
    async def use(_: Store) -> None:
        asked = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app", "--port", "0", env=os.environ | {"GATEWAY_STATE_DIR": str(tmp_path)},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(30):
            _, said = await asked.communicate()
        assert asked.returncode == 2
        assert said.decode().startswith(f"tunnel-gateway: state_dir: {tmp_path} is in use by another gateway process")
        assert said.count(b"\n") == 1

    with_store(tmp_path, use)


def test_a_store_that_nobody_keeps_locks_nothing(tmp_path: Path):
    Store.open(tmp_path)
    assert stored(tmp_path) == []


def test_a_start_that_fails_leaves_no_lock(tmp_path: Path):
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 100)
    with pytest.raises(ConfigurationError, match="is damaged"):
        Store.open(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    assert stored(tmp_path) == []


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def no_locks(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    before = len(list(Path("/proc/self/fd").iterdir()))

    async def use(opened: Store) -> None:
        await opened.write([learned("a.test")])

    with_store(tmp_path, use)
    assert stored(tmp_path) == [learned("a.test")]
    assert "cannot be locked (No locks available)" in caplog.text
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- versions


def at_version(folder: Path, number: int) -> None:
    """A file as the gateway of that version left it."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        for step in MIGRATIONS[:number]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


@pytest.mark.parametrize("number", range(len(MIGRATIONS) + 1))
def test_every_version_is_brought_up_to_date(tmp_path: Path, number: int):
    at_version(tmp_path, number)

    async def use(opened: Store) -> None:
        await opened.write([learned("a.test")])

    with_store(tmp_path, use)
    assert version(tmp_path) == len(MIGRATIONS)
    assert stored(tmp_path) == [learned("a.test")]


def test_version_1_keeps_its_routes(tmp_path: Path):
    at_version(tmp_path, 1)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("INSERT INTO routes VALUES ('a.test', '/', 'a', 'ingress', 'traefik', 80, 2e9)")
        connection.commit()
    assert stored(tmp_path) == [learned("a.test")]


def test_a_step_is_taken_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    at_version(tmp_path, 1)
    broken = (*MIGRATIONS[:1], ("CREATE TABLE more (x)",), ("CREATE TABLE most (x)", "NO SQL"))
    monkeypatch.setattr(store, "MIGRATIONS", broken)
    with pytest.raises(ConfigurationError, match="NO"):
        Store.open(tmp_path)
    assert version(tmp_path) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("routes",)]
    monkeypatch.setattr(store, "MIGRATIONS", broken[:2])
    assert stored(tmp_path) == []
    assert version(tmp_path) == 2


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path):
    at_version(tmp_path, len(MIGRATIONS))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(ConfigurationError) as caught:
        Store.open(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"state_dir: {tmp_path / FILE_NAME} was written by a newer gateway")
    assert "delete the file" in text
    assert version(tmp_path) == len(MIGRATIONS) + 1


# --- what stops the start


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"is damaged.*delete it") as caught:
        Store.open(tmp_path)
    assert str(tmp_path / FILE_NAME) in str(caught.value)
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_damaged_page_is_found(tmp_path: Path):
    async def use(opened: Store) -> None:
        await opened.write([learned(f"host-{number}.test") for number in range(500)])

    with_store(tmp_path, use)
    whole = bytearray((tmp_path / FILE_NAME).read_bytes())
    whole[4096 : 4096 + 2048] = bytes(2048)
    (tmp_path / FILE_NAME).write_bytes(whole)
    with pytest.raises(ConfigurationError, match="is damaged"):
        Store.open(tmp_path)


def test_a_column_of_another_type_is_damage(tmp_path: Path):
    opened = Store.open(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("INSERT INTO routes VALUES ('a.test', '/', 'a', 'n', 's', 'http', 1e9)")
        connection.commit()
    with pytest.raises(ConfigurationError, match="is damaged"):
        opened.load()


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"state_dir: .*/file/state cannot be created"):
        Store.open(tmp_path / "file" / "state")


def test_a_file_that_cannot_be_written(tmp_path: Path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ConfigurationError, match=r"state_dir: .* cannot be written: unable to open"):
        Store.open(tmp_path)
