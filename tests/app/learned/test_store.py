"""The store of the learned routes: what is promised is on disk, and one gateway has the folder."""

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

from app.learned import Claim, Learned, Store, StoreError, state_file
from app.learned.state_file import FILE_NAME, Change, Drop
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


def never_told(*told: object) -> None:
    raise AssertionError(told)


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
    with contextlib.closing(state_file.open_file(tmp_path / FILE_NAME, never_told)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_changes_that_gather_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    transaction = Store._transaction

    def counted(opened: Store, changes: list[Change], everything: list[Learned] | None) -> None:
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
    monkeypatch.setattr(state_file, "_BUSY_SECONDS", 0.01)

    async def use(opened: Store) -> None:
        with contextlib.closing(sqlite3.connect(opened.file, isolation_level=None)) as other:
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


def test_a_start_that_fails_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise ConfigurationError

    with monkeypatch.context() as patched:
        patched.setattr("app.learned.store.open_and_read", fails)
        with pytest.raises(ConfigurationError):
            Store.open(tmp_path)
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


@pytest.mark.parametrize("name", ["file", "file/state"])
def test_something_else_in_place_of_the_folder(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=rf"state_dir: .*/{name} cannot be created"):
        Store.open(tmp_path / name)
