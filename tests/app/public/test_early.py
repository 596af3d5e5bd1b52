"""Right after a start: what comes for a host that nobody has yet waits for the agent that published it before."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from app.node.to_come import HostsToCome
from app.public.http_call import HttpCall
from app.public.websocket_call import WebSocketCall
from app.published import Holder
from app.settings import Grant, token_hash
from tests.app.learned.claims import claim
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.app.stage import Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService
from tunnel.wire.publishing import Publish, WantedRoute

GRACE = 3.0
HOST = "me.dev.test"
GRANT = Grant(("c1",), hosts=("*.dev.test",))
GRANTS = {token_hash("good"): GRANT, token_hash("gone"): Grant(("c1",), revoked=True, hosts=("*.gone.test",))}


@dataclass
class World:
    """A gateway that has just started."""

    stage: Stage
    link: FakeLink

    def publish(self, host: str = HOST, **wanted: Any) -> None:
        """The agent is back, with a link that is ready."""
        gateway = self.stage.gateway
        gateway.registry.add(self.link)  # type: ignore[arg-type]
        holder = Holder("c1", "p1", token_hash("good"), self.link.name, "192.0.2.7")
        message = Publish(routes=[WantedRoute(key="1", host=host, port=5173, **wanted)], name_seed="s")
        (answer,) = gateway.published.publish(holder, GRANT, message, base_url="http://x").routes
        assert answer.code == ""

    @property
    def waiting(self) -> int:
        return self.stage.gateway.registry.waiting_room.waiting


@asynccontextmanager
async def started(**settings: Any) -> AsyncIterator[World]:
    defaults = {"grants": GRANTS, "reconnect_grace": GRACE, "shutdown_grace": 2.0, "drain_delay": 0.0}
    async with Stage(links=0, **{**defaults, **settings}) as stage:
        yield World(stage, FakeLink("p1", publisher="p1"))
        assert stage.gateway.registry.waiting_room.waiting == 0
        assert repr(stage.gateway.to_come) == "<HostsToCome 0 waiting>"
        assert stage.gateway.published._waiters == {}


def asked(world: World, target: str = "/", *, host: str = HOST, body: bytes | None = b"", **scope: Any) -> Request:
    request = Request(world.stage.app, target=target, host=host, **scope)
    if body is not None:
        request.body(body)
    return request.start()


# --- it is published in time


@dialogue
async def test_a_request_waits_and_gets_its_answer():
    async with started() as w:
        request = asked(w, "/a?b=c")
        await asyncio.sleep(1.0)
        assert not request.is_over
        assert w.waiting == 1
        (item,) = [each.item("1", began_at=0.0, now=0.0) for each in w.stage.gateway.exchanges]
        assert (item.state, item.path, item.cluster) == ("waiting for an agent to publish its host", "/a", None)
        w.publish()
        await quiet()
        assert w.waiting == 0
        assert w.link.only.head.target == b"/a?b=c"
        w.link.only.answer(200)
        w.link.only.bring(b"hello")
        w.link.only.finish()
        await request.over()
        assert (request.status, request.answer) == (200, b"hello")
        assert w.stage.gateway.registry.waiting_room.ends["served"] == 1


@dialogue
async def test_the_body_of_a_request_that_waits_is_not_lost():
    async with started() as w:
        request = asked(w, method="POST", headers=[(b"content-length", b"6")], body=None)
        request.body(b"abc", more=True)
        await asyncio.sleep(1.0)
        assert request.received == 0
        w.publish()
        await quiet()
        request.body(b"def")
        await quiet()
        assert w.link.only.body == b"abcdef"
        w.link.only.whole(b"ok")
        await request.over()
        assert (request.status, request.answer) == (200, b"ok")


@dialogue
async def test_a_websocket_waits_too():
    async with started() as w:
        call = WebSocket(w.stage.app, "/ws", host=HOST).start()
        await asyncio.sleep(1.0)
        assert call.accepted is None
        assert w.waiting == 1
        w.publish()
        await quiet()
        service = FakeService(w.link.only)
        service.accept()
        await quiet()
        assert call.accepted is not None
        service.say("hello")
        await quiet()
        assert call.heard == ["hello"]
        call.leave(1000)
        await quiet()
        service.close(1000)
        service.exchange.finish()
        await call.over()
        assert w.stage.gateway.metrics.websockets_active == 0


@pytest.mark.parametrize("path", ["/ws", "/agent", "/api/v1/clusters/agent/ws"])
@dialogue
async def test_paths_of_agents_are_the_services_own_unless_an_agent_asks(path: str):
    async with started() as w:
        call = WebSocket(w.stage.app, path, host=HOST).start()
        agent = WebSocket(w.stage.app, path, host=HOST, headers=[(b"authorization", b"Bearer good")]).start()
        with Visitor(Front(w.stage)) as own, Visitor(Front(w.stage)) as own_agent:
            own.ask(path, HANDSHAKE, host=HOST)
            own_agent.ask(path, HANDSHAKE, b"Authorization: Bearer good\r\n", host=HOST)
            await quiet()
            assert w.waiting == 2
            assert agent.is_over
            assert own_agent.got
            assert own.got == b""
            w.publish()
            await quiet()
            assert len(w.link.exchanges) == 2
        call.leave()
        await call.over()


@dialogue
async def test_the_route_that_is_published_decides_like_any_other():
    async with started() as w:
        there, not_there, trace = asked(w, "/app/x"), asked(w, "/other"), asked(w, "/app", method="TRACE")
        await quiet()
        w.publish(path="/app")
        await quiet()
        assert w.link.only.head.target == b"/app/x"
        w.link.only.whole(b"ok")
        await there.over()
        assert [(await each.over()).status for each in (not_there, trace)] == [404, 501]


@dialogue
async def test_a_host_that_an_agent_registers_meanwhile_is_carried_when_the_time_is_over():
    async with started() as w:
        request = asked(w)
        await asyncio.sleep(1.0)
        await w.stage.gateway.learned.register(claim(HOST, cluster="c1"), "agent a1")
        await request.over()
        assert request.status == 503, "it has a route, and no agent of the cluster is there"


# --- it is not


@pytest.mark.parametrize(
    ("settings", "host", "waits"),
    [
        ({}, HOST, True),
        ({}, "Me.Dev.Test.:8080", True),
        ({}, "a.b.dev.test", True),
        ({}, "dev.test", False),
        ({}, "me.other.test", False),
        ({}, "me.gone.test", False),
        ({}, "", False),
        ({}, "[::1]", False),
        ({"control_hosts": frozenset({HOST})}, HOST, False),
        ({"reconnect_grace": 0.0}, HOST, False),
    ],
)
@dialogue
async def test_who_waits_and_what_it_is_told_in_the_end(settings: dict[str, Any], host: str, *, waits: bool):
    async with started(**settings) as w:
        loop = asyncio.get_running_loop()
        began = loop.time()
        request, call = asked(w, "/x", host=host), WebSocket(w.stage.app, "/x", host=host).start()
        await request.over()
        await call.over()
        seconds = GRACE if waits else 0.0
        assert loop.time() - began == pytest.approx(seconds, abs=0.01)
        assert request.status == 404
        assert json.loads(request.answer)["code"] == "no_route"
        assert call.refusal is not None
        assert call.refusal[0] == 404
        assert w.stage.gateway.registry.waiting_room.ends["in_vain"] == (2 if waits else 0)


@dialogue
async def test_nobody_waits_later():
    async with started() as w:
        await asyncio.sleep(GRACE)
        began = asyncio.get_running_loop().time()
        assert (await asked(w).over()).status == 404
        assert asyncio.get_running_loop().time() - began < 0.01


@dialogue
async def test_the_number_that_waits_is_bounded():
    async with started(max_waiting_requests=2) as w:
        waiting = [asked(w), WebSocket(w.stage.app, host=HOST).start()]
        await quiet()
        refused = await asked(w, host="other.dev.test").over()
        assert (refused.status, refused.header(b"retry-after")) == (503, b"2")
        assert json.loads(refused.answer)["code"] == "busy"
        call = await WebSocket(w.stage.app, host=HOST).start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 503
        w.publish()
        await quiet()
        request, handshake = w.link.exchanges
        request.whole(b"ok")
        handshake.answer(403)
        handshake.finish()
        for each in waiting:
            await each.over()


@dialogue
async def test_the_bytes_that_wait_are_counted():
    async with started() as w:
        request = asked(w, headers=[(b"x", b"y" * 10_000)])
        await quiet()
        assert w.stage.gateway.account.held_bytes > 10_000
        await request.over()


# --- its ends


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
            assert visitor.wire.is_closing()
            assert visitor.got == b""
            assert browser.status == 500
            assert not w.stage.gateway.exchanges
        await call.over()
        assert call.refusal is None or call.refusal[0] == 500


# --- the door of our own


@dialogue
async def test_at_the_door_of_our_own():
    async with started() as w:
        with Visitor(Front(w.stage)) as visitor, Visitor(Front(w.stage)) as browser:
            visitor.ask("/x", b"Content-Length: 3\r\n", host=HOST, method="POST", body=b"abc")
            browser.ask("/socket", HANDSHAKE, host=HOST)
            await asyncio.sleep(1.0)
            assert visitor.got == browser.got == b""
            w.publish()
            await quiet()
            request, handshake = w.link.exchanges
            assert request.body == b"abc"
            request.whole(b"ok")
            FakeService(handshake).accept()
            await quiet()
            assert visitor.got.startswith(b"HTTP/1.1 200 OK\r\n")
            assert visitor.got.endswith(b"\r\n\r\nok")
            assert browser.got.startswith(b"HTTP/1.1 101 ")
            visitor.ask("/again", host=HOST)
            await quiet()
            w.link.exchanges[-1].whole(b"again")
            await quiet()
            assert visitor.got.endswith(b"again")
            FakeService(handshake).close(1000)
            handshake.finish()
            await quiet()


@dialogue
async def test_in_vain_at_the_door_of_our_own():
    async with started() as w:
        with Visitor(Front(w.stage)) as visitor, Visitor(Front(w.stage)) as browser:
            visitor.ask("/x", host=HOST)
            browser.ask("/socket", HANDSHAKE, host=HOST)
            await asyncio.sleep(GRACE - 0.1)
            assert visitor.got == browser.got == b""
            await asyncio.sleep(0.2)
            assert (visitor.status, browser.status) == (404, 404)
