"""The access log: what a line says, at which level, and what it never says."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.observed import access
from app.observed.access import Record
from app.observed.log import JsonFormatter, TextFormatter
from tunnel.port import Target

TARGET = Target("c1", "apps", "web", 80)
DOCUMENT = Path(__file__).parents[3] / "docs" / "observability.md"


def record(kind: Any = "http", **parts: Any) -> Record:
    made = Record(kind, "r1", "GET", b"app.example.test", b"/a", TARGET, 100.0)
    made.via("link-7", "a0", "yamux", 100.01)
    made.head_at, made.ended_at, made.status = 100.02, 100.25, 200
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def websocket(**parts: Any) -> Record:
    parts = {"status": 101, "closed_by": "client", "close_code": 1000} | parts
    return record("websocket", messages_up=1, bytes_up=5, messages_down=2, bytes_down=3, **parts)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What the access log writes from now on."""
    written: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = written.append  # type: ignore[method-assign]
    caplog.set_level(logging.INFO, "gateway.access")
    access.logger.addHandler(handler)
    yield written
    access.logger.removeHandler(handler)


# --- as text


def test_a_request_in_one_line(lines: list[logging.LogRecord]):
    access.emit(record(bytes_up=3, bytes_down=5))
    (line,) = lines
    assert line.getMessage() == (
        "GET app.example.test/a 200 in 250 ms, 3 bytes up, 5 down, to c1/apps/web:80 by a0, id r1"
    )


@pytest.mark.parametrize(
    ("parts", "ending"),
    [
        ({"outcome": "client_left"}, "id r1 (client_left)"),
        ({"outcome": "no_agent", "detail": "none of c1"}, "id r1 (no_agent: none of c1)"),
        ({"outcome": "body_too_large", "limit": "body_size"}, "id r1 (body_too_large: limit body_size)"),
        ({"agent": ""}, "by link-7, id r1"),
        ({"agent": "", "link": ""}, "by no agent, id r1"),
        ({"agent": "a\nb"}, r"by a\nb, id r1"),
        ({"detail": "x\r\ny" + "z" * 1000}, r"(x\r\ny" + "z" * 508 + ")"),
        ({"target": None}, "to - by a0, id r1"),
        ({"trace_id": "0af765"}, "by a0, id r1, trace 0af765"),
        ({"trace_id": "0af765", "outcome": "client_left"}, "id r1, trace 0af765 (client_left)"),
    ],
)
def test_how_a_request_ended(lines: list[logging.LogRecord], parts: dict[str, Any], ending: str):
    access.emit(record(**parts))
    assert lines[0].getMessage().endswith(ending)


def test_nothing_was_answered(lines: list[logging.LogRecord]):
    access.emit(record(status=0, host=b""))
    assert lines[0].getMessage().startswith("GET -/a - in 250 ms")


def test_stalls_that_a_person_would_notice(lines: list[logging.LogRecord]):
    access.emit(record(stalled_by_client_seconds=1.25, stalled_by_service_seconds=0.09))
    assert ", 0 down, 1.2 s stalled by the client, to " in lines[0].getMessage()


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({}, "closed by the client with 1000"),
        ({"closed_by": "service", "close_code": 4001}, "closed by the service with 4001"),
        ({"closed_by": "gateway", "close_code": 1012}, "closed by the gateway with 1012"),
        ({"closed_by": "service", "close_code": None}, "closed by the service with no code"),
        ({"status": 403, "closed_by": "service"}, "refused by the service with 403"),
        ({"status": 503, "closed_by": "gateway"}, "refused by the gateway with 503"),
        ({"status": 0}, "ended before its handshake"),
    ],
)
def test_how_a_websocket_ended(lines: list[logging.LogRecord], parts: dict[str, Any], says: str):
    access.emit(websocket(**parts))
    assert lines[0].getMessage() == (
        f"WS app.example.test/a {says} after 0.2 s, 1 messages (5 bytes) up, 2 (3) down, to c1/apps/web:80 by a0, id r1"
    )


def test_a_websocket_that_opens(lines: list[logging.LogRecord]):
    access.emit_opened(websocket(ended_at=None))
    (line,) = lines
    assert line.getMessage() == "WS app.example.test/a open after 20 ms, to c1/apps/web:80 by a0, id r1"
    assert line.__dict__["fields"]["event"] == "opened"


# --- levels


@pytest.mark.parametrize(
    ("made", "level"),
    [
        (record(status=200), "INFO"),
        (record(status=499), "INFO"),
        (record(status=500), "WARNING"),
        (record(status=503, outcome="no_agent"), "WARNING"),
        (websocket(), "INFO"),
        (websocket(closed_by="service", close_code=1011), "INFO"),
        (websocket(closed_by="gateway", close_code=1008), "WARNING"),
        (websocket(status=403, closed_by="gateway"), "INFO"),
        (websocket(status=504, closed_by="gateway"), "WARNING"),
    ],
)
def test_warnings_are_for_what_may_have_to_be_mended(lines: list[logging.LogRecord], made: Record, level: str):
    access.emit(made)
    assert [line.levelname for line in lines] == [level]


def test_only_the_warnings_where_the_level_says_so(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "gateway.access")
    access.emit(record())
    access.emit_opened(websocket())
    access.emit(record(status=502))
    assert [line.levelname for line in caplog.records] == ["WARNING"]


# --- as JSON


def as_json(line: logging.LogRecord) -> dict[str, Any]:
    got: dict[str, Any] = json.loads(JsonFormatter().format(line))
    return got


def test_all_fields_are_keys(lines: list[logging.LogRecord]):
    access.emit(websocket(stalled_by_client_seconds=1.5, client="192.0.2.1"))
    got = as_json(lines[0])
    for name in ("time", "level", "logger", "message"):
        assert got.pop(name)
    assert got == {
        "event": "ended", "kind": "websocket", "request_id": "r1", "method": "GET", "host": "app.example.test",
        "path": "/a", "client": "192.0.2.1", "service": "web", "namespace": "apps", "cluster_id": "c1", "port": 80,
        "link": "link-7", "agent": "a0", "dialect": "yamux", "status": 101, "close_code": 1000, "closed_by": "client",
        "outcome": "ok", "limit": None, "detail": "", "bytes_up": 5, "bytes_down": 3, "messages_up": 1,
        "messages_down": 2, "seconds": 0.25, "link_seconds": 0.01, "head_seconds": 0.02,
        "stalled_by_client_seconds": 1.5, "stalled_by_service_seconds": 0.0,
    }  # fmt: skip


def test_the_fields_are_made_when_they_are_asked_for(lines: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch):
    made: list[Record] = []
    fields = Record.fields
    monkeypatch.setattr(Record, "fields", lambda self: made.append(self) or fields(self))  # type: ignore[func-returns-value]
    one = record()
    access.emit(one)
    TextFormatter().format(lines[0])
    assert made == []
    first, second = as_json(lines[0]), as_json(lines[0])
    assert first == second
    assert first["event"] == "ended"
    assert made == [one]


def test_they_are_a_mapping_like_any_other(lines: list[logging.LogRecord]):
    one = record()
    access.emit(one)
    fields = lines[0].__dict__["fields"]
    expected = {"event": "ended", **one.fields()}
    assert fields == expected
    assert (list(fields), len(fields), fields["status"], repr(fields)) == (
        list(expected), len(expected), 200, repr(expected),
    )  # fmt: skip


def test_a_percent_sign_is_one(lines: list[logging.LogRecord]):
    access.emit(record(path=b"/a%20b%s"))
    assert lines[0].getMessage().startswith("GET app.example.test/a%20b%s 200 in")


def test_nothing_is_made_for_a_level_that_is_off(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    caplog.set_level(logging.WARNING, "gateway.access")
    monkeypatch.setattr(access, "_request_line", lambda _: pytest.fail("nobody reads it"))
    access.emit(record())
    assert caplog.records == []


def test_filters_of_the_logger_still_decide(lines: list[logging.LogRecord]):
    def refuse(_: logging.LogRecord) -> bool:
        return False

    access.logger.addFilter(refuse)
    try:
        access.emit(record())
    finally:
        access.logger.removeFilter(refuse)
    assert lines == []


def test_what_never_was_is_null(lines: list[logging.LogRecord]):
    access.emit(Record("http", "r1", "GET", b"h", b"/", None, 100.0))
    got = as_json(lines[0])
    for name in ("port", "status", "close_code", "closed_by", "limit", "link_seconds", "head_seconds"):
        assert got[name] is None, name
    assert got["seconds"] == 0.0


def test_every_field_stands_in_the_document():
    section = DOCUMENT.read_text(encoding="utf-8").partition("### The access log")[2].partition("### Request ids")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    documented = [name.strip("` ") for row in rows for name in row.split(",")]
    assert sorted(documented) == sorted(["event", *record(trace_id="0af765").fields()])


def test_a_field_of_the_trace_only_where_there_is_one(lines: list[logging.LogRecord]):
    for made in (record(trace_id="0af765"), record(), websocket(trace_id="0af765")):
        access.emit(made)
    assert [as_json(line).get("trace_id", "absent") for line in lines] == ["0af765", "absent", "0af765"]


# --- what it never says


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/a?token=t0p", "/a"), (b"/a?x=1?token=t0p", "/a"), (b"/a%3Ftoken", "/a%3Ftoken"), (b"/\x7f\n", r"/\x7f\n"),
        (b"/\xff", "/ÿ"), (b"/" + b"x" * 5_000, "/" + "x" * 511),
    ],
)  # fmt: skip
def test_the_path_without_its_query_printable_and_bounded(lines: list[logging.LogRecord], path: bytes, shown: str):
    access.emit(record(path=path))
    assert lines[0].getMessage().startswith(f"GET app.example.test{shown} 200 in")
    assert as_json(lines[0])["path"] == shown


@pytest.mark.parametrize("name", ["host", "method", "agent", "client", "detail"])
def test_what_others_say_is_printable_and_bounded(name: str):
    hostile = "\x1b\n" * 5_000
    fields = record(**{name: hostile.encode() if name == "host" else hostile}).fields()
    assert fields[name] == r"\x1b\n" * 256


# --- per message


def test_messages_are_logged_only_at_debug(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.messages")
    assert not access.logs_messages()
    access.emit_message(websocket(), "client_to_service", 5)
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "gateway.messages")
    assert access.logs_messages()
    access.emit_message(websocket(path=b"/a?t0p"), "client_to_service", 5)
    (line,) = caplog.records
    assert line.getMessage() == "WebSocket message forwarded client_to_service, 5 bytes, of app.example.test/a, id r1"
    assert line.__dict__["fields"] == {
        "request_id": "r1", "host": "app.example.test", "path": "/a", "service": "web", "namespace": "apps",
        "cluster_id": "c1", "direction": "client_to_service", "bytes": 5,
    }  # fmt: skip


# --- durations


def test_the_second_links_time_counts():
    made = record()
    made.via("link-8", None, "json", 101.0)
    assert (made.link, made.agent, made.dialect, made.link_seconds) == ("link-8", "", "json", 1.0)
