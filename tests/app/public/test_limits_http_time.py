"""Deadlines of requests. The gateway's tick holds them, so each ends something within half a second after it."""

import asyncio
import json

import pytest

from app.asgi.http_client import BrokenOffError
from tests.app.public.limits import Lines, hits
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import ServiceBrokeOffError

GRAIN = 0.501
BULK = b"x" * 64 * 1024


async def over_within(request: Request, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await request.over()
    finally:
        assert loop.time() - began <= seconds


# --- response_head_timeout


@dialogue
async def test_the_answers_head_within_a_minute(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request = Request(s.app).start()
        await asyncio.sleep(60.0)
        s.exchange.answer(200)
        s.exchange.finish()
        await request.over()
        assert (request.status, hits(s)) == (200, {})
        request = Request(s.app).start()
        await asyncio.sleep(60.0)
        assert not request.is_over
        await over_within(request, GRAIN)
        assert request.status == 504
        assert json.loads(request.answer)["code"] == "service_too_slow"
        assert s.link.exchanges[1].resets
        assert hits(s) == {"timeout_head": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (504, "service_too_slow", "timeout_head")
        assert line["closed_by"] == "gateway"


@dialogue
async def test_interim_answers_do_not_count():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        for _ in range(6):
            s.exchange.answer(103)
            await asyncio.sleep(10.0)
        await over_within(request, GRAIN)
        assert (request.status, hits(s)) == (504, {"timeout_head": 1})


@dialogue
async def test_a_service_that_says_that_it_is_at_work_has_longer():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        for _ in range(20):
            s.exchange.answer(102)
            await asyncio.sleep(50.0)
        s.exchange.answer(200)
        s.exchange.finish()
        await request.over()
        assert (request.status, hits(s)) == (200, {})


# --- idle_timeout


@dialogue
async def test_an_answer_that_pauses_for_longer_than_five_minutes_is_broken_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200, [(b"Content-Type", b"text/plain")])
        for _ in range(4):
            await asyncio.sleep(300.0)
            s.exchange.bring(b"x")
            await quiet()
        assert hits(s) == {}
        await asyncio.sleep(300.0)
        assert not request.is_over
        with pytest.raises(BrokenOffError):
            await over_within(request, GRAIN)
        assert not request.complete
        assert s.exchange.resets
        assert hits(s) == {"timeout_idle": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (200, "broken_off", "timeout_idle")
        assert (line["closed_by"], line["bytes_down"]) == ("gateway", 4)


@pytest.mark.parametrize("kind", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
@dialogue
async def test_an_event_stream_may_be_silent(kind: bytes):
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200, [(b"Content-Type", kind)])
        for _ in range(10):
            await asyncio.sleep(340.0)
            s.exchange.bring(b"data: x\n\n")
            await quiet()
        assert request.answer == b"data: x\n\n" * 10
        s.exchange.finish()
        await request.over()
        assert (request.complete, hits(s)) == (True, {})


# --- http_write_timeout, the client's side


@pytest.mark.parametrize("done", [True, False], ids=["complete", "under way"])
@dialogue
async def test_a_client_that_takes_nothing_is_cut_off(done: bool, caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200)
        await quiet()
        request.hold()
        s.exchange.bring(BULK)
        if done:
            s.exchange.finish()
        await asyncio.sleep(60.0)
        assert not request.is_over
        await over_within(request, GRAIN)
        assert request.task is not None
        assert not request.task.cancelled()
        assert request.task.cancelling() == 0
        assert request.complete is done  # as far as the server was told
        assert s.exchange.resets
        assert hits(s) == {"timeout_write": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (200, "client_left", "timeout_write")
        assert 60.0 <= line["stalled_by_client_seconds"] <= 60.51


@dialogue
async def test_a_client_that_takes_a_little_lives_on():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200)
        await quiet()
        for _ in range(10):
            request.hold()
            s.exchange.bring(BULK)
            await asyncio.sleep(59.0)
            request.release()
            await quiet()
        s.exchange.finish()
        await request.over()
        assert (len(request.answer), hits(s)) == (10 * len(BULK), {})


@dialogue
async def test_a_client_that_does_not_take_the_head_is_cut_off():
    async with Stage() as s:
        request = Request(s.app).start()
        request.hold()
        await quiet()
        s.exchange.answer(200)
        await asyncio.sleep(60.0)
        assert not request.is_over
        await over_within(request, GRAIN)
        assert s.exchange.resets
        assert hits(s) == {"timeout_write": 1}


@pytest.mark.parametrize("how", ["the service breaks off", "relieved", "stopped"])
@dialogue
async def test_a_client_that_takes_nothing_of_a_broken_answer_is_cut_off_too(how: str):
    """It cannot be told that the answer is broken while it takes nothing; it must not keep the exchange for ever."""
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        request.hold()
        s.exchange.answer(200)
        s.exchange.bring(BULK)
        await asyncio.sleep(1.0)
        if how == "the service breaks off":
            s.exchange.fail(ServiceBrokeOffError("gone"))
        else:
            (exchange,) = s.gateway.exchanges
            exchange.relieve() if how == "relieved" else exchange.stop(now=True)
        await asyncio.sleep(60.0)
        assert request.is_over
        assert not request.complete


# --- http_write_timeout, the service's side


@pytest.mark.parametrize("answered", [False, True])
@dialogue
async def test_a_service_that_takes_nothing_is_given_up(answered: bool, caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(response_head_timeout=1_000.0) as s:
        request = Request(s.app, "POST", headers=[(b"transfer-encoding", b"chunked")]).start()
        await quiet()
        if answered:
            s.exchange.answer(200)
        for _ in range(4):
            s.exchange.welcome = False
            request.body(b"x", more=True)
            await asyncio.sleep(60.0)
            s.exchange.drained()
        assert hits(s) == {}
        s.exchange.welcome = False
        request.body(b"x", more=True)
        await asyncio.sleep(60.0)
        assert not request.is_over
        if answered:
            with pytest.raises(BrokenOffError):
                await over_within(request, GRAIN)
            assert not request.complete
        else:
            await over_within(request, GRAIN)
        assert request.status == (200 if answered else 504)
        assert s.exchange.resets
        assert hits(s) == {"timeout_write": 1}
        line = lines.last
        assert line["outcome"] == ("broken_off" if answered else "service_too_slow")
        assert (line["limit"], line["closed_by"], line["bytes_up"]) == ("timeout_write", "gateway", 5)
        assert line["stalled_by_service_seconds"] >= 240.0


# --- a client that sends nothing of its body


@dialogue
async def test_a_client_that_sends_nothing_of_its_body_is_408(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request = Request(s.app, "POST", headers=[(b"content-length", b"9")]).start()
        for _ in range(4):
            await asyncio.sleep(60.0)
            request.body(b"x", more=True)
            await quiet()
        assert hits(s) == {}
        await asyncio.sleep(60.0)
        assert not request.is_over
        await over_within(request, GRAIN)
        assert request.status == 408
        assert s.exchange.resets
        assert hits(s) == {"timeout_head": 1}
        line = lines.last
        assert (line["status"], line["limit"], line["bytes_up"]) == (408, "timeout_head", 4)
