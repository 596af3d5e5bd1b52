"""At the high mark of the account an exchange that stalls is ended, and both sides hear it as far as they listen."""

import asyncio
import json

import pytest

from app.asgi.http_client import BrokenOffError
from app.node.stalls import SERVICE_STALLED_SECONDS, STALLED_SECONDS
from tests.app.public.limits import Lines, hits
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import opened
from tunnel.websocket import Closed

MARKS = {"held_bytes_limit": 10_000, "held_bytes_hard_limit": 1_000_000}
SEEN = STALLED_SECONDS + 0.5
SERVICE_SEEN = SERVICE_STALLED_SECONDS + 0.5
BULK = bytes(100_000)
CHUNKED = [(b"transfer-encoding", b"chunked")]


@dialogue
async def test_a_client_that_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        with Visitor(Front(s)) as visitor:
            visitor.ask()
            visitor.wire.stuck = True
            s.exchange.answer(200, [(b"content-length", b"1000000")])
            s.exchange.bring(BULK)
            await asyncio.sleep(SEEN)
            assert visitor.wire.aborted
        assert s.exchange.resets
        assert hits(s) == {"held_stalled": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["closed_by"], line["limit"]) == (
            200, "broken_off", "gateway", "held_stalled",
        )  # fmt: skip
        assert line["detail"] == "it stalled, and the gateway needed the room"
        assert s.gateway.account.held_bytes == 0


@dialogue
async def test_a_client_that_reads_slowly_is_not():
    async with Stage(**MARKS) as s:
        with Visitor(Front(s)) as visitor:
            visitor.ask()
            visitor.wire.stuck = True
            s.exchange.answer(200, [(b"content-length", b"1000000")])
            s.exchange.bring(BULK)
            await quiet()
            for _ in range(40):
                visitor.wire.take(100)
                await asyncio.sleep(0.2)
            assert not visitor.wire.aborted
            assert hits(s) == {}
            await asyncio.sleep(SEEN)
            assert visitor.wire.aborted


@dialogue
async def test_a_whole_answer_that_is_not_read_counts_and_has_the_deadline():
    """An answer that comes in one piece is written in one: nobody looked whether it was taken."""
    async with Stage() as s:
        with Visitor(Front(s)) as visitor:
            visitor.ask()
            visitor.wire.stuck = True
            s.exchange.whole(BULK)
            await asyncio.sleep(59.0)
            assert s.gateway.account.held_bytes == len(BULK)
            assert not visitor.wire.aborted
            await asyncio.sleep(2.0)
            assert visitor.wire.aborted
        assert hits(s) == {"timeout_write": 1}


@pytest.mark.parametrize("answered", [False, True])
@dialogue
async def test_a_service_that_does_not_read(answered: bool, caplog: pytest.LogCaptureFixture):
    """The request was sent in part: the client is not told to try again."""
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        s.exchange.welcome = False
        s.exchange.hold(20_000, s.gateway.account)
        if answered:
            s.exchange.answer(200)
        request.body(b"x", more=True)
        await asyncio.sleep(SERVICE_SEEN)
        assert s.exchange.resets
        assert hits(s) == {"held_stalled": 1}
        if answered:
            with pytest.raises(BrokenOffError):
                await request.over()
        else:
            await request.over()
            assert (request.status, request.header(b"retry-after")) == (502, None)
            assert json.loads(request.answer)["code"] == "ended_for_room"
        line = lines.last
        assert line["outcome"] == ("broken_off" if answered else "ended_for_room")
        assert (line["closed_by"], line["limit"]) == ("gateway", "held_stalled")


@dialogue
async def test_at_the_hard_mark_a_request_that_was_sent_is_not_told_to_try_again():
    async with Stage(**MARKS) as s:
        request = Request(s.app, "POST", headers=CHUNKED).start()
        await quiet()
        request.body(b"x")
        await quiet()
        s.exchange.hold(1_000_001, s.gateway.account)
        await request.over()
        assert (request.status, request.header(b"retry-after")) == (502, None)
        assert hits(s) == {"held_hard": 1}


@dialogue
async def test_a_websocket_whose_client_does_not_read(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS, websocket_write_timeout=1_000.0) as s:
        call, service = await opened(s)
        call.hold()
        service.say(BULK)
        await asyncio.sleep(SEEN)
        assert service.heard() == [Closed(1001, "")]
        assert service.exchange.resets
        assert hits(s) == {"held_stalled": 1}
        call.release()
        await call.over()
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["limit"]) == (1013, "gateway", "held_stalled")


@dialogue
async def test_a_websocket_whose_service_does_not_read():
    async with Stage(**MARKS, websocket_write_timeout=1_000.0) as s:
        call, service = await opened(s)
        service.exchange.welcome = False
        service.exchange.hold(20_000, s.gateway.account)
        call.say("x")
        await asyncio.sleep(SERVICE_SEEN)
        await call.over()
        assert call.closed == (1013, "gateway is out of room")
        assert service.exchange.resets
        assert hits(s) == {"held_stalled": 1}


@dialogue
async def test_a_head_that_does_not_go_on_and_what_was_sent_ahead():
    """Unread bytes of connections have no exchange: they count, and are ended in the same order."""
    async with Stage(**MARKS) as s:
        front = Front(s)
        with Visitor(front) as slow, Visitor(front) as pipelining, Visitor(front) as moving:
            slow.protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000)
            pipelining.ask()
            pipelining.protocol.data_received(b"x" * 9_000)
            moving.protocol.data_received(b"GET / HTTP/1.1\r\nX: " + b"x" * 100)
            for _ in range(5):
                await asyncio.sleep(0.2)
                moving.protocol.data_received(b"x" * 1_000)
            assert (slow.wire.aborted, pipelining.wire.aborted, moving.wire.aborted) == (True, True, False)
        await quiet()
        assert hits(s) == {"held_stalled": 2}
