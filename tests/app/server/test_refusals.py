"""What is no request, or no handshake, is answered all the same: with an id, an access line and a count."""

import asyncio

import pytest

from app.server.connection_states import HEAD_SECONDS
from tests.app.public.limits import Lines
from tests.app.server.door_stage import HANDSHAKE, Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.loop import dialogue, quiet


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"x\n", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 256 + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000, 414),
        (b"TRACE / HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n", 501),
    ],
)
@dialogue
async def test_what_is_refused_has_an_id_a_line_and_a_count(data: bytes, status: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.protocol.data_received(data)
            await quiet()
            assert visitor.status == status
            assert b"\r\nx-request-id: " in visitor.got
            assert b"\r\nconnection: close\r\n" in visitor.got
            lines = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
            assert len(lines) == 1
            assert f" {status} in " in lines[0]
            assert visitor.got.split(b"x-request-id: ")[1][:32].decode() in lines[0]


@pytest.mark.parametrize(
    ("data", "method", "path"),
    [
        (b"GET http://other.test/a/b?secret=1 HTTP/1.1\r\nHost: app.example.test\r\n\r\n", "GET", "/a/b"),
        (b"GET http://other.test?secret=1 HTTP/1.1\r\nHost: app.example.test\r\n\r\n", "GET", "/"),
        (b"\r\nLABEL /a?secret=1 HTTP/1.1\r\n\r\n", "LABEL", "/a"),
        (b"GET /a HTTP/2.0\r\nHost: h\r\n\r\n", "GET", "/a"),
        (b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", "PUT", "/a"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\n" + b"X: 1\r\n" * 256 + b"\r\n", "GET", "/a"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 140_000, "GET", "/a"),
        (b"GET /a HTTP/1.1\r\nHost: h\r\nX: 1\n", "GET", "/a"),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", "CONNECT", "h:443"),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "-", ""),
        (b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "-", ""),
        (b"G(T /a HTTP/1.1\r\nHost: h\r\n\r\n", "-", ""),
        (b"GET /" + b"a" * 70_000, "-", ""),
    ],
)
@pytest.mark.parametrize("cut", [None, 40])
@dialogue
async def test_the_line_of_a_refusal_says_what_was_understood(
    data: bytes, method: str, path: str, cut: int | None, caplog: pytest.LogCaptureFixture
):
    lines = Lines(caplog)
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            for piece in (data,) if cut is None else (data[:cut], data[cut:]):
                if not visitor.got:
                    visitor.protocol.data_received(piece)
                    await quiet()
            assert (lines.last["method"], lines.last["path"]) == (method, path)
            assert b"secret" not in caplog.text.encode()


@dialogue
async def test_so_does_that_of_a_head_that_comes_too_slowly(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.protocol.data_received(b"GET /a HTTP/1.1\r\nX: 1")
            assert stage.gateway.account.held_bytes
            await asyncio.sleep(HEAD_SECONDS + 1.0)
            assert (visitor.status, lines.last["method"], lines.last["path"]) == (408, "GET", "/a")
            assert stage.gateway.account.held_bytes == 0


@dialogue
async def test_a_head_request_that_is_refused_gets_no_body():
    """RFC 9110 section 9.3.2."""
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.protocol.data_received(b"HEAD / HTTP/1.1\r\n\r\n")
            await quiet()
            assert visitor.status == 400
            assert visitor.got.endswith(b"\r\n\r\n")
            assert b"\r\ncontent-length: 0\r\n" not in visitor.got


@dialogue
async def test_the_line_of_a_handshake_that_is_refused_says_its_method(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/ws", HANDSHAKE, method="POST")
            await quiet()
            assert (visitor.status, lines.last["method"], lines.last["path"]) == (400, "POST", "/ws")


@dialogue
async def test_a_handshake_with_a_body_is_refused_without_a_reset():
    """The body may come after the answer: closing at once would make the client's system drop the answer."""
    async with Stage() as stage:
        with Visitor(Front(stage)) as visitor:
            visitor.ask("/ws", HANDSHAKE, b"Content-Length: 5\r\n")
            await quiet()
            assert visitor.status == 400
            assert not visitor.wire.closed
            visitor.protocol.data_received(b"hello")
            visitor.protocol.eof_received()
            await quiet()
            assert visitor.wire.lost
