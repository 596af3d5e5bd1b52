"""The requirement's interface to one link's streams, used alone: no exchange, no door, no dialect."""

import asyncio
import json
from collections.abc import Callable

import anyio
import pytest

from tests.app.virtual import quiet
from tests.tunnel.gateway.proxied.agent import Stage, conversation
from tunnel.errors import TooSlowError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.connection import ABORT, DATA, END, HEAD, AgentConnection, UnknownStreamError, encode_head
from tunnel.gateway.proxied.outbox import HIGH_BYTES, Lane, Outbox
from tunnel.gateway.proxied.window import WINDOW_BYTES, Window
from tunnel.wire.proxy_messages import ProxyRequest


def connection_of(stage: Stage, wake: Callable[[], None] = lambda: None) -> AgentConnection:
    return AgentConnection(stage.shared, wake)


def heard(connection: AgentConnection) -> list[dict[str, object]]:
    messages = []
    while (text := connection.outbox.next(0.0)) is not None:
        messages.append(json.loads(text))
    return messages


@conversation
async def test_a_stream_from_its_request_to_its_close(stage: Stage):
    woken: list[int] = []
    connection = connection_of(stage, lambda: woken.append(1))
    stream = connection.open_stream("r1")
    connection.send_proxy_request("r1", ProxyRequest("GET", "/ws", is_websocket=True))
    (request,) = heard(connection)
    assert (request["type"], request["request_id"]) == ("proxy_request", "r1")
    connection.deliver(stream, HEAD, encode_head(AnswerHead(101)))
    assert (await connection.wait_for_proxy_response("r1")).status == 101
    assert connection.send_stream_chunk("r1", b"\x01hi") is True
    assert heard(connection) == [
        {"type": "proxy_stream_chunk", "request_id": "r1", "data": "AWhp", "direction": "to_agent"}
    ]
    connection.deliver(stream, DATA, b"\x01ho")
    assert await connection.read_stream_chunk("r1") == b"\x01ho"
    connection.deliver(stream, END, b"")
    with pytest.raises(anyio.EndOfStream):
        await connection.read_stream_chunk("r1")
    connection.close_proxy_stream("r1", "done")
    connection.close_proxy_stream("r1", "again")
    assert heard(connection) == [{"type": "proxy_stream_close", "request_id": "r1", "reason": "done"}]
    assert "r1" not in connection
    assert len(woken) == 3


@conversation
async def test_closing_wakes_who_reads(stage: Stage):
    connection = connection_of(stage)
    connection.open_stream("r1")
    reader = asyncio.create_task(connection.read_stream_chunk("r1"))
    await quiet()
    connection.close_proxy_stream("r1")
    with pytest.raises(anyio.EndOfStream):
        await reader
    assert heard(connection) == []  # the agent never heard of it


@conversation
async def test_an_answer_that_fails(stage: Stage):
    connection = connection_of(stage)
    stream = connection.open_stream("r1")
    stream.error = TooSlowError("the agent says so")
    connection.deliver(stream, ABORT, b"")
    with pytest.raises(TooSlowError):
        await connection.wait_for_proxy_response("r1")
    connection.forget("r1")
    connection.forget("r1")


@conversation
async def test_unknown_streams(stage: Stage):
    connection = connection_of(stage)
    for call in (connection.wait_for_proxy_response, connection.read_stream_chunk):
        with pytest.raises(UnknownStreamError):
            await call("r1")
    with pytest.raises(UnknownStreamError):
        connection.send_stream_chunk("r1", b"\x01")
    with pytest.raises(UnknownStreamError):
        connection.send_proxy_request("r1", ProxyRequest("GET", "/"))
    connection.close_proxy_stream("r1")


@conversation
async def test_sending_is_bounded_and_nothing_is_lost(stage: Stage):
    drained: list[int] = []
    connection = connection_of(stage)
    connection.open_stream("r1", lambda: drained.append(1))
    sent = 1
    while connection.send_stream_chunk("r1", b"\x02" + bytes(1000)):
        sent += 1
    assert HIGH_BYTES < stage.account.held_bytes < HIGH_BYTES + 2000
    assert drained == []
    assert len(heard(connection)) == sent
    assert drained == [1]
    connection.forget("r1")


@conversation
async def test_streams_take_turns_behind_control(stage: Stage):
    connection = connection_of(stage)
    for name in ("a", "b", "c"):
        connection.open_stream(name)
    for name in ("a", "a", "a", "b", "b", "c"):
        connection.send(name, json.dumps(name))
    connection.send_control('"control"')
    assert heard(connection) == ["control", "a", "b", "c", "a", "b", "a"]
    for name in ("a", "b", "c"):
        connection.forget(name)


@conversation
async def test_what_a_forgotten_stream_had_waiting_is_dropped(stage: Stage):
    connection = connection_of(stage)
    for name in ("a", "b"):
        connection.open_stream(name)
        connection.send_proxy_request(name, ProxyRequest("GET", "/"))
        connection.send(name, json.dumps(name))
    connection.forget("a")
    assert [message for message in heard(connection) if message == "a"] == []
    connection.forget("b")
    assert repr(connection) == "<AgentConnection 0 streams, <Outbox 0 bytes waiting in 0 lanes>>"


@conversation
async def test_pacing_is_a_lane_s_own(stage: Stage):
    outbox = Outbox(stage.account, Window())
    slow, quick = Lane(interval_seconds=0.5), Lane()
    for text in ("1", "2"):
        outbox.put(slow, "slow" + text)
        outbox.put(quick, "quick" + text)
    assert [outbox.next(10.0) for _ in range(4)] == ["slow1", "quick1", "quick2", None]
    assert outbox.due() == 10.5
    assert outbox.next(10.4) is None
    assert outbox.next(10.5) == "slow2"
    assert outbox.due() is None
    assert (slow.empty, slow.sent, slow.last_sent) == (True, 2, 10.5)


def test_a_window_closes_and_opens():
    window = Window()
    assert [window.sent(WINDOW_BYTES // 8, 1.0) is None for _ in range(8)] == [True, False] * 4
    assert not window.open
    assert not window.pong_received(None, 2.0)
    assert not window.pong_received("upload-99", 2.0)
    assert window.pong_received("upload-3", 2.0)
    assert window.open
    assert not window.pong_received("upload-2", 2.0)
    assert repr(window) == f"<Window {WINDOW_BYTES // 4} of {WINDOW_BYTES} bytes on their way>"


def test_a_window_that_nobody_opens():
    window = Window()
    window.sent(WINDOW_BYTES, 1.0)
    assert not window.tick(1.4)
    assert window.tick(1.5)
    assert window.open
    mark = window.sent(WINDOW_BYTES, 2.0)
    assert mark is not None
    assert window.pong_received(json.loads(mark)["request_id"], 3.0)
    first = window.sent(WINDOW_BYTES, 4.0)
    assert first is not None
    window.sent(WINDOW_BYTES, 5.0)
    assert window.pong_received(json.loads(first)["request_id"], 50.0)
    assert not window.open
    assert not window.tick(109.9)
    assert window.tick(110.0)
