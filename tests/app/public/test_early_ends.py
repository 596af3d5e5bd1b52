"""What ends a wait for a host besides its time: the drain, the operator, the client, and a fault of ours."""

import asyncio
import json
from collections.abc import Callable

import pytest

from app.node.to_come import HostsToCome
from app.public.http_call import HttpCall
from app.public.websocket_call import WebSocketCall
from tests.app.public.starting import HOST, World, asked, started
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet


def drain(w: World) -> None:
    w.stage.gateway.begin_drain()


def end(w: World) -> None:
    for exchange in w.stage.gateway.exchanges:
        exchange.end_by_operator()


@pytest.mark.parametrize(
    ("ends", "status", "code"), [(drain, 503, "stopping"), (end, 502, "ended_by_operator")], ids=["drain", "operator"]
)
@dialogue
async def test_a_drain_and_the_operator_end_it(ends: Callable[[World], None], status: int, code: str):
    async with started(shutdown_grace=1.0) as w:
        request, call = asked(w), WebSocket(w.stage.app, host=HOST).start()
        await quiet()
        assert len(w.stage.gateway.exchanges) == 2
        began = asyncio.get_running_loop().time()
        ends(w)
        await request.over()
        await call.over()
        assert asyncio.get_running_loop().time() - began < 1.5
        assert request.status == status
        assert json.loads(request.answer)["code"] == code
        assert call.refusal is not None
        assert call.refusal[0] == status
        assert not w.stage.gateway.exchanges


@dialogue
async def test_nobody_waits_while_the_node_drains():
    async with started() as w:
        w.stage.gateway.drain.draining = True
        assert (await asked(w).over()).status == 404


@dialogue
async def test_a_client_that_leaves_ends_its_wait(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "gateway.access")
    async with started() as w:
        request, call = asked(w, "/h"), WebSocket(w.stage.app, "/w", host=HOST).start()
        with Visitor(Front(w.stage)) as own, Visitor(Front(w.stage)) as own_call:
            own.ask("/own", host=HOST)
            own_call.ask("/own-ws", HANDSHAKE, host=HOST)
            await quiet()
            assert w.waiting == 4
            began = asyncio.get_running_loop().time()
        request.leave()
        call.task.cancel()  # type: ignore[union-attr]
        await request.over()
        with pytest.raises(asyncio.CancelledError):
            await call.over()
        await quiet()
        assert w.waiting == 0
        assert asyncio.get_running_loop().time() - began < 0.1
        assert not w.stage.gateway.exchanges
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
    assert len(lines) == 4
    assert all("client_left" in line for line in lines)


@dialogue
async def test_each_is_logged_once_and_its_wait_counts(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "gateway.access")
    async with started() as w:
        request = asked(w)
        await asyncio.sleep(2.0)
        w.publish()
        await quiet()
        w.link.only.whole(b"ok")
        await request.over()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
    assert line.startswith(f"GET {HOST}/ 200 in 2000 ms, ")


class BugError(Exception):
    """Ours."""


def broken(*_: object, **__: object) -> None:
    raise BugError


@pytest.mark.parametrize("where", ["while it waits", "when it begins"])
@dialogue
async def test_a_bug_ends_only_its_own_call(where: str, monkeypatch: pytest.MonkeyPatch):
    async with started() as w:
        if where == "while it waits":
            monkeypatch.setattr(HostsToCome, "routes_of", broken)
        else:
            monkeypatch.setattr(HttpCall, "begin", broken)
            monkeypatch.setattr(WebSocketCall, "begin", broken)
        call = WebSocket(w.stage.app, host=HOST).start()
        with Visitor(Front(w.stage)) as visitor, Visitor(Front(w.stage)) as browser:
            visitor.ask(host=HOST)
            browser.ask("/ws", HANDSHAKE, host=HOST)
            await quiet()
            w.publish()
            await quiet()
            assert browser.status == 500
            assert not w.stage.gateway.exchanges
            await call.over()
            if where == "while it waits":
                assert b'"internal_error"' in visitor.got
                assert (visitor.status, visitor.wire.is_closing()) == (500, False)
                assert call.refusal is not None
                assert call.refusal[0] == 500
            else:  # it may have begun to answer
                assert (visitor.got, visitor.wire.is_closing()) == (b"", True)
                assert call.refusal is None, "it is the server's to say"
