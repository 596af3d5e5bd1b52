"""When a link is dead, with the time passed in."""

import pytest

from tunnel.agent.liveness import Liveness


def test_pings_once_per_interval():
    liveness = Liveness(10, 15, now=0)
    assert [now for now in range(41) if liveness.ping_due(now)] == [10, 20, 30, 40]


def test_dead_when_nothing_came_after_a_ping():
    liveness = Liveness(10, 15, now=0)
    assert liveness.ping_due(10)
    assert not liveness.is_dead(24.9)
    assert liveness.is_dead(25)


def test_anything_heard_counts():
    liveness = Liveness(10, 15, now=0)
    assert liveness.ping_due(10)
    liveness.heard_at = 10.5
    assert not liveness.is_dead(25)


def test_counts_from_the_first_ping_that_went_unanswered():
    liveness = Liveness(10, 15, now=0)
    for now in (10, 20, 30):
        assert liveness.ping_due(now)
        if now == 10:
            liveness.heard_at = 10.1
    assert not liveness.is_dead(34.9)
    assert liveness.is_dead(35)


def test_asks_to_be_looked_at_when_something_may_be_due():
    liveness = Liveness(10, 15, now=0)
    assert liveness.next_look() == 10
    liveness.ping_due(10)
    assert liveness.next_look() == 20
    liveness.ping_due(20)
    assert liveness.next_look() == 25
    liveness.heard_at = 21
    assert not liveness.is_dead(25)
    assert liveness.next_look() == 30


def test_a_probe_waits_no_longer_than_two_seconds():
    liveness = Liveness(10, 15, now=0)
    assert liveness.ping_due(10)
    assert liveness.probe(11)
    assert liveness.next_look() == 13
    assert not liveness.is_dead(12.9)
    assert liveness.is_dead(13)


def test_a_probe_that_is_answered_leaves_the_ping_its_time():
    liveness = Liveness(10, 15, now=0)
    assert liveness.probe(5)
    liveness.heard_at = 5.1
    assert not liveness.is_dead(8)
    assert liveness.next_look() == 10


def test_one_probe_a_second_answers_for_all_changes():
    liveness = Liveness(10, 15, now=0)
    assert [now for now in (1, 1.2, 1.9, 2, 2.5, 3) if liveness.probe(now)] == [1, 2, 3]


def stopped(due: float, now: float, ahead: float) -> tuple[bool, bool]:
    """Whether a look at `now` says that it stood still, and whether the link counts as dead then."""
    liveness = Liveness(10, 15, now=0)
    assert not liveness.stood_still(0, 0, 1000)
    assert liveness.ping_due(10)
    found = liveness.stood_still(due, now, now + 1000 + ahead)
    return found, liveness.is_dead(now)


@pytest.mark.parametrize(
    ("due", "now", "ahead", "expected"),
    [
        (20, 20, 0, (False, False)),
        (20, 21.9, 0, (False, False)),
        (20, 60, 0, (True, False)),  # stopped: what came meanwhile is not read yet
        (20, 20, 3600, (True, False)),  # the machine slept, and the loop's clock with it
        (20, 20, -3600, (True, False)),  # the wall clock was set: a probe costs nothing
        (25, 25, 0, (False, True)),
        (float("inf"), 21, 0, (False, False)),  # looked at out of turn
    ],
)
def test_what_was_sent_before_a_stop_says_nothing(due, now, ahead, expected):
    assert stopped(due, now, ahead) == expected
