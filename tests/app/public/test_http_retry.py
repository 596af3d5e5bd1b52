"""The HTTP door tries once more, on a fresh stream or another link, where that is safe and of use."""

import pytest

from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import (
    BadAnswerError,
    LinkBusyError,
    LinkLostError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    StreamRefusedError,
    TlsFailedError,
    TooSlowError,
    TunnelError,
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("kind", [StreamRefusedError, LinkLostError, LinkBusyError])
@dialogue
async def test_a_repeatable_request_is_tried_once_more(method: str, kind: type[TunnelError]):
    async with Stage(links=2) as s:
        request = Request(s.app, method).start()
        await quiet()
        first = next(link for link in s.links if link.exchanges)
        other = next(link for link in s.links if not link.exchanges)
        first.only.fail(kind("lost race"))
        await quiet()
        assert other.only.fresh  # on another link, and on a stream that nobody used
        other.only.answer(200)
        other.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_with_one_link_the_second_try_is_a_fresh_stream():
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.link.exchanges[0].fail(StreamRefusedError("lost race"))
        await quiet()
        assert [exchange.fresh for exchange in s.link.exchanges] == [False, True]
        s.link.exchanges[1].fail(StreamRefusedError("again"))
        assert (await request.over()).status == 502  # once, not twice
        assert len(s.link.exchanges) == 2


@pytest.mark.parametrize(
    ("method", "body"), [("POST", None), ("PATCH", None), ("GET", b"x"), ("PUT", b"x"), ("PUT", b"")], ids=str
)
@dialogue
async def test_never_once_more(method: str, body: bytes | None):
    async with Stage() as s:
        headers = [(b"transfer-encoding", b"chunked")] if body == b"" else [(b"content-length", b"1")] if body else []
        request = Request(s.app, method, headers=headers).start()
        if body is not None:
            request.body(body)
        await quiet()
        s.exchange.fail(StreamRefusedError("lost race"))
        assert (await request.over()).status == 502
        assert len(s.link.exchanges) == 1


@pytest.mark.parametrize(
    "kind", [ServiceUnreachableError, ServiceBrokeOffError, BadAnswerError, TlsFailedError, TooSlowError]
)
@dialogue
async def test_what_another_stream_would_not_mend_is_not_tried_again(kind: type[TunnelError]):
    async with Stage(links=2) as s:
        request = Request(s.app).start()
        await quiet()
        next(link for link in s.links if link.exchanges).only.fail(kind("x"))
        assert (await request.over()).status in (502, 504)
        assert sum(len(link.exchanges) for link in s.links) == 1


@dialogue
async def test_not_once_more_after_a_byte_of_the_answer():
    async with Stage(links=2) as s:
        request = Request(s.app).start()
        await quiet()
        exchange = next(link for link in s.links if link.exchanges).only
        exchange.answer(103)
        exchange.fail(LinkLostError("gone").after_answer_began())  # as the contract of `retryable` has it
        assert (await request.over()).status == 502
        assert sum(len(link.exchanges) for link in s.links) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@dialogue
async def test_a_link_that_opens_nothing_is_passed_over(method: str):
    """Nothing was sent, so even a POST may go to another agent."""
    async with Stage(links=2) as s:
        full, other = s.links
        full.refuses = LinkBusyError("no room")
        other.active = 5
        request = Request(s.app, method).start()
        await quiet()
        other.only.answer(200)
        other.only.finish()
        assert (await request.over()).status == 200


@dialogue
async def test_the_only_link_opens_nothing():
    async with Stage() as s:
        s.link.refuses = LinkBusyError("no room")
        request = await Request(s.app).start().over()
        assert request.status == 503
        assert request.header(b"retry-after") == b"2"
