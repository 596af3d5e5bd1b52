"""The gateway stops: who may finish, who is told what, and what is left."""

import asyncio

import pytest

from app.asgi.http_client import BrokenOffError
from app.settings import Grant, token_hash
from tests.app.public.limits import Lines
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.loop import dialogue, left_behind, quiet
from tests.fakes.service import opened, parted
from tunnel.websocket import Closed


@dialogue
async def test_aclose_ends_all_that_runs():
    stage = Stage(upgrade_timeout=5.0, grants={token_hash("good"): Grant(("c1",))})
    request = Request(stage.app).start()
    upload = Request(stage.app, "POST", headers=[(b"content-length", b"9")]).start()
    handshake = WebSocket(stage.app).start()
    bearer = [(b"authorization", b"Bearer good")]
    agent = WebSocket(stage.app, "/ws?supports_yamux=true", host="localhost", headers=bearer).start()
    await quiet()
    assert len(stage.gateway.exchanges) == 3
    await stage.gateway.aclose()
    await stage.gateway.aclose()
    for call in (request, upload, handshake, agent):
        await call.over()
    assert agent.closed == (1012, "gateway is stopping")
    assert request.status == upload.status == 502
    assert handshake.refusal is not None
    assert handshake.refusal[0] == 502
    assert not stage.gateway.exchanges
    assert stage.gateway.registry.links("c1") == (stage.link,)
    await quiet()
    assert left_behind() == []


@dialogue
async def test_nobody_is_let_in_after_aclose():
    stage = Stage(links=0, grants={token_hash("good"): Grant(("c1",))})
    await stage.gateway.aclose()
    bearer = [(b"authorization", b"Bearer good")]
    agent = WebSocket(stage.app, "/ws?supports_yamux=true", host="localhost", headers=bearer).start()
    await quiet()
    agent.leave(1006)
    await agent.over()
    assert agent.accepted is None
    assert agent.refusal is not None
    assert agent.refusal[0] == 503


@dialogue
async def test_draining_lets_requests_finish_and_then_breaks_them_off():
    async with Stage() as s:
        first, second = Request(s.app).start(), Request(s.app).start()
        await quiet()
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0))
        await quiet()
        assert not first.is_over
        s.link.exchanges[0].answer(200)
        s.link.exchanges[0].finish()
        assert (await first.over()).status == 200
        assert not drain.done()
        began = asyncio.get_running_loop().time()
        await drain
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0, abs=0.1)
        await second.over()
        assert [event.kind for event in s.gateway.events.since()] == ["drain_began", "drain_ended"]
        assert (second.status, second.header(b"retry-after")) == (502, None)
        assert s.link.exchanges[1].resets


@pytest.mark.parametrize("kind", [Request, WebSocket])
@dialogue
async def test_who_waits_for_an_agent_is_let_go_at_once(kind: type[Request] | type[WebSocket]):
    stage = Stage(links=0, reconnect_grace=30.0)
    call = kind(stage.app).start()
    await quiet()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await stage.gateway.aclose()
    await call.over()
    assert loop.time() - began < 1.0
    assert b"stopping" in (call.answer if isinstance(call, Request) else (call.refusal or (0, {}, b""))[2])


@dialogue
async def test_answers_of_a_draining_gateway_close_their_connections():
    async with Stage() as s:
        before, during = Request(s.app).start(), Request(s.app).start()
        await quiet()
        first, second = s.link.exchanges
        first.answer(200)
        first.finish()
        await before.over()
        assert before.header(b"connection") is None
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0, delay_seconds=2.0))
        await quiet()
        second.answer(200)
        second.finish()
        await during.over()
        assert during.header(b"connection") == b"close"
        late = Request(s.app).start()  # it still serves, so that nobody meets a closed door meanwhile
        await quiet()
        s.link.exchanges[2].answer(404)
        s.link.exchanges[2].finish()
        await late.over()
        assert (late.status, late.header(b"connection")) == (404, b"close")
        await drain


@dialogue
async def test_an_answer_of_our_own_closes_its_connection_while_draining():
    async with Stage() as s:
        s.gateway.drain.draining = True
        s.link.available = False
        request = await Request(s.app).start().over()
        assert (request.status, request.header(b"connection")) == (503, b"close")


@pytest.mark.parametrize("target", ["/", "/no-route"])
@dialogue
async def test_a_refusal_before_any_route_closes_its_connection_while_draining(target: str):
    async with Stage() as s:
        for draining, connection in ((False, None), (True, b"close")):
            s.gateway.drain.draining = draining
            request = await Request(s.app, target=target, host="nobody.test").start().over()
            assert (request.status, request.header(b"connection")) == (404, connection)


@dialogue
async def test_where_nobody_stops_to_listen_new_requests_are_turned_away_after_the_delay(
    caplog: pytest.LogCaptureFixture,
):
    """As under plain uvicorn: kept-alive connections go on to bring requests, and each would prolong the drain."""
    lines = Lines(caplog)
    async with Stage() as s:
        early = Request(s.app).start()
        await quiet()
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0, delay_seconds=2.0))
        await asyncio.sleep(1.9)
        served = Request(s.app).start()  # within the delay
        await quiet()
        assert len(s.link.exchanges) == 2
        await asyncio.sleep(0.2)
        late = await Request(s.app, "POST", headers=[(b"content-length", b"9")]).start().over()
        assert (late.status, late.header(b"connection")) == (503, b"close")
        assert late.header(b"retry-after") == b"2"
        assert late.header(b"x-request-id") == lines.last["request_id"].encode()
        assert (lines.last["outcome"], lines.last["status"]) == ("stopping", 503)
        assert len(s.link.exchanges) == 2
        for exchange in s.link.exchanges:
            exchange.answer(200)
            exchange.finish()
        for request in (early, served):
            await request.over()
            assert (request.status, request.header(b"connection")) == (200, b"close")
        await drain


@dialogue
async def test_where_a_listener_closes_what_comes_meanwhile_is_served():
    """`python -m app` closes its listener and its idle connections: what was on its way by then gets its answer."""
    closed = asyncio.Event()

    async def stop_listening() -> None:
        await closed.wait()

    async with Stage() as s:
        s.gateway.listeners.append(stop_listening)
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0))
        await quiet()
        assert s.gateway.closing
        request = Request(s.app).start()
        await quiet()
        closed.set()
        s.exchange.answer(200)
        s.exchange.finish()
        await request.over()
        assert (request.status, request.header(b"connection")) == (200, b"close")
        await drain


@dialogue
async def test_websockets_are_told_1012_after_the_delay(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call, service = await opened(s)
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0, delay_seconds=2.0))
        await asyncio.sleep(1.9)
        assert call.closed is None
        late = await opened(s)  # not ready, but still serving
        await parted(*late)
        await asyncio.sleep(0.2)
        assert call.closed is not None
        assert call.closed[0] == 1012
        assert service.heard() == [Closed(1001, "")]
        refused = await WebSocket(s.app).start().over()
        assert refused.refusal is not None
        assert refused.refusal[0] == 503
        service.exchange.bring(service.codec.data_to_send())
        service.exchange.finish()
        await call.over()
        await drain
        (line,) = [line for line in lines.ended if line["close_code"] == 1012]
        assert (line["closed_by"], line["outcome"], line["limit"]) == ("gateway", "ok", None)
        assert s.link.closed == (1012, "gateway is stopping")


@dialogue
async def test_websockets_are_told_one_after_the_other():
    """All of them come back somewhere at once; the grace is shared by them."""
    async with Stage() as s:
        calls = [(await opened(s))[0] for _ in range(50)]
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(10.0))
        await asyncio.sleep(0.1)
        told = sum(call.closed is not None for call in calls)
        assert 5 <= told <= 20
        await drain
        assert [call.closed for call in calls] == [(1012, "gateway is restarting")] * 50
        for call in calls:
            await call.over()


@dialogue
async def test_websockets_are_told_within_half_of_the_grace():
    """However many there are, each has the other half to close in order."""
    async with Stage() as s:
        calls = [(await opened(s))[0] for _ in range(50)]
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(0.2))
        await asyncio.sleep(0.05)
        assert 20 <= sum(call.closed is not None for call in calls) <= 30
        await asyncio.sleep(0.05)
        assert all(call.closed is not None for call in calls)
        assert not drain.done()
        await drain
        for call in calls:
            await call.over()


@dialogue
async def test_an_answer_that_does_not_end_within_the_grace_is_broken_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200)
        s.exchange.bring(b"half")
        await quiet()
        drain = asyncio.get_running_loop().create_task(s.gateway.drain.run(5.0))
        await asyncio.sleep(4.9)
        assert not request.is_over
        assert not s.exchange.resets
        await asyncio.sleep(0.2)
        assert drain.done()
        with pytest.raises(BrokenOffError):
            await request.over()
        assert not request.complete
        assert s.exchange.resets
        assert (lines.last["outcome"], lines.last["closed_by"]) == ("broken_off", "gateway")
