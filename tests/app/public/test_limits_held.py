"""What the process holds for others: at the high mark whoever stalls goes, and nobody new comes where that does not
help; at the hard mark who held most for longest goes.

And who waits for an agent: bounded in time and in number.
"""

import asyncio
import json
import logging

import pytest

from app.asgi.http_client import BrokenOffError
from tests.app.public.limits import Lines, hits
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.exchange import FakeExchange
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted
from tunnel.errors import LinkBusyError, NotReadError
from tunnel.websocket import Closed, Message

MARKS = {"held_bytes_limit": 1_000, "held_bytes_hard_limit": 2_000}


async def asked(stage: Stage, link: FakeLink | None = None) -> tuple[Request, FakeExchange]:
    """A request that waits for its answer."""
    request = Request(stage.app).start()
    await quiet()
    return request, (link or stage.link).exchanges[-1]


async def answered(request: Request, exchange: FakeExchange) -> None:
    exchange.answer(200)
    exchange.finish()
    await request.over()
    assert (request.status, request.complete) == (200, True)


# --- the high mark


@dialogue
async def test_nobody_new_above_the_high_mark_once_nobody_stalls(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        account = s.gateway.account
        request, exchange = await asked(s)
        call, service = await opened(s)
        exchange.hold(1_000, account)
        await answered(*await asked(s))
        assert hits(s) == {}
        exchange.hold(1_001)
        await answered(*await asked(s))  # those that stall are ended first
        await asyncio.sleep(1.5)
        refused = await Request(s.app).start().over()
        assert (refused.status, refused.header(b"retry-after")) == (503, b"2")
        assert json.loads(refused.answer)["code"] == "busy"
        handshake = await WebSocket(s.app).start().over()
        assert handshake.refusal is not None
        assert (handshake.refusal[0], handshake.refusal[1][b"retry-after"]) == (503, b"2")
        assert hits(s) == {"held_high": 2}
        for line in lines.ended[-2:]:
            assert (line["status"], line["outcome"], line["limit"]) == (503, "busy", "held_high")
        assert len(s.link.exchanges) == 4
        call.say("goes on")  # who is there already stays
        await quiet()
        assert service.heard() == [Message("goes on")]
        exchange.hold(1_000)
        await answered(*await asked(s))
        await answered(request, exchange)
        exchange.hold(0)
        await parted(call, service)


# --- the hard mark


@dialogue
async def test_an_answer_not_yet_begun_is_503_at_the_hard_mark(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        request, exchange = await asked(s)
        other, bystander = await asked(s)
        exchange.hold(2_000, s.gateway.account)
        await quiet()
        assert hits(s) == {}
        exchange.hold(2_001)
        await request.over()
        assert (request.status, request.header(b"retry-after")) == (503, b"2")
        assert exchange.resets
        assert s.gateway.account.held_bytes == 0
        assert hits(s) == {"held_hard": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (503, "busy", "held_hard")
        assert line["closed_by"] == "gateway"
        await answered(other, bystander)


@dialogue
async def test_an_answer_under_way_is_broken_off_at_the_hard_mark(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        request, exchange = await asked(s)
        exchange.answer(200)
        exchange.bring(b"half")
        await quiet()
        exchange.hold(2_001, s.gateway.account)
        with pytest.raises(BrokenOffError):
            await request.over()
        assert (request.answer, request.complete) == (b"half", False)
        assert hits(s) == {"held_hard": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (200, "broken_off", "held_hard")
        assert line["closed_by"] == "gateway"


@dialogue
async def test_a_websocket_is_closed_with_1013_at_the_hard_mark(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        call, service = await opened(s)
        service.exchange.hold(2_001, s.gateway.account)
        await call.over()
        assert call.closed is not None
        assert call.closed[0] == 1013
        assert service.heard() == [Closed(1001, "")]
        assert service.exchange.resets
        assert hits(s) == {"held_hard": 1}
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["limit"]) == (1013, "gateway", "held_hard")


@dialogue
async def test_a_handshake_is_503_at_the_hard_mark(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(**MARKS) as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.hold(2_001, s.gateway.account)
        await call.over()
        assert call.refusal is not None
        assert call.refusal[0] == 503
        assert hits(s) == {"held_hard": 1}
        assert (lines.last["outcome"], lines.last["limit"]) == ("busy", "held_hard")


@dialogue
async def test_who_held_most_for_longest_goes_and_no_more_than_needed(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "gateway")
    async with Stage(**MARKS) as s:
        account = s.gateway.account
        requests = []
        for size in (500, 0, 900):
            request, exchange = await asked(s)
            requests.append(request)
            exchange.hold(size, account)
            await asyncio.sleep(4.0)
        exchanges = s.link.exchanges
        # 500 bytes for 12 s are more than 900 for 4 s, which are more than 601 for no time at all.
        exchanges[1].hold(601)
        await quiet()
        assert [exchange.resets > 0 for exchange in exchanges] == [True, False, False]
        assert account.held_bytes == 1_501
        warnings = [record.message for record in caplog.records if record.name == "gateway"]
        assert [text for text in warnings if "reset" in text] == [
            (
                "2001 bytes are held: reset <HttpCall to c1/apps/web:80, waiting for the answer, 500 bytes held>, "
                "which held most for longest"
            )
        ]
        exchanges[2].hold(1_400)
        await quiet()
        assert [exchange.resets > 0 for exchange in exchanges] == [True, False, True]
        assert [request.status for request in requests] == [503, 0, 503]
        exchanges[1].hold(0)
        await answered(requests[1], exchanges[1])


@dialogue
async def test_who_lets_go_is_not_blamed_for_what_was():
    async with Stage(**MARKS) as s:
        request, former = await asked(s)
        former.hold(1_900, s.gateway.account)
        await asyncio.sleep(50.0)
        former.hold(0)
        await asyncio.sleep(1.0)
        former.hold(100)
        _, other = await asked(s)
        other.hold(1_000, s.gateway.account)
        await asyncio.sleep(1.0)
        other.hold(1_901)
        await quiet()
        assert (former.resets, other.resets > 0) == (0, True)
        former.hold(0)
        await answered(request, former)


@dialogue
async def test_a_message_that_waits_for_its_client_counts():
    """What the doors hold themselves is in the account, too, and ends with the WebSocket."""
    async with Stage() as s:
        call, service = await opened(s)
        call.hold()
        service.say("being sent", "x" * 500, b"y" * 400)
        await quiet()
        held = s.gateway.account.held_bytes
        assert 900 <= held <= 1_500  # a few bytes more for each: a flood of empty ones counts, too
        service.exchange.bring(service.codec.send_message("z" * 300)[:-100])
        await quiet()
        assert 200 <= s.gateway.account.held_bytes - held <= 400
        call.leave(1006)
        call.release()
        service.exchange.finish()
        await call.over()
        assert s.gateway.account.held_bytes == 0


# --- no room on the link, and who waits for one


@pytest.mark.parametrize("kind", [Request, WebSocket])
@dialogue
async def test_a_link_without_room(kind: type[Request] | type[WebSocket], caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        s.link.refuses = LinkBusyError("no stream could be opened")
        call = await kind(s.app).start().over()
        status = call.status if isinstance(call, Request) else (call.refusal or (0,))[0]
        assert status == 503
        assert hits(s) == {"streams_link": 1}
        assert (lines.last["status"], lines.last["outcome"], lines.last["limit"]) == (503, "busy", "streams_link")


@pytest.mark.parametrize("back_after", [2.99, 3.01])
@dialogue
async def test_a_request_waits_for_an_agent_as_long_as_the_grace(back_after: float):
    async with Stage(links=0, reconnect_grace=3.0) as s:
        request = Request(s.app).start()
        call = WebSocket(s.app).start()
        await asyncio.sleep(back_after)
        assert request.is_over is call.is_over is (back_after > 3)
        if back_after > 3:
            assert (request.status, request.header(b"retry-after")) == (503, b"5")
            assert call.refusal is not None
            assert call.refusal[0] == 503
        link = FakeLink()
        s.links.append(link)
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        s.gateway.registry.ready(link)  # type: ignore[arg-type]
        await quiet()
        if back_after < 3:
            by_kind = {exchange.head.upgrade: exchange for exchange in link.exchanges}
            await answered(request, by_kind[False])
            service = FakeService(by_kind[True])
            service.accept()
            await quiet()
            await parted(call, service)
        assert hits(s) == {}


@pytest.mark.parametrize("kind", [Request, WebSocket])
@dialogue
async def test_after_the_grace_nobody_waits(kind: type[Request | WebSocket]):
    async with Stage(links=0, reconnect_grace=3.0) as s:
        await Request(s.app).start().over()
        later = kind(s.app).start()
        await quiet()
        assert later.is_over
        status = later.status if isinstance(later, Request) else (later.refusal or (0,))[0]
        assert status == 503


@dialogue
async def test_a_thousand_may_wait_for_an_agent_and_no_more(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(links=0, reconnect_grace=3.0) as s:
        waiting = [Request(s.app).start() for _ in range(1_000)]
        await quiet()
        refused = await Request(s.app).start().over()
        assert (refused.status, refused.header(b"retry-after")) == (503, b"2")
        assert hits(s) == {"waiting": 1}
        assert (lines.last["status"], lines.last["outcome"], lines.last["limit"]) == (503, "busy", "waiting")
        assert not any(request.is_over for request in waiting)
        await asyncio.sleep(3.1)
        assert {request.status for request in waiting} == {503}
        assert hits(s) == {"waiting": 1}


# --- the room for what a client does not read, in the dialects without flow control


@dialogue
async def test_an_answer_that_is_not_read_is_broken_off_once_there_is_no_room(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request, exchange = await asked(s)
        exchange.answer(200)
        exchange.bring(b"half")
        await quiet()
        exchange.fail(NotReadError("not read"))
        with pytest.raises(BrokenOffError):
            await request.over()
        assert hits(s) == {"spool": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (200, "broken_off", "spool")


@dialogue
async def test_a_websocket_that_is_not_read_is_closed_once_there_is_no_room(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call, service = await opened(s)
        service.exchange.fail(NotReadError("not read"))
        await call.over()
        assert call.closed is not None
        assert call.closed[0] == 1013
        assert hits(s) == {"spool": 1}
        assert (lines.last["close_code"], lines.last["limit"]) == (1013, "spool")
