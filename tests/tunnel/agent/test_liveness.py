"""When a link is dead, with the time passed in."""

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
