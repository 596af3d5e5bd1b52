"""When access lines go past `logging`: never where somebody else listens; in order, and those of a turn together."""

import asyncio
import functools
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.observed import access, log
from tests.app.observed.records import GOOD, WEBSOCKET
from tests.fakes.loop import dialogue


def serving(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A dialogue with the log, which forgets what it keeps in the end."""

    @functools.wraps(test)
    async def served(*args: Any, **kwargs: Any) -> None:
        await test(*args, **kwargs)
        await asyncio.sleep(log._KEPT_SECONDS + 1)

    return dialogue(served)


class Configured:
    """The log as `serve` sets it up, on a pipe. A test configures it itself: pytest's handlers come after fixtures."""

    handler: logging.Handler

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.stream = io.TextIOWrapper(os.fdopen(writer, "wb"), "utf-8", write_through=True)

    def configure(self, style: str = "text", stream: Any = ...) -> None:
        self._monkeypatch.setattr(sys, "stderr", self.stream if stream is ... else stream)
        log.configure("info", style)
        (self.handler,) = logging.getLogger().handlers

    def text(self) -> str:
        """What is written by now."""
        try:
            return os.read(self._reader, 65_536).decode()
        except BlockingIOError:
            return ""

    async def next_turn(self) -> str:
        """What is written when this turn of the loop is over."""
        await asyncio.sleep(0)
        return self.text()

    def close(self) -> None:
        self.stream.close()
        os.close(self._reader)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """Everything is put back in the end."""
    root = logging.getLogger()
    named = [root, logging.getLogger("uvicorn.error"), log.READY, logging.getLogger("asyncio")]
    levels = [item.level for item in named]
    made = Configured(monkeypatch)
    monkeypatch.setattr(log, "_own", None)
    yield made
    access.shorten(None)
    root.removeHandler(made.handler)
    for item, level in zip(named, levels, strict=True):
        item.setLevel(level)
    if log._own is not None:
        log._own.output.close()
    made.close()


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of `logging` for an access line fails the test."""
    monkeypatch.setattr(access.logger, "makeRecord", lambda *_, **__: pytest.fail("made for a line"))


@pytest.mark.usefixtures("past")
@serving
async def test_in_a_process_of_our_own_no_record_of_logging_is_made(configured: Configured):
    configured.configure()
    access.emit(GOOD)
    access.emit_opened(replace(WEBSOCKET, ended_at=None))
    first, second = (await configured.next_turn()).splitlines()
    assert first.endswith(
        " INFO    gateway.access  GET app.example.test/a 200 in 250 ms, 0 bytes up, 0 down, "
        "to c1/apps/web:80 by a0, id r1"
    )
    assert " INFO    gateway.access  WS app.example.test/a open after 20 ms, " in second


@pytest.mark.usefixtures("past")
@serving
async def test_lines_of_one_turn_leave_in_one_call(configured: Configured, monkeypatch: pytest.MonkeyPatch):
    configured.configure()
    assert log._own is not None
    calls: list[bytes] = []
    monkeypatch.setattr(log._own.output, "_send", lambda data: calls.append(data) or len(data))
    for turn in range(1, 3):
        for _ in range(3):
            access.emit(GOOD)
        assert len(calls) == turn - 1
        await asyncio.sleep(0)
        assert [call.count(b"\n") for call in calls] == [3] * turn


@serving
async def test_other_lines_come_in_their_place(configured: Configured):
    configured.configure()
    access.emit(GOOD)
    log.logger.info("between")
    written = configured.text()
    access.emit(GOOD)
    written += await configured.next_turn()
    assert [" id r1" in line for line in written.splitlines()] == [True, False, True]


def test_lines_of_other_threads_lose_none_of_ours(configured: Configured):
    configured.configure()
    lines = asyncio.run(talk_beside_a_thread(configured)).splitlines()
    assert [line.rpartition(" ")[2] for line in lines if "gateway.access" in line] == [f"r{n}" for n in range(300)]
    assert len(lines) == 600


async def talk_beside_a_thread(configured: Configured) -> str:

    def talk() -> None:
        for number in range(300):
            log.logger.info("thread %d", number)

    talking = asyncio.create_task(asyncio.to_thread(talk))
    written = ""
    for number in range(300):
        access.emit(replace(GOOD, request_id=f"r{number}"))
        written += await configured.next_turn()
    await talking
    log.finish()
    return written + configured.text()


@serving
async def test_the_end_of_the_process_waits_for_no_turn(configured: Configured):
    configured.configure()
    access.emit(GOOD)
    log.finish()
    assert configured.text().count("\n") == 1
    assert await configured.next_turn() == ""


def test_where_no_loop_runs_a_line_leaves_at_once(configured: Configured):
    configured.configure()
    access.emit(GOOD)
    access.emit_opened(WEBSOCKET)
    assert configured.text().count("\n") == 2


@serving
async def test_both_ways_write_the_same(configured: Configured):
    configured.configure()
    access.emit(GOOD)
    written = await configured.next_turn()
    listener = logging.NullHandler()
    access.logger.addHandler(listener)
    access.emit(GOOD)
    access.logger.removeHandler(listener)
    first, second = (line.split(" ", 1) for line in (written + configured.text()).splitlines())
    assert [re.sub(r"\d", "0", line[0]) for line in (first, second)] == ["0000-00-00T00:00:00.000Z"] * 2
    assert first[1] == second[1]


@dialogue
async def test_nothing_is_kept_of_links_that_have_gone(configured: Configured):
    configured.configure()
    assert log._own is not None
    ways = log._own.lines._ways
    for turn in range(3):
        access.emit(replace(GOOD, link=f"link-{turn}"))
        assert [way.link.count(f"link-{turn}") for way in ways.values()] == [1]
        await asyncio.sleep(log._KEPT_SECONDS + 1)
        assert ways == {}


def refuse(_: logging.LogRecord) -> bool:
    return False


@pytest.mark.parametrize("name", ["", "gateway", "gateway.access"])
@serving
async def test_whoever_adds_a_handler_gets_every_line(configured: Configured, name: str):
    configured.configure()
    caught: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = caught.append  # type: ignore[method-assign]
    access.emit(GOOD)
    written = await configured.next_turn()
    logging.getLogger(name).addHandler(handler)
    try:
        access.emit(GOOD)
    finally:
        logging.getLogger(name).removeHandler(handler)
    access.emit(GOOD)
    assert len(caught) == 1
    written += await configured.next_turn()
    assert len(written.splitlines()) == 3


@serving
async def test_whoever_adds_a_filter_decides(configured: Configured):
    configured.configure()
    own = configured.handler
    for filtered in (access.logger, own):
        filtered.addFilter(refuse)
        access.emit(GOOD)
        filtered.removeFilter(refuse)
        assert await configured.next_turn() == ""
        access.emit(GOOD)
        assert len((await configured.next_turn()).splitlines()) == 1


@serving
async def test_levels_and_propagation_count_as_ever(configured: Configured):
    configured.configure()
    own = configured.handler
    own.setLevel(logging.WARNING)
    access.emit(GOOD)
    access.emit(replace(GOOD, status=502))
    own.setLevel(logging.NOTSET)
    written = await configured.next_turn()
    logging.getLogger().setLevel(logging.WARNING)
    access.emit(GOOD)
    access.emit_opened(WEBSOCKET)
    written += await configured.next_turn()
    logging.getLogger().setLevel(logging.INFO)
    access.logger.propagate = False
    access.emit(GOOD)
    access.logger.propagate = True
    written += await configured.next_turn()
    assert [line.split()[1] for line in written.splitlines()] == ["WARNING"]


def test_without_a_descriptor_lines_go_to_the_stream(configured: Configured):
    stream = io.StringIO()
    configured.configure("json", stream)
    access.emit(GOOD)
    assert '"event":"ended"' in stream.getvalue()
    assert configured.text() == ""
    assert log.lines_dropped() == 0
    configured.configure("text", None)  # closed at the start: there is nowhere to write, and nothing fails
    log.finish()
