"""Warnings that repeat are limited in rate."""

import logging
from typing import Any

import pytest

from app.observed.log import FloodGuard


def line(message: Any, *args: object, level: int = logging.INFO, name: str = "gateway", **extra: Any) -> Any:
    record = logging.LogRecord(name, level, "file.py", 1, message, args, None)
    record.__dict__.update(extra)
    return record


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
