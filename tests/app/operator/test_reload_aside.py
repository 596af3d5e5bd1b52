"""Reading the configuration costs the event loop nothing but putting it in force, however many routes it has."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.operator import reload
from app.operator.reload import Reloader
from app.settings import Settings, load
from tests.app.operator.world import Later, World
from tests.fakes.growth import FACTOR, calls_of, grows_linearly
from tests.fakes.loop import dialogue, quiet


def test_reading_a_file_asks_for_the_fields_of_each_table_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """msgspec resolves all annotations anew each time: half a millisecond for each route."""
    asked: list[object] = []
    fields = msgspec.structs.fields
    monkeypatch.setattr(msgspec.structs, "fields", lambda kind: asked.append(kind) or fields(kind))
    route = '[[routes]]\nhost = "h{}.test"\ncluster = "c1"\nnamespace = "apps"\nservice = "web"\nport = 80\n'

    def read(routes: int) -> int:
        file = tmp_path / "many.toml"
        file.write_text("".join(map(route.format, range(routes))), encoding="utf-8")
        return calls_of(lambda: load(str(file), {}))

    assert grows_linearly(read(50), read(50 * FACTOR))
    assert len(asked) <= 4  # one for each kind of table


def test_a_change_is_read_in_a_thread_and_only_put_in_force_on_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reload, "POLL_SECONDS", 0.01)
    threads: list[int] = []
    world = World(tmp_path)

    def read() -> Settings:
        threads.append(threading.get_ident())
        return load(str(world.file), {})

    async def run() -> None:
        reloader = Reloader(world.gateway, str(world.file), reader=read)
        reloader.start()
        world.write(world.good(host="b"))
        put_in_force, done = reloader._put_in_force, asyncio.Event()

        def told(change: Any) -> str:
            done.set()
            return put_in_force(change)

        reloader._put_in_force = told  # type: ignore[method-assign]
        await asyncio.wait_for(done.wait(), 30)
        await quiet()
        reloader.stop()

    asyncio.run(run())
    assert world.hosts == {"b.example.test"}
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@dialogue
async def test_what_is_asked_for_while_the_file_is_read_is_done_after_it(tmp_path: Path):
    """One reader at a time, and the newest content wins."""
    world = World(tmp_path)
    later = Later()
    reloader = Reloader(world.gateway, reader=world._read, worker=later)
    reloader.start()
    reloader._hang_up()
    reloader._hang_up()
    reloader._hang_up()
    assert len(later.works) == 1
    world.write(world.good(host="b"))
    later.do()
    await quiet()
    assert (world.hosts, len(later.works)) == ({"b.example.test"}, 1)
    world.write(world.good(host="c"))
    later.do()
    await quiet()
    assert (world.hosts, later.works) == ({"c.example.test"}, [])
    reloader._hang_up()
    world.write(world.good(host="d"))
    reloader.stop()
    later.do()
    await quiet()
    assert world.hosts == {"c.example.test"}  # it was stopped meanwhile
