"""The WebSocket door against a fake service: messages both ways, back-pressure both ways."""

import logging

import pytest

from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted
from tunnel.websocket import Message, Opcode, Pong
from tunnel.websocket.connection import OWED_PONGS_BYTES
from tunnel.websocket.frames import encode_frame


@dialogue
async def test_messages_both_ways():
    async with Stage() as s:
        call, service = await opened(s)
        for message in ("grüße", b"\x00\xff", "", b"", "x" * 70_000):
            call.say(message)
            await quiet()
            assert service.heard() == [Message(message)]
            service.say(message)
            await quiet()
            assert call.heard[-1] == message
        service.say("one", b"two", "three")
        await quiet()
        assert call.heard[-3:] == ["one", b"two", "three"]
        await parted(call, service)


@dialogue
async def test_a_message_in_fragments_and_pieces():
    async with Stage() as s:
        call, service = await opened(s)
        frames = b"\x01\x02\xc3\xbc" + b"\x00\x01\xc3" + b"\x80\x02\xbc!" + b"\x82\x01z"
        for at in range(len(frames)):
            service.exchange.bring(frames[at : at + 1])
        await quiet()
        assert call.heard == ["üü!", b"z"]
        await parted(call, service)


@dialogue
async def test_frames_that_come_with_the_101():
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        service.say("early", "bird")
        await quiet()
        assert call.heard == ["early", "bird"]
        assert not s.exchange.paused
        await parted(call, service)


@dialogue
async def test_a_ping_is_answered_and_not_shown():
    async with Stage() as s:
        call, service = await opened(s)
        service.ping(b"p1")
        await quiet()
        assert service.heard() == [Pong(b"p1")]
        assert call.heard == []
        await parted(call, service)


@dialogue
async def test_one_line_when_it_opens_and_one_when_it_closes(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.access")
    async with Stage() as s:
        call, service = await opened(s, "/ws?token=t0p")
        call.say("12345")
        service.say(b"123")
        await quiet()
        await parted(call, service)
    first, last = (record.getMessage() for record in caplog.records if record.name == "gateway.access")
    assert first.startswith("WS app.example.test/ws open after ")
    assert "closed by the client with 1000" in last
    assert "1 messages (5 bytes) up, 1 (3) down, to c1/apps/web:80 by a0" in last
    assert "t0p" not in first + last


# --- back-pressure


@dialogue
async def test_a_slow_client_pauses_the_service():
    async with Stage() as s:
        call, service = await opened(s)
        call.hold()
        service.say("one")
        await quiet()
        service.say("two")
        await quiet()
        assert service.exchange.paused
        assert call.heard == ["one"]
        service.say("three")  # what was already being parsed
        await quiet()
        assert call.heard == ["one"]
        call.release()
        await quiet()
        assert call.heard == ["one", "two", "three"]
        assert not service.exchange.paused
        await parted(call, service)


@dialogue
async def test_a_slow_service_holds_the_client_back():
    async with Stage() as s:
        call, service = await opened(s)
        service.exchange.welcome = False
        before = call.received
        for number in range(4):
            call.say(f"m{number}")
        await quiet()
        assert service.heard() == [Message("m0")]
        assert call.received == before + 2  # one is read ahead, to notice a client that leaves
        service.exchange.sink.writable()  # one more fits
        await quiet()
        assert service.heard() == [Message("m1")]
        service.exchange.drained()
        await quiet()
        assert service.heard() == [Message("m2"), Message("m3")]
        await parted(call, service)


@dialogue
async def test_pongs_do_not_pile_up_before_a_service_that_reads_nothing():
    async with Stage() as s:
        call, service = await opened(s)
        service.exchange.welcome = False
        call.say("fills the stream")
        await quiet()
        service.heard()
        kept = OWED_PONGS_BYTES // len(encode_frame(Opcode.PONG, b"00000", masked=True))
        for number in range(3 * kept):
            service.ping(b"%05d" % number)
        await quiet()
        assert service.heard() == []
        service.exchange.drained()
        await quiet()
        assert service.heard() == [Pong(b"%05d" % number) for number in range(2 * kept, 3 * kept)]
        await parted(call, service)
