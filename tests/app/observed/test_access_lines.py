"""Access lines past `logging`: the bytes that come through it, and never where somebody else listens."""

import asyncio
import io
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observed import access, access_lines, log
from app.observed.access_lines import AccessLines
from app.observed.lines import Moments
from app.observed.log import JsonFormatter, TextFormatter
from app.observed.record import Record, level_of
from tests.fakes.loop import dialogue
from tunnel.port import Target

NOW = 1_700_000_000.1239
TARGET = Target("c1", "apps", "web", 80)
STYLES = {"text": TextFormatter(), "json": JsonFormatter()}
GOOD = Record(
    "http", "r1", "GET", b"app.example.test", b"/a", TARGET, 100.0, client="192.0.2.1", link="link-7", agent="a0",
    dialect="yamux", status=200, link_at=100.01, head_at=100.02, ended_at=100.25,
)  # fmt: skip
WEBSOCKET = replace(GOOD, kind="websocket", status=101, closed_by="client", close_code=1000, messages_up=3, bytes_up=9)


def through_logging(record: Record, style: str, *, opened: bool) -> str:
    """The line that a handler with our formatter writes at `NOW`."""
    caught: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = caught.append  # type: ignore[method-assign]
    level, propagates = access.logger.level, access.logger.propagate
    access.logger.addHandler(handler)
    access.logger.setLevel(logging.INFO)
    access.logger.propagate = False
    try:
        (access.emit_opened if opened else access.emit)(record)
    finally:
        access.logger.removeHandler(handler)
        access.logger.setLevel(level)
        access.logger.propagate = propagates
    (line,) = caught
    line.created = NOW
    return STYLES[style].format(line) + "\n"


def past_logging(record: Record, style: str, *, opened: bool, encoding: str = "utf-8") -> bytes:
    lines = AccessLines(style, encoding, lambda: NOW)
    level = logging.INFO if opened else level_of(record)
    first = lines.line(record, level, opened=opened)
    assert lines.line(record, level, opened=opened) == first  # nothing that is kept changes it
    return first


def assert_equal(record: Record, *, opened: bool = False) -> None:
    for style in STYLES:
        assert past_logging(record, style, opened=opened).decode() == through_logging(record, style, opened=opened)


@pytest.mark.parametrize(
    "parts",
    [
        {}, {"status": 0}, {"status": 503}, {"status": 503, "outcome": "no_agent", "detail": "none of c1"},
        {"outcome": "client_left", "closed_by": "client"}, {"limit": "body_size"}, {"detail": "x"},
        {"target": None, "link": "", "agent": "", "dialect": ""}, {"agent": ""}, {"host": b""}, {"path": b""},
        {"path": b"/a?token=t0p"}, {"path": b"/" + b"x" * 600}, {"host": b"h" * 600}, {"agent": "a" * 600},
        {"path": b"/\xff"}, {"path": b'/"\\'}, {"host": b"a\x1b\n"}, {"client": 'a"\n'}, {"method": "G\x7f"},
        {"agent": "\ud800"}, {"link": "a\u2028"}, {"dialect": "\x85"}, {"close_code": 1000}, {"closed_by": "gateway"},
        {"link_at": None, "head_at": None, "ended_at": None}, {"ended_at": 100.00003}, {"ended_at": 100.0000004},
        {"ended_at": 100.0005}, {"ended_at": 100.0015}, {"ended_at": 1e17}, {"head_at": 100.0},
        {"stalled_by_client_seconds": 0.099}, {"stalled_by_client_seconds": 0.1}, {"stalled_by_service_seconds": 2.25},
        {"bytes_up": 10**12, "bytes_down": 3, "messages_up": 1, "messages_down": 2},
        {"target": Target('c"1', "a\\", "\n", 1)}, {"target": Target("c1", "apps", "web", 443, "https")},
    ],
)  # fmt: skip
def test_a_request_has_the_same_line(parts: dict[str, Any]):
    assert_equal(replace(GOOD, **parts))


@pytest.mark.parametrize("parts", [{}, {"status": 403}, {"status": 0}, {"closed_by": "gateway", "close_code": 1012}])
def test_a_websocket_has_the_same_line(parts: dict[str, Any]):
    assert_equal(replace(WEBSOCKET, **parts))
    assert_equal(replace(WEBSOCKET, **parts, ended_at=None), opened=True)


RAW = st.binary(max_size=20) | st.sampled_from([b"app.example.test", b"\xc3\xbc", b"x" * 513])
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(["a0", "", "y" * 513])
SECONDS = st.floats(0, 1e6)
WHEN = st.none() | st.floats(100.0, 1e6)


@given(
    st.builds(
        Record, st.sampled_from(["http", "websocket"]), st.just("r1"), TEXTS, RAW, RAW,
        st.none() | st.builds(Target, TEXTS, TEXTS, TEXTS, st.integers(1, 65_535)), st.just(100.0), client=TEXTS,
        link=TEXTS, agent=TEXTS, dialect=TEXTS, status=st.integers(0, 599),
        close_code=st.none() | st.integers(1000, 4999), closed_by=st.sampled_from(["", "client", "service", "gateway"]),
        outcome=st.just("ok") | TEXTS, detail=st.just("") | TEXTS, limit=st.just("") | TEXTS,
        bytes_up=st.integers(0, 2**62), bytes_down=st.integers(0, 2**62), link_at=WHEN, head_at=WHEN, ended_at=WHEN,
        stalled_by_client_seconds=st.just(0.0) | SECONDS, stalled_by_service_seconds=st.just(0.0) | SECONDS,
    ),
    st.booleans(),
)  # fmt: skip
def test_whatever_others_send_the_line_is_the_same_and_one(record: Record, opened: bool):
    assert_equal(record, opened=opened)
    for style in STYLES:
        line = past_logging(record, style, opened=opened)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")


@given(RAW, RAW, TEXTS, TEXTS, st.none() | st.builds(Target, TEXTS, TEXTS, TEXTS, st.integers(1, 65_535)), WHEN)
def test_a_request_that_went_well(
    host: bytes, path: bytes, client: str, agent: str, target: Target | None, ended_at: float | None
):
    assert_equal(replace(GOOD, host=host, path=path, client=client, agent=agent, target=target, ended_at=ended_at))


def test_a_terminal_that_does_not_know_a_character_gets_its_escape():
    line = past_logging(replace(GOOD, path=b"/\xfc", agent="\u20ac"), "text", opened=False, encoding="iso-8859-1")
    assert b"/\xfc 200" in line
    assert rb"by \u20ac, id" in line


def test_what_is_kept_is_bounded_and_never_taken_for_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access_lines, "_WAYS", 8)
    lines = AccessLines("text", "utf-8", lambda: NOW)
    for number in range(100):
        target = Target("c1", "apps", f"web{number}", 80)  # gone with the next: its address may come again
        line = lines.line(replace(GOOD, target=target, agent=f"a{number}"), logging.INFO, opened=False)
        assert f"to c1/apps/web{number}:80 by a{number}, id".encode() in line
    assert len(lines._ways) <= 8
    for number in range(100):
        lines.line(replace(GOOD, host=b"\x00" * 600 + bytes([number])), logging.INFO, opened=False)
    assert not [way for way in lines._ways.values() if len(way.asked) > 600]


def test_what_is_kept_can_be_forgotten():
    told: list[int] = []
    lines = AccessLines("text", "utf-8", lambda: NOW, lambda: told.append(len(told)))
    for turn in range(3):
        for agent in ("a0", "a1"):
            lines.line(replace(GOOD, agent=agent), logging.INFO, opened=False)
        assert told == list(range(turn + 1))
        lines.forget()
        assert lines._ways == {}


@given(st.floats(0, 4e9))
def test_moments(created: float):
    local, utc = Moments(utc=False), Moments(utc=True)
    milli = int((created - int(created)) * 1_000)
    second = datetime.fromtimestamp(int(created), UTC)
    for _ in range(2):
        assert utc.of(created) == f"{second:%Y-%m-%dT%H:%M:%S}.{milli:03}+00:00".rjust(29, "0")
        assert local.of(created) == f"{second.astimezone():%H:%M:%S}.{milli:03}"
        assert utc.of(created + 1.0) != utc.of(created)


# --- when it is used


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
        try:
            return os.read(self._reader, 65_536).decode()
        except BlockingIOError:
            return ""

    def close(self) -> None:
        self.stream.close()
        os.close(self._reader)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """Everything is put back in the end."""
    root, server = logging.getLogger(), logging.getLogger("uvicorn.error")
    named = [root, server, log.READY, logging.getLogger("asyncio")]
    levels, filters = [item.level for item in named], server.filters[:]
    made = Configured(monkeypatch)
    monkeypatch.setattr(log, "_output", None)
    yield made
    access.shorten(None)
    root.removeHandler(made.handler)
    server.filters[:] = filters
    for item, level in zip(named, levels, strict=True):
        item.setLevel(level)
    if log._output is not None:
        log._output.close()
    made.close()


def test_in_a_process_of_our_own_no_record_of_logging_is_made(configured: Configured, monkeypatch: pytest.MonkeyPatch):
    configured.configure()
    monkeypatch.setattr(access.logger, "makeRecord", lambda *_, **__: pytest.fail("made for a line"))
    access.emit(GOOD)
    access.emit_opened(replace(WEBSOCKET, ended_at=None))
    first, second = configured.text().splitlines()
    assert first.endswith(
        " INFO    gateway.access  GET app.example.test/a 200 in 250 ms, 0 bytes up, 0 down, "
        "to c1/apps/web:80 by a0, id r1"
    )
    assert " INFO    gateway.access  WS app.example.test/a open after 20 ms, " in second


def test_both_ways_write_the_same(configured: Configured):
    configured.configure()
    access.emit(GOOD)
    listener = logging.NullHandler()
    access.logger.addHandler(listener)
    access.emit(GOOD)
    access.logger.removeHandler(listener)
    first, second = configured.text().splitlines()
    assert first[12:] == second[12:]


@dialogue
async def test_nothing_is_kept_of_links_that_have_gone(configured: Configured):
    configured.configure()
    shortcut = access._shortcut
    assert isinstance(shortcut, log._Shortcut)
    for turn in range(3):
        access.emit(replace(GOOD, link=f"link-{turn}"))
        assert [way.link.count(f"link-{turn}") for way in shortcut._lines._ways.values()] == [1]
        await asyncio.sleep(log._KEPT_SECONDS + 1)
        assert shortcut._lines._ways == {}


def refuse(_: logging.LogRecord) -> bool:
    return False


@pytest.mark.parametrize("name", ["", "gateway", "gateway.access"])
def test_whoever_adds_a_handler_gets_every_line(configured: Configured, name: str):
    configured.configure()
    caught: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = caught.append  # type: ignore[method-assign]
    access.emit(GOOD)
    logging.getLogger(name).addHandler(handler)
    try:
        access.emit(GOOD)
    finally:
        logging.getLogger(name).removeHandler(handler)
    access.emit(GOOD)
    assert len(caught) == 1
    assert len(configured.text().splitlines()) == 3


def test_whoever_adds_a_filter_decides(configured: Configured):
    configured.configure()
    own = configured.handler
    for filtered in (access.logger, own):
        filtered.addFilter(refuse)
        access.emit(GOOD)
        filtered.removeFilter(refuse)
        assert configured.text() == ""
        access.emit(GOOD)
        assert len(configured.text().splitlines()) == 1


def test_levels_and_propagation_count_as_ever(configured: Configured):
    configured.configure()
    own = configured.handler
    own.setLevel(logging.WARNING)
    access.emit(GOOD)
    access.emit(replace(GOOD, status=502))
    own.setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    access.emit(GOOD)
    logging.getLogger().setLevel(logging.INFO)
    access.logger.propagate = False
    access.emit(GOOD)
    access.logger.propagate = True
    assert [line.split()[1] for line in configured.text().splitlines()] == ["WARNING"]


def test_without_a_descriptor_lines_go_to_the_stream(configured: Configured):
    stream = io.StringIO()
    configured.configure("json", stream)
    access.emit(GOOD)
    assert '"event":"ended"' in stream.getvalue()
    assert configured.text() == ""
    assert log.lines_dropped() == 0
    configured.configure("text", None)  # closed at the start: there is nowhere to write, and nothing fails
    log.finish()
