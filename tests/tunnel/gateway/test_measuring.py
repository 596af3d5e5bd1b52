"""The round trip of a link, measured when somebody asks: by a ping of its dialect."""

import asyncio

import pytest

from tests.tunnel.gateway.peer import Line
from tests.tunnel.gateway.proxied.agent import Stage, conversation


def measure(line: Line, told: list[float]) -> None:
    line.link.round_trips.tell_next(told.append)
    line.link.probe()


def test_a_ping_leaves_at_once_and_its_answer_is_timed():
    line = Line(ready=True)
    told: list[float] = []
    measure(line, told)
    line.collect()
    line.clock.now += 0.25
    assert told == []
    line.deliver()
    assert told == [0.25]
    assert repr(line.link.round_trips) == "<RoundTrips latest 0.25, 0 waiting>"
    line.pass_time(20.0, answering=True)
    assert told == [0.25]


def test_all_who_asked_are_told():
    line = Line(ready=True)
    first: list[float] = []
    second: list[float] = []
    measure(line, first)
    measure(line, second)
    line.run()
    assert first == second == [0.0]


@pytest.mark.parametrize("ready", [False, True])
def test_nobody_is_told_after_the_end(*, ready: bool):
    line = Line(ready=ready)
    told: list[float] = []
    measure(line, told)
    line.link.close(1012, "gone")
    line.collect()
    line.deliver()
    assert told == []


@pytest.mark.parametrize("dialect", ["json", "chunk"])
@conversation
async def test_the_other_dialects_have_pongs(stage: Stage, dialect: str):
    agent = stage.agent(dialect)
    round_trips: list[float] = []
    agent.link.round_trips.tell_next(round_trips.append)
    agent.carrier.probe(agent.link.clock())
    assert agent.kinds() == ["ping"]
    await asyncio.sleep(0.25)
    agent.say("pong", "of-an-upload")
    assert round_trips == []
    agent.say("pong", None)
    agent.say("pong", None)
    assert round_trips == [pytest.approx(0.25)]
    assert agent.link.round_trips.latest == pytest.approx(0.25)
