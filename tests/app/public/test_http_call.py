"""The HTTP door against a fake upstream: the answer's way to the client, deadlines, broken answers."""

import asyncio
import json
import logging

import pytest

from app.asgi.http_client import BrokenOffError
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, left_behind, quiet
from tunnel.errors import (
    BadAnswerError,
    LinkBusyError,
    LinkLostError,
    NoAgentError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    StreamRefusedError,
    TlsFailedError,
    TooSlowError,
    TunnelError,
)

ERRORS = [
    (NoAgentError, 502),
    (LinkBusyError, 503),
    (LinkLostError, 502),
    (StreamRefusedError, 502),
    (ServiceUnreachableError, 502),
    (ServiceBrokeOffError, 502),
    (BadAnswerError, 502),
    (TlsFailedError, 502),
    (TooSlowError, 504),
    (TunnelError, 500),
]


@dialogue
async def test_an_answer_in_pieces():
    async with Stage() as s:
        request = Request(s.app, target="/a?b=c", headers=[(b"x-a", b"1")]).start()
        await quiet()
        exchange = s.exchange
        assert (exchange.head.method, exchange.head.target, exchange.head.body_length) == (b"GET", b"/a?b=c", 0)
        assert (b"x-a", b"1") in exchange.head.headers
        assert not exchange.fresh
        assert request.sent == []
        exchange.answer(201, [(b"Set-Cookie", b"a=1"), (b"X-B", b"2"), (b"Set-Cookie", b"b=2")])
        await quiet()
        assert request.status == 201
        assert request.headers[:-2] == [(b"set-cookie", b"a=1"), (b"x-b", b"2"), (b"set-cookie", b"b=2")]
        request_id = request.header(b"x-request-id")
        assert request_id
        assert (b"x-request-id", request_id) in exchange.head.headers
        assert request.answer == b""
        for piece in (b"one", b"two"):
            exchange.bring(piece)
            await quiet()
            assert request.sent[-1] == {"type": "http.response.body", "body": piece, "more_body": True}
        exchange.finish()
        await request.over()
        assert request.answer == b"onetwo"
        assert request.complete
        assert exchange.resets == 0


@dialogue
async def test_head_and_end_in_one_turn():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200, [(b"Content-Length", b"4")])
        s.exchange.bring(b"ab", b"cd")
        s.exchange.finish()
        await request.over()
        assert [message["type"] for message in request.sent] == ["http.response.start", "http.response.body"]
        assert request.sent[1] == {"type": "http.response.body", "body": b"abcd", "more_body": False}


@pytest.mark.parametrize("status", [204, 304, 200])
@dialogue
async def test_an_answer_without_a_body(status: int):
    async with Stage() as s:
        request = Request(s.app, "HEAD" if status == 200 else "GET").start()
        await quiet()
        s.exchange.answer(status, [(b"Content-Length", b"17"), (b"ETag", b"x")])
        s.exchange.finish()
        await request.over()
        assert (request.status, request.answer, request.complete) == (status, b"", True)
        assert request.header(b"etag") == b"x"
        assert request.header(b"content-length") == (None if status == 304 else b"17")


@dialogue
async def test_interim_answers_and_trailers_are_not_the_answer():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(103, [(b"Link", b"</a>")])
        s.exchange.answer(100)
        await quiet()
        assert request.sent == []
        s.exchange.answer(200)
        s.exchange.bring(b"x")
        s.exchange.sink.trailers([(b"X-Sum", b"1")])
        s.exchange.finish()
        await request.over()
        assert (request.status, request.answer) == (200, b"x")


# --- back-pressure


BULK = b"x" * 64 * 1024
"""More than is held of an answer before its service is held back."""


@dialogue
async def test_a_slow_client_pauses_the_exchange_until_its_bytes_are_taken():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        exchange = s.exchange
        exchange.answer()
        await quiet()
        request.hold()
        exchange.bring(BULK)
        await quiet()
        assert exchange.paused
        assert request.answer == BULK  # given to the server, who has not taken it yet
        exchange.bring(b"two", b"three")  # what was already being parsed
        await quiet()
        assert exchange.paused
        assert request.answer == BULK
        assert "resume" not in exchange.log
        request.release()
        await quiet()
        assert not exchange.paused
        assert request.answer == BULK + b"twothree"
        assert len(request.all("http.response.body")) == 2
        exchange.finish()
        await request.over()


@dialogue
async def test_small_pieces_add_up():
    """However small they come, what waits for a client that reads nothing has a bound."""
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        exchange = s.exchange
        exchange.answer()
        await quiet()
        request.hold()
        pieces = 0
        while not exchange.paused:
            exchange.bring(b"y" * 100)
            await quiet()
            pieces += 1
            assert pieces * 100 <= 64 * 1024
        request.release()
        await quiet()
        assert not exchange.paused
        assert request.answer == b"y" * 100 * pieces
        exchange.finish()
        await request.over()


@dialogue
async def test_a_client_that_does_not_take_the_head():
    async with Stage() as s:
        request = Request(s.app).start()
        request.hold()
        await quiet()
        s.exchange.answer()
        await quiet()
        s.exchange.bring(BULK)
        await quiet()
        assert s.exchange.paused
        assert request.answer == b""
        request.release()
        await quiet()
        assert not s.exchange.paused
        s.exchange.finish()
        assert (await request.over()).answer == BULK


# --- errors


@pytest.mark.parametrize(("kind", "status"), ERRORS)
@dialogue
async def test_an_error_before_the_head_is_its_status(kind: type[TunnelError], status: int):
    async with Stage() as s:
        request = Request(s.app, "POST").start()
        await quiet()
        s.exchange.fail(kind("10.0.0.1 refused"))
        await request.over()
        assert request.status == status
        assert b"10.0.0.1" not in request.answer
        assert json.loads(request.answer)["status"] == status


@pytest.mark.parametrize("kind", [row[0] for row in ERRORS])
@dialogue
async def test_an_error_after_the_start_breaks_off(kind: type[TunnelError]):
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200, [(b"Content-Length", b"9")])
        s.exchange.bring(b"half")
        await quiet()
        s.exchange.fail(kind("gone"))
        with pytest.raises(BrokenOffError):
            await request.over()
        assert request.answer == b"half"
        assert not request.complete
        assert len(s.link.exchanges) == 1


@dialogue
async def test_an_error_in_the_turn_of_the_head_never_ends_cleanly():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200, [(b"Content-Length", b"9")])
        s.exchange.fail(ServiceBrokeOffError("gone"))
        await request.over()
        assert request.status == 502


@dialogue
async def test_no_head_in_time():
    async with Stage(response_head_timeout=30.0) as s:
        loop = asyncio.get_running_loop()
        began = loop.time()
        request = await Request(s.app).start().over()
        assert request.status == 504
        assert 30.0 < loop.time() - began <= 30.5
        assert len(s.link.exchanges) == 1
        assert s.exchange.resets


@dialogue
async def test_a_head_in_time_lets_the_body_take_its_time():
    async with Stage(response_head_timeout=30.0, idle_timeout=1001.0) as s:
        request = Request(s.app).start()
        await asyncio.sleep(29.0)
        s.exchange.answer()
        await asyncio.sleep(1000.0)
        s.exchange.bring(b"event")
        await asyncio.sleep(1000.0)
        assert request.answer == b"event"
        s.exchange.finish()
        await request.over()


# --- the client leaves


@dialogue
async def test_the_client_leaves_before_the_head():
    async with Stage() as s:
        request = Request(s.app).start()
        await asyncio.sleep(1.0)
        request.leave()
        await request.over()
        assert s.exchange.resets
        assert request.sent == []


@dialogue
async def test_the_client_leaves_in_its_answer():
    """No answer is left to be broken off: the server must not be told of an error at every closed tab."""
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer()
        s.exchange.bring(b"half")
        await asyncio.sleep(1.0)
        request.leave()
        await request.over()
        assert s.exchange.resets
        assert not request.complete


@dialogue
async def test_the_client_leaves_while_send_waits():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer()
        await asyncio.sleep(1.0)
        request.hold()
        s.exchange.bring(b"x")
        await quiet()
        request.leave()
        await quiet()
        assert s.exchange.resets  # at once: the service shall not work on for nobody
        request.release()
        await request.over()


@pytest.mark.parametrize("started", [False, True])
@dialogue
async def test_a_server_that_raises_for_a_client_that_left(started: bool):
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer()
        if started:
            await quiet()
        request.sends_fail = True
        s.exchange.bring(b"x")
        await request.over()
        assert s.exchange.resets


@dialogue
async def test_nothing_runs_on_after_a_request():
    async with Stage() as s:
        for wait in (0.0, 1.0):
            request = Request(s.app).start()
            await asyncio.sleep(wait)
            await quiet()
            s.link.exchanges[-1].answer()
            s.link.exchanges[-1].finish()
            await request.over()
            await quiet()
            assert len(left_behind()) == 1  # the clock of the links


@dialogue
async def test_one_line_per_request_without_secrets(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "gateway.access")
    async with Stage() as s:
        headers = [(b"authorization", b"Bearer t0p"), (b"cookie", b"s=t0p")]
        request = Request(s.app, target="/a\u007f?key=t0p", headers=headers).start()
        await quiet()
        s.exchange.answer(200, [(b"Set-Cookie", b"s=t0p")])
        s.exchange.bring(b"12345")
        s.exchange.finish()
        await request.over()
        (record,) = [record for record in caplog.records if record.name == "gateway.access"]
        line = record.getMessage()
        assert line.startswith("GET app.example.test/a\\x7f 200 ")
        assert "0 bytes up, 5 down, to c1/apps/web:80 by a0" in line
        assert "t0p" not in line
