"""Offers of other protocols than WebSocket are dropped, and trailers are; what the service sees of such requests."""

import pytest

from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.loop import dialogue, quiet

HOST_LINE = f"Host: {HOST}\r\n".encode()
NEXT = b"GET /next HTTP/1.1\r\n" + HOST_LINE + b"\r\n"
HOP_BY_HOP = {b"upgrade", b"connection", b"http2-settings"}


@pytest.mark.parametrize("pieces", [1, 1_000])
@pytest.mark.parametrize("after", [b"", NEXT])
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"", b""),
        (b"Content-Length: 5\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("offer", [b"h2c", b"TLS/1.0", b"h2c, foo"])
@dialogue
async def test_another_offer_is_dropped(offer: bytes, fields: bytes, body: bytes, after: bytes, pieces: int):
    lines = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" % offer
    data = b"POST /a HTTP/1.1\r\n" + HOST_LINE + lines + fields + b"\r\n" + body + after
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            step = -(-len(data) // pieces)
            for begin in range(0, len(data), step):
                visitor.protocol.data_received(data[begin : begin + step])
            await quiet()
            exchange = stage.exchange
            assert (exchange.head.method, exchange.head.target) == (b"POST", b"/a")
            assert (exchange.body, exchange.ended) == (b"hello" if body else b"", 1)
            assert {name.lower() for name, _ in exchange.head.headers}.isdisjoint(HOP_BY_HOP)
            exchange.whole(b"ok")
            await quiet()
            if after:
                assert [each.head.target for each in stage.link.exchanges] == [b"/a", b"/next"]
                stage.link.exchanges[-1].whole(b"ok")
                await quiet()
            assert visitor.got.count(b"HTTP/1.1 200 OK\r\n") == len(stage.link.exchanges) == 1 + bool(after)
            assert not visitor.wire.closed


@dialogue
async def test_what_connection_says_beside_the_offer_holds():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/a", b"Connection: Upgrade, close, X-Hop\r\nUpgrade: h2c\r\nX-Hop: 1\r\n")
            names = {name.lower() for name, _ in stage.exchange.head.headers}
            assert names.isdisjoint({b"x-hop", *HOP_BY_HOP})
            stage.exchange.whole(b"ok")
            await quiet()
            assert b"\r\nconnection: close\r\n" in visitor.got
            assert visitor.wire.closed


@dialogue
async def test_a_request_of_http_1_0_stays_one():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.protocol.data_received(
                b"GET /a HTTP/1.0\r\n" + HOST_LINE + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
            )
            stage.exchange.whole(b"ok")
            await quiet()
            assert visitor.status == 200
            assert visitor.wire.closed


@dialogue
async def test_trailers_are_dropped():
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            late = b"X-Late: 1\r\nHost: other.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
            visitor.ask("/a", b"Transfer-Encoding: chunked\r\nTrailer: X-Late\r\n", method="POST")
            visitor.protocol.data_received(b"5\r\nhello\r\n0\r\n" + late + NEXT)
            exchange = stage.exchange
            assert (exchange.body, exchange.ended) == (b"hello", 1)
            exchange.whole(b"ok")
            await quiet()
            for each in stage.link.exchanges:
                fields = {name.lower(): value for name, value in each.head.headers}
                assert fields[b"host"] == HOST.encode()
                assert fields[b"x-forwarded-for"] == b"203.0.113.9"
                assert b"x-late" not in fields
            assert stage.link.exchanges[-1].head.target == b"/next"
            assert len(stage.link.exchanges) == 2
            stage.link.exchanges[-1].whole(b"ok")
            await quiet()
            assert visitor.got.count(b"HTTP/1.1 200 OK\r\n") == 2
