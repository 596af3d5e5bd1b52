"""Requests and WebSockets of a route that rewrites, from door to service and back."""

import pytest

from app.public.http_call import HttpCall
from app.public.routed import request_call
from app.rules.policy import Policy
from app.rules.request import Request as Facts
from app.rules.rewrite import Rewrite
from app.rules.routes import Route, RouteTable
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Request, WebSocket
from tests.fakes.http_client import FakeHttpClient
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, parted

LOCAL = Rewrite(b"localhost:5173")
ALL = Rewrite(b"localhost:5173", b"/app", b"/base")
ORIGIN = (b"origin", b"http://" + HOST.encode())


def stage(rewrite: Rewrite, **policy: object) -> Stage:
    path = rewrite.strip_prefix or b"/"
    return Stage(routes=RouteTable([Route(HOST, path, TARGET, Policy(rewrite=rewrite, **policy))]))  # type: ignore[arg-type]


@dialogue
async def test_a_request_and_its_answer():
    async with stage(ALL) as s:
        call = Request(s.app, target="/app/x?y", headers=[ORIGIN]).start()
        await quiet()
        head = s.exchange.head
        assert head.target == b"/base/x?y"
        assert dict(head.headers)[b"host"] == b"localhost:5173"
        assert dict(head.headers)[b"origin"] == b"http://localhost:5173"
        s.exchange.answer(302, [(b"Location", b"http://localhost:5173/base/z"), (b"Set-Cookie", b"a=1; Path=/base")])
        s.exchange.finish()
        await call.over()
        assert (call.status, call.header(b"location")) == (302, f"http://{HOST}/app/z".encode())
        assert call.header(b"set-cookie") == b"a=1; Path=/app"


def facts(target: bytes = b"/") -> Facts:
    """A request as our own door makes it."""
    host = HOST.encode()
    return Facts(
        "GET", host, target, b"", 1, b"", b"", [(b"host", host)], b"\r\nhost: " + host, 0,
        "192.0.2.1", "http", "192.0.2.1", "http", None, "1",
    )  # fmt: skip


@dialogue
async def test_an_answer_that_comes_whole():
    async with stage(LOCAL) as s:
        client = FakeHttpClient()
        call = request_call(s.gateway, facts(), client)
        call.begin()
        block = b"location: http://localhost:5173/x\r\nx-a: b\r\n"
        headers = [(b"location", b"http://localhost:5173/x"), (b"x-a", b"b")]
        s.exchange.sink.whole(200, headers, block, b"body")  # type: ignore[attr-defined]
        assert (client.log, client.body) == (["answer 200"], b"body")
        assert client.fields[:2] == [(b"location", f"http://{HOST}/x".encode()), (b"x-a", b"b")]
        assert client.block.startswith(f"location: http://{HOST}/x\r\nx-a: b\r\ndate: ".encode())
        call.finished(4)


@dialogue
async def test_other_routes_pay_nothing(monkeypatch: pytest.MonkeyPatch):
    """Their calls and their heads are what they are without rewrites."""
    async with Stage() as s:
        monkeypatch.setattr("app.public.rewritten_call.request_for_service", None)
        call = request_call(s.gateway, facts(), FakeHttpClient())
        assert type(call) is HttpCall
        call.begin()
        assert s.exchange.head.encoded is not None
        s.exchange.answer(204)
        s.exchange.finish()
        call.finished()


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@dialogue
async def test_a_head_and_a_304(method: str):
    async with stage(LOCAL) as s:
        call = Request(s.app, method).start()
        await quiet()
        s.exchange.answer(304 if method == "GET" else 200, [(b"Content-Location", b"http://localhost:5173/x")])
        s.exchange.finish()
        await call.over()
        assert call.header(b"content-location") == f"http://{HOST}/x".encode()


@dialogue
async def test_the_log_and_the_limits_see_what_the_client_asked():
    async with stage(ALL) as s:
        call = Request(s.app, target="/app/x").start()
        await quiet()
        (record,) = s.gateway.exchanges
        assert (record.record.host, record.record.path) == (HOST.encode(), b"/app/x")  # type: ignore[attr-defined]
        s.exchange.answer(204)
        s.exchange.finish()
        await call.over()


@dialogue
async def test_a_websocket():
    async with stage(ALL) as s:
        call = WebSocket(s.app, "/app/hmr?token=1", headers=[ORIGIN], subprotocols=["vite-hmr"]).start()
        await quiet()
        head = s.exchange.head
        fields = {name.lower(): value for name, value in head.headers}
        assert (head.target, fields[b"host"]) == (b"/base/hmr?token=1", b"localhost:5173")
        assert (fields[b"origin"], fields[b"sec-websocket-protocol"]) == (b"http://localhost:5173", b"vite-hmr")
        service = FakeService(s.exchange)
        service.accept(b"vite-hmr", [(b"Set-Cookie", b"a=1; Path=/base/x; Domain=localhost")])
        await quiet()
        assert call.accepted is not None
        assert (b"set-cookie", b"a=1; Path=/app/x") in call.accepted["headers"]
        await parted(call, service)


@dialogue
async def test_a_websocket_that_its_service_sends_elsewhere():
    async with stage(LOCAL) as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(302, [(b"Location", b"http://localhost:5173/login")])
        s.exchange.finish()
        await call.over()
        assert call.refusal is not None
        assert call.refusal[1][b"location"] == f"http://{HOST}/login".encode()


@pytest.mark.parametrize("origin", [b"http://evil.test", b"http://localhost:5173", b"null"])
@dialogue
async def test_origins_looks_at_what_the_client_sent(origin: bytes):
    async with stage(LOCAL) as s:
        call = WebSocket(s.app, headers=[(b"origin", origin)]).start()
        await call.over()
        assert call.refusal is not None
        assert (call.refusal[0], b"origin_refused" in call.refusal[2]) == (403, True)
        assert not s.link.exchanges


@dialogue
async def test_the_cookie_of_a_sticky_route_is_ours_and_stays():
    async with stage(ALL, sticky="cookie") as s:
        call = Request(s.app, target="/app").start()
        await quiet()
        s.exchange.answer(200, [(b"Set-Cookie", b"a=1; Path=/base")])
        s.exchange.finish()
        await call.over()
        (ours,) = [value for name, value in call.headers if value.startswith(b"tunnel_agent=")]
        assert b"Path=/;" in ours


@dialogue
async def test_an_unsafe_path_reaches_nobody():
    async with stage(ALL) as s:
        call = await Request(s.app, target="/app/%252e%252e/x").start().over()
        assert call.status == 400
        assert b'"unsafe_path"' in call.answer
        handshake = await WebSocket(s.app, "/app/a/../x").start().over()
        assert handshake.refusal is not None
        assert handshake.refusal[0] == 400
        assert not s.link.exchanges


@dialogue
async def test_http_is_sent_to_https():
    async with Stage(
        routes=RouteTable([Route(HOST, b"/", TARGET, Policy(rewrite=Rewrite(https_redirect=True)))]),
        public_url="https://tunnel.test:8443",
    ) as s:
        call = Request(s.app, "POST", "/a%2Fb?c", headers=[(b"content-length", b"1")]).start()
        await call.over()
        assert (call.status, call.header(b"location")) == (308, f"https://{HOST}:8443/a%2Fb?c".encode())
        assert call.header(b"cache-control") == b"no-store"
        handshake = await WebSocket(s.app, "/ws").start().over()
        assert handshake.refusal is not None
        assert (handshake.refusal[0], handshake.refusal[1][b"location"]) == (308, f"https://{HOST}:8443/ws".encode())
        assert not s.link.exchanges
        call = Request(s.app, scheme="https").start()
        await quiet()
        s.exchange.answer(204)
        s.exchange.finish()
        await call.over()
        assert call.status == 204
