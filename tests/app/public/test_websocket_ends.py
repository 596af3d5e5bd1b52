"""How WebSockets end: who said what to whom, and what the other side is told."""

import asyncio

import pytest

from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened
from tunnel.errors import (
    BadAnswerError,
    LinkLostError,
    ServiceBrokeOffError,
    StreamRefusedError,
    TunnelError,
)
from tunnel.websocket import Closed, Message


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "", (1000, "")),
        (1001, "away", (1001, "away")),
        (4001, "bye, grüße", (4001, "bye, grüße")),
        (4999, "x" * 123, (4999, "x" * 123)),
        (1011, "oops", (1011, "oops")),
        (None, "", (1000, "")),  # an empty close frame: ASGI servers cannot send one
    ],
)
@dialogue
async def test_the_service_closes(code: int | None, reason: str, told: tuple[int, str]):
    async with Stage() as s:
        call, service = await opened(s)
        service.say("last words")
        service.close(code, reason)
        await quiet()
        assert call.heard == ["last words"]
        assert call.closed == told
        assert [event for event in service.heard() if isinstance(event, Closed)]  # its frame is answered
        service.exchange.finish()
        await call.over()
        assert service.exchange.ended == 1
        assert service.exchange.resets == 0


@dialogue
async def test_a_service_that_closes_and_does_not_hang_up():
    async with Stage() as s:
        call, service = await opened(s)
        service.close(4001, "bye")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await call.over()
        assert call.closed == (4001, "bye")
        assert 0 < loop.time() - began < 30
        assert service.exchange.resets


@dialogue
async def test_messages_before_the_close_wait_for_a_slow_client():
    async with Stage() as s:
        call, service = await opened(s)
        call.hold()
        service.say("one", "two")
        service.close(4001, "bye")
        await quiet()
        assert call.heard == ["one"]
        assert call.closed is None
        call.release()
        await quiet()
        assert call.heard == ["one", "two"]
        assert call.closed == (4001, "bye")
        service.exchange.finish()
        await call.over()


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [
        (1000, "", Closed(1000, "")),
        (1000, "done", Closed(1000, "done")),
        (1001, "", Closed(1001, "")),
        (4001, "bye", Closed(4001, "bye")),
        (3000, "", Closed(3000, "")),
        (1005, "", Closed(1005, "")),  # an empty close frame stays one
        (1006, "", Closed(1011, "client vanished")),
        (1006, None, Closed(1011, "client vanished")),
        (1005, None, Closed(1011, "client vanished")),  # what uvicorn says of a client that vanished
        (1015, "", Closed(1011, "client vanished")),
    ],
)
@dialogue
async def test_the_client_closes(code: int, reason: str | None, seen: Closed):
    async with Stage() as s:
        call, service = await opened(s)
        call.say("last words")
        call.leave(code, reason)
        await quiet()
        assert service.heard() == [Message("last words"), seen]
        service.exchange.bring(service.codec.data_to_send())
        service.exchange.finish()
        await call.over()
        assert call.closed is None
        assert service.exchange.ended == 1
        assert service.exchange.resets == 0


@pytest.mark.parametrize("code", [0, 999, 1004, 1016, 2999, 5000])
@dialogue
async def test_a_code_that_must_not_be_sent_is_not(code: int):
    async with Stage() as s:
        call, service = await opened(s)
        call.leave(code, "")
        await quiet()
        assert all(isinstance(event, Closed) for event in service.heard())
        if not service.exchange.resets:
            service.exchange.finish()
        await call.over()


@dialogue
async def test_the_client_leaves_a_service_that_reads_nothing():
    """It cannot be told, as its stream is full; but its stream must not stay for ever."""
    async with Stage() as s:
        call, service = await opened(s)
        service.exchange.welcome = False
        call.say("fills the stream")
        await quiet()
        call.leave(1006)
        await call.over()
        assert service.exchange.resets


@dialogue
async def test_a_service_that_does_not_answer_the_close():
    async with Stage() as s:
        call, service = await opened(s)
        call.leave(1000)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await call.over()
        assert 1 < loop.time() - began < 30
        assert service.exchange.resets


@dialogue
async def test_a_service_that_talks_on_after_the_clients_close():
    async with Stage() as s:
        call, service = await opened(s)
        call.leave(1000)
        await quiet()
        for _ in range(100):
            service.say("x" * 1000)
            await quiet()
        assert not service.exchange.paused
        service.heard()
        service.exchange.bring(service.codec.data_to_send())
        service.exchange.finish()
        await call.over()
        assert call.heard == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (LinkLostError, 1012),
        (StreamRefusedError, 1011),
        (ServiceBrokeOffError, 1011),
        (BadAnswerError, 1011),
        (TunnelError, 1011),
    ],
)
@dialogue
async def test_the_tunnel_is_lost(kind: type[TunnelError], code: int):
    async with Stage() as s:
        call, service = await opened(s)
        service.say("one")
        service.exchange.fail(kind("10.0.0.1"))
        await call.over()
        assert call.heard == ["one"]
        assert call.closed is not None
        assert call.closed[0] == code
        assert "10.0.0.1" not in call.closed[1]


@dialogue
async def test_the_tunnel_is_lost_while_the_client_is_held_back():
    async with Stage() as s:
        call, service = await opened(s)
        service.exchange.welcome = False
        call.say("one")
        call.say("two")
        await quiet()
        service.exchange.fail(LinkLostError("gone"))
        await call.over()
        assert call.closed is not None
        assert call.closed[0] == 1012


@dialogue
async def test_the_service_ends_without_a_close_frame():
    async with Stage() as s:
        call, service = await opened(s)
        service.say("one")
        service.exchange.finish()
        await call.over()
        assert call.heard == ["one"]
        assert call.closed is not None
        assert call.closed[0] == 1011


@pytest.mark.parametrize("how", ["end", "lost"])
@dialogue
async def test_the_service_ends_with_its_101(how: str):
    """It falls over in the turn of its 101, or while the client is still being accepted."""
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        FakeService(s.exchange).accept()
        if how == "end":
            s.exchange.finish()
        else:
            s.exchange.fail(LinkLostError("gone"))
        await call.over()
        if call.accepted is not None:
            assert call.closed is not None
            assert call.closed[0] == (1011 if how == "end" else 1012)
        else:
            assert call.refusal is not None
            assert call.refusal[0] == 502


@dialogue
async def test_the_service_closes_with_its_101():
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        service.say("hello")
        service.close(4001, "bye")
        await quiet()
        assert call.heard == ["hello"]
        assert call.closed == (4001, "bye")
        service.exchange.finish()
        await call.over()


@pytest.mark.parametrize("how", ["end", "close", "lost"])
@dialogue
async def test_the_service_ends_while_the_client_is_accepted(how: str):
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        call.hold()
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert call.accepted is not None
        if how == "close":
            service.close(4001, "bye")
        elif how == "end":
            service.exchange.finish()
        else:
            service.exchange.fail(LinkLostError("gone"))
        await quiet()
        call.release()
        await call.over()
        assert call.closed is not None
        assert call.closed[0] == {"end": 1011, "close": 4001, "lost": 1012}[how]


# --- broken rules


@pytest.mark.parametrize("fragments", [1, 2])
@dialogue
async def test_a_message_over_the_cap(fragments: int):
    async with Stage(max_message_bytes=1000) as s:
        call, service = await opened(s)
        service.say("x" * 1000)
        await quiet()
        assert call.heard == ["x" * 1000]
        if fragments == 1:
            service.say("x" * 1001)
        else:
            service.exchange.bring(b"\x02\x7e\x03\xe8" + b"x" * 1000)
            service.exchange.bring(b"\x80\x01x")
        await call.over()
        assert call.closed is not None
        assert call.closed[0] == 1009
        assert service.exchange.resets or service.exchange.ended


@dialogue
async def test_the_service_is_told_why_too():
    async with Stage(max_message_bytes=1000) as s:
        call, service = await opened(s)
        service.say("x" * 1001)
        await quiet()
        assert [event.code for event in service.heard() if isinstance(event, Closed)] == [1009]
        if not service.exchange.resets:
            service.exchange.finish()
        await call.over()


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc1\x01x",
        b"\x83\x00",
        b"\x81\x81\x00\x00\x00\x00x",
        b"\x80\x00",
        b"\x09\x00",
        b"\x81\x01\xff",
        b"\x88\x01x",
        b"\x88\x02\x03\xed",
    ],
    ids=["reserved bit", "opcode", "masked", "continuation", "fragmented ping", "not UTF-8", "short close", "1005"],
)
@dialogue
async def test_frames_that_break_the_protocol(frame: bytes):
    async with Stage() as s:
        call, service = await opened(s)
        service.say("one")
        service.exchange.bring(frame)
        await call.over()
        assert call.heard == ["one"]
        assert call.closed is not None
        assert call.closed[0] == 1011
        assert service.exchange.resets or service.exchange.ended


# --- the gateway stops


@dialogue
async def test_drain_tells_both_sides():
    async with Stage() as s:
        call, service = await opened(s)
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0))
        await quiet()
        assert call.closed is not None
        assert call.closed[0] == 1012
        assert service.heard() == [Closed(1001, "")]
        service.exchange.bring(service.codec.data_to_send())
        service.exchange.finish()
        await drain
        await call.over()


@dialogue
async def test_stopping_at_once():
    async with Stage() as s:
        call, service = await opened(s)
        await s.gateway.aclose()
        await call.over()
        assert call.closed is not None
        assert call.closed[0] == 1012
        assert service.exchange.resets


@dialogue
async def test_a_server_that_raises_for_a_client_that_left():
    async with Stage() as s:
        call, service = await opened(s)
        call.sends_fail = True
        service.say("one")
        await call.over()
        assert service.exchange.resets or service.exchange.ended
