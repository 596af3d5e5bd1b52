"""Durations and sizes for people."""

import pytest

from tunnel.agent import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.96, "10.0 s"), (10, "10 s"), (59.9, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
     (3_725, "1 h 2 min"), (86_400, "1 d"), (90_000, "1 d 1 h"), (8_640_000, "100 d")],
)  # fmt: skip
def test_durations(seconds, text):
    assert units.duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "below 1 ms"), (0.001, "1 ms"), (0.0126, "13 ms"), (2, "2000 ms")])
def test_milliseconds(seconds, text):
    assert units.milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1_048_576, "1.0 MiB"), (10**10, "9,536.7 MiB")],
)
def test_sizes(number, text):
    assert units.size(number) == text
