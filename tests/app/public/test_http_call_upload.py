"""The HTTP door against a fake upstream: the request's body, and the client behind it."""

import asyncio
import contextlib
from typing import Any

import pytest

from app.asgi.http_client import BrokenOffError
from tests.app.stage import Stage
from tests.fakes.asgi import Pairs, Request
from tests.fakes.exchange import FakeExchange
from tests.fakes.loop import dialogue, left_behind, quiet
from tunnel.errors import LinkLostError

CHUNKED = [(b"transfer-encoding", b"chunked")]
EXPECT = [(b"content-length", b"4"), (b"expect", b"100-continue")]


def post(stage: Stage, headers: Pairs | None = None) -> Request:
    return Request(stage.app, "POST", headers=CHUNKED if headers is None else headers).start()


@dialogue
async def test_a_body_in_pieces():
    async with Stage() as s:
        request = post(s)
        await quiet()
        exchange = s.exchange
        assert exchange.head.body_length is None
        for piece in (b"one", b"two"):
            request.body(piece, more=True)
            await quiet()
            assert exchange.data[-1] == piece
        request.body(b"", more=True)
        await quiet()
        assert exchange.data == [b"one", b"two"]
        assert exchange.ended == 0
        request.body(b"end")
        await quiet()
        assert exchange.body == b"onetwoend"
        assert exchange.ended == 1
        exchange.answer(200)
        exchange.finish()
        await request.over()
        assert exchange.resets == 0


@dialogue
async def test_a_body_of_known_length():
    async with Stage() as s:
        request = post(s, [(b"content-length", b"4")])
        request.body(b"four")
        await quiet()
        assert s.exchange.head.body_length == 4
        assert (b"content-length", b"4") in s.exchange.head.headers
        assert (s.exchange.body, s.exchange.ended) == (b"four", 1)
        s.exchange.answer()
        s.exchange.finish()
        await request.over()


@dialogue
async def test_a_body_waits_for_writable():
    async with Stage() as s:
        request = post(s)
        await quiet()
        s.exchange.welcome = False
        for piece in (b"1", b"2", b"3"):
            request.body(piece, more=True)
        await quiet()
        assert s.exchange.data == [b"1"]
        assert request.received == 1  # the client's server is held back, too
        s.exchange.sink.writable()
        await quiet()
        assert s.exchange.data == [b"1", b"2"]
        s.exchange.drained()
        await quiet()
        assert s.exchange.data == [b"1", b"2", b"3"]
        s.exchange.answer()
        s.exchange.finish()
        await request.over()


@dialogue
async def test_an_early_answer_while_the_client_still_sends():
    async with Stage() as s:
        request = post(s)
        request.body(b"1", more=True)
        await quiet()
        s.exchange.answer(413, [(b"Content-Length", b"3")])
        s.exchange.bring(b"big")
        s.exchange.finish()
        await request.over()
        assert (request.status, request.answer, request.complete) == (413, b"big", True)
        assert s.exchange.resets  # half a request never looks whole


@dialogue
async def test_an_early_answer_that_goes_on_with_the_upload():
    async with Stage() as s:
        request = post(s)
        await quiet()
        s.exchange.answer(200)
        for piece in (b"1", b"2"):
            request.body(piece, more=True)
            await quiet()
            s.exchange.bring(b"echo " + piece)
            await quiet()
            assert request.answer.endswith(b"echo " + piece)
        request.body()
        await quiet()
        assert s.exchange.ended == 1
        s.exchange.finish()
        await request.over()
        assert s.exchange.resets == 0


@pytest.mark.parametrize("blocked", [False, True])
@dialogue
async def test_the_client_leaves_in_its_upload(blocked: bool):
    async with Stage() as s:
        request = post(s)
        await quiet()
        s.exchange.welcome = not blocked
        request.body(b"1", more=True)
        await quiet()
        if blocked:
            s.exchange.drained()
        request.leave()
        await request.over()
        assert s.exchange.resets
        assert s.exchange.ended == 0
        assert request.sent == []


@pytest.mark.parametrize("answered", [False, True])
@dialogue
async def test_the_client_leaves_an_upload_that_the_service_does_not_read(answered: bool):
    """Nothing is read ahead, so its leaving is not seen: the deadline of the stalled service ends this."""
    async with Stage(http_write_timeout=20.0) as s:
        request = post(s)
        await quiet()
        s.exchange.welcome = False
        loop = asyncio.get_running_loop()
        stalled = loop.time()
        request.body(b"1", more=True)
        await quiet()
        if answered:
            s.exchange.answer(200)
            await quiet()
        request.leave()
        if answered:
            with pytest.raises(BrokenOffError):
                await request.over()
        else:
            await request.over()
            assert request.status == 504
        assert 20.0 < loop.time() - stalled <= 20.5
        assert s.exchange.resets


@dialogue
async def test_the_client_leaves_after_its_upload():
    async with Stage() as s:
        request = post(s)
        request.body(b"1")
        await asyncio.sleep(10.0)
        assert s.exchange.ended == 1
        request.leave()
        await request.over()
        assert s.exchange.resets


@dialogue
async def test_a_server_whose_receive_fails():
    async with Stage() as s:
        request = Request(s.app, "POST", headers=CHUNKED)

        async def receive() -> dict[str, object]:
            raise ConnectionResetError("gone")

        request.receive = receive  # type: ignore[method-assign,assignment]
        request.start()
        with contextlib.suppress(ConnectionResetError):
            await request.over()
        assert not request.complete or request.status >= 500
        assert s.exchange.resets


@dialogue
async def test_an_upload_keeps_the_deadline_away():
    async with Stage(response_head_timeout=10.0) as s:
        request = post(s)
        for _ in range(5):
            await asyncio.sleep(8.0)
            request.body(b"1", more=True)
        await asyncio.sleep(8.0)
        assert not request.is_over
        request.body(b"end")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await request.over()
        assert request.status == 504
        assert 10.0 < loop.time() - began <= 10.5


@dialogue
async def test_a_service_that_stops_reading_is_given_up():
    async with Stage(http_write_timeout=10.0) as s:
        request = post(s)
        await quiet()
        s.exchange.welcome = False
        request.body(b"1", more=True)
        request.body(b"2", more=True)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await request.over()
        assert 10.0 < loop.time() - began <= 10.5
        assert request.status == 504
        assert s.exchange.data == [b"1"]


@dialogue
async def test_the_link_is_lost_in_an_upload():
    async with Stage() as s:
        request = post(s)
        request.body(b"1", more=True)
        await quiet()
        s.exchange.fail(LinkLostError("gone"))
        await request.over()
        assert request.status == 502
        assert len(s.link.exchanges) == 1


# --- Expect: 100-continue


@dialogue
async def test_a_body_waits_for_the_services_100():
    async with Stage() as s:
        request = post(s, EXPECT)
        request.body(b"four")
        await asyncio.sleep(0.5)
        assert (b"expect", b"100-continue") in s.exchange.head.headers
        assert request.received == 0  # asking the server for the body is what makes it send the client its 100
        s.exchange.answer(100)
        await quiet()
        assert (s.exchange.body, s.exchange.ended) == (b"four", 1)
        s.exchange.answer(200)
        s.exchange.finish()
        await request.over()
        assert request.status == 200


@dialogue
async def test_a_100_in_the_first_turn():
    async with Stage() as s:
        request = post(s, EXPECT)
        request.body(b"four")
        opens = s.link.open

        def open_and_answer(*arguments: Any, **options: Any) -> FakeExchange:
            exchange = opens(*arguments, **options)
            asyncio.get_running_loop().call_soon(exchange.answer, 100)
            return exchange

        s.link.open = open_and_answer  # type: ignore[method-assign]
        await quiet()
        assert s.exchange.body == b"four"
        s.exchange.answer(200)
        s.exchange.finish()
        await request.over()


@dialogue
async def test_a_refusal_instead_of_the_100():
    async with Stage() as s:
        request = post(s, EXPECT)
        await quiet()
        s.exchange.answer(401)
        s.exchange.finish()
        await request.over()
        assert request.status == 401
        assert request.received == 0
        assert s.exchange.data == []
        assert s.exchange.resets
        await quiet()
        assert len(left_behind()) == 1  # the clock of the links: no timer of the 100 is left


@dialogue
async def test_a_service_that_never_says_100_gets_the_body_after_a_while():
    async with Stage() as s:
        request = post(s, EXPECT)
        request.body(b"four")
        await asyncio.sleep(0.9)
        assert s.exchange.data == []
        await asyncio.sleep(0.2)
        assert (s.exchange.body, s.exchange.ended) == (b"four", 1)
        s.exchange.answer(200)
        s.exchange.finish()
        await request.over()
