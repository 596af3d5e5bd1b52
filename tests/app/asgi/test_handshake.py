"""A client's WebSocket under a server that leaves, fails, or gives up, at each point of its handshake."""

import asyncio
import json
from typing import Any

import pytest

from tests.app.public.limits import Lines
from tests.app.stage import Stage
from tests.fakes.asgi import Message, WebSocket
from tests.fakes.loop import dialogue, left_behind, quiet
from tests.fakes.service import FakeService, opened


class BrokenServer(WebSocket):
    """Its `send` fails with a fault of its own."""

    async def send(self, message: dict[str, Any]) -> None:
        raise LookupError(message["type"])


class SlowServer(WebSocket):
    """Its `receive` takes a second to be cancelled."""

    async def receive(self) -> Message:
        try:
            return await super().receive()
        except asyncio.CancelledError:
            await asyncio.sleep(1.0)
            raise


@pytest.mark.parametrize("accepts", [True, False])
@dialogue
async def test_a_client_that_left_before_it_was_answered(accepts: bool, caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        call.sends_fail = True
        if accepts:
            FakeService(s.exchange).accept()
        else:
            s.exchange.answer(403)
            s.exchange.finish()
        await call.over()
        assert s.exchange.resets
        line = lines.last
        assert (line["outcome"], line["closed_by"]) == ("client_left", "client" if accepts else "service")
        assert line["status"] == (None if accepts else 403)


@dialogue
async def test_a_client_that_left_before_our_own_refusal_is_logged_with_it(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(links=0) as s:
        call = WebSocket(s.app)
        call.sends_fail = True
        await call.start().over()
        assert (lines.last["status"], lines.last["outcome"], lines.last["closed_by"]) == (503, "no_agent", "gateway")


@dialogue
async def test_a_fault_of_the_server_is_raised_and_logged(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call = BrokenServer(s.app).start()
        await quiet()
        FakeService(s.exchange).accept()
        with pytest.raises(LookupError):
            await call.over()
        assert s.exchange.resets
        assert (lines.last["status"], lines.last["outcome"]) == (500, "internal_error")


@pytest.mark.parametrize("point", ["before the handshake", "waiting for a link", "waiting for the 101", "open"])
@dialogue
async def test_a_task_that_is_cancelled_leaves_nothing(point: str):
    async with Stage(links=0 if point == "waiting for a link" else 1, reconnect_grace=5.0) as s:
        if point == "open":
            call, _ = await opened(s)
        else:
            call = WebSocket(s.app)
            if point == "before the handshake":
                await call.receive()
            call.start()
            await quiet()
        assert call.task is not None
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.over()
        assert not s.gateway.exchanges
        assert all(exchange.resets for exchange in s.links[0].exchanges) if s.links else True
        await s.gateway.aclose()
        assert left_behind() == []


@dialogue
async def test_its_tasks_end_before_it_does():
    async with Stage() as s:
        call = SlowServer(s.app).start()
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        service.close(1000)
        await quiet()
        service.exchange.finish()
        await call.over()
        assert call.closed == (1000, "")
        assert asyncio.all_tasks() == {asyncio.current_task()}


@dialogue
async def test_a_server_that_cannot_answer_refuses_in_its_own_way():
    async with Stage(links=0) as s:
        call = await WebSocket(s.app, extensions={}).start().over()
        assert call.sent == [{"type": "websocket.close", "code": 1011, "reason": "refused with 503"}]


@dialogue
async def test_what_has_no_route_is_refused_with_a_page():
    async with Stage() as s:
        call = await WebSocket(s.app, host="nobody.example.test").start().over()
        assert call.refusal is not None
        assert (call.refusal[0], json.loads(call.refusal[2])["code"]) == (404, "no_route")
        assert s.link.exchanges == []
