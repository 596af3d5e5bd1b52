"""The delays, with the jitter taken out or at its worst."""

import pytest

from tunnel.agent.reconnect import (
    HURRIED_SECONDS,
    OFTEN_FOR_SECONDS,
    OFTEN_SECONDS,
    RARELY_SECONDS,
    Backoff,
    Outcome,
    least_delay,
)

FAILED = Outcome()


def exact(low, high):
    return (low + high) / 2


def worst(_low, high):
    return high


def best(low, _high):
    return low


class Away:
    """A gateway that is away from 0 on; attempts take no time of their own."""

    def __init__(self, jitter=exact):
        self.backoff = Backoff(jitter)
        self.now = 0.0

    def attempt(self, outcome=FAILED) -> float:
        delay = self.backoff.delay_after(outcome, self.now)
        self.now += delay
        return delay

    def until(self, end: float) -> list[float]:
        delays = []
        while self.now < end:
            delays.append(self.attempt())
        return delays


def test_dials_at_once_then_often_for_two_minutes_then_rarely():
    away = Away()
    delays = away.until(300)
    often = len([delay for delay in delays if delay == 1.5])
    assert delays[:4] == pytest.approx([0.2, 0.4, 0.8, 1.5])
    assert delays[3 + often :] == [4, 8] + [15] * (len(delays) - often - 5)
    assert sum(delays[: 3 + often]) == pytest.approx(OFTEN_FOR_SECONDS, abs=1.5)


@pytest.mark.parametrize("jitter", [best, worst])
def test_within_two_minutes_nobody_waits_longer_than_two_seconds(jitter):
    assert max(Away(jitter).until(OFTEN_FOR_SECONDS)) <= OFTEN_SECONDS[1]


def test_the_two_minutes_begin_when_a_link_is_lost():
    away = Away()
    away.until(300)
    away.attempt(Outcome(registered_seconds=3600))
    assert max(away.until(away.now + OFTEN_FOR_SECONDS - 1)) <= OFTEN_SECONDS[1]


def test_a_slow_attempt_counts_into_the_two_minutes():
    away = Away()
    away.until(10)
    away.now += OFTEN_FOR_SECONDS
    assert away.attempt() == 4


def test_a_stable_link_starts_over():
    away = Away()
    away.until(200)
    assert away.attempt(Outcome(registered_seconds=10)) == pytest.approx(0.2)


def test_a_young_link_goes_on_at_the_second_delay():
    away = Away()
    away.until(200)
    delays = [away.attempt(Outcome(registered_seconds=9.9)) for _ in range(3)]
    assert delays == pytest.approx([0.4, 0.4, 0.4])


def test_a_first_young_link_is_retried_at_once():
    assert Away().attempt(Outcome(registered_seconds=0)) == pytest.approx(0.2)


@pytest.mark.parametrize("lived", [0.0, 9.9, 10.0, 3600.0])
@pytest.mark.parametrize("away_before", [0, 1, 30, 600])
def test_one_second_away_is_back_within_two(lived, away_before):
    away = Away(worst)
    away.until(away_before)
    waited = away.attempt(Outcome(registered_seconds=lived))
    while waited < 1.0:
        waited += away.attempt()
    assert waited < 2.0


def test_never_above_the_cap():
    assert max(Away(worst).until(3600)) == RARELY_SECONDS[-1]


def test_a_revoked_token_waits_a_minute_and_leaves_the_rest_alone():
    away = Away()
    assert [away.attempt(Outcome(revoked=True)) for _ in range(3)] == pytest.approx([60, 60, 60])
    assert away.attempt() == pytest.approx(0.2)


def test_the_jitter_spreads():
    delays = {Backoff().delay_after(FAILED, 0.0) for _ in range(20)}
    assert len(delays) > 1
    assert all(0.16 <= delay <= 0.24 for delay in delays)


@pytest.mark.parametrize(
    ("delay", "outcome", "least"),
    [
        (15.0, FAILED, HURRIED_SECONDS),
        (0.2, FAILED, 0.2),
        (60.0, Outcome(revoked=True), 60.0),
        (15.0, Outcome(registered_seconds=3600), HURRIED_SECONDS),
    ],
)
def test_another_address_shortens_a_delay_only_so_far(delay, outcome, least):
    assert least_delay(delay, outcome) == least
