"""Whether a node's clock is that of NATS, and what the operator is told of it."""

import logging

import pytest

from app.cluster.wall_clock import MOST_SECONDS, WallClock


class Clock:
    def __init__(self, ahead: float | None) -> None:
        self.ahead = ahead
        self.wall = WallClock(lambda: self.ahead)


@pytest.mark.parametrize(
    ("ahead", "is_right", "problem"),
    [
        (None, False, None), (0.0, True, None), (-5.0, True, None), (MOST_SECONDS, True, None),
        (86_400.0, False, "this node's clock is 86400 s ahead of that of NATS; set the clocks of both (NTP)"),
        (-61.4, False, "this node's clock is 61 s behind that of NATS; set the clocks of both (NTP)"),
    ],
)  # fmt: skip
def test_what_is_right(ahead: float | None, is_right: bool, problem: str | None):
    clock = Clock(ahead)
    assert clock.wall.is_right() is is_right
    assert clock.wall.problem == problem
    assert repr(clock.wall) == f"<WallClock, ahead by {ahead} s>"


def test_the_log_is_told_of_changes(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.cluster")
    clock = Clock(0.0)
    for ahead in (0.0, 100.0, None, 101.0, 0.0, 0.0):
        clock.ahead = ahead
        clock.wall.is_right()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
