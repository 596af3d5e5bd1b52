"""The requirement's interface to one link's streams, used alone: no exchange, no door, no dialect."""

import asyncio
import json
from collections.abc import Callable

import anyio
import pytest

from tests.fakes.loop import quiet
from tests.tunnel.gateway.proxied.agent import Stage, conversation
from tunnel.errors import TooSlowError
from tunnel.gateway.proxied.answer import AnswerHead
from tunnel.gateway.proxied.connection import AgentConnection, UnknownStreamError
from tunnel.gateway.proxied.lanes import HIGH_BYTES, Lane, Lanes
from tunnel.gateway.proxied.proxy_stream import ABORT, DATA, END, HEAD, encode_head
from tunnel.gateway.proxied.upload_window import WINDOW_BYTES, UploadWindow
from tunnel.wire.proxy_messages import ProxyRequest


def connection_of(stage: Stage, wake: Callable[[], None] = lambda: None) -> AgentConnection:
    return AgentConnection(stage.shared, wake)


def heard(connection: AgentConnection) -> list[dict[str, object]]:
    messages = []
    while (text := connection.lanes.next(0.0)) is not None:
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
    stream.deliver(HEAD, encode_head(AnswerHead(101)))
    assert (await connection.wait_for_proxy_response("r1")).status == 101
    assert connection.send_stream_chunk("r1", b"\x01hi") is True
    assert heard(connection) == [
        {"type": "proxy_stream_chunk", "request_id": "r1", "data": "AWhp", "direction": "to_agent"}
    ]
    stream.deliver(DATA, b"\x01ho")
    assert await connection.read_stream_chunk("r1") == b"\x01ho"
    stream.deliver(END)
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
    stream.deliver(ABORT)
    with pytest.raises(TooSlowError):
        await connection.wait_for_proxy_response("r1")
    connection.close_stream("r1")
    connection.close_stream("r1")


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
    connection.close_stream("r1")


@conversation
async def test_streams_take_turns_behind_control(stage: Stage):
    connection = connection_of(stage)
    streams = {name: connection.open_stream(name) for name in ("a", "b", "c")}
    for name in ("a", "a", "a", "b", "b", "c"):
        streams[name].send(json.dumps(name))
    connection.send_control('"control"')
    assert heard(connection) == ["control", "a", "b", "c", "a", "b", "a"]
    for name in ("a", "b", "c"):
        connection.close_stream(name)


@conversation
async def test_what_a_forgotten_stream_had_waiting_is_dropped(stage: Stage):
    connection = connection_of(stage)
    for name in ("a", "b"):
        stream = connection.open_stream(name)
        connection.send_proxy_request(name, ProxyRequest("GET", "/"))
        stream.send(json.dumps(name))
    connection.close_stream("a")
    assert [message for message in heard(connection) if message == "a"] == []
    connection.close_stream("b")
    assert repr(connection) == "<AgentConnection 0 streams, <Lanes of 0 exchanges, 0 bytes waiting>>"


@conversation
async def test_a_closed_stream_sends_no_more_unless_it_keeps_its_lane(stage: Stage):
    connection = connection_of(stage)
    gone, parting = connection.open_stream("a"), connection.open_stream("b")
    parting.send('"b"')
    parting.keep_lane()
    for stream in (gone, parting):
        connection.close_stream(stream.request_id)
    gone.send_request(ProxyRequest("GET", "/"))
    assert gone.send('"dropped"') is True
    parting.send('"b too"')
    assert heard(connection) == ["b", "b too"]
    assert (gone.held_bytes, parting.held_bytes, stage.account.held_bytes) == (0, 0, 0)


@conversation
async def test_a_stream_moves_to_its_agent_s_next_link(stage: Stage):
    old, new = connection_of(stage), connection_of(stage)
    stream = old.open_stream("a")
    stream.send('"dropped"')
    stream.deliver(DATA, b"came before")
    old.release("a")
    new.adopt(stream)
    stream.send('"here"')
    assert (heard(old), heard(new)) == ([], ["here"])
    assert await new.read_stream_chunk("a") == b"came before"
    assert ("a" in old, "a" in new) == (False, True)
    new.close_stream("a")


@conversation
async def test_pacing_is_a_lane_s_own(stage: Stage):
    lanes = Lanes(stage.account, UploadWindow())
    slow, quick = Lane(interval_seconds=0.5), Lane()
    for text in ("1", "2"):
        lanes.put(slow, "slow" + text)
        lanes.put(quick, "quick" + text)
    assert [lanes.next(10.0) for _ in range(4)] == ["slow1", "quick1", "quick2", None]
    assert lanes.due() == 10.5
    assert lanes.next(10.4) is None
    assert lanes.next(10.5) == "slow2"
    assert lanes.due() is None
    assert (slow.empty, slow.sent, slow.last_sent) == (True, 2, 10.5)


def test_a_window_closes_and_opens():
    window = UploadWindow()
    assert [window.sent(WINDOW_BYTES // 8, 1.0) is None for _ in range(8)] == [True, False] * 4
    assert not window.open
    assert not window.pong_received(None, 2.0)
    assert not window.pong_received("upload-99", 2.0)
    assert window.pong_received("upload-3", 2.0)
    assert window.open
    assert not window.pong_received("upload-2", 2.0)
    assert repr(window) == f"<UploadWindow {WINDOW_BYTES // 4} of {WINDOW_BYTES} bytes in flight>"


def test_a_window_that_nobody_opens():
    window = UploadWindow()
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
