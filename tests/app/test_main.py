"""The application over raw ASGI calls: what answers on which host, and what is left when it closes."""

import asyncio
import json
import sys
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from app import main
from app.rules.routes import Route, RouteTable
from app.settings import Grant, Settings, token_hash
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Call, Request, WebSocket, scope_of
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, left_behind, quiet
from tunnel.http1 import UnsendableHeadError

HTML = [(b"accept", b"text/html")]
UPGRADE = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


async def answered(stage: Stage, request: Request, status: int = 200) -> Request:
    """Let the fake service answer the last exchange at once."""
    request.start()
    await quiet()
    exchange = stage.link.exchanges[-1]
    exchange.answer(status, [(b"Content-Length", b"2")])
    exchange.bring(b"ok")
    exchange.finish()
    return await request.over()


# --- nothing here


@dialogue
async def test_no_route_in_json():
    async with Stage() as s:
        request = await Request(s.app, target="/x", host="nobody.test").start().over()
        assert request.status == 404
        assert request.header(b"content-type") == b"application/json"
        assert request.header(b"content-length") == str(len(request.answer)).encode()
        assert json.loads(request.answer)["code"] == "no_route"
        assert s.link.exchanges == []


@dialogue
async def test_no_route_as_a_page():
    async with Stage() as s:
        request = await Request(s.app, target="/x", host="nobody.test", headers=HTML).start().over()
        assert request.status == 404
        assert request.header(b"content-type") == b"text/html; charset=utf-8"
        assert b"no_route" in request.answer


@dialogue
async def test_no_route_for_head():
    async with Stage() as s:
        request = await Request(s.app, "HEAD", "/x", host="nobody.test").start().over()
        assert (request.status, request.answer) == (404, b"")
        assert int(request.header(b"content-length") or b"0") > 0


@pytest.mark.parametrize(("headers", "kind"), [([], b"application/json"), (HTML, b"text/html; charset=utf-8")])
@dialogue
async def test_no_route_for_a_websocket(headers: list[tuple[bytes, bytes]], kind: bytes):
    async with Stage() as s:
        call = await WebSocket(s.app, "/x", host="nobody.test", headers=headers).start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 404
        assert call.refusal[1][b"content-type"] == kind
        assert b"no_route" in call.refusal[2]


@dialogue
async def test_no_route_for_a_websocket_of_a_server_that_can_only_close():
    async with Stage() as s:
        call = await WebSocket(s.app, "/x", host="nobody.test", extensions={}).start().over()
        assert [message["type"] for message in call.sent] == ["websocket.close"]


@dialogue
async def test_no_host_at_all():
    async with Stage() as s:
        request = await Request(s.app, target="/x", host=None).start().over()
        assert request.status == 404


@dialogue
async def test_no_route_for_a_path_of_a_routed_host():
    routes = RouteTable([Route(HOST, b"/api", TARGET)])
    async with Stage(routes=routes) as s:
        for target in ("/", "/healthz", "/readyz", "/other"):
            assert (await Request(s.app, target=target).start().over()).status == 404, target
        call = await WebSocket(s.app, "/ws").start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 404
        assert (await answered(s, Request(s.app, target="/api/healthz"))).answer == b"ok"


# --- requests that are refused


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"target": "/x/../admin"}, 400, "unsafe_path"),
        ({"target": "/%61dmin"}, 400, "unsafe_path"),
        ({"headers": [(b"host", b"other.test")]}, 400, "bad_request"),
        ({"headers": [(b"content-length", b"1"), (b"content-length", b"2")]}, 400, "bad_request"),
        ({"headers": [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]}, 400, "bad_request"),
        ({"headers": UPGRADE}, 501, "websockets_unavailable"),
    ],
)
@dialogue
async def test_refused(request_: dict[str, Any], status: int, code: str):
    routes = RouteTable([Route(HOST, b"/", TARGET), Route(HOST, b"/admin", TARGET)])
    async with Stage(routes=routes) as s:
        request = await Request(s.app, "POST", **request_).start().over()
        assert request.status == status
        assert json.loads(request.answer)["code"] == code
        assert s.link.exchanges == []


@pytest.mark.parametrize(
    "host", ['app.example.test"', "app.example.test/x", "a b.example.test", "app\xe9.example.test", "a,b.example.test"]
)
@dialogue
async def test_hosts_that_are_none(host: str):
    async with Stage(routes=RouteTable([Route("*.example.test", b"/", TARGET)])) as s:
        request = await Request(s.app, host=host).start().over()
        assert request.status in (400, 404)
        assert s.link.exchanges == []


@dialogue
async def test_an_unsafe_websocket_is_refused_too():
    routes = RouteTable([Route(HOST, b"/", TARGET), Route(HOST, b"/admin", TARGET)])
    async with Stage(routes=routes) as s:
        call = await WebSocket(s.app, "/x/%2e%2e/admin").start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 400
        assert b"unsafe_path" in call.refusal[2]


@dialogue
async def test_a_head_that_must_not_be_sent_on_is_the_clients_fault():
    """The last check before the wire: control characters, methods that are none, and the like."""
    async with Stage() as s:
        s.link.refuses = UnsendableHeadError("a field value has control characters")
        request = await Request(s.app).start().over()
        assert request.status == 400
        assert json.loads(request.answer)["code"] == "bad_request"
        call = await WebSocket(s.app).start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 400


# --- health


@pytest.mark.parametrize("host", ["nobody.test", "localhost", "192.0.2.1:8080", None])
@dialogue
async def test_health_on_hosts_that_are_not_routed(host: str | None):
    async with Stage(links=0) as s:
        for path, text in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            request = await Request(s.app, target=path, host=host).start().over()
            assert (request.status, request.answer) == (200, text)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/ws", "/agent", "/-/admin", "/metrics"])
@dialogue
async def test_every_path_of_a_routed_host_is_the_services(path: str):
    async with Stage() as s:
        assert (await answered(s, Request(s.app, target=path))).answer == b"ok"
        assert s.exchange.head.target == path.encode()


@dialogue
async def test_a_websocket_at_an_agents_path_of_a_routed_host_is_the_services():
    grants = {token_hash("good"): Grant(("c1",))}
    async with Stage(grants=grants) as s:
        call = WebSocket(s.app, "/ws", headers=[(b"authorization", b"Bearer good")]).start()
        await quiet()
        assert call.accepted is None
        assert s.exchange.head.upgrade
        s.exchange.answer(403)
        s.exchange.finish()
        await call.over()


@dialogue
async def test_ready_until_draining():
    async with Stage() as s:
        s.gateway.drain.draining = True
        request = await Request(s.app, target="/readyz", host="nobody.test").start().over()
        assert request.status == 503
        request = await Request(s.app, target="/healthz", host="nobody.test").start().over()
        assert request.status == 200
        assert (await answered(s, Request(s.app))).status == 200  # still serving


# --- no agent


@dialogue
async def test_without_an_agent_it_is_503():
    async with Stage(links=0) as s:
        request = await Request(s.app).start().over()
        assert request.status == 503
        assert request.header(b"retry-after") == b"5"
        assert json.loads(request.answer)["code"] == "no_agent"
        call = await WebSocket(s.app).start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 503
        assert call.refusal[1][b"retry-after"] == b"5"


@dialogue
async def test_the_grace_is_waited_for_and_no_longer():
    loop = asyncio.get_running_loop()
    async with Stage(links=0, reconnect_grace=2.0) as s:
        began = loop.time()
        request = await Request(s.app).start().over()
        assert request.status == 503
        assert loop.time() - began == pytest.approx(2.0, abs=0.01)
        assert "(The request waited 2.0 s for it to reconnect)" in json.loads(request.answer)["message"]
        assert s.gateway.registry.waiting_room.ends["in_vain"] == 1
        began = loop.time()
        assert (await Request(s.app).start().over()).status == 503
        assert loop.time() - began < 0.01


@dialogue
async def test_an_agent_that_comes_within_the_grace_gets_the_request():
    async with Stage(links=0, reconnect_grace=2.0) as s:
        request = Request(s.app).start()
        await quiet()
        assert not request.is_over
        link = FakeLink()
        s.links.append(link)
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        s.gateway.registry.ready(link)  # type: ignore[arg-type]
        await quiet()
        link.only.answer(204)
        link.only.finish()
        assert (await request.over()).status == 204


# --- under a prefix


@dialogue
async def test_mounted_under_a_prefix():
    async with Stage() as s:
        outer = Starlette(routes=[Mount("/gw", app=s.app)])
        assert (await answered(s, Request(outer, target="/gw/a%2Fb?q=1"))).answer == b"ok"
        assert s.exchange.head.target == b"/a%2Fb?q=1"
        request = await Request(outer, target="/gw/healthz", host="nobody.test").start().over()
        assert request.answer == b"ok\n"
        assert (await Request(outer, target="/healthz", host="nobody.test").start().over()).status == 404


# --- its life


@dialogue
async def test_it_works_where_the_lifespan_never_runs():
    async with Stage() as s:
        assert left_behind() == []
        assert (await answered(s, Request(s.app))).status == 200
        assert len(left_behind()) == 1  # the clock of the links
    assert left_behind() == []


@dialogue
async def test_the_lifespan_opens_and_closes():
    stage = Stage()
    call = Call(stage.app, scope_of("lifespan"))
    call.put({"type": "lifespan.startup"})
    call.start()
    await quiet()
    assert [message["type"] for message in call.sent] == ["lifespan.startup.complete"]
    assert (await answered(stage, Request(stage.app))).status == 200
    call.put({"type": "lifespan.shutdown"})
    await call.over()
    assert call.sent[-1]["type"] == "lifespan.shutdown.complete"
    assert stage.link.closed == (1012, "gateway is stopping")


@dialogue
async def test_a_link_that_fails_in_its_tick_stops_no_other(caplog: pytest.LogCaptureFixture):
    async with Stage(links=2) as s:
        ticks: list[float] = []
        first, second = s.links
        first.tick = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        second.tick = lambda: ticks.append(asyncio.get_running_loop().time())  # type: ignore[method-assign]
        s.gateway.open()
        await asyncio.sleep(1.6)
        assert len(ticks) == 3
        assert first.closed == (1011, "internal error")
        assert "failed in its tick" in caplog.text


def test_app_is_made_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    monkeypatch.delitem(vars(main), "app", raising=False)
    assert main.app is main.app
    assert isinstance(main.app, Starlette)
    monkeypatch.delitem(vars(main), "app")
    with pytest.raises(AttributeError):
        _ = main.application


def test_app_with_a_wrong_configuration_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delitem(vars(main), "app", raising=False)
    monkeypatch.setenv("GATEWAY_RECONNECT_GRACE", "soon")
    with pytest.raises(SystemExit) as stopped:
        _ = main.app
    assert stopped.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "GATEWAY_RECONNECT_GRACE" in line
    assert "app" not in vars(main)


def test_importing_reads_no_configuration():
    assert "app.main" in sys.modules
    assert isinstance(main.create_app(Settings()), Starlette)
