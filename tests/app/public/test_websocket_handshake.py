"""The WebSocket door's handshake: accepted only as the service accepts, refused as it refuses."""

import asyncio

import pytest

from tests.app.stage import Stage
from tests.fakes.asgi import WebSocket
from tests.fakes.loop import dialogue, quiet
from tests.fakes.service import FakeService, opened, parted
from tunnel.errors import (
    BadAnswerError,
    LinkBusyError,
    LinkLostError,
    ServiceBrokeOffError,
    ServiceUnreachableError,
    StreamRefusedError,
    TlsFailedError,
    TunnelError,
)
from tunnel.websocket.handshake import accept_for


@dialogue
async def test_the_client_is_accepted_after_the_services_101():
    async with Stage() as s:
        headers = [
            (b"connection", b"Upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-key", b"client's"),
            (b"sec-websocket-extensions", b"permessage-deflate"), (b"cookie", b"a=b"),
        ]  # fmt: skip
        call = WebSocket(s.app, "/ws?a=1", headers=headers, subprotocols=["chat", "superchat"]).start()
        await asyncio.sleep(1.0)
        assert call.sent == []
        head = s.exchange.head
        fields = {name.lower(): value for name, value in head.headers}
        assert (head.target, head.upgrade, head.body_length) == (b"/ws?a=1", True, 0)
        assert fields[b"sec-websocket-protocol"] == b"chat, superchat"
        assert fields[b"sec-websocket-version"] == b"13"
        assert fields[b"sec-websocket-key"] != b"client's"
        assert fields[b"cookie"] == b"a=b"
        assert b"sec-websocket-extensions" not in fields
        service = FakeService(s.exchange)
        hop = [
            (b"Keep-Alive", b"timeout=5"),
            (b"Set-Cookie", b"c=1"),
            (b"Set-Cookie", b"d=2"),
            (b"X-Served-By", b"web"),
        ]
        service.accept(b"superchat", hop)
        await quiet()
        request_id = (b"x-request-id", fields[b"x-request-id"])
        assert call.accepted == {
            "type": "websocket.accept",
            "subprotocol": "superchat",
            "headers": [(b"set-cookie", b"c=1"), (b"set-cookie", b"d=2"), (b"x-served-by", b"web"), request_id],
        }
        await parted(call, service)


@dialogue
async def test_no_subprotocol():
    async with Stage() as s:
        call, service = await opened(s)
        assert call.accepted is not None
        assert call.accepted["subprotocol"] is None
        assert all(name.lower() != b"sec-websocket-protocol" for name, _ in s.exchange.head.headers)
        await parted(call, service)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 426, 500, 503])
@dialogue
async def test_a_refusal_passes_as_it_is(status: int):
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(status, [(b"X-Why", b"because"), (b"WWW-Authenticate", b"Basic"), (b"Content-Length", b"6")])
        s.exchange.bring(b"not ")
        await quiet()
        s.exchange.bring(b"so")
        s.exchange.finish()
        await call.over()
        assert call.refusal is not None
        got, fields, body = call.refusal
        assert (b"x-request-id", fields.pop(b"x-request-id")) in s.exchange.head.headers
        assert fields.pop(b"date").endswith(b" GMT")
        assert (got, fields, body) == (
            status, {b"x-why": b"because", b"www-authenticate": b"Basic", b"content-length": b"6"}, b"not so"
        )  # fmt: skip


@pytest.mark.parametrize("status", [200, 204, 206])
@dialogue
async def test_a_success_that_is_no_upgrade_is_passed_on(status: int):
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(status)
        s.exchange.finish()
        await call.over()
        assert call.refusal is not None
        assert call.refusal[0] == status


@pytest.mark.parametrize("status", [200, 403])
@dialogue
async def test_a_refusal_whose_body_never_ends_is_given_up(status: int):
    """An event stream, say, that was asked for a WebSocket by mistake."""
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(status)
        s.exchange.bring(b"event")
        await call.over()
        assert call.refusal is not None
        assert s.exchange.resets


@dialogue
async def test_a_refusal_whose_body_is_too_large_is_502():
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(403)
        for _ in range(65):
            if not s.exchange.resets:
                s.exchange.bring(b"x" * 16_384)
        await call.over()
        assert s.exchange.resets
        assert call.refusal is not None
        assert call.refusal[0] == 502


@dialogue
async def test_a_refusal_that_breaks_off_is_502():
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(403, [(b"Content-Length", b"6")])
        s.exchange.bring(b"not")
        s.exchange.fail(ServiceBrokeOffError("gone"))
        await call.over()
        assert call.refusal is not None
        assert call.refusal[0] == 502


WRONG_101 = [
    [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"wrong")],
    [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")],
    [(b"Upgrade", b"h2c"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"ACCEPT")],
    [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Accept", b"ACCEPT")],
    [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"ACCEPT"),
     (b"Sec-WebSocket-Protocol", b"other")],
    [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", b"ACCEPT"),
     (b"Sec-WebSocket-Extensions", b"permessage-deflate")],
]  # fmt: skip


@pytest.mark.parametrize("fields", WRONG_101)
@dialogue
async def test_a_bad_101_is_502(fields: list[tuple[bytes, bytes]]):
    async with Stage() as s:
        call = WebSocket(s.app, subprotocols=["chat"]).start()
        await quiet()
        accept = accept_for(FakeService(s.exchange).key)
        s.exchange.answer(101, [(name, accept if value == b"ACCEPT" else value) for name, value in fields])
        await call.over()
        assert call.refusal is not None
        assert call.refusal[0] == 502
        assert b"bad_answer" in call.refusal[2]
        assert s.exchange.resets


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ServiceUnreachableError, 502),
        (BadAnswerError, 502),
        (TlsFailedError, 502),
        (LinkBusyError, 503),
        (TunnelError, 500),
    ],
)
@dialogue
async def test_an_error_before_the_101(kind: type[TunnelError], status: int):
    async with Stage() as s:
        call = WebSocket(s.app).start()
        for _ in range(2):
            await quiet()
            if not call.is_over:
                s.link.exchanges[-1].fail(kind("10.0.0.1"))
        await call.over()
        assert call.refusal is not None
        assert call.refusal[0] == status
        assert b"10.0.0.1" not in call.refusal[2]


@pytest.mark.parametrize("kind", [StreamRefusedError, LinkLostError])
@dialogue
async def test_a_lost_race_is_tried_once_more(kind: type[TunnelError]):
    async with Stage(links=2) as s:
        call = WebSocket(s.app).start()
        await quiet()
        first = next(link for link in s.links if link.exchanges)
        second = next(link for link in s.links if not link.exchanges)
        first.only.fail(kind("lost race"))
        await quiet()
        assert second.only.fresh
        service = FakeService(second.only)
        service.accept()
        await quiet()
        assert call.accepted is not None
        await parted(call, service)


@dialogue
async def test_no_answer_in_time():
    async with Stage(upgrade_timeout=7.0) as s:
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = await WebSocket(s.app).start().over()
        assert loop.time() - began == pytest.approx(7.0, abs=0.1)
        assert call.refusal is not None
        assert call.refusal[0] == 504
        assert s.exchange.resets


@dialogue
async def test_interim_answers_are_no_answer():
    async with Stage() as s:
        call = WebSocket(s.app).start()
        await quiet()
        s.exchange.answer(103)
        await quiet()
        service = FakeService(s.exchange)
        service.accept()
        await quiet()
        assert call.accepted is not None
        await parted(call, service)


@dialogue
async def test_a_client_that_left_before_its_handshake():
    async with Stage() as s:
        call = WebSocket(s.app)
        await call.receive()
        call.leave(1006)
        await call.start().over()
        assert call.sent == []
        assert s.link.exchanges == []
