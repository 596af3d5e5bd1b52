"""Sizes of request bodies, header changes, and stickiness: what a route's policy does to a request."""

import json
from typing import Any

import pytest

from app.asgi.http_client import BrokenOffError
from app.rules.policy import HeaderChanges
from tests.app.public.limits import Lines, hits
from tests.app.stage import Stage
from tests.fakes.asgi import Pairs, Request, WebSocket
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted

CHUNKED = [(b"transfer-encoding", b"chunked")]


def post(stage: Stage, headers: Pairs) -> Request:
    return Request(stage.app, "POST", headers=headers).start()


def length(size: int) -> Pairs:
    return [(b"content-length", b"%d" % size)]


async def answered(link: FakeLink, request: Request) -> None:
    link.exchanges[-1].answer(200)
    link.exchanges[-1].finish()
    await request.over()
    assert request.status == 200


# --- max_body_bytes


@dialogue
async def test_an_announced_body_is_refused_before_anything_is_read(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(max_body_bytes=10) as s:
        request = post(s, length(10))
        request.body(b"x" * 10)
        await quiet()
        await answered(s.link, request)
        assert s.link.only.body == b"x" * 10
        assert hits(s) == {}
        request = post(s, length(11))
        request.body(b"x" * 11)
        await request.over()
        assert request.status == 413
        assert json.loads(request.answer)["code"] == "body_too_large"
        assert request.received == 0
        assert len(s.link.exchanges) == 1  # the service never heard of it
        assert hits(s) == {"body_size": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (413, "body_too_large", "body_size")


@dialogue
async def test_a_chunked_body_is_refused_once_it_crosses(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(max_body_bytes=10) as s:
        request = post(s, CHUNKED)
        request.body(b"x" * 9, more=True)
        request.body(b"y")
        await quiet()
        await answered(s.link, request)
        assert s.link.only.body == b"x" * 9 + b"y"
        request = post(s, CHUNKED)
        request.body(b"x" * 9, more=True)
        request.body(b"yz", more=True)
        request.body(b"never read", more=True)
        await request.over()
        assert request.status == 413
        assert request.received == 2
        second = s.link.exchanges[1]
        assert (second.body, second.ended, second.resets > 0) == (b"x" * 9, 0, True)
        assert hits(s) == {"body_size": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (413, "body_too_large", "body_size")


@dialogue
async def test_a_chunked_body_that_crosses_after_the_answer_began_breaks_it_off(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(max_body_bytes=10) as s:
        request = post(s, CHUNKED)
        await quiet()
        s.exchange.answer(200)
        s.exchange.bring(b"half")
        request.body(b"x" * 10, more=True)
        await quiet()
        assert request.answer == b"half"
        request.body(b"y", more=True)
        with pytest.raises(BrokenOffError):
            await request.over()
        assert not request.complete
        assert s.exchange.resets
        assert hits(s) == {"body_size": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (200, "broken_off", "body_size")
        assert line["closed_by"] == "gateway"


@pytest.mark.parametrize("headers", [CHUNKED, length(100 * 1024 * 1024)])
@dialogue
async def test_bodies_are_unlimited_by_default(headers: Pairs):
    async with Stage() as s:
        request = post(s, headers)
        for _ in range(99):
            request.body(bytes(1024 * 1024), more=True)
        request.body(bytes(1024 * 1024))
        await quiet()
        assert sum(map(len, s.exchange.data)) == 100 * 1024 * 1024
        await answered(s.link, request)


@dialogue
async def test_an_answer_has_no_limit():
    async with Stage(max_body_bytes=10) as s:
        request = Request(s.app).start()
        await quiet()
        s.exchange.answer(200)
        s.exchange.bring(b"x" * 1000)
        s.exchange.finish()
        await request.over()
        assert request.answer == b"x" * 1000


# --- header changes

CHANGES = {
    "request_headers": HeaderChanges([(b"x-set", b"ours")], frozenset({b"x-gone"})),
    "response_headers": HeaderChanges([(b"x-frame-options", b"DENY")], frozenset({b"server"})),
}
FROM_CLIENT = [(b"x-set", b"theirs"), (b"x-gone", b"1"), (b"x-set", b"again"), (b"x-kept", b"2")]
FROM_SERVICE = [(b"Server", b"x/1"), (b"X-Frame-Options", b"ALLOW"), (b"X-Kept", b"3")]


def values(headers: Pairs, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


@pytest.mark.parametrize("changed", [True, False])
@dialogue
async def test_header_changes_of_requests(changed: bool):
    settings: dict[str, Any] = CHANGES if changed else {}
    async with Stage(**settings) as s:
        request = Request(s.app, headers=FROM_CLIENT).start()
        await quiet()
        sent = s.exchange.head.headers
        s.exchange.answer(200, FROM_SERVICE)
        s.exchange.finish()
        await request.over()
        assert_changed(changed, sent, request.headers)


@pytest.mark.parametrize("changed", [True, False])
@dialogue
async def test_header_changes_of_websockets(changed: bool):
    settings: dict[str, Any] = CHANGES if changed else {}
    async with Stage(**settings) as s:
        call = WebSocket(s.app, headers=FROM_CLIENT).start()
        await quiet()
        service = FakeService(s.exchange)
        service.accept(None, FROM_SERVICE)
        await quiet()
        assert call.accepted is not None
        assert_changed(changed, s.exchange.head.headers, call.accepted["headers"])
        await parted(call, service)


@dialogue
async def test_header_changes_of_a_refused_websocket():
    async with Stage(**CHANGES) as s:
        call = WebSocket(s.app, headers=FROM_CLIENT).start()
        await quiet()
        s.exchange.answer(403, FROM_SERVICE)
        s.exchange.finish()
        await call.over()
        assert call.refusal is not None
        assert_changed(True, s.exchange.head.headers, list(call.refusal[1].items()))


def assert_changed(changed: bool, sent: Pairs, got: Pairs) -> None:
    assert values(sent, b"x-set") == ([b"ours"] if changed else [b"theirs", b"again"])
    assert values(sent, b"x-gone") == ([] if changed else [b"1"])
    assert values(sent, b"x-kept") == [b"2"]
    assert values(sent, b"host") == [b"app.example.test"]
    assert values(got, b"server") == ([] if changed else [b"x/1"])
    assert values(got, b"x-frame-options") == [b"DENY" if changed else b"ALLOW"]
    assert values(got, b"x-kept") == [b"3"]


# --- stickiness


async def served(stage: Stage, headers: Pairs | None = None, **scope: Any) -> tuple[FakeLink, bytes | None]:
    """Which link got a request, and the cookie that the client was given."""
    before = {link: len(link.exchanges) for link in stage.links}
    request = Request(stage.app, headers=headers, **scope).start()
    await quiet()
    (link,) = [link for link in stage.links if len(link.exchanges) > before[link]]
    await answered(link, request)
    cookie = request.header(b"set-cookie")
    return link, cookie.partition(b";")[0] if cookie is not None else None


@dialogue
async def test_a_cookie_keeps_a_client_with_its_agent():
    async with Stage(links=3, sticky="cookie") as s:
        first, cookie = await served(s)
        assert cookie is not None
        assert cookie.startswith(b"tunnel_agent=")
        assert first.agent_id not in cookie.decode()
        first.active = 50
        for _ in range(5):
            assert await served(s, [(b"cookie", b"a=b; " + cookie + b"; c=d")]) == (first, None)
        assert (await served(s))[0] is not first
        first.available = False
        other, another = await served(s, [(b"cookie", cookie)])
        assert other is not first
        assert another not in (None, cookie)
        first.available = True
        assert await served(s, [(b"cookie", cookie)]) == (first, None)
        assert (await served(s, [(b"cookie", b"tunnel_agent=forged")]))[1] is not None


@dialogue
async def test_a_websocket_gets_the_cookie_with_its_101():
    async with Stage(sticky="cookie") as s:
        call, service = await opened(s)
        assert call.accepted is not None
        (cookie,) = values(call.accepted["headers"], b"set-cookie")
        assert cookie.startswith(b"tunnel_agent=")
        assert cookie.endswith(b"; Path=/; HttpOnly; SameSite=Lax")
        await parted(call, service)


@dialogue
async def test_a_clients_address_keeps_it_with_an_agent():
    async with Stage(links=3, sticky="client") as s:
        clients = [(f"203.0.113.{number}", 1) for number in range(1, 41)]
        homes = {client: await served(s, client=client) for client in clients}
        assert {link for link, _ in homes.values()} == set(s.links)
        assert all(cookie is None for _, cookie in homes.values())
        gone = s.links[0]
        s.links[1].active = 50
        for client in clients:
            assert await served(s, client=(client[0], 2)) == homes[client]
        gone.available = False
        for client in clients:
            link, _ = await served(s, client=client)
            assert link is not gone
            assert link is homes[client][0] or homes[client][0] is gone  # only its own clients move


@dialogue
async def test_nobody_is_kept_by_default():
    async with Stage(links=2) as s:
        first, cookie = await served(s)
        assert cookie is None
        first.active = 50
        assert (await served(s))[0] is not first
