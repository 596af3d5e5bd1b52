"""Access lines past `logging` are the bytes that come through it."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observed import access, access_lines
from app.observed.access_lines import AccessLines
from app.observed.record import Record
from tests.app.observed.records import GOOD, TARGET, WEBSOCKET
from tunnel.log_lines import JSON_ZONE, TEXT_ZONE, JsonFormatter, Moments, TextFormatter
from tunnel.port import Target

NOW = 1_700_000_000.1239
STYLES = {"text": TextFormatter(), "json": JsonFormatter()}


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
    made = []
    for _ in range(2):
        assert lines.opened(record) if opened else lines.ended(record)
        made.append(lines.take())
    assert made[0] == made[1]  # nothing that is kept changes it
    return made[0]


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
        {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}, {"trace_id": "ab", "detail": "x"},
        {"stalled_by_client_seconds": 0.099}, {"stalled_by_client_seconds": 0.1}, {"stalled_by_service_seconds": 2.25},
        {"bytes_up": 10**12, "bytes_down": 3, "messages_up": 1, "messages_down": 2},
        {"target": Target('c"1', "a\\", "\n", 1)}, {"target": Target("c1", "apps", "web", 443, "https")},
    ],
)  # fmt: skip
def test_a_request_has_the_same_line(parts: dict[str, Any]):
    assert_equal(replace(GOOD, **parts))


@pytest.mark.parametrize(
    "parts", [{}, {"status": 403}, {"status": 0}, {"closed_by": "gateway", "close_code": 1012}, {"trace_id": "ab"}]
)
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
        link=TEXTS, agent=TEXTS, dialect=TEXTS, trace_id=st.sampled_from(["", "0af7651916cd43dd"]),
        status=st.integers(0, 599),
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
        lines.ended(replace(GOOD, target=target, agent=f"a{number}"))
        assert f"to c1/apps/web{number}:80 by a{number}, id".encode() in lines.take()
    assert len(lines._ways) <= 8
    for number in range(100):
        lines.ended(replace(GOOD, host=b"\x00" * 600 + bytes([number])))
    assert not [way for way in lines._ways.values() if len(way.asked) > 600]


def test_what_is_kept_can_be_forgotten():
    told: list[int] = []
    lines = AccessLines("text", "utf-8", lambda: NOW, on_kept=lambda: told.append(len(told)))
    for turn in range(3):
        for agent in ("a0", "a1"):
            lines.ended(replace(GOOD, agent=agent))
        assert told == list(range(turn + 1))
        lines.forget()
        assert lines._ways == {}


RECORDS = st.builds(
    replace, st.sampled_from([GOOD, WEBSOCKET]), path=RAW, host=st.sampled_from([b"a.test", b"b.test", b""]),
    agent=st.sampled_from(["a0", "a1", ""]), status=st.sampled_from([0, 101, 200, 302, 404, 502]),
    method=st.sampled_from(["GET", "PUT"]), dialect=st.sampled_from(["yamux", "json"]),
    outcome=st.sampled_from(["ok", "client_left"]), target=st.sampled_from([TARGET, None, Target("c2", "b", "w", 1)]),
    bytes_up=st.integers(0, 3), ended_at=st.sampled_from([None, 100.0, 100.5, 109.0]),
)  # fmt: skip


@given(st.lists(st.tuples(RECORDS, st.booleans()), max_size=12), st.sampled_from(list(STYLES)))
def test_lines_of_one_turn_come_in_order_and_each_is_that_of_its_record(
    happened: list[tuple[Record, bool]], style: str
):
    lines = AccessLines(style, "utf-8", lambda: NOW)
    for record, opened in happened:
        assert lines.opened(record) if opened else lines.ended(record)
    expected = [through_logging(record, style, opened=opened) for record, opened in happened]
    assert lines.take().decode() == "".join(expected)
    assert lines.take() == b""


def test_lines_of_one_turn_have_the_time_of_the_first():
    now = [NOW]
    lines = AccessLines("text", "utf-8", lambda: now[0])
    for _ in range(2):
        lines.ended(GOOD)
        now[0] += 1.0
    first, second = lines.take().splitlines()
    assert first == second
    lines.ended(GOOD)
    assert lines.take().rstrip() != first


def test_nothing_is_made_where_no_line_is_wanted():
    asked: list[bool] = []
    lines = AccessLines("text", "utf-8", lambda: NOW, lambda: asked.append(True) or len(asked) > 2)
    assert [lines.ended(GOOD), lines.opened(WEBSOCKET), lines.ended(GOOD), lines.opened(WEBSOCKET)] == [
        False, False, True, True,
    ]  # fmt: skip
    assert lines.take().count(b"\n") == 2
    assert len(asked) == 3  # once a turn


@given(st.floats(0, 4e9))
def test_moments(created: float):
    text, json = Moments(TEXT_ZONE), Moments(JSON_ZONE)
    milli = int((created - int(created)) * 1_000)
    second = datetime.fromtimestamp(int(created), UTC)
    for _ in range(2):
        assert json.of(created) == f"{second:%Y-%m-%dT%H:%M:%S}.{milli:03}+00:00"
        assert text.of(created) == f"{second:%Y-%m-%dT%H:%M:%S}.{milli:03}Z"
        assert text.of(created + 1.0) != text.of(created)
