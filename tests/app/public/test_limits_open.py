"""Who may open a WebSocket: origins, and how many are open, by route, client address and cluster."""

import asyncio
import ipaddress
import json
from typing import Any

import pytest

from app.rules.policy import Policy
from app.rules.routes import Route, RouteTable
from tests.app.public.limits import Lines, hits
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Pairs, WebSocket
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted
from tunnel.errors import LinkLostError, ServiceUnreachableError


async def refused(stage: Stage, headers: Pairs | None = None, **scope: Any) -> WebSocket:
    """A handshake that never reaches the service."""
    before = len(stage.link.exchanges)
    call = await WebSocket(stage.app, headers=headers, **scope).start().over()
    assert call.accepted is None
    assert len(stage.link.exchanges) == before
    return call


def says(call: WebSocket) -> tuple[int, str, bytes | None]:
    """Status, code and Retry-After of a refusal of ours."""
    assert call.refusal is not None
    status, headers, body = call.refusal
    return status, json.loads(body)["code"], headers.get(b"retry-after")


# --- origins


@pytest.mark.parametrize(
    ("settings", "host", "inside", "beyond"),
    [
        ({}, HOST, [b"https://app.example.test"], [b"https://evil.test"]),
        ({}, HOST + ":8080", [b"http://app.example.test:8080"], [b"http://app.example.test:8081"]),
        ({}, HOST, [b"http://app.example.test:80"], [b"http://app.example.test:81"]),
        ({"origins": ("*.pipeops.io",)}, HOST, [b"https://a.pipeops.io"], [b"https://evilpipeops.io"]),
        ({"origins": ("*.pipeops.io",)}, HOST, [b"https://a.b.pipeops.io"], [b"https://pipeops.io"]),
        ({"origins": ("https://a.test",)}, HOST, [b"https://a.test"], [b"http://a.test"]),
        ({"origins": ("a.test:8443",)}, HOST, [b"https://a.test:8443"], [b"https://a.test"]),
        ({"origins": ("*",)}, HOST, [b"https://evil.test"], [b"null"]),
        ({"origins": ("*",)}, HOST, [b"https://a.test"], [b"https://a.test", b"https://a.test"]),
        ({"allow_missing_origin": False}, HOST, [b"https://app.example.test"], []),
        ({"allow_null_origin": True}, HOST, [b"null"], [b"null", b"null"]),
        ({}, HOST, [], [b"null"]),
    ],
)
@dialogue
async def test_origins(
    settings: dict[str, Any],
    host: str,
    inside: list[bytes],
    beyond: list[bytes],
    caplog: pytest.LogCaptureFixture,
):
    lines = Lines(caplog)
    async with Stage(**settings) as s:
        call, service = await opened(s, host=host, headers=[(b"origin", value) for value in inside])
        await parted(call, service)
        assert hits(s) == {}
        call = await refused(s, [(b"origin", value) for value in beyond], host=host)
        assert says(call) == (403, "origin_refused", None)
        assert hits(s) == {"origin": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (403, "origin_refused", "origin")
        assert line["closed_by"] == "gateway"


@dialogue
async def test_a_trusted_proxys_scheme_counts():
    """The Host has no port, so its default is that of the client's scheme, which only the proxy knows."""
    networks = (ipaddress.ip_network("10.0.0.0/8"),)
    routes = RouteTable([Route("*.example.test", b"/", TARGET)])
    async with Stage(trusted_proxies=networks, routes=routes) as s:
        headers = [(b"origin", b"https://app.example.test:443"), (b"x-forwarded-proto", b"https")]
        call, service = await opened(s, headers=headers, client=("10.0.0.1", 9))
        await parted(call, service)
        call = await refused(s, [(b"origin", b"https://app.example.test:80"), *headers[1:]], client=("10.0.0.1", 9))
        assert says(call)[0] == 403


# --- how many


@dialogue
async def test_so_many_of_a_route_and_no_more(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    policy = Policy(max_websockets=2)
    routes = RouteTable([Route(HOST, b"/", TARGET, policy), Route(HOST, b"/other", TARGET, policy)])
    async with Stage(routes=routes) as s:
        first, second = await opened(s), await opened(s)
        assert hits(s) == {}
        assert says(await refused(s)) == (503, "too_many_websockets", b"10")
        assert hits(s) == {"websockets_route": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (503, "too_many_websockets", "websockets_route")
        other = await opened(s, "/other/ws")  # a route of its own
        await parted(*first)
        third = await opened(s)
        assert says(await refused(s))[0] == 503
        for pair in (second, third, other):
            await parted(*pair)


@dialogue
async def test_so_many_of_a_client_and_no_more(caplog: pytest.LogCaptureFixture):
    """Over all routes."""
    lines = Lines(caplog)
    policy = Policy(max_websockets_per_client=2)
    routes = RouteTable([Route(HOST, b"/", TARGET, policy), Route(HOST, b"/other", TARGET, policy)])
    async with Stage(routes=routes) as s:
        first, second = await opened(s), await opened(s, "/other")
        spoofed = [(b"x-forwarded-for", b"198.51.100.7")]  # nobody is trusted here
        assert says(await refused(s, spoofed)) == (429, "too_many_websockets_of_client", b"10")
        assert hits(s) == {"websockets_client": 1}
        line = lines.last
        assert (line["status"], line["limit"]) == (429, "websockets_client")
        assert line["outcome"] == "too_many_websockets_of_client"
        assert line["client"] == "203.0.113.9"
        stranger = await opened(s, client=("203.0.113.10", 1))
        await parted(*first)
        third = await opened(s)
        for pair in (second, stranger, third):
            await parted(*pair)


@dialogue
async def test_behind_a_trusted_proxy_clients_are_told_apart(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(max_websockets_per_client=1, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),)) as s:
        proxy = ("10.0.0.1", 50_000)
        first = await opened(s, client=proxy, headers=[(b"x-forwarded-for", b"198.51.100.7, 10.9.9.9")])
        second = await opened(s, client=proxy, headers=[(b"x-forwarded-for", b"198.51.100.8")])
        again = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.7")]  # claims another one
        assert says(await refused(s, again, client=proxy))[0] == 429
        assert lines.last["client"] == "198.51.100.7"
        assert hits(s) == {"websockets_client": 1}
        await parted(*first)
        await parted(*second)


@dialogue
async def test_so_many_of_a_cluster_and_no_more(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    routes = RouteTable([Route(HOST, b"/", TARGET), Route("other.example.test", b"/", TARGET)])
    async with Stage(routes=routes, max_websockets_per_cluster=2) as s:
        first, second = await opened(s), await opened(s, host="other.example.test", client=("203.0.113.10", 1))
        assert says(await refused(s)) == (503, "too_many_websockets_of_cluster", b"10")
        assert hits(s) == {"websockets_cluster": 1}
        line = lines.last
        assert (line["status"], line["limit"]) == (503, "websockets_cluster")
        assert line["outcome"] == "too_many_websockets_of_cluster"
        await parted(*first)
        third = await opened(s)
        await parted(*second)
        await parted(*third)


ENDINGS = [
    "the client closes", "the client vanishes", "the service closes", "the service vanishes", "the link is lost",
    "too large", "the service refuses", "unreachable", "no answer", "cancelled", "cancelled in its handshake",
    "the server raises", "no agent", "relieved", "left at once",
]  # fmt: skip


@pytest.mark.parametrize("how", ENDINGS)
@dialogue
async def test_the_counts_go_down_however_it_ended(how: str):
    one = {"max_websockets": 1, "max_websockets_per_client": 1, "max_websockets_per_cluster": 1}
    async with Stage(**one, max_message_bytes=1000) as s:
        if how == "no agent":
            s.link.available = False
        call = WebSocket(s.app)
        if how == "left at once":
            await call.receive()
            call.leave(1006)
        call.start()
        await quiet()
        if how not in ("no agent", "left at once"):
            assert says(await refused(s))[0] == 503
            await ended(s, call, how)
        if how.startswith("cancelled"):
            with pytest.raises(asyncio.CancelledError):
                await call.over()
        else:
            await call.over()
        s.link.available = True
        assert repr(s.gateway.admission) == "<Admission 0 WebSockets: 0 routes, 0 clients, 0 clusters>"
        await parted(*await opened(s))


async def ended(stage: Stage, call: WebSocket, how: str) -> None:
    service = FakeService(stage.exchange)
    match how:
        case "the service refuses":
            service.exchange.answer(403)
            service.exchange.finish()
        case "unreachable":
            service.exchange.fail(ServiceUnreachableError("refused"))
        case "no answer":
            await asyncio.sleep(10.0)
        case "cancelled in its handshake":
            assert call.task is not None
            call.task.cancel()
        case _:
            service.accept()
            await quiet()
            assert call.accepted is not None
            ended_open(stage, call, service, how)


def ended_open(stage: Stage, call: WebSocket, service: FakeService, how: str) -> None:
    match how:
        case "the client closes":
            call.leave(1000)
        case "the client vanishes":
            call.leave(1006)
        case "the service closes":
            service.close(1000)
        case "the service vanishes":
            service.exchange.finish()
        case "the link is lost":
            service.exchange.fail(LinkLostError("gone"))
        case "too large":
            call.say("x" * 1001)
        case "cancelled":
            assert call.task is not None
            call.task.cancel()
        case "the server raises":
            call.sends_fail = True
            service.say("x")
        case "relieved":
            (exchange,) = stage.gateway.exchanges
            exchange.relieve()
        case _:
            raise AssertionError(how)
