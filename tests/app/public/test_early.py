"""Right after a start: what comes for a host that nobody has yet waits for the agent that published it before."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from app.learned import Claim
from app.rules.routes import Route, RouteTable
from tests.app.public.starting import GRACE, HOST, asked, started
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.fakes.asgi import WebSocket
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService

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


@pytest.mark.parametrize("host", [HOST, "*.dev.test"])
@dialogue
async def test_a_host_that_an_agent_registers_meanwhile_is_carried_at_once(host: str):
    async with started() as w:
        request, other = asked(w), asked(w, host="you.dev.test")
        await asyncio.sleep(1.0)
        agent = FakeLink("a1")
        w.stage.gateway.registry.add(agent)  # type: ignore[arg-type]
        await w.stage.gateway.learned.register(Claim(host, "/", TARGET), "agent a1")
        await quiet()
        for exchange in agent.exchanges:
            exchange.whole(b"ok")
        await request.over()
        assert (request.status, request.answer) == (200, b"ok")
        assert (await other.over()).status == (404 if host == HOST else 200)


@dialogue
async def test_a_host_that_the_file_has_after_a_reload_is_carried_at_once():
    async with started() as w:
        request = asked(w)
        await asyncio.sleep(1.0)
        w.stage.gateway.registry.add(agent := FakeLink("a1"))  # type: ignore[arg-type]
        table = RouteTable([Route(HOST, b"/", TARGET)])
        w.stage.gateway.apply(replace(w.stage.gateway.settings, routes=table))
        await quiet()
        agent.only.whole(b"ok")
        assert (await request.over()).status == 200


@dialogue
async def test_a_host_that_is_registered_without_an_agent_to_carry_it():
    async with started() as w:
        request = asked(w)
        await asyncio.sleep(1.0)
        await w.stage.gateway.learned.register(Claim(HOST, "/", TARGET), "agent a1")
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


@pytest.mark.parametrize(
    "bad",
    [
        {"headers": [(b"host", b"two.dev.test")]},
        {"host": "m e.dev.test"},
        {"headers": [(b"content-length", b"1"), (b"content-length", b"2")]},
        {"headers": [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")]},
        {"raw_path": b"*"},
        {"raw_path": b"/a b"},
    ],
    ids=["hosts", "host", "lengths", "framing", "star", "target"],
)
@dialogue
async def test_a_bad_request_does_not_wait(bad: dict[str, Any]):
    async with started() as w:
        loop = asyncio.get_running_loop()
        began = loop.time()
        request = await asked(w, **bad).over()
        assert (request.status, json.loads(request.answer)["code"]) == (400, "bad_request")
        assert loop.time() == began
        if "content-length" not in str(bad):
            call = await WebSocket(w.stage.app, **{"host": HOST, **bad}).start().over()
            assert call.refusal is not None
            assert call.refusal[0] == 400
            assert loop.time() == began


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
        waiting = [asked(w), WebSocket(w.stage.app, host=HOST, client=("192.0.2.2", 1)).start()]
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


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [("192.0.2.1", "192.0.2.2", False), ("2001:db8::1", "2001:db8::2", True), ("2001:db8::1", "2001:db8:1::1", False)],
)
@dialogue
async def test_one_client_has_a_quarter_of_the_places(first: str, second: str, *, is_one: bool):
    async with started(max_waiting_requests=8) as w:
        theirs = [asked(w, host=f"{number}.dev.test", client=(first, number)) for number in range(3)]
        await quiet()
        assert w.waiting == 2
        refused = await theirs[-1].over()
        assert (refused.status, json.loads(refused.answer)["code"]) == (503, "busy")
        other = asked(w, client=(second, 1))
        await quiet()
        assert w.waiting == (2 if is_one else 3)
        for each in theirs:
            await each.over()
        assert (await other.over()).status == (503 if is_one else 404)


@dialogue
async def test_the_bytes_that_wait_are_counted():
    async with started() as w:
        request = asked(w, headers=[(b"x", b"y" * 10_000)])
        await quiet()
        assert w.stage.gateway.account.held_bytes > 10_000
        await request.over()


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
