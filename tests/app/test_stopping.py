"""The gateway stops: who may finish, who is told what, and what is left."""

import asyncio

import pytest

from app.settings import Grant, token_hash
from tests.app.asgi import Request, WebSocket
from tests.app.fakes import Stage
from tests.app.virtual import dialogue, left_behind, quiet


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
    assert request.status == upload.status == 503
    assert handshake.refusal is not None
    assert handshake.refusal[0] == 503
    assert stage.gateway.exchanges == set()
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
        drain = asyncio.get_running_loop().create_task(s.gateway.drain(5.0))
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
        assert second.status == 503
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
