"""A link is lost with exchanges under way: what waits for the agent's next link, what fails, what is cleaned up."""

import asyncio
from typing import Any

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Agent, Door, Stage, asked, conversation, open_websocket, opened
from tunnel.gateway.proxied.http import ANSWER_SECONDS, COLLECTED_BYTES


async def heard(agent: Agent) -> list[dict[str, Any]]:
    await quiet()
    return agent.hear()


@conversation
async def test_an_answer_on_the_next_link(stage: Stage):
    first = stage.agent()
    request_id, _, sink = await asked(first)
    other_id, _, other = await asked(first, b"POST")
    first.lose()
    first.lose()
    await asyncio.sleep(0.6)
    assert (sink.calls, other.calls) == ([], [])
    second = stage.agent()
    assert (first.carrier.active, second.carrier.active) == (2, 0)
    second.header(request_id)
    second.chunk(request_id, b"slow done")
    second.end(request_id)
    second.say("proxy_response", other_id, {"status": 200, "body": "x"})
    await quiet()
    assert (sink.body, sink.outcome) == (b"slow done", "end")
    assert (other.body, other.outcome) == (b"x", "end")
    assert second.hear() == []


@conversation
async def test_an_upload_that_left_whole_is_answered_on_the_next_link(stage: Stage):
    first = stage.agent()
    upload, sink = opened(first, b"PUT", length=COLLECTED_BYTES + 1)
    assert first.carrier.uploads == 1
    upload.send_data(bytes(COLLECTED_BYTES + 1))
    while pings := [message["request_id"] for message in await heard(first) if message["type"] == "ping"]:
        for ping in pings:
            first.say("pong", ping)
    request_id = next(iter(stage.shared.exchanges))
    first.lose()
    second = stage.agent()
    second.header(request_id)
    assert (first.carrier.uploads, second.carrier.uploads) == (0, 0)
    second.end(request_id)
    await quiet()
    assert sink.outcome == "end"


@conversation
async def test_an_agent_that_forgets_is_not_waited_for(stage: Stage):
    first = stage.agent(forgetful=True)
    request_id, _, sink = await asked(first, b"POST")
    first.lose()
    await quiet()
    assert sink.outcome == "LinkLostError"
    assert sink.error is not None
    assert sink.error.retryable
    second = stage.agent(forgetful=True)
    second.header(request_id)
    await quiet()
    assert sink.calls == ["failed"]


@conversation
async def test_an_answer_on_a_link_that_came_before_the_other_was_found_lost(stage: Stage):
    first, second = stage.agent(), stage.agent()
    request_id, _, sink = await asked(first)
    second.header(request_id)
    assert (first.carrier.active, second.carrier.active) == (0, 1)
    first.lose()
    second.chunk(request_id, b"here")
    second.end(request_id)
    await quiet()
    assert (sink.body, sink.outcome) == (b"here", "end")


@conversation
async def test_an_answer_that_had_begun_elsewhere_is_broken_off(stage: Stage):
    first, second = stage.agent(), stage.agent()
    request_id, _, sink = await asked(first)
    first.header(request_id)
    await quiet()
    second.chunk(request_id, b"with a gap before it")
    await quiet()
    assert (sink.body, sink.outcome) == (b"", "LinkLostError")
    assert sink.error is not None
    assert not sink.error.retryable


@conversation
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_no_next_link_within_the_grace(stage: Stage, method: bytes):
    agent = stage.agent()
    _, _, sink = await asked(agent, method)
    began = agent.carrier.clock()
    agent.lose()
    await asyncio.sleep(2.9)
    assert sink.calls == []
    await asyncio.sleep(0.2)
    assert sink.outcome == "LinkLostError"
    assert sink.error is not None
    assert sink.error.retryable
    assert agent.carrier.clock() - began < 3.2


@conversation
@pytest.mark.parametrize(("method", "seconds"), [(b"GET", 3.0), (b"PUT", 3.0), (b"POST", ANSWER_SECONDS)])
async def test_a_next_link_without_an_answer(stage: Stage, method: bytes, seconds: float):
    """A repeatable request fails soon, so that its door can repeat it. Others wait as long as their agent may take."""
    first = stage.agent()
    _, _, sink = await asked(first, method)
    first.lose()
    stage.agent()
    await asyncio.sleep(seconds - 0.1)
    assert sink.calls == []
    await asyncio.sleep(0.2)
    assert sink.outcome == "LinkLostError"


@conversation
async def test_the_next_link_came_before_the_loss_was_known(stage: Stage):
    """The usual case: the agent dials again and names itself, and its older link is closed."""
    first = stage.agent()
    upload, _ = opened(first, b"POST", length=COLLECTED_BYTES * 2)
    upload.send_data(bytes(COLLECTED_BYTES))
    websocket = Door(first)
    await quiet()
    upload_id, websocket_id = [m["request_id"] for m in first.hear() if m["type"] == "proxy_request"]
    request_id, _, sink = await asked(first, b"POST")
    second = stage.agent()
    first.lose()
    assert {(m["type"], m["request_id"]) for m in second.hear()} == {
        ("proxy_cancel", upload_id), ("proxy_websocket_close", websocket_id)
    }  # fmt: skip
    assert websocket.sink.outcome == "LinkLostError"
    await asyncio.sleep(20.0)
    assert sink.calls == []
    second.header(request_id, 201)
    second.end(request_id)
    await quiet()
    assert (sink.statuses, sink.outcome) == ([201], "end")


@conversation
async def test_one_with_a_body_is_not_repeated(stage: Stage):
    first = stage.agent()
    exchange, sink = opened(first, b"PUT", length=1)
    exchange.send_data(b"x")
    await quiet()
    request_id = first.hear_one("proxy_request")["request_id"]
    first.lose()
    second = stage.agent()
    await asyncio.sleep(30.0)
    second.header(request_id, 204)
    second.end(request_id)
    await quiet()
    assert (sink.statuses, sink.outcome) == ([204], "end")


@conversation
async def test_a_late_answer_after_the_grace_is_for_nobody(stage: Stage):
    first = stage.agent()
    request_id, _, sink = await asked(first)
    first.lose()
    await asyncio.sleep(3.5)
    second = stage.agent()
    second.header(request_id)
    second.end(request_id)
    await quiet()
    assert sink.outcome == "LinkLostError"
    assert second.carrier.ignored == 2


@conversation
async def test_the_door_gives_an_orphan_up(stage: Stage):
    agent = stage.agent()
    _, exchange, sink = await asked(agent)
    agent.lose()
    exchange.reset()
    assert sink.calls == []


@conversation
async def test_a_request_that_had_not_left(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    _, sink = opened(agent)
    agent.lose()
    assert sink.outcome == "LinkLostError"
    assert sink.error is not None
    assert sink.error.retryable
    assert stage.agent().hear() == []


@conversation
async def test_an_answer_that_had_begun_fails_at_once(stage: Stage):
    agent = stage.agent()
    request_id, _, sink = await asked(agent)
    agent.header(request_id)
    agent.chunk(request_id, b"half")
    await quiet()
    agent.lose()
    assert (sink.body, sink.outcome) == (b"half", "LinkLostError")
    assert sink.error is not None
    assert not sink.error.retryable
    assert stage.agent().hear() == []


@conversation
async def test_a_complete_answer_is_delivered_after_the_loss(stage: Stage):
    agent = stage.agent()
    request_id, exchange, sink = await asked(agent)
    exchange.pause()
    agent.header(request_id)
    agent.chunk(request_id, b"all of it")
    agent.end(request_id)
    agent.lose()
    await quiet()
    assert sink.calls == []
    exchange.resume()
    await quiet()
    assert (sink.body, sink.outcome) == (b"all of it", "end")


@conversation
async def test_an_upload_is_cancelled_on_the_next_link(stage: Stage):
    first = stage.agent()
    exchange, sink = opened(first, b"POST", length=COLLECTED_BYTES * 2)
    exchange.send_data(bytes(COLLECTED_BYTES))
    await quiet()
    request_id = first.hear()[0]["request_id"]
    first.lose()
    assert sink.outcome == "LinkLostError"
    assert [message["type"] for message in first.hear()] == ["proxy_cancel"]  # in case it can still hear us
    second = stage.agent()
    assert second.hear_one("proxy_cancel")["request_id"] == request_id
    assert stage.agent().hear() == []


@conversation
async def test_an_answered_upload_that_lost_its_link_is_never_said_to_be_complete(stage: Stage):
    first = stage.agent()
    exchange, sink = opened(first, b"POST", length=None)
    exchange.send_data(bytes(COLLECTED_BYTES + 1))  # most of it waits for the agent's pongs
    request_id = first.hear()[0]["request_id"]
    first.header(request_id)
    first.end(request_id)
    await quiet()
    assert sink.outcome == "end"
    first.lose()
    exchange.end()
    assert first.kinds() == ["proxy_cancel"]
    assert stage.agent().hear_one("proxy_cancel")["request_id"] == request_id


@conversation
@pytest.mark.parametrize("dialect", ["json", "chunk"])
async def test_websockets_end_with_their_link_and_are_cleaned_up(stage: Stage, dialect: str):
    first = stage.agent(dialect)
    request_id, door = await open_websocket(first)
    first.lose()
    assert door.sink.outcome == "LinkLostError"
    stranger = stage.agent(dialect, cluster="c2")
    other = stage.agent("chunk" if dialect == "json" else "json")
    second = stage.agent(dialect)
    kind = "proxy_websocket_close" if dialect == "json" else "proxy_stream_close"
    assert second.hear_one(kind)["request_id"] == request_id
    assert stranger.hear() == other.hear() == []


@conversation
async def test_a_parting_websocket_is_cleaned_up_too(stage: Stage):
    first = stage.agent()
    request_id, door = await open_websocket(first)
    door.send("last")
    door.close(1000)
    await quiet()
    assert door.sink.outcome == "end"
    first.lose()
    assert stage.agent().hear_one("proxy_websocket_close")["request_id"] == request_id


@conversation
async def test_cleaning_up_is_forgotten_after_a_minute(stage: Stage):
    first = stage.agent()
    await open_websocket(first)
    first.lose()
    await asyncio.sleep(61.0)
    assert stage.agent().hear() == []


@conversation
async def test_messages_of_a_websocket_on_another_link(stage: Stage):
    first, second = stage.agent(), stage.agent()
    request_id, door = await open_websocket(first)
    second.websocket_data(request_id, b"\x01after a gap")
    await quiet()
    assert door.sink.outcome == "LinkLostError"
    assert first.kinds() == ["proxy_websocket_close"]


@conversation
async def test_what_waits_to_leave_is_dropped_with_the_link(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    agent.carrier.probe(0.0)
    agent.carrier.tell("something small")
    assert stage.account.held_bytes > 0
    agent.lose()
    assert stage.account.held_bytes == 0


@conversation
async def test_nothing_is_sent_on_a_lost_link(stage: Stage):
    agent = stage.agent()
    door_id, door = await open_websocket(agent)
    exchange, _ = opened(agent, b"POST", length=None)
    agent.lose()
    agent.hear()
    calls: list[Any] = [door.exchange.send_data(b"x"), exchange.send_data(b"x")]
    exchange.end()
    door.exchange.end()
    agent.carrier.probe(0.0)
    agent.carrier.tick(agent.carrier.clock() + 100.0)
    assert calls == [True, True]
    assert agent.hear() == []
    assert door_id not in stage.shared.exchanges
