"""WebSockets through the json dialect: the handshake held back, messages spaced, closes spelt out."""

from itertools import pairwise

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import (
    HANDSHAKE,
    KEY,
    Door,
    Stage,
    conversation,
    data_of,
    encoded,
    open_websocket,
)
from tunnel.gateway.proxied.lanes import HIGH_BYTES
from tunnel.websocket import Message, check_accept


@conversation
async def test_the_handshake_as_the_agent_hears_it(stage: Stage):
    agent = stage.agent()
    door = Door(agent, [*HANDSHAKE, (b"origin", b"http://a.test"), (b"sec-websocket-extensions", b"x")])
    await quiet()
    payload = agent.hear_one("proxy_request")["payload"]
    assert payload["is_websocket"] is True
    assert payload["supports_response_streaming"] is True
    assert (payload["path"], payload["query"]) == ("/ws", "room=1")
    assert payload["headers"] == {
        "Host": ["a.test"], "Sec-WebSocket-Protocol": ["chat.v1, chat.v2"], "Origin": ["http://a.test"]
    }  # fmt: skip
    assert not {"timeout", "deadline", "streaming", "body"} & set(payload)
    door.exchange.reset()
    await quiet()
    assert agent.kinds() == ["proxy_websocket_close"]


@conversation
async def test_the_101_is_held_back_until_the_end(stage: Stage):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    agent.header(request_id, 101, Sec_Websocket_Accept=["theirs"], Sec_Websocket_Extensions=["permessage-deflate"],
                 Sec_Websocket_Protocol=["chat.v2"], Set_Cookie=["a=1"], Upgrade="websocket")  # fmt: skip
    await quiet()
    assert door.sink.calls == []
    agent.end(request_id)
    await quiet()
    head = door.sink.heads[0]
    assert head.status == 101
    assert check_accept(KEY, head.headers, [b"chat.v1", b"chat.v2"]) == b"chat.v2"
    assert (b"Set-Cookie", b"a=1") in head.headers
    door.exchange.reset()


@conversation
async def test_a_whole_answer_with_101(stage: Stage):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    agent.say("proxy_response", request_id, {"status": 101, "headers": {"Upgrade": ["websocket"]}})
    await quiet()
    assert door.sink.statuses == [101]
    door.exchange.reset()


@conversation
@pytest.mark.parametrize("status", [302, 403, 503])
async def test_a_refusal_reaches_the_door_without_its_body(stage: Stage, status: int):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    agent.header(request_id, status, Content_Length=["7"], X_Why=["denied"])
    agent.abort(request_id, "failed to connect to service WebSocket: websocket: bad handshake")
    await quiet()
    assert door.sink.statuses == [status]
    assert door.sink.heads[0].headers == [(b"X-Why", b"denied")]
    assert (door.sink.body, door.sink.outcome) == (b"", "end")
    assert agent.hear() == []


@conversation
@pytest.mark.parametrize("whole", [True, False])
async def test_a_refusal_with_a_body(stage: Stage, whole: bool):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    if whole:
        agent.say("proxy_response", request_id, {"status": 403, "body": encoded(b"denied"), "encoding": "base64"})
    else:
        agent.header(request_id, 403)
        agent.chunk(request_id, b"den")
        agent.chunk(request_id, b"ied")
        agent.end(request_id)
    await quiet()
    assert (door.sink.statuses, door.sink.body, door.sink.outcome) == ([403], b"denied", "end")


@conversation
@pytest.mark.parametrize("header", [None, {"status": 502, "headers": None}, {"status": 101}, {"status": 200}])
async def test_no_websocket(stage: Stage, header: dict[str, object] | None):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    if header is not None:
        agent.say("proxy_response_header", request_id, header)
    agent.abort(request_id, "failed to connect to service WebSocket: connection refused")
    await quiet()
    assert (door.sink.calls, door.sink.outcome) == (["failed"], "ServiceUnreachableError")
    assert agent.hear() == []


@conversation
async def test_buffered_errors(stage: Stage):
    agent = stage.agent()
    door = Door(agent)
    await quiet()
    request_id = agent.hear_one("proxy_request")["request_id"]
    agent.say("proxy_error", request_id, {"error": "missing service routing information for WebSocket"})
    await quiet()
    assert door.sink.outcome == "ServiceUnreachableError"


@conversation
async def test_messages_both_ways(stage: Stage):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    for message in ("héllo", b"\x00\x01", "", b""):
        assert door.send(message) is True
    await quiet()
    assert data_of(agent.hear_one("proxy_websocket_data")) == encoded(b"\x01h\xc3\xa9llo")
    for kind in ("proxy_websocket_data", "ws_data"):
        agent.say(kind, request_id, {"data": encoded(b"\x01h\xc3\xa9llo")})
    agent.websocket_data(request_id, b"\x02\xfe\xff")
    agent.websocket_data(request_id, b"\x01")
    agent.websocket_data(request_id, b"\x02")
    await quiet()
    assert door.events() == [Message("héllo"), Message("héllo"), Message(b"\xfe\xff"), Message(""), Message(b"")]
    door.exchange.reset()


@conversation
async def test_messages_are_spaced(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    clock = agent.carrier.clock
    began = clock()
    for number in range(20):
        door.send(str(number))
    times: list[float] = []
    heard: list[object] = []
    while len(heard) < 20:
        await quiet()
        for message in agent.hear():
            times.append(clock())
            heard.append(data_of(message))
    assert heard == [encoded(b"\x01" + str(number).encode()) for number in range(20)]
    assert clock() - began >= 19 * 0.002
    assert all(later - earlier >= 0.0019 for earlier, later in pairwise(times))
    door.exchange.reset()


@conversation
async def test_a_door_that_sends_faster_is_held_back(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    size = 64 * 1024
    sent = 0
    while door.send(bytes(size)):
        sent += size
    assert sent <= HIGH_BYTES
    assert stage.account.held_bytes == door.exchange.held_bytes
    while "writable" not in door.sink.calls:
        await quiet()
    assert door.exchange.held_bytes <= HIGH_BYTES // 2
    door.exchange.reset()


@conversation
async def test_a_message_being_assembled_is_counted(stage: Stage):
    agent = stage.agent()
    _, door = await open_websocket(agent)
    frame = door.codec.send_message(bytes(1000))
    door.exchange.send_data(frame[:500])
    assert stage.account.held_bytes == door.exchange.held_bytes > 400
    door.exchange.send_data(frame[500:])
    await quiet()
    assert len(agent.hear()) == 1
    assert stage.account.held_bytes == door.exchange.held_bytes == 0
    door.exchange.reset()


@conversation
async def test_pings_stay_here_unanswered(stage: Stage):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    door.exchange.send_data(door.codec.send_ping(b"there?"))
    agent.websocket_data(request_id, b"\x09x")
    agent.websocket_data(request_id, b"\x0ax")
    await quiet()
    assert (agent.hear(), door.events()) == ([], [])
    door.exchange.reset()


@conversation
async def test_messages_that_wait_for_a_paused_door_keep_their_order(stage: Stage):
    agent = stage.agent()
    request_id, door = await open_websocket(agent)
    door.exchange.pause()
    for number in range(200):
        agent.websocket_data(request_id, b"\x02" + str(number).encode())
    await quiet()
    assert door.events() == []
    assert stage.account.held_bytes == door.exchange.held_bytes > 0
    door.exchange.resume()
    await quiet()
    assert door.events() == [Message(str(number).encode()) for number in range(200)]
    door.exchange.reset()


@conversation
async def test_probes_and_patience(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    for _ in range(3):
        agent.carrier.probe(0.0)
    agent.reads = True
    message = agent.hear_one("ping")
    assert agent.carrier.patience == 75.0
    assert agent.say("pong", message.get("request_id"), {"timestamp": "2026-01-02T03:04:05Z"}) is False
    assert agent.carrier.patience is None
    assert agent.carrier.message_limit_bytes == 1024 * 1024 * 4 // 3 + 64 * 1024
    assert not agent.carrier.going_away
