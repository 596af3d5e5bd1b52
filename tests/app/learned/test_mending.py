"""What the learned set does about a file that could not be written or was removed, and about a clock that jumped."""

import asyncio
import contextlib
import itertools
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from app.learned import ClaimError, Learned, Store, StoreError, state_file
from app.learned.bounds import LOOK_SECONDS
from app.learned.state_file import FILE_NAME
from tests.app.learned.claims import DAY, World, claim, lines
from tests.fakes.loop import dialogue, quiet

HOUR = 3600.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked file is given up at once, also by a connection that is open already."""
    monkeypatch.setattr(state_file, "_BUSY_SECONDS", 0.01)


def lasting(folder: Path, use: Callable[[World], Awaitable[None]]) -> None:
    """Run this with a learned set that has a store."""

    async def run() -> None:
        world = World(Store.open(folder))
        try:
            await use(world)
        finally:
            await world.set.aclose()

    asyncio.run(run())


def stored(folder: Path) -> list[Learned]:
    return sorted(Store.open(folder).load(), key=lambda one: one.claim.host)


def hosts(folder: Path) -> list[str]:
    return [one.claim.host for one in stored(folder)]


def hosts_of(folder: Path) -> list[str]:
    """The same, while a gateway has the folder."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as other:
        return [host for (host,) in other.execute("SELECT host FROM routes ORDER BY host")]


async def looked(world: World, now: float) -> None:
    """The minute's look, and what it writes."""
    world.set.tick(now)
    store = world.set._store
    assert store is not None
    while store._committing:
        await store._last()


def emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else can write the file."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# --- a file that could not be written


def test_what_could_not_be_written_is_written_with_the_next(tmp_path: Path):
    async def use(world: World) -> None:
        await world.set.register(claim("old.a.test"), "agent x")
        with locked(tmp_path):
            with pytest.raises(StoreError):
                await world.set.register(claim("lost.a.test"), "agent x")
            with pytest.raises(StoreError):
                await world.set.unregister("old.a.test", ("a",), "agent x")
        await world.set.register(claim("next.a.test"), "agent x")

    lasting(tmp_path, use)
    assert hosts(tmp_path) == ["lost.a.test", "next.a.test"]


def test_an_unregister_is_answered_only_once_the_route_is_off_the_disk(tmp_path: Path):
    """The agent tries three times: the second try finds nothing to remove, and must not pass for a success."""

    async def use(world: World) -> None:
        await world.set.register(claim("x.a.test"), "agent x")
        with locked(tmp_path):
            for _ in range(2):
                with pytest.raises(StoreError):
                    await world.set.unregister("x.a.test", ("a",), "agent x")
        assert await world.set.unregister("x.a.test", ("a",), "agent x") == 0

    lasting(tmp_path, use)
    assert stored(tmp_path) == []


def test_the_look_writes_what_could_not_be_written(tmp_path: Path):
    async def use(world: World) -> None:
        world.set.tick(0.0)
        with locked(tmp_path), pytest.raises(StoreError):
            await world.set.register(claim("x.a.test"), "agent x")
        world.set.tick(LOOK_SECONDS)

    lasting(tmp_path, use)
    assert hosts(tmp_path) == ["x.a.test"]


# --- a file that went away


@pytest.mark.parametrize("gone", ["file", "folder", "replaced"])
def test_a_file_that_went_away_is_written_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: str):
    folder = tmp_path / "state"

    async def use(world: World) -> None:
        await world.set.register(claim("x.a.test"), "agent x")
        if gone == "folder":
            shutil.rmtree(folder)
            folder.mkdir()
        else:
            emptied(folder)
        if gone == "replaced":
            with contextlib.closing(state_file.open_file(folder / FILE_NAME, lambda *_: None)) as other:
                other.execute("INSERT INTO routes VALUES ('backup.a.test', '/', 'a', 'n', 's', 80, 9e9)")
        await world.set.register(claim("y.a.test"), "agent x")
        assert lines(caplog, "was deleted or replaced") == [
            f"{folder / FILE_NAME} was deleted or replaced: writing all learned routes again"
        ]
        await world.set.register(claim("z.a.test"), "agent x")

    lasting(folder, use)
    assert hosts(folder) == ["x.a.test", "y.a.test", "z.a.test"]
    assert len(lines(caplog, "was deleted or replaced")) == 1


@pytest.mark.parametrize("is_open", [True, False])
def test_a_file_that_was_replaced_by_something_else_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_open: bool
):
    """And the one in its place has all routes, those too that were on disk before."""
    garbage = b"no database" * 1000

    async def use(world: World) -> None:
        if is_open:
            await world.set.register(claim("y.a.test"), "agent x")
        emptied(tmp_path)
        (tmp_path / FILE_NAME).write_bytes(garbage)
        await world.set.register(claim("z.a.test"), "agent x")
        assert world.set.files_set_aside == {"damaged": 1, "newer": 0}
        ((fault, text),) = world.set.take_set_aside()
        assert (fault, "is damaged: kept as" in text) == ("damaged", True)
        assert world.set.take_set_aside() == []
        assert world.set.is_kept

    lasting(tmp_path, lambda world: world.set.register(claim("x.a.test"), "agent x"))
    lasting(tmp_path, use)
    assert hosts(tmp_path) == ["x.a.test", *(["y.a.test"] if is_open else []), "z.a.test"]
    assert (tmp_path / "learned-routes.damaged.sqlite3").read_bytes() == garbage
    assert len(lines(caplog, "is damaged")) == 1


# --- a file that cannot be written for longer


def test_trouble_that_lasts_is_waited_for_by_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    async def use(world: World) -> None:
        world.set.tick(0.0)
        await world.set.register(claim("gone.a.test"), "agent x")
        assert world.set.is_kept
        with locked(tmp_path):
            with pytest.raises(StoreError):
                await world.set.register(claim("x.a.test"), "agent x")
            assert not world.set.is_kept
            await looked(world, LOOK_SECONDS)
            await world.set.register(claim("y.a.test"), "agent x")  # from here on the memory is enough
            assert await world.set.unregister("gone.a.test", ("a",), "agent x") == 1
            await looked(world, 2 * LOOK_SECONDS)
            await world.set.sync("b", [claim("z.b.test", cluster="b")], ["*.b.test"], "agent x")
            assert world.known == ["x.a.test/ a", "y.a.test/ a", "z.b.test/ b"]
            assert not world.set.is_kept
        await looked(world, 3 * LOOK_SECONDS)
        assert world.set.is_kept
        assert hosts_of(tmp_path) == ["x.a.test", "y.a.test", "z.b.test"]
        with locked(tmp_path), pytest.raises(StoreError):  # and then a promise is one again
            await world.set.register(claim("late.a.test"), "agent x")

    lasting(tmp_path, use)
    told = [line for line in lines(caplog) if FILE_NAME in line]
    assert [("cannot be written, and" in line, "can be written again" in line) for line in told] == [
        (True, False), (False, True), (True, False),
    ]  # fmt: skip


def test_what_comes_while_a_file_is_tried_is_not_forgotten(tmp_path: Path):
    async def use(world: World) -> None:
        await world.set.register(claim("x.a.test"), "agent x")  # while the file is out
        (tmp_path / FILE_NAME).rmdir()
        world.set.tick(0.0)
        await world.set.register(claim("y.a.test"), "agent x")

    (tmp_path / FILE_NAME).mkdir()
    lasting(tmp_path, use)
    assert hosts(tmp_path) == ["x.a.test", "y.a.test"]


# --- a clock that jumped


def test_a_clock_that_was_set_forward_takes_nobodys_lifetime(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    years = 50 * 365 * DAY

    async def use(world: World) -> None:
        world.set.tick(100.0)
        await world.set.register(claim("x.a.test"), "agent x")
        world.now += HOUR
        world.set.tick(100.0 + HOUR)
        world.now += years
        await world.set.register(claim("y.a.test"), "agent x")  # before the leap was seen
        world.set.tick(100.0 + HOUR)
        assert [one.expires_at - world.now for one in world.set] == [DAY - HOUR, DAY]
        assert world.serves("x.a.test") == ["/ a/ingress/traefik:80"]
        assert lines(caplog, "jumped") == [
            f"the clock jumped by {years:.0f} s: the lifetimes of learned routes were adjusted"
        ]
        world.now += DAY - HOUR
        world.set.tick(100.0 + DAY)
        assert world.known == ["y.a.test/ a"]

    lasting(tmp_path, use)
    assert hosts(tmp_path) == ["y.a.test"]


def test_what_is_stored_follows_the_clock(tmp_path: Path):
    async def use(world: World) -> None:
        world.set.tick(0.0)
        await world.set.register(claim("x.a.test"), "agent x")
        world.now += 10 * DAY
        under_way = asyncio.create_task(world.set.register(claim("y.a.test"), "agent x"))
        await asyncio.sleep(0)  # its commit is under way, and takes nothing else along
        world.set.tick(0.5)
        await under_way

    lasting(tmp_path, use)
    assert [one.expires_at for one in stored(tmp_path)] == [1_000_000.0 + 11 * DAY - 0.5, 1_000_000.0 + 11 * DAY]


def test_a_clock_that_was_set_back_gives_no_longer_life():
    world = World()
    world.set.tick(0.0)
    world.register(claim("x.a.test"))
    world.now -= 10 * DAY
    world.register(claim("y.a.test"))
    world.set.expire()
    world.set._lifetimes.follow(0.5)
    assert [one.expires_at - world.now for one in world.set] == [DAY, DAY]


def test_a_clock_that_is_corrected_a_little_changes_nothing(caplog: pytest.LogCaptureFixture):
    world = World()
    world.register(claim("x.a.test"))
    for turn in range(100):
        world.now += 30.0
        world.set.tick(turn * 0.5)
    assert [one.expires_at - world.now for one in world.set] == [DAY - 3000.0]
    assert lines(caplog, "jumped") == []


# --- many routes, a few in each turn


@dialogue
async def test_a_jump_moves_the_lifetimes_of_a_few_hosts_in_each_turn(caplog: pytest.LogCaptureFixture):
    world = World()
    await world.set.sync("a", [claim(f"h{number}.a.test") for number in range(1_000)], ["*.a.test"], "agent x")
    world.set.tick(0.0)
    world.now += 2 * DAY
    world.set.tick(0.5)
    moved = [sum(one.expires_at > world.now for one in world.set)]
    while moved[-1] < 1_000:
        await asyncio.sleep(0)
        moved.append(sum(one.expires_at > world.now for one in world.set))
    assert max(b - a for a, b in itertools.pairwise([0, *moved])) <= 20
    assert len(lines(caplog, "jumped by")) == 1


@dialogue
async def test_a_host_whose_lifetime_is_still_to_be_moved_has_not_expired():
    """Neither by the look for expired routes, nor for another cluster that wants it."""
    world = World()
    await world.set.sync("a", [claim(f"h{number}.both.test") for number in range(200)], ["*.both.test"], "agent x")
    world.set.tick(0.0)
    world.now += 2 * DAY
    world.set.tick(LOOK_SECONDS)
    with pytest.raises(ClaimError, match="belongs to another cluster"):
        await world.set.register(claim("h199.both.test", cluster="b"), "agent y")
    await quiet()
    world.set.tick(LOOK_SECONDS + 0.5)
    assert len(world.set) == 200


@dialogue
async def test_two_jumps_in_a_row_move_each_lifetime_by_both():
    world = World()
    await world.set.sync("a", [claim(f"h{number}.a.test") for number in range(200)], ["*.a.test"], "agent x")
    world.set.tick(0.0)
    expires_at = world.now + DAY
    world.now += 600.0
    world.set.tick(0.5)
    assert len({one.expires_at for one in world.set}) == 2  # some are moved, and the others are not
    world.now += 900.0
    world.set.tick(1.0)
    await quiet()
    assert {one.expires_at for one in world.set} == {expires_at + (600.0 - 0.5) + (900.0 - 0.5)}


def test_what_a_jump_has_not_moved_yet_is_moved_when_the_store_closes(tmp_path: Path):
    async def use(world: World) -> None:
        await world.set.sync("a", [claim(f"h{number}.a.test") for number in range(200)], ["*.a.test"], "agent x")
        world.set.tick(0.0)
        world.now += 10 * DAY
        world.set.tick(0.5)

    lasting(tmp_path, use)
    assert {one.expires_at for one in stored(tmp_path)} == {1_000_000.0 + 11 * DAY - 0.5}
