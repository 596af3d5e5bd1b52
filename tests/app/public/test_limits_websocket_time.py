"""Deadlines of WebSockets: the handshake's to the moment, an open one's by the gateway's tick."""

import asyncio
import json

import pytest

from tests.app.public.limits import Lines, hits
from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted
from tunnel.gateway.json import JsonCarrier
from tunnel.websocket import Closed, Message, Ping

GRAIN = 0.501


# --- upgrade_timeout


@dialogue
async def test_the_answer_to_the_handshake_within_ten_seconds(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await asyncio.sleep(9.99)
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert call.accepted is not None
        await parted(call, service)
        assert hits(s) == {}
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = await WebSocket(s.app).start().over()
        assert loop.time() - began == pytest.approx(10.0, abs=0.001)
        assert call.refusal is not None
        assert call.refusal[0] == 504
        assert json.loads(call.refusal[2])["code"] == "service_too_slow"
        assert s.link.exchanges[1].resets
        assert hits(s) == {"timeout_upgrade": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (504, "service_too_slow", "timeout_upgrade")


@dialogue
async def test_an_agent_that_dials_itself_has_five_seconds_more():
    """The json dialect; see `JsonCarrier.upgrade_allowance`."""
    async with Stage() as s:
        s.links[0].upgrade_allowance = JsonCarrier.upgrade_allowance
        call = WebSocket(s.app).start()
        await asyncio.sleep(14.99)
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert call.accepted is not None
        await parted(call, service)
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = await WebSocket(s.app).start().over()
        assert loop.time() - began == pytest.approx(15.0, abs=0.001)
        assert call.refusal is not None
        assert call.refusal[0] == 504
        assert hits(s) == {"timeout_upgrade": 1}


@dialogue
async def test_the_end_of_a_refusal_within_ten_seconds():
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(403)
        await asyncio.sleep(9.99)
        assert not call.is_over
        await asyncio.sleep(0.02)
        assert call.is_over
        assert call.refusal is not None
        assert call.refusal[0] == 504
        assert hits(s) == {"timeout_upgrade": 1}


# --- idle_timeout


@dialogue
async def test_a_websocket_that_answers_pings_lives_on():
    async with Stage() as s:
        call, service = await opened(s)
        pings = 0
        for _ in range(33):
            await asyncio.sleep(100.0)
            pings += sum(isinstance(event, Ping) for event in service.heard())
            if pong := service.codec.data_to_send():
                service.exchange.bring(pong)
        assert 16 <= pings <= 22  # after half of the time each; none where it is not needed
        assert call.closed is None
        assert hits(s) == {}
        await parted(call, service)


@pytest.mark.parametrize("up", [True, False])
@dialogue
async def test_a_websocket_that_speaks_needs_no_ping(up: bool):
    async with Stage() as s:
        call, service = await opened(s)
        for _ in range(20):
            await asyncio.sleep(149.0)
            if up:
                call.say("x")
                await quiet()
                assert service.heard() == [Message("x")]
            else:
                service.say("x")
                await quiet()
                assert service.heard() == []
        assert call.closed is None
        await parted(call, service)


@dialogue
async def test_a_websocket_that_answers_nothing_is_closed(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call, service = await opened(s)
        await asyncio.sleep(150.0)
        assert service.heard() == []
        await asyncio.sleep(GRAIN)
        assert [type(event) for event in service.heard()] == [Ping]
        service.codec.data_to_send()  # it lies there, and answers nothing
        await asyncio.sleep(149.499)
        assert call.closed is None
        await asyncio.sleep(GRAIN)
        assert call.closed is not None
        assert call.closed[0] == 1001
        assert service.heard() == [Closed(1001, "")]
        await call.over()
        assert s.exchange.resets
        assert hits(s) == {"timeout_idle": 1}
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["limit"]) == (1001, "gateway", "timeout_idle")


# --- websocket_write_timeout


@dialogue
async def test_a_client_that_takes_nothing_is_cut_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        call.hold()
        service.say("one", "two")
        await asyncio.sleep(10.0)
        assert call.heard == ["one"]
        assert not call.is_over
        await asyncio.sleep(GRAIN)
        assert any(isinstance(event, Closed) for event in service.heard())
        await call.over()
        assert call.task is not None
        assert call.task.cancelling() == 0
        assert call.heard == ["one"]
        assert s.exchange.resets
        assert hits(s) == {"timeout_write": 1}
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["limit"]) == (1006, "gateway", "timeout_write")
        assert line["stalled_by_client_seconds"] >= 10.0


@dialogue
async def test_a_client_that_takes_a_little_lives_on():
    async with Stage() as s:
        call, service = await opened(s)
        for number in range(10):
            call.hold()
            service.say("x")
            await asyncio.sleep(9.9)
            call.release()
            await quiet()
            assert len(call.heard) == number + 1
        assert hits(s) == {}
        await parted(call, service)


@dialogue
async def test_a_service_that_takes_nothing_is_given_up(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call, service = await opened(s)
        for _ in range(5):
            service.exchange.welcome = False
            call.say("x")
            await asyncio.sleep(9.9)
            service.exchange.drained()
            await quiet()
        assert hits(s) == {}
        service.exchange.welcome = False
        call.say("fills the stream")
        call.say("waits")
        await asyncio.sleep(10.0)
        assert call.closed is None
        await asyncio.sleep(GRAIN)
        assert call.closed is not None
        assert call.closed[0] == 1011
        await call.over()
        assert s.exchange.resets
        assert hits(s) == {"timeout_write": 1}
        line = lines.last
        assert (line["close_code"], line["closed_by"], line["limit"]) == (1011, "gateway", "timeout_write")
        assert line["messages_up"] <= 6
