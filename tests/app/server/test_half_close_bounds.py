"""A client that ends its sending side and still gets its answer; how long for; and how a connection is cut off."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from app.server import uvicorn_http as http
from app.server.uvicorn_http import cut_off
from tests.app.server.uvicorn_connection import Application, Connection
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport

GET = ("GET / HTTP/1.1", "Host: h")
CLOSE = b"\r\nconnection: close\r\n"


class Streaming:
    """An application that begins its answer when told, and ends it when told."""

    def __init__(self) -> None:
        self.begin, self.end = asyncio.Event(), asyncio.Event()
        self.left = False

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        await self.begin.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        await self.end.wait()
        await send({"type": "http.response.body", "body": b"k"})


# --- who is kept


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (GET, b""),
        (("POST / HTTP/1.1", "Host: h", "Content-Length: 3"), b"abc"),
        (("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked"), b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
@dialogue
async def test_a_complete_request_is_answered_and_then_the_connection_closed(lines: tuple[str, ...], body: bytes):
    app = Application()
    with Connection(app) as client:
        client.send(*lines)
        client.protocol.data_received(body)
        assert client.protocol.eof_received() is True
        assert client.protocol.eof_received() is True  # asked again when reading goes on
        await quiet()
        assert not client.transport.closed
        app.go.set()
        await quiet()
        assert client.transport.written.endswith(b"\r\n\r\nok")
        assert CLOSE in client.transport.written
        assert client.transport.closed
        assert not client.transport.aborted
        assert client.protocol.eof_received() is False


@dialogue
async def test_pipelined_requests_are_all_answered():
    app = Application()
    with Connection(app) as client:
        for _ in range(3):
            client.send(*GET)
        assert client.protocol.eof_received() is True
        app.go.set()
        await quiet()
        answers = client.transport.written.split(b"HTTP/1.1 200 OK")[1:]
        assert [answer.endswith(b"ok") for answer in answers] == [True] * 3
        assert [CLOSE in answer for answer in answers] == [False, False, True]
        assert client.transport.closed


@dialogue
async def test_an_answer_that_is_under_way_goes_on_for_as_long_as_it_takes():
    app = Streaming()
    app.begin.set()
    with Connection(app) as client:
        client.send(*GET)
        await quiet()
        assert client.protocol.eof_received() is True
        await asyncio.sleep(600.0)
        assert not client.transport.closed
        app.end.set()
        await quiet()
        assert client.transport.written.endswith(b"\r\n\r\nok")
        assert client.transport.closed


# --- who is not


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HT",
    ],
)
@dialogue
async def test_an_end_within_a_request_is_the_connections_end(sent: bytes):
    app = Application()
    with Connection(app) as client:
        client.protocol.data_received(sent)
        assert client.protocol.eof_received() is False
        client.transport.lose()
        app.go.set()
        await quiet()


@dialogue
async def test_an_idle_connection_just_ends():
    app = Application()
    app.go.set()
    with Connection(app) as client:
        client.send(*GET)
        await quiet()
        assert client.protocol.eof_received() is False


@pytest.mark.parametrize(("later", "kept"), [(0.5, True), (0.51, False)])
@dialogue
async def test_an_end_long_after_the_request_is_a_client_that_left(later: float, kept: bool):
    app = Application()
    with Connection(app) as client:
        client.send(*GET)
        await asyncio.sleep(later)
        assert client.protocol.eof_received() is kept
        app.go.set()
        await quiet()


class Taking:
    """An application that takes its time with each request, one after the other."""

    def __init__(self) -> None:
        self.turns = [asyncio.Event() for _ in range(2)]
        self.begun = 0

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        turn = self.turns[self.begun]
        self.begun += 1
        await turn.wait()
        while (await receive())["more_body"]:
            continue
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@dialogue
async def test_an_end_behind_pipelined_requests_is_seen_late_and_counts_as_prompt():
    """uvicorn does not read while a request waits for the answer before its own."""
    app = Taking()
    with Connection(app) as client:
        client.send(*GET)
        client.send(*GET)
        assert client.protocol.flow.read_paused
        await asyncio.sleep(30.0)
        app.turns[0].set()
        await quiet()
        assert not client.protocol.flow.read_paused
        assert client.protocol.eof_received() is True
        app.turns[1].set()
        await quiet()
        assert client.transport.written.count(b"\r\n\r\nok") == 2
        assert client.transport.closed


@dialogue
async def test_an_end_behind_a_long_body_too():
    app = Taking()
    size = 200_000
    with Connection(app) as client:
        client.send("POST / HTTP/1.1", "Host: h", f"Content-Length: {size}")
        client.protocol.data_received(b"x" * size)
        assert client.protocol.flow.read_paused
        await asyncio.sleep(30.0)
        assert client.protocol.eof_received() is True
        app.turns[0].set()
        await quiet()
        assert client.transport.written.endswith(b"\r\n\r\nok")


@dialogue
async def test_tls_has_no_half():
    app = Application()
    with Connection(app) as client:
        client.protocol.scheme = "https"
        client.send(*GET)
        assert client.protocol.eof_received() is False
        app.go.set()
        await quiet()


# --- for how long


@pytest.mark.parametrize(("after", "aborted"), [(4.9, False), (5.1, True)])
@dialogue
async def test_the_answer_begins_in_time_or_the_client_counts_as_gone(after: float, aborted: bool):
    app = Streaming()
    with Connection(app) as client:
        client.send(*GET)
        assert client.protocol.eof_received() is True
        await asyncio.sleep(after)
        app.begin.set()
        await quiet()
        assert client.transport.aborted is aborted
        await asyncio.sleep(600.0)
        assert client.transport.aborted is aborted
        app.end.set()
        await quiet()


@dialogue
async def test_the_last_of_pipelined_requests_has_its_own_time():
    app = Taking()
    with Connection(app) as client:
        client.send(*GET)
        client.send(*GET)
        assert client.protocol.eof_received() is True
        await asyncio.sleep(12.5)
        assert not client.transport.closed
        app.turns[0].set()
        await quiet()
        assert app.begun == 2
        await asyncio.sleep(2.4)
        assert not client.transport.closed
        await asyncio.sleep(0.2)
        assert client.transport.aborted
        app.turns[1].set()
        await quiet()


@dialogue
async def test_a_client_that_resets_leaves_no_timer():
    app = Application()
    with Connection(app) as client:
        client.send(*GET)
        assert client.protocol.eof_received() is True
        client.transport.lose(ConnectionResetError())
        app.go.set()
        await quiet()
        assert client.protocol not in client.state.connections


# --- cutting off


class Socket:
    """A transport's socket, as far as it is touched."""

    def __init__(self, transport: FakeTransport, error: OSError | None = None) -> None:
        self.options: list[tuple[int, int, object, bool]] = []
        self._transport, self._error = transport, error

    def setsockopt(self, level: int, name: int, value: object) -> None:
        if self._error is not None:
            raise self._error
        self.options.append((level, name, value, self._transport.aborted))


def with_socket(error: OSError | None = None) -> FakeTransport:
    transport = FakeTransport()
    transport.socket = Socket(transport, error)
    return transport


def test_the_kernel_forgets_what_it_holds_before_the_transport_is_aborted():
    transport = with_socket()
    cut_off(transport)
    assert transport.aborted
    (option,) = transport.socket.options
    assert option == (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0), False)


@pytest.mark.parametrize("transport", [with_socket(OSError("gone")), FakeTransport()])
def test_a_socket_that_is_gone_or_none_is_aborted_all_the_same(transport: FakeTransport):
    cut_off(transport)
    assert transport.aborted


@dialogue
async def test_the_scopes_abort_cuts_off(monkeypatch: pytest.MonkeyPatch):
    app = Application()
    cut: list[object] = []
    monkeypatch.setattr(http, "cut_off", cut.append)
    with Connection(app) as client:
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        app.scopes[0]["extensions"]["gateway.abort"]()
        assert cut == [client.transport]
        app.go.set()
        await quiet()
