"""What the gateway sends never exceeds what the agent accepts: bodies are cut, and the rest ends its own exchange."""

import json
import logging

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import (
    HANDSHAKE,
    Agent,
    Door,
    Stage,
    asked,
    conversation,
    encoded,
    open_websocket,
    opened,
)
from tunnel.http1 import BodyLengthError
from tunnel.port import Headers
from tunnel.websocket import Closed, Message
from tunnel.wire.message_limits import carried_bytes

LIMIT = 20_000
FITS = carried_bytes(LIMIT)
DATA = {"json": "proxy_websocket_data", "chunk": "proxy_stream_chunk"}
OVER = {"json": "proxy_websocket_close", "chunk": "proxy_stream_close"}

dialects = pytest.mark.parametrize("dialect", ["json", "chunk"])


def limited(stage: Stage, dialect: str, limit_bytes: int = LIMIT) -> Agent:
    return stage.agent(dialect, limit_bytes=limit_bytes, **({"orderly": True} if dialect == "json" else {}))


def heard(agent: Agent, limit_bytes: int = LIMIT) -> list[dict[str, object]]:
    """What came, each within the limit."""
    messages = agent.hear()
    for message in messages:
        assert len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()) <= limit_bytes
    return messages


def data_of(message: dict[str, object]) -> object:
    payload = message.get("payload", message)
    assert isinstance(payload, dict)
    return payload["data"]


async def is_well(agent: Agent) -> None:
    """Another exchange of the link passes."""
    request_id, _, sink = await asked(agent)
    agent.header(request_id)
    agent.end(request_id)
    await quiet()
    assert (sink.statuses, sink.outcome) == ([200], "end")


@dialects
@conversation
async def test_a_websocket_message_that_is_too_large_ends_its_websocket_alone(
    stage: Stage, dialect: str, caplog: pytest.LogCaptureFixture
):
    agent = limited(stage, dialect)
    request_id, door = await open_websocket(agent)
    other_id, other = await open_websocket(agent)
    assert door.send(b"x" * FITS) is True
    assert door.send(b"x" * LIMIT) is True
    assert door.send(b"nothing follows") is True
    await quiet()
    agent.carrier.tick(agent.link.clock())
    await quiet()
    first, close, over = heard(agent)
    assert [message["request_id"] for message in (first, close, over)] == [request_id] * 3
    assert [message["type"] for message in (first, close, over)] == [DATA[dialect], DATA[dialect], OVER[dialect]]
    assert data_of(first) == encoded(b"\x02" + b"x" * FITS)
    assert data_of(close) == encoded(b"\x08\x03\xf1")
    assert door.sink.outcome == "MessageTooLargeError"
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(f"{agent.link.name}: exchange {request_id} ends: a message of 2")
    assert line.endswith(" bytes is larger than the 20000 that the agent accepts")
    assert other.send("still here") is True
    await quiet()
    assert [message["request_id"] for message in heard(agent)] == [other_id]
    other.exchange.reset()


@dialects
@conversation
async def test_what_the_service_sent_before_arrives_first(stage: Stage, dialect: str):
    agent = limited(stage, dialect)
    request_id, door = await open_websocket(agent)
    door.exchange.pause()
    if dialect == "json":
        agent.websocket_data(request_id, b"\x01before")
    else:
        agent.say("proxy_stream_chunk", request_id, data=encoded(b"\x01before"))
    door.send(b"x" * LIMIT)
    agent.say(DATA[dialect], request_id, {"data": encoded(b"\x01after")})
    await quiet()
    assert door.sink.outcome == "open"
    door.exchange.resume()
    await quiet()
    assert door.events() == [Message("before")]
    assert door.sink.outcome == "MessageTooLargeError"


@dialects
@conversation
async def test_a_close_still_passes(stage: Stage, dialect: str):
    agent = limited(stage, dialect)
    request_id, door = await open_websocket(agent)
    door.close(4001, "bye")
    if dialect == "chunk":
        agent.say("proxy_stream_chunk", request_id, data=encoded(b"\x08\x0f\xa1bye"))
    await quiet()
    assert data_of(heard(agent)[0]) == encoded(b"\x08\x0f\xa1bye")
    assert door.events() == [Closed(4001, "bye")]


@dialects
@pytest.mark.parametrize("size", [0, 1, FITS // 2, FITS, 40_000, 1_000_000])
@pytest.mark.parametrize("announced", [True, False])
@conversation
async def test_a_body_is_cut_to_fit(stage: Stage, dialect: str, size: int, announced: bool):
    agent = limited(stage, dialect)
    exchange, sink = opened(agent, b"POST", length=size if announced else None)
    pieces = [b"b" * (size // 3), b"b" * (size - size // 3)]
    for piece in pieces:
        exchange.send_data(piece)
    if not announced:
        exchange.end()
    body = b""
    ended = False
    while not ended:
        await quiet()
        for message in heard(agent):
            payload = message["payload"]
            assert isinstance(payload, dict)
            body += _bytes(payload.get("body", "")) + _bytes(payload.get("data", ""))
            if message["type"] == "ping":
                agent.say("pong", str(message["request_id"]))
            ended = ended or message["type"] == "proxy_request_stream_end"
            ended = ended or (message["type"] == "proxy_request" and not payload.get("streaming"))
            if message["type"] == "proxy_request":
                request_id = str(message["request_id"])
                if announced and payload.get("streaming"):
                    assert payload["headers"]["Content-Length"] == [str(size)]
    assert body == b"b" * size
    agent.header(request_id)
    agent.end(request_id)
    await quiet()
    assert sink.outcome == "end"


@dialects
@pytest.mark.parametrize("length", [0, 10, 100_000, None])
@pytest.mark.parametrize("field", ["x" * LIMIT, "\u00e9" * (LIMIT // 2), '"' * (LIMIT // 2)])
@conversation
async def test_a_head_that_is_too_large_is_refused_alone(stage: Stage, dialect: str, length: int | None, field: str):
    agent = limited(stage, dialect)
    headers: Headers = [(b"Host", b"a.test"), (b"X-Large", field.encode())]
    exchange, sink = opened(agent, b"POST", headers=headers, length=length)
    if length != 0:
        exchange.send_data(b"b" * (length or 100_000))
    if length is None:
        exchange.end()
    await quiet()
    assert sink.outcome == "MessageTooLargeError"
    assert {message["type"] for message in heard(agent)} <= {"proxy_cancel"}
    await is_well(agent)


@dialects
@conversation
async def test_a_handshake_that_is_too_large_is_refused_alone(stage: Stage, dialect: str):
    agent = limited(stage, dialect)
    door = Door(agent, [*HANDSHAKE, (b"x-large", b"x" * LIMIT)])
    await quiet()
    assert door.sink.outcome == "MessageTooLargeError"
    assert heard(agent) == []
    await is_well(agent)


@dialects
@conversation
async def test_more_body_than_announced_is_refused_as_ever(stage: Stage, dialect: str):
    agent = limited(stage, dialect)
    exchange, _ = opened(agent, b"POST", length=30_000)
    exchange.send_data(b"b" * 29_999)
    await quiet()
    with pytest.raises(BodyLengthError):
        exchange.send_data(b"bb")
    await quiet()
    assert [message["type"] for message in heard(agent)][-1] == "proxy_cancel"


@dialects
@conversation
async def test_an_agent_that_tells_no_limit_has_none(stage: Stage, dialect: str):
    agent = stage.agent(dialect)
    _, door = await open_websocket(agent)
    door.send(b"x" * 1_000_000)
    await quiet()
    assert len(agent.hear()) == 1
    exchange, _ = opened(agent, b"POST", headers=[(b"Host", b"a.test"), (b"X", b"x" * 100_000)], length=1_000_000)
    exchange.send_data(b"b" * 1_000_000)
    await quiet()
    (request,) = agent.hear()
    assert len(request["payload"]["body"]) > 1_000_000
    exchange.reset()
    door.exchange.reset()


@conversation
async def test_what_the_agent_was_told_stays_valid(stage: Stage):
    agent = stage.agent()
    agent.link.accepts_bytes = 3_000_000
    assert agent.carrier.message_limit_bytes == 3_000_000
    stage.shared.max_message_bytes = 1024
    assert agent.carrier.message_limit_bytes == 3_000_000
    stage.shared.max_message_bytes = 30_000_000
    assert agent.carrier.message_limit_bytes > 30_000_000


def _bytes(text: object) -> bytes:
    from tunnel.wire.proxy_messages import decode_data

    return decode_data(str(text))
