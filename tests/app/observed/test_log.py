"""Lines of the log: one each, with their fields, unforgeable, and not without end."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observed.log import FloodGuard, JsonFormatter, TextFormatter


def line(message: Any, *args: object, level: int = logging.INFO, name: str = "gateway", **extra: Any) -> Any:
    record = logging.LogRecord(name, level, "file.py", 1, message, args, None)
    record.__dict__.update(extra)
    return record


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


# --- the flood guard


def written(guard: FloodGuard, moments: list[float], **kind: Any) -> list[int]:
    """For each line written, how many it says were left out before it."""
    kind = {"message": "skipped: %s", "level": logging.WARNING} | kind
    message = kind.pop("message")
    lines = [line(message, number, created=moment, **kind) for number, moment in enumerate(moments)]
    return [getattr(each, "suppressed", 0) for each in lines if guard.filter(each)]


def test_twenty_of_a_kind_pass_and_the_next_window_says_how_many_did_not():
    assert written(FloodGuard(), [100.0] * 20) == [0] * 20
    assert written(FloodGuard(), [100.0] * 25 + [109.9, 110.0, 110.0]) == [0] * 20 + [6, 0]


def test_all_that_were_left_out_are_counted():
    guard = FloodGuard()
    written(guard, [100.0] * 25 + [110.0] * 23)
    assert guard.lines_suppressed == 5 + 3


def test_a_window_without_a_flood_has_nothing_to_say():
    assert written(FloodGuard(), [100.0, 111.0, 122.0]) == [0, 0, 0]


def test_a_clock_set_back_silences_nobody():
    assert written(FloodGuard(), [100.0] * 21 + [50.0]) == [0] * 20 + [1]


def test_kinds_do_not_silence_each_other():
    guard = FloodGuard()
    written(guard, [100.0] * 30)
    assert written(guard, [100.0], message="another: %s") == [0]
    assert written(guard, [100.0], name="tunnel") == [0]
    assert written(guard, [100.0], level=logging.ERROR) == [0]
    assert written(guard, [100.0]) == []


def test_lines_about_different_things_do_not_silence_each_other():
    guard = FloodGuard()
    written(guard, [100.0] * 30, about="c1/apps/noisy:80")
    assert written(guard, [100.0], about="c1/apps/noisy:80") == []
    assert written(guard, [100.0], about="c1/apps/quiet:80") == [0]


@pytest.mark.parametrize("kind", [{"name": "gateway.access"}, {"level": logging.INFO}])
def test_the_access_log_and_plain_news_are_never_held_back(kind: dict[str, Any]):
    assert written(FloodGuard(), [100.0] * 500, **kind) == [0] * 500


def test_what_it_remembers_is_bounded():
    guard = FloodGuard()
    for number in range(2_500):
        assert guard.filter(line(f"kind {number}", level=logging.WARNING, created=100.0))
    assert len(guard._kinds) <= 1_000


def test_both_styles_say_how_many_were_left_out():
    record = line("m", suppressed=6)
    assert TextFormatter().format(record).endswith("m [and 6 more of this kind]")
    assert json.loads(JsonFormatter().format(record))["suppressed"] == 6
