"""Losing a link with many exchanges: a bounded number is told in each turn, and other links go on in between."""

import asyncio
import itertools

from tests.fakes.loop import dialogue, quiet
from tests.fakes.sink import FakeSink
from tests.tunnel.gateway.exchanges import OK, opened
from tests.tunnel.gateway.peer import Line
from tests.tunnel.gateway.proxied.agent import Stage, asked, conversation
from tunnel.gateway.proxied import carrier as proxied
from tunnel.gateway.yamux import streams as yamux

MANY = 200


async def turns_of(sinks: list[FakeSink]) -> list[int]:
    """How many were told after each turn, from now on until all were."""
    seen = [0, sum(sink.error is not None for sink in sinks)]
    while seen[-1] < len(sinks):
        await asyncio.sleep(0)
        seen.append(sum(sink.error is not None for sink in sinks))
    return seen


@dialogue
async def test_a_yamux_link_tells_a_few_in_each_turn_and_others_go_on():
    line, other = Line(ready=True), Line(ready=True, cluster="c2")
    sinks = [opened(line)[1] for _ in range(MANY)]
    line.run()
    answered: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: answered.append(_answer(other)))
    line.link.lost("gone")
    seen = await turns_of(sinks)
    assert max(b - a for a, b in itertools.pairwise(seen)) <= yamux._LOSSES_PER_TURN
    assert answered == [200]  # while they were told
    assert [sink.calls for sink in sinks] == [["failed"]] * MANY
    assert (line.link.active, line.account.held_bytes) == (0, 0)
    other.link.lost("end of the test")
    await quiet()


def _answer(line: Line) -> int:
    _, sink = opened(line)
    line.run()
    line.answer(OK)
    line.run()
    return sink.statuses[0]


@dialogue
async def test_the_agent_of_a_link_that_we_close_hears_all_resets_before_the_end():
    line = Line(ready=True)
    sinks = [opened(line)[1] for _ in range(MANY)]
    line.run()
    line.link.close(1012, "gateway is stopping")
    assert not line.link.has_said_all
    wakes = line.wakes
    await turns_of(sinks)
    await quiet()
    assert line.link.has_said_all
    assert line.wakes > wakes  # whoever waits for the end is woken
    line.run()
    assert [stream.was_reset for stream in line.peer.streams.values()] == [True] * MANY


@dialogue
async def test_an_exchange_that_ends_by_itself_meanwhile_is_not_told():
    line = Line(ready=True)
    begun = [opened(line) for _ in range(MANY)]
    line.run()
    line.link.lost("gone")
    exchange, sink = begun[-1]
    exchange.reset()
    await turns_of([sink for _, sink in begun[:-1]])
    await quiet()
    assert sink.calls == []
    assert line.link.active == 0


@conversation
async def test_a_json_link_tells_a_few_in_each_turn(stage: Stage):
    agent = stage.agent(forgetful=True)
    sinks = [(await asked(agent))[2] for _ in range(MANY)]
    agent.lose()
    seen = await turns_of(sinks)
    assert max(b - a for a, b in itertools.pairwise(seen)) <= proxied._LOSSES_PER_TURN
    await quiet()
    assert not agent.carrier.is_ending


@conversation
async def test_an_answer_on_the_next_link_is_taken_while_others_are_still_told(stage: Stage):
    """The last of many is taken over before its turn to be told has come."""
    agent = stage.agent()
    requests = [await asked(agent) for _ in range(MANY)]
    agent.lose()
    newer = stage.agent()
    request_id, _, sink = requests[-1]
    newer.header(request_id)
    newer.end(request_id)
    await quiet()
    assert (sink.statuses, sink.calls[-1]) == ([200], "end")
    for request_id, _, other in requests[:-1]:
        newer.header(request_id)
        newer.end(request_id)
        await quiet()
        assert other.statuses == [200]
