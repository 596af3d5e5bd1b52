"""How a WebSocket through the json dialect ends: by the client, by the service, by a rule that was broken."""

import asyncio
import logging

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Door, Stage, conversation, data_of, encoded, open_websocket
from tunnel.http1 import BodyLengthError, UnsendableHeadError
from tunnel.websocket import Closed, Message, Pong


async def ticks(stage: Stage, seconds: float) -> list[tuple[float, dict[str, object]]]:
    """Let time pass in steps of 0.1 s. Returns when each message was heard."""
    heard = []
    agent = stage.agents[0]
    for _ in range(int(seconds * 10)):
        await asyncio.sleep(0.1)
        agent.carrier.tick(agent.carrier.clock())
        await quiet()
        heard += [(agent.carrier.clock(), message) for message in agent.hear()]
    return heard


@conversation
@pytest.mark.parametrize(
    ("code", "reason", "data"), [(4001, "client bye", b"\x08\x0f\xa1client bye"), (None, "", b"\x08")]
)
async def test_the_client_closes(stage: Stage, code: int | None, reason: str, data: bytes):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    door.send("last words")
    door.close(code, reason)
    await quiet()
    assert door.events() == [Closed(code or 1005, reason)]
    assert door.sink.outcome == "end"
    door.exchange.end()
    door.exchange.reset()
    (last,) = agent.hear()
    assert data_of(last) == encoded(b"\x01last words")
    began = agent.carrier.clock()
    (close_at, close), (cleanup_at, cleanup) = await ticks(stage, 3.0)
    assert data_of(close) == encoded(data)
    assert cleanup["type"] == "proxy_websocket_close"
    assert close_at - began >= 0.4
    assert cleanup_at - close_at >= 0.4
    assert cleanup_at - began < 2.0


@conversation
async def test_an_orderly_agent_is_told_at_once(stage: Stage):
    agent = stage.agent(orderly=True)
    _, door = await open_websocket(agent)
    for number in range(100):
        door.send(str(number))
    door.close(4001, "client bye")
    await quiet()
    *heard, last = agent.hear()
    assert [data_of(message) for message in heard] == [encoded(f"\x01{number}".encode()) for number in range(100)]
    assert data_of(last) == encoded(b"\x08\x0f\xa1client bye")
    ((_, cleanup),) = await ticks(stage, 1.0)
    assert cleanup["type"] == "proxy_websocket_close"


@conversation
@pytest.mark.parametrize("pings", [True, False])
async def test_pings_are_passed_on_to_an_agent_that_says_so(stage: Stage, pings: bool):
    agent = stage.agent(pings=pings)
    request_id, door = await open_websocket(agent)
    door.exchange.send_data(door.codec.send_ping(b"are you there"))
    await quiet()
    assert [data_of(message) for message in agent.hear()] == [encoded(b"\x09are you there")] * pings
    agent.websocket_data(request_id, b"\x0aare you there")
    await quiet()
    assert door.events() == [Pong(b"are you there")] * pings
    door.exchange.reset()
    await quiet()
    agent.hear()


@conversation
async def test_what_waits_for_a_slow_agent_still_leaves_after_the_end(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    agent.reads = False
    door.send("last words")
    door.close(1000)
    await quiet()
    assert door.sink.outcome == "end"
    door.exchange.end()
    agent.reads = True
    assert data_of(agent.hear()[0]) == encoded(b"\x01last words")
    assert [message["type"] for _, message in await ticks(stage, 2.0)] == [
        "proxy_websocket_data", "proxy_websocket_close"
    ]  # fmt: skip


@conversation
async def test_a_close_after_silence_needs_no_pause_before_it(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    await ticks(stage, 1.0)
    door.close(1000)
    await quiet()
    assert data_of(agent.hear_one("proxy_websocket_data")) == encoded(b"\x08\x03\xe8")
    ((_, cleanup),) = await ticks(stage, 2.0)
    assert cleanup["type"] == "proxy_websocket_close"


@conversation
async def test_a_client_that_vanishes(stage: Stage):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    door.exchange.reset()
    message = agent.hear_one("proxy_websocket_close")
    assert message["payload"] == {"request_id": request_id, "stream_id": request_id}
    agent.websocket_data(request_id, b"\x01late")
    await quiet()
    assert door.events() == []
    assert agent.hear() == []


@conversation
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        (b"\x0f\xa1service bye", 4001, "service bye"),
        (b"", 1005, ""),
        (b"\x03\xee", 1011, "service vanished"),
        (b"\x03", 1011, "service vanished"),
        (b"\x03\xe8\xff", 1011, "service vanished"),
        (b"\x03\xe8" + b"x" * 200, 1011, "service vanished"),
    ],
)
async def test_a_close_of_the_service(stage: Stage, payload: bytes, code: int, reason: str):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    agent.websocket_data(request_id, b"\x01last words")
    agent.websocket_data(request_id, b"\x08" + payload)
    agent.websocket_data(request_id, b"\x01too late")
    await quiet()
    assert door.events() == [Message("last words"), Closed(code, reason)]
    assert door.sink.outcome == "end"
    assert agent.kinds() == ["proxy_websocket_close"]
    assert door.exchange.send_data(door.codec.data_to_send()) is True
    door.exchange.end()


@conversation
@pytest.mark.parametrize("kind", ["proxy_websocket_close", "ws_close"])
async def test_the_agent_says_that_it_is_over(stage: Stage, kind: str):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    agent.say(kind, None, {"stream_id": request_id})
    await quiet()
    assert door.events() == [Closed(1011, "service vanished")]


@conversation
async def test_backpressure_closes_the_client(stage: Stage, caplog: pytest.LogCaptureFixture):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            agent.say("backpressure", request_id, {"request_id": request_id, "reason": "channel_full"})
    await quiet()
    assert door.events() == [Closed(1011, "a message was lost on the way")]
    assert agent.kinds() == ["proxy_websocket_close"]
    assert "channel_full" in caplog.records[0].getMessage()
    assert agent.carrier.ignored == 2


@conversation
@pytest.mark.parametrize("data", ["", "Bwdo", "not base64!"])
async def test_a_message_that_is_none(stage: Stage, caplog: pytest.LogCaptureFixture, data: str):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    agent.say("proxy_websocket_data", request_id, {"data": data})
    await quiet()
    assert door.sink.outcome in ("end", "BadAnswerError")
    assert request_id in caplog.text
    assert agent.kinds() == ["proxy_websocket_close"]


@conversation
async def test_data_before_the_101(stage: Stage, caplog: pytest.LogCaptureFixture):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    agent.websocket_data(request_id, b"\x01early")
    await quiet()
    assert door.sink.outcome == "BadAnswerError"
    assert "before the 101" in caplog.text


@conversation
@pytest.mark.parametrize("said", ["header", "chunk", "end", "whole"])
async def test_an_answer_after_the_101(stage: Stage, caplog: pytest.LogCaptureFixture, said: str):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    match said:
        case "header":
            agent.header(request_id)
        case "chunk":
            agent.chunk(request_id, b"x")
        case "end":
            agent.end(request_id)
        case _:
            agent.say("proxy_response", request_id, {"status": 200})
    await quiet()
    assert door.sink.outcome == "BadAnswerError"
    assert agent.carrier.name in caplog.text


@conversation
async def test_a_handshake_that_was_given_up_and_succeeds_after_all(stage: Stage):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    door.exchange.reset()
    assert agent.kinds() == ["proxy_websocket_close"]
    agent.switch(request_id)
    agent.websocket_data(request_id, b"\x01hello?")
    await quiet()
    assert agent.kinds() == ["proxy_websocket_close"]


@conversation
async def test_a_handshake_that_was_given_up_and_fails(stage: Stage):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    door.exchange.reset()
    assert agent.kinds() == ["proxy_websocket_close"]
    agent.header(request_id, 101)
    agent.abort(request_id, "failed to connect to service WebSocket: invalid compression negotiation")
    agent.say("proxy_error", request_id, {"error": "x"})
    assert agent.hear() == []


@conversation
async def test_a_handshake_without_a_key(stage: Stage):
    agent = stage.agent()
    with pytest.raises(UnsendableHeadError):
        Door(agent, [(b"Host", b"a.test")])
    assert agent.hear() == []


@conversation
async def test_our_end_of_direction_without_a_close(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    door.exchange.end()
    assert agent.kinds() == ["proxy_websocket_close"]


@conversation
async def test_a_door_that_breaks_the_rules(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    door.exchange.send_data(b"\xff\x80" + bytes(12))
    await quiet()
    (event,) = door.events()
    assert isinstance(event, Closed)
    assert event.code == 1002
    assert agent.kinds() == ["proxy_websocket_close"]


@conversation
async def test_frames_before_the_101(stage: Stage):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    assert agent.kinds() == ["proxy_request"]
    with pytest.raises(BodyLengthError):
        door.send("too early")
    assert agent.kinds() == ["proxy_websocket_close"]
    assert door.sink.calls == []
