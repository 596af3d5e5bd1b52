"""After a pause of this process each agent is asked for a proof of life, and none is closed because of the pause."""

import pytest

from tests.tunnel.gateway.peer import Line
from tunnel.gateway.link import LinkState


def stand_still(line: Line, seconds: float = 12.0) -> None:
    """This process was stopped, and goes on with its tick."""
    line.clock.now += seconds
    line.link.tick()


def test_after_a_pause_of_our_own_the_agent_is_asked_at_once():
    line = Line(ready=True)
    line.pass_time(2.0, answering=True)
    pings = line.peer.pings
    stand_still(line)
    line.run()
    assert line.peer.pings == pings + 1
    line.pass_time(30.0, answering=True)
    assert line.link.state is LinkState.READY


@pytest.mark.parametrize("says", ["nothing", "text"])
def test_an_agent_that_gave_its_session_up_during_our_pause_is_closed_soon(says: str):
    """Its WebSocket lives and it may say what it likes there: its session answers nothing."""
    line = Line(ready=True)
    line.pass_time(2.0, answering=True)
    stand_still(line)
    if says == "text":
        line.beat("a1")
    line.pass_time(5.0, answering=False)
    assert line.link.state is LinkState.CLOSED
    assert line.told[-1] == "closed: no answer to a ping after the gateway itself stood still"


def test_an_answer_from_before_the_pause_proves_nothing():
    line = Line(ready=True)
    line.pass_time(5.0, answering=True)
    line.pass_time(0.5, answering=False)  # a ping leaves
    line.collect()
    stand_still(line)
    line.deliver()  # its answer was under way
    line.pass_time(5.0, answering=False)
    assert line.link.state is LinkState.CLOSED


def test_no_link_is_closed_because_this_process_stood_still():
    """Again and again, longer than any deadline: what came in meanwhile is read first, and so is the answer."""
    line = Line(ready=True)
    for _ in range(5):
        stand_still(line, 100.0)
        line.clock.now += 1.9
        line.run()
        line.link.tick()
    assert line.link.state is LinkState.READY


def test_a_link_that_is_joining_is_not_closed_by_the_tick_after_a_pause():
    line = Line()
    line.greet()
    stand_still(line, 100.0)
    assert line.link.state is LinkState.JOINING
    line.acknowledge_hello()
    line.run()
    assert line.link.state is LinkState.READY


def test_an_agent_on_a_slow_path_gets_the_usual_time_after_a_pause():
    line = Line(ready=True)
    stand_still(line)
    for _ in range(5):
        line.peer.session.ping(line.clock.now)
        line.deliver()  # something comes all the time, and our answer is behind it
        line.pass_time(1.0, answering=False)
    assert line.link.state is LinkState.READY
    line.run()
    line.pass_time(20.0, answering=True)
    assert line.link.state is LinkState.READY
