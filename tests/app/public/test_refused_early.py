"""What is refused before a route is known: each such answer has a request id, an access line, and a count."""

import ipaddress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from app.rules.routes import Route, RouteTable
from app.server.connection_states import State
from app.settings import Grant, token_hash
from tests.app.observed.counted import samples
from tests.app.observed.test_request_id import is_new
from tests.app.public.limits import Lines
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import App, Pairs, Request, WebSocket
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet

UPGRADE = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
TWO_READINGS = RouteTable([Route(HOST, b"/api", TARGET), Route(HOST, b"/admin", TARGET)])

REFUSED: list[Any] = [
    pytest.param({"host": "nobody.test"}, 404, "no_route", id="a host that is not routed"),
    pytest.param({"host": None}, 404, "no_route", id="no Host at all"),
    pytest.param({"target": "/other"}, 404, "no_route", id="no route of this host for the path"),
    pytest.param({"target": "/other/../admin"}, 400, "unsafe_path", id="dot segments"),
    pytest.param({"target": "/%61dmin"}, 400, "unsafe_path", id="an encoded prefix"),
    pytest.param({"headers": [(b"host", b"b.test")]}, 400, "bad_request", id="two Hosts"),
]  # fmt: skip


def counted(stage: Stage) -> dict[tuple[str, ...], float]:
    """`gateway_requests_total`: (method, outcome, status class) -> count."""
    return {key[1:]: value for key, value in samples(stage.gateway.metrics).items() if key[0] == _NAME}


_NAME = "gateway_requests_total"


def mounted(stage: Stage, prefix: str) -> App:
    return Starlette(routes=[Mount(prefix, app=stage.app)]) if prefix else stage.app


def under(prefix: str, parts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The target below the prefix, and what else there is to the scope."""
    return prefix + parts.get("target", "/"), {name: value for name, value in parts.items() if name != "target"}


@pytest.mark.parametrize("prefix", ["", "/gw"])
@pytest.mark.parametrize(("parts", "status", "code"), REFUSED)
@dialogue
async def test_a_request(caplog: pytest.LogCaptureFixture, parts: dict[str, Any], status: int, code: str, prefix: str):
    lines = Lines(caplog)
    async with Stage(routes=TWO_READINGS) as s:
        target, scope = under(prefix, parts)
        request = await Request(mounted(s, prefix), "POST", target + "?token=secret", **scope).start().over()
        assert request.status == status
        assert f'"code":"{code}"'.encode() in request.answer
        assert (request.header(b"connection") == b"close") == (code == "bad_request")
        (line,) = lines.ended
        assert (line["kind"], line["method"], line["status"], line["outcome"]) == ("http", "POST", status, code)
        request_id = (request.header(b"x-request-id") or b"").decode()
        assert is_new(request_id)
        assert line["request_id"] == request_id
        assert line["path"] == parts.get("target", "/")
        assert line["host"] == (HOST if parts.get("host", HOST) == HOST else parts["host"] or "")
        assert (line["service"], line["namespace"], line["cluster_id"], line["port"]) == ("", "", "", None)
        assert line["client"] == "203.0.113.9"
        assert "secret" not in str(caplog.records[-1].__dict__)
        assert counted(s) == {("POST", code, "4xx"): 1}
        assert s.link.exchanges == []


@pytest.mark.parametrize("prefix", ["", "/gw"])
@pytest.mark.parametrize(("parts", "status", "code"), REFUSED)
@dialogue
async def test_a_handshake(
    caplog: pytest.LogCaptureFixture, parts: dict[str, Any], status: int, code: str, prefix: str
):
    lines = Lines(caplog)
    async with Stage(routes=TWO_READINGS) as s:
        target, scope = under(prefix, parts)
        call = await WebSocket(mounted(s, prefix), target, **scope).start().over()
        assert call.refusal is not None
        assert call.refusal[0] == status
        (line,) = lines.ended
        assert (line["kind"], line["status"], line["outcome"]) == ("websocket", status, code)
        assert line["closed_by"] == "gateway"
        assert is_new(line["request_id"])
        assert call.refusal[1][b"x-request-id"] == line["request_id"].encode()
        assert counted(s) == {("GET", code, "4xx"): 1}
        assert s.gateway.metrics.websockets_active == 0


@dialogue
async def test_a_handshake_that_the_server_hands_over_as_plain_http(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        request = await Request(s.app, headers=UPGRADE).start().over()
        assert request.status == 501
        assert request.header(b"x-request-id") == lines.last["request_id"].encode()
        assert counted(s) == {("GET", "websockets_unavailable", "5xx"): 1}


@dialogue
async def test_a_client_that_leaves_before_its_handshake(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        call = WebSocket(s.app, host="nobody.test")
        await call.receive()
        call.leave(1006)
        await call.start().over()
        assert call.sent == []
        assert (lines.last["status"], lines.last["outcome"]) == (None, "client_left")
        assert counted(s) == {("GET", "client_left", "none"): 1}


@pytest.mark.parametrize("kind", [Request, WebSocket])
@dialogue
async def test_a_client_that_is_gone_by_the_answer(
    caplog: pytest.LogCaptureFixture, kind: type[Request] | type[WebSocket]
):
    lines = Lines(caplog)
    async with Stage() as s:
        call = kind(s.app, host="nobody.test")
        call.sends_fail = True
        await call.start().over()
        assert lines.last["outcome"] == "no_route"
        assert counted(s) == {("GET", "no_route", "4xx"): 1}


@pytest.mark.parametrize(("headers", "kept"), [([(b"x-request-id", b"chosen")], True), ([], False)])
@pytest.mark.parametrize("trusted", [True, False])
@dialogue
async def test_a_trusted_proxys_id_is_taken(
    caplog: pytest.LogCaptureFixture, headers: Pairs, kept: bool, trusted: bool
):
    lines = Lines(caplog)
    proxies = (ipaddress.ip_network("203.0.113.0/24"),) if trusted else ()
    async with Stage(trusted_proxies=proxies) as s:
        request = await Request(s.app, host="nobody.test", headers=headers).start().over()
        request_id = (request.header(b"x-request-id") or b"").decode()
        assert (request_id == "chosen") == (kept and trusted)
        assert lines.last["request_id"] == request_id


@dialogue
async def test_what_clients_invent_makes_no_series(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        for number in range(50):
            await Request(s.app, f"BREW{number}", f"/{number}", host=f"h{number}.test").start().over()
        assert counted(s) == {("other", "no_route", "4xx"): 50}
        assert len(lines.ended) == 50
        assert ".test" not in s.gateway.metrics.render(None)[0].decode()


@dialogue
async def test_a_forged_line_is_none(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as s:
        await Request(s.app, host="nobody.test\r\nforged" + "x" * 5_000).start().over()
        assert lines.last["host"].startswith(r"nobody.test\r\nforged")
        assert len(lines.last["host"]) < 600


@dialogue
async def test_an_operators_path_that_is_none_counts_too(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(admin_token_hash=token_hash("admin"), control_hosts=frozenset({"localhost"})) as s:
        request = await Request(s.app, target="/-/nothing", host="localhost").start().over()
        assert request.status == 404
        assert (lines.last["path"], lines.last["outcome"]) == ("/-/nothing", "no_route")


@dialogue
async def test_our_own_endpoints_have_no_line(caplog: pytest.LogCaptureFixture):
    """Probes come every few seconds; agents have log lines of their own."""
    lines = Lines(caplog)
    async with Stage(grants={token_hash("good"): Grant(("c1",))}) as s:
        assert (await Request(s.app, target="/healthz", host="nobody.test").start().over()).status == 200
        call = await WebSocket(s.app, "/agent", host="nobody.test").start().over()
        assert call.refusal is not None
        assert call.refusal[0] == 503
        assert (lines.ended, counted(s)) == ([], {})


# --- through the door of our own, which sees the target as it came


@pytest.mark.parametrize("upgrade", [b"", HANDSHAKE])
@dialogue
async def test_an_authority_that_is_not_the_host(caplog: pytest.LogCaptureFixture, upgrade: bytes):
    lines = Lines(caplog)
    async with Stage() as s:
        with Visitor(Front(s)) as visitor:
            visitor.ask("http://other.test/a?token=secret", upgrade)
            await quiet()
            head, _, body = visitor.got.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert b"\r\nconnection: close" in head
            assert b"authority" in body
            assert f"\r\nx-request-id: {lines.last['request_id']}".encode() in head
            assert (lines.last["method"], lines.last["path"], lines.last["outcome"]) == ("GET", "/a", "bad_request")
            assert "secret" not in str(caplog.records[-1].__dict__)
            assert visitor.protocol.state is State.LINGERING
            assert counted(s) == {("GET", "bad_request", "4xx"): 1}
            assert s.link.exchanges == []
