"""How a link finds out that its agent, or the path to it, is gone: with the time passed in."""

import pytest

from tests.tunnel.gateway.peer import Line
from tunnel.gateway.link import LinkState
from tunnel.gateway.timing import Timing


def test_an_agent_that_answers_is_kept():
    line = Line(ready=True)
    first = line.peer.pings
    line.pass_time(300.0, answering=True)
    assert line.link.state is LinkState.READY
    assert 190 <= line.peer.pings - first <= 310


def test_four_pings_follow_each_other_and_then_one_comes_after_a_second_of_silence():
    """Windows grow by the round trip, and one answer may have waited behind much else."""
    line = Line(ready=True)
    assert line.peer.pings == 4
    line.pass_time(0.5, answering=True)
    assert line.peer.pings == 4
    line.pass_time(0.5, answering=True)
    assert line.peer.pings == 5


def test_an_agent_that_is_heard_gets_a_ping_every_ten_seconds_for_the_round_trip():
    line = Line(ready=True)
    for _ in range(60):
        line.pass_time(0.5, answering=True)
        line.peer.session.ping(line.clock.now)
        line.deliver()
    assert line.peer.pings == 4 + 3


@pytest.mark.parametrize("heard_before", [0.0, 0.3, 0.5, 0.9])
def test_a_silent_agent_is_given_up_within_six_seconds_and_not_within_four(heard_before: float):
    """`heard_before`: it was cut off so long after its last ping; it pings every second."""
    line = Line(ready=True)
    line.pass_time(5.0, answering=True)
    line.clock.now += heard_before
    line.pass_time(4.0, answering=False)
    assert line.link.state is LinkState.READY
    line.pass_time(2.0, answering=False)
    assert line.link.state is LinkState.CLOSED
    assert line.link.close_code == 1001


def test_a_link_that_is_given_up_says_why():
    line = Line(ready=True)
    line.pass_time(6.0, answering=False)
    assert len(line.told) == 1
    assert line.told[0].startswith("closed: nothing received for ")


@pytest.mark.parametrize("sign", ["text", "bytes"])
def test_any_sign_of_life_counts(sign: str):
    line = Line(ready=True)
    for _ in range(10):
        line.pass_time(3.0, answering=False)
        if sign == "text":
            line.link.text_received("anything at all")
        else:
            line.peer.session.ping(line.clock.now)
            line.deliver()
    assert line.link.state is LinkState.READY


def test_a_late_tick_forgives():
    """This process stood still: what the agent sent meanwhile is still to be read."""
    line = Line(ready=True)
    line.pass_time(4.0, answering=False)
    line.clock.now += 60.0
    line.link.tick()
    assert line.link.state is LinkState.READY
    line.pass_time(3.0, answering=False)
    assert line.link.state is LinkState.READY
    line.pass_time(0.5, answering=False)
    assert line.link.state is LinkState.CLOSED


def test_timing_is_given():
    line = Line(timing=Timing(ping_interval=1.0, ping_timeout=2.0, joining=4.0), ready=True)
    line.pass_time(5.0, answering=True)
    line.pass_time(4.0, answering=False)
    assert line.link.state is LinkState.CLOSED
