"""Request bodies through the json dialect: one message up to a limit, above it metered chunks; never left hanging."""

import base64
from typing import Any

import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Agent, Stage, conversation, opened
from tunnel.errors import LinkBusyError
from tunnel.gateway.proxied.http import CHUNK_BYTES, COLLECTED_BYTES
from tunnel.gateway.proxied.lanes import HIGH_BYTES
from tunnel.gateway.proxied.upload_window import WINDOW_BYTES
from tunnel.http1 import BodyLengthError
from tunnel.port import Exchange


def body_of(messages: list[dict[str, Any]]) -> bytes:
    chunks = [message["payload"] for message in messages if message["type"] == "proxy_request_chunk"]
    assert all(chunk["size"] == len(base64.b64decode(chunk["data"])) <= CHUNK_BYTES for chunk in chunks)
    return b"".join(base64.b64decode(chunk["data"]) for chunk in chunks)


def answer_pings(agent: Agent, heard: list[dict[str, Any]]) -> None:
    for message in heard:
        if message["type"] == "ping":
            agent.say("pong", message["request_id"], {"timestamp": "2026-01-02T03:04:05Z"})


@conversation
@pytest.mark.parametrize("length", [10, None])
async def test_a_small_body_leaves_with_its_request(stage: Stage, length: int | None):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", headers=[(b"content-length", b"10")] if length else [], length=length)
    assert exchange.send_data(b"01234") is True
    assert agent.hear() == []
    assert stage.account.held_bytes == exchange.held_bytes == 5
    exchange.send_data(b"56789")
    exchange.end()
    message = agent.hear_one("proxy_request")
    assert "headers" not in message["payload"]
    assert (message["payload"]["body"], message["payload"]["body_encoding"]) == ("MDEyMzQ1Njc4OQ==", "base64")
    assert "streaming" not in message["payload"]
    agent.header(message["request_id"])
    agent.end(message["request_id"])
    await quiet()
    assert sink.outcome == "end"
    assert agent.hear() == []


@conversation
async def test_an_empty_body_of_unknown_length(stage: Stage):
    agent = stage.agent()
    exchange, _ = opened(agent, b"POST", length=None)
    exchange.end()
    message = agent.hear_one("proxy_request")
    assert "body" not in message["payload"]
    exchange.reset()


@conversation
async def test_the_largest_collected_body(stage: Stage):
    agent = stage.agent()
    exchange, _ = opened(agent, b"POST", length=COLLECTED_BYTES)
    body = bytes(COLLECTED_BYTES // 2)
    assert exchange.send_data(body) is True
    assert exchange.send_data(body) is True
    await quiet()
    message = agent.hear_one("proxy_request")
    assert base64.b64decode(message["payload"]["body"]) == body + body
    exchange.reset()


@conversation
@pytest.mark.parametrize("length", [COLLECTED_BYTES + 1, None])
async def test_a_long_body_is_streamed_and_metered(stage: Stage, length: int | None):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=length)
    body = bytes(range(256)) * (COLLECTED_BYTES // 256) + b"!"
    welcome = exchange.send_data(body)
    assert welcome is False
    exchange.end()
    await quiet()
    heard = agent.hear()
    assert heard[0]["type"] == "proxy_request"
    assert heard[0]["payload"]["streaming"] is True
    assert len(body_of(heard)) == WINDOW_BYTES
    assert agent.carrier.patience == 75.0
    while not any(message["type"] == "proxy_request_stream_end" for message in heard):
        before = len(heard)
        answer_pings(agent, heard[-20:])
        assert agent.carrier.patience == 75.0
        await quiet()
        heard += agent.hear()
        assert len(heard) > before
    assert body_of(heard) == body
    assert heard[-1]["type"] == "proxy_request_stream_end"
    assert {message["request_id"] for message in heard if message["type"] != "ping"} == {heard[0]["request_id"]}
    assert sink.calls == ["writable"]
    agent.header(heard[0]["request_id"])
    agent.end(heard[0]["request_id"])
    await quiet()
    assert sink.outcome == "end"
    assert agent.hear() == []
    assert agent.carrier.patience is None


@conversation
async def test_an_agent_that_answers_no_ping_gets_a_window_each_tick(stage: Stage):
    agent = stage.agent()
    exchange, _ = opened(agent, b"POST", length=COLLECTED_BYTES + 1)
    exchange.send_data(bytes(COLLECTED_BYTES))
    await quiet()
    assert len(body_of(agent.hear())) == WINDOW_BYTES
    now = agent.carrier.clock()
    agent.carrier.tick(now + 0.4)
    await quiet()
    assert agent.hear() == []
    agent.carrier.tick(now + 0.6)
    await quiet()
    assert len(body_of(agent.hear())) == WINDOW_BYTES
    exchange.reset()
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_an_agent_that_answers_pings_is_waited_for(stage: Stage):
    agent = stage.agent()
    exchange, _ = opened(agent, b"POST", length=COLLECTED_BYTES + 1)
    exchange.send_data(bytes(COLLECTED_BYTES))
    await quiet()
    heard = agent.hear()
    answer_pings(agent, [message for message in heard if message["type"] == "ping"][:1])
    await quiet()
    assert len(body_of(agent.hear())) == WINDOW_BYTES // 4
    agent.carrier.tick(agent.carrier.clock() + 30.0)
    await quiet()
    assert agent.hear() == []
    exchange.reset()
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_a_blocked_upload_delays_no_other_request(stage: Stage):
    agent = stage.agent()
    upload, _ = opened(agent, b"POST", length=COLLECTED_BYTES + 1)
    upload.send_data(bytes(COLLECTED_BYTES))
    await quiet()
    agent.hear()
    other, _ = opened(agent)
    await quiet()
    assert agent.kinds() == ["proxy_request"]
    other.reset()
    upload.reset()


@conversation
async def test_uploads_share_in_turns(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    uploads = [opened(agent, b"POST", length=COLLECTED_BYTES * 2)[0] for _ in range(2)]
    for upload in uploads:
        upload.send_data(bytes(CHUNK_BYTES * 4))
    agent.reads = True
    heard = [message["request_id"] for message in agent.hear() if message["type"] == "proxy_request_chunk"]
    assert len(set(heard)) == 2
    assert heard[0::2] == [heard[0]] * 4
    assert heard[1::2] == [heard[1]] * 4
    for upload in uploads:
        upload.reset()


@conversation
async def test_a_door_is_held_back_and_let_go(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    exchange, sink = opened(agent, b"POST", length=COLLECTED_BYTES * 2)
    sent = 0
    while exchange.send_data(bytes(CHUNK_BYTES)):
        sent += CHUNK_BYTES
    assert sent <= HIGH_BYTES
    assert stage.account.held_bytes == exchange.held_bytes > HIGH_BYTES
    await quiet()
    assert sink.calls == []
    agent.reads = True
    agent.hear()
    assert sink.calls == ["writable"]
    exchange.reset()


@conversation
@pytest.mark.parametrize("length", [10, COLLECTED_BYTES + 10])
async def test_more_body_than_announced(stage: Stage, length: int):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=length)
    with pytest.raises(BodyLengthError):
        exchange.send_data(bytes(length + 1))
    await quiet()
    assert sink.calls == []
    assert agent.kinds() in ([], ["proxy_request", "proxy_cancel"])


@conversation
@pytest.mark.parametrize("length", [10, COLLECTED_BYTES + 10])
async def test_less_body_than_announced(stage: Stage, length: int):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=length)
    exchange.send_data(bytes(9))
    with pytest.raises(BodyLengthError):
        exchange.end()
    await quiet()
    assert sink.calls == []


@conversation
async def test_body_after_the_end(stage: Stage):
    agent = stage.agent()
    exchange, _ = opened(agent, b"POST", length=0)
    await quiet()
    exchange.end()
    with pytest.raises(BodyLengthError):
        exchange.send_data(b"x")
    assert agent.kinds() == ["proxy_request", "proxy_cancel"]


@conversation
@pytest.mark.parametrize("ending", ["reset", "end"])
async def test_an_early_answer(stage: Stage, ending: str):
    """The service answers before it has the whole body: the agent's entry for the upload is closed in any case."""
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=None)
    exchange.send_data(bytes(COLLECTED_BYTES + 1))
    await quiet()
    heard = agent.hear()
    request_id = heard[0]["request_id"]
    agent.header(request_id, 413)
    agent.end(request_id)
    await quiet()
    assert (sink.statuses, sink.outcome) == ([413], "end")
    assert agent.hear() == []
    assert exchange.send_data(b"more") is True
    getattr(exchange, ending)()
    exchange.reset()
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_an_early_answer_to_an_upload_that_was_sent_so_far(stage: Stage):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=None)
    exchange.send_data(bytes(COLLECTED_BYTES + 1))
    await quiet()
    heard = agent.hear()
    while len(body_of(heard)) < COLLECTED_BYTES + 1:
        answer_pings(agent, heard[-20:])
        await quiet()
        heard += agent.hear()
    request_id = heard[0]["request_id"]
    agent.header(request_id)
    agent.end(request_id)
    await quiet()
    assert sink.outcome == "end"
    exchange.end()
    assert agent.kinds() == ["proxy_request_stream_end"]


@conversation
async def test_an_early_answer_to_an_upload_that_was_given_but_not_sent(stage: Stage):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=COLLECTED_BYTES + 1)
    exchange.send_data(bytes(COLLECTED_BYTES + 1))
    await quiet()
    request_id = agent.hear()[0]["request_id"]
    agent.header(request_id)
    agent.end(request_id)
    await quiet()
    assert sink.outcome == "end"
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_an_upload_that_goes_on_after_an_early_answer_is_not_passed_on(stage: Stage):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=COLLECTED_BYTES * 2)
    exchange.send_data(bytes(CHUNK_BYTES))
    await quiet()
    request_id = agent.hear()[0]["request_id"]
    agent.header(request_id)
    agent.end(request_id)
    await quiet()
    assert sink.outcome == "end"
    assert exchange.send_data(bytes(COLLECTED_BYTES * 2 - CHUNK_BYTES)) is True
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_an_abort_during_an_upload_cancels_it(stage: Stage):
    agent = stage.agent()
    exchange, sink = opened(agent, b"POST", length=COLLECTED_BYTES * 2)
    exchange.send_data(bytes(COLLECTED_BYTES))
    await quiet()
    request_id = agent.hear()[0]["request_id"]
    agent.abort(request_id, "service request failed: refused")
    await quiet()
    assert sink.outcome == "ServiceUnreachableError"
    assert agent.kinds() == ["proxy_cancel"]


@conversation
async def test_an_agent_that_does_not_read_takes_no_new_exchange(stage: Stage):
    agent = stage.agent()
    agent.reads = False
    exchanges: list[Exchange] = []
    while agent.carrier.connection.lanes.queued_bytes <= 64 * 1024 * 1024:
        exchange, _ = opened(agent, b"POST", length=COLLECTED_BYTES)
        exchange.send_data(bytes(COLLECTED_BYTES))
        exchanges.append(exchange)
    with pytest.raises(LinkBusyError):
        opened(agent)
    for exchange in exchanges:
        exchange.reset()
    assert stage.account.held_bytes == 0
    agent.reads = True
    assert agent.hear() == []
