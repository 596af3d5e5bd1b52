"""`POST /-/reload`: the files are read aside, and whoever asks is told what came of it."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from app.operator.reload import Outcome
from app.settings import Settings, load
from tests.app.operator.api.calls import ask, stage, told
from tests.app.operator.world import AtOnce, Later, World
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet


@contextlib.asynccontextmanager
async def served(world: World, worker: Any) -> AsyncIterator[Stage]:
    """The API of a gateway that was started with the world's file."""
    settings = load(str(world.file), {})
    fields = {name: getattr(settings, name) for name in ("grants", "routes", "file", "files_read")}
    async with stage(**fields) as s:
        reloader = s.app.state.reloader  # type: ignore[attr-defined]
        reloader._worker = worker
        reloader._read = lambda: read(world, s)
        reloader.start()
        yield s
        reloader.stop()


def read(world: World, s: Stage) -> Settings:
    """What the file says now; the operator's token stays."""
    settings = load(str(world.file), {})
    same = {name: getattr(s.gateway.settings, name) for name in ("admin_token_hash", "reconnect_grace")}
    return dataclasses.replace(settings, **same)


@dialogue
async def changed(folder: Path) -> None:
    world = World(folder)
    async with served(world, AtOnce()) as s:
        world.write(world.good(host="b"))
        body = await told(s, "/-/reload", "POST")
        assert body["changed"] is True
        assert body["message"].startswith("configuration reloaded from ")
        assert s.gateway.settings.routes.hosts == {"b.example.test"}
        again = await told(s, "/-/reload", "POST")
        assert again == {"changed": False, "message": "configuration read again: nothing changed"}
        assert (await told(s, "/-/status"))["configuration"]["reloads"] == 1


def test_what_is_right_is_put_in_force(tmp_path: Path):
    changed(tmp_path)


@dialogue
async def refused(folder: Path) -> None:
    world = World(folder)
    async with served(world, AtOnce()) as s:
        world.write("max_websockets = 0\n" + world.good())
        status, body = await ask(s, "/-/reload", "POST")
        assert (status, body["status"], body["code"], body["parameter"]) == (409, 409, "configuration_refused", None)
        assert len(body["errors"]) == 1
        assert "max_websockets" in body["errors"][0]
        assert body["message"].startswith("configuration not changed: ")
        found = await told(s, "/-/status")
        assert found["configuration"]["error"] == body["errors"][0]
        assert found["configuration"]["reloads_refused"] == 1
        assert found["warnings"][0].startswith("the configuration on disk is not in force: ")
        assert s.gateway.settings.routes.hosts == {"a.example.test"}
        world.write(world.good(host="b"))
        await told(s, "/-/reload", "POST")
        assert (await told(s, "/-/status"))["configuration"]["error"] is None


def test_what_is_wrong_is_said_and_stays_to_be_seen(tmp_path: Path):
    refused(tmp_path)


@dialogue
async def meanwhile(folder: Path) -> None:
    world = World(folder)
    worker = Later()
    async with served(world, worker) as s:
        reloader = s.app.state.reloader  # type: ignore[attr-defined]
        first = asyncio.ensure_future(reloader.ask())
        await quiet()
        world.write(world.good(host="b"))
        others = [asyncio.ensure_future(reloader.ask()) for _ in range(3)]
        await quiet()
        assert len(worker.works) == 1
        worker.do()
        await quiet()
        assert first.done()
        assert not any(other.done() for other in others), "the file may have changed after the first reading began"
        assert len(worker.works) == 1
        worker.do()
        await quiet()
        outcomes = [other.result() for other in others]
        assert outcomes == [outcomes[0]] * 3
        assert s.gateway.settings.routes.hosts == {"b.example.test"}


def test_who_asks_while_it_is_read_waits_for_the_next_reading(tmp_path: Path):
    meanwhile(tmp_path)


@dialogue
async def stopped(folder: Path) -> None:
    world = World(folder)
    worker = Later()
    async with served(world, worker) as s:
        reloader = s.app.state.reloader  # type: ignore[attr-defined]
        asked = [asyncio.ensure_future(reloader.ask()) for _ in range(2)]
        await quiet()
        reloader.stop()
        worker.do()
        await quiet()
        stopping = Outcome(False, "the gateway is stopping", ("the gateway is stopping",))
        assert [each.result() for each in asked] == [stopping] * 2


def test_who_waits_when_the_gateway_stops_is_told(tmp_path: Path):
    stopped(tmp_path)


@dialogue
async def test_without_a_file_there_is_nothing_to_read():
    async with stage() as s:
        before = s.gateway.settings
        status, body = await ask(s, "/-/reload", "POST")
        assert (status, body["code"]) == (409, "configuration_refused")
        assert "without a configuration file" in body["message"]
        assert s.gateway.settings is before, "settings that were handed over are never replaced by the environment's"


@pytest.mark.parametrize("failure", [RuntimeError("x"), OSError("y")])
def test_a_bug_is_logged_and_said(tmp_path: Path, failure: Exception, caplog: pytest.LogCaptureFixture):
    class Failing(AtOnce):
        def submit(self, work: Any, /, *values: Any, **named: Any) -> Any:
            future: Future[Any] = Future()
            future.set_exception(failure)
            return future

    @dialogue
    async def run() -> None:
        async with served(World(tmp_path), Failing()) as s:
            status, body = await ask(s, "/-/reload", "POST")
            assert (status, body["message"]) == (409, "the reload failed; see the log")
            configuration = (await ask(s, "/-/status"))[1]["configuration"]
            assert configuration["error"] == "the reload failed; see the log"

    run()
    assert any("the reload failed" in record.message for record in caplog.records)
