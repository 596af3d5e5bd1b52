"""The delays, with the jitter taken out or at its worst."""

import pytest

from tunnel.agent.reconnect import CAP_SECONDS, Backoff, Outcome

FAILED = Outcome()


def exact(low, high):
    return (low + high) / 2


def worst(_low, high):
    return high


def test_doubles_to_the_cap():
    backoff = Backoff(exact)
    assert [round(backoff.delay_after(FAILED), 3) for _ in range(9)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15]


def test_a_stable_link_starts_over():
    backoff = Backoff(exact)
    for _ in range(8):
        backoff.delay_after(FAILED)
    assert backoff.delay_after(Outcome(registered_seconds=10)) == pytest.approx(0.2)


def test_a_young_link_goes_on_at_the_second_delay():
    backoff = Backoff(exact)
    for _ in range(8):
        backoff.delay_after(FAILED)
    delays = [backoff.delay_after(Outcome(registered_seconds=9.9)) for _ in range(3)]
    assert delays == pytest.approx([0.4, 0.4, 0.4])


def test_a_first_young_link_is_retried_at_once():
    assert Backoff(exact).delay_after(Outcome(registered_seconds=0)) == pytest.approx(0.2)


@pytest.mark.parametrize("lived", [0.0, 9.9, 10.0, 3600.0])
@pytest.mark.parametrize("failures_before", [0, 1, 5, 20])
def test_one_second_away_is_back_within_two(lived, failures_before):
    backoff = Backoff(worst)
    for _ in range(failures_before):
        backoff.delay_after(FAILED)
    waited = backoff.delay_after(Outcome(registered_seconds=lived))
    while waited < 1.0:
        waited += backoff.delay_after(FAILED)
    assert waited < 2.0


def test_never_above_the_cap():
    backoff = Backoff(worst)
    assert max(backoff.delay_after(FAILED) for _ in range(50)) == CAP_SECONDS


def test_a_revoked_token_waits_a_minute_and_leaves_the_rest_alone():
    backoff = Backoff(exact)
    assert [backoff.delay_after(Outcome(revoked=True)) for _ in range(3)] == pytest.approx([60, 60, 60])
    assert backoff.delay_after(FAILED) == pytest.approx(0.2)


def test_the_jitter_spreads():
    delays = {Backoff().delay_after(FAILED) for _ in range(20)}
    assert len(delays) > 1
    assert all(0.16 <= delay <= 0.24 for delay in delays)
