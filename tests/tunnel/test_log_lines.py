"""Lines of both programs' logs: one each, with their fields, unforgeable."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.log_lines import JsonFormatter, TextFormatter


def line(message: Any, *args: object, level: int = logging.INFO, name: str = "gateway", **extra: Any) -> Any:
    record = logging.LogRecord(name, level, "file.py", 1, message, args, None)
    record.__dict__.update(extra)
    return record


@pytest.mark.parametrize(
    ("created", "level", "name", "text"),
    [
        (1_795_953_600.1239, logging.INFO, "gateway", "2026-11-29T12:00:00.123Z INFO    gateway         m"),
        (1_795_953_600.0, logging.WARNING, "tunnel.agent.link", "2026-11-29T12:00:00.000Z WARNING tunnel.agent.link m"),
        (0.0, logging.CRITICAL, "a", "1970-01-01T00:00:00.000Z CRITICAL a               m"),
    ],
)  # fmt: skip
def test_a_line_has_date_and_zone(created: float, level: int, name: str, text: str):
    assert TextFormatter().format(line("m", level=level, name=name, created=created)) == text


def test_the_times_of_both_styles_are_the_same_moment():
    record = line("m", created=1_795_953_600.5)
    text, machine = TextFormatter().format(record), json.loads(JsonFormatter().format(record))
    assert (text.split(" ")[0], machine["time"]) == ("2026-11-29T12:00:00.500Z", "2026-11-29T12:00:00.500+00:00")


def test_json_has_the_fields_as_keys():
    text = JsonFormatter().format(line("%s came", "it", fields={"request_id": "r1", "status": 200, "limit": None}))
    got = json.loads(text)
    assert got.pop("time").endswith("+00:00")
    assert got == {
        "level": "info", "logger": "gateway", "message": "it came", "request_id": "r1", "status": 200, "limit": None
    }  # fmt: skip


def test_fields_do_not_take_the_place_of_the_lines_own():
    fields = {"level": "x", "message": "x", "time": "x", "logger": "x", "host": "h"}
    got = json.loads(JsonFormatter().format(line("true", fields=fields)))
    assert (got["level"], got["message"], got["logger"], got["host"]) == ("info", "true", "gateway", "h")
    assert got["time"] != "x"


def test_what_json_does_not_know_is_written_as_text():
    got = json.loads(JsonFormatter().format(line("m", fields={"error": ValueError("no"), "nan": float("nan")})))
    assert got["error"] == "no"
    assert got["nan"] is None


def test_fields_of_another_kind_are_left_alone():
    assert "5" not in json.loads(JsonFormatter().format(line("m", fields=5))).values()


def test_text_leaves_the_fields_out():
    text = TextFormatter().format(line("%d came", 3, fields={"secret": "t0p"}))
    assert text.endswith(" INFO    gateway         3 came")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a\nb", r"a\nb"), ("\r", r"\r"), ("\x1b[31m", r"\x1b[31m"), ("\x85", r"\x85"), ("\u2028", r"\u2028"),
        ("\u202e", r"\u202e"), ("\ud800", r"\ud800"), ("Ä €\u00a0", "Ä €\u00a0"),
    ],
)  # fmt: skip
def test_text_is_one_line_of_printable_characters(sent: str, shown: str):
    assert TextFormatter().format(line("%s|", sent)).endswith(f"gateway         {shown}|")


@given(st.text(st.characters(exclude_categories=())))
def test_both_are_one_line_that_can_be_encoded(message: str):
    for formatter in (TextFormatter(), JsonFormatter()):
        text = formatter.format(line("%s", message, fields={"path": message}))
        text.encode()
        assert len(text.splitlines()) == 1
    assert json.loads(text)["path"] == message


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_traceback_comes_along(formatter: logging.Formatter):
    try:
        {}["gone"]
    except KeyError as error:
        text = formatter.format(line("failed", exc_info=(KeyError, error, error.__traceback__)))
    assert "KeyError: 'gone'" in text
    assert ("\n" in text) is isinstance(formatter, TextFormatter)


def test_a_traceback_forges_no_line():
    """Its text may come from elsewhere."""
    error = ValueError("bad\n2026-11-29T12:00:00.000Z INFO    gateway         all is well\x1b[31m")
    record = line("failed", exc_info=(ValueError, error, None))
    first, *others = TextFormatter().format(record).split("\n")
    assert first.endswith("failed")
    assert len(others) == 2
    assert all(other.startswith(" ") for other in others)
    assert "\x1b" not in "".join(others)
    assert "all is well" in json.loads(JsonFormatter().format(record))["error"]


def test_both_styles_say_how_many_were_left_out():
    record = line("m", suppressed=6)
    assert TextFormatter().format(record).endswith("m [and 6 more of this kind]")
    assert json.loads(JsonFormatter().format(record))["suppressed"] == 6
