"""A client that ends its sending side with its request (`printf ... | nc -N`) still gets the whole answer."""

import asyncio
import hashlib
import json
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import uvloop
from uvicorn.server import ServerState

from app.server.uvicorn_http import GatewayHttp
from tests.app.server.uvicorn_connection import config
from tests.services.pattern import digest
from tests.system.clients import RawClient
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Stack
from tests.system.test_sse import push

pytestmark = pytest.mark.anyio

LOOPS: list[Any] = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]


def test_a_get(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=7 HTTP/1.1", "plain")
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"small 7")
        assert client.read_end() == b""


def test_a_post_with_a_body(stack: Stack) -> None:
    body = b"0123456789" * 100_000
    with RawClient(stack.address("plain")) as client:
        client.request("POST /upload HTTP/1.1", "plain", f"Content-Length: {len(body)}", body=body)
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.answer()
        assert json.loads(answer.body)["sha256"] == hashlib.sha256(body).hexdigest()
        assert client.read_end() == b""


def test_pipelined_requests(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        for number in range(5):
            client.request(f"GET /small?n={number} HTTP/1.1", "plain")
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.answer().body for _ in range(5)] == [f"small {number}".encode() for number in range(5)]
        assert client.read_end() == b""


def test_an_answer_longer_than_every_buffer(stack: Stack) -> None:
    size = 30_000_000
    with RawClient(stack.address("plain")) as client:
        client.request(f"GET /download?size={size} HTTP/1.1", "plain")
        client.socket.shutdown(socket.SHUT_WR)
        assert hashlib.sha256(client.answer().body).hexdigest() == digest(size)
        assert client.read_end() == b""


@tunnel_only
async def test_events_go_on_until_they_end(stack: Stack, http: aiohttp.ClientSession) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("GET /sse?channel=half HTTP/1.1", "plain")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer_head().status == 200
        for number in range(3):
            await push(http, stack, "half", f"event-{number}")
            assert f"data: event-{number}".encode() in client.read_until(b"\n\n\r\n")
        await push(http, stack, "half", None)
        assert client.read_end() == b"0\r\n\r\n"


def test_an_end_within_a_body_is_no_request(stack: Stack) -> None:
    with RawClient(stack.address("plain")) as client:
        client.request("POST /upload HTTP/1.1", "plain", "Content-Length: 10", body=b"12345")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_end() == b""


# --- the protocol alone, on both event loops


class Told:
    """Answers when it is told to, with as much as it is told to."""

    def __init__(self, size: int) -> None:
        self.arrived, self.half_closed, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._size = size
        self.abort: Callable[[], None] = lambda: None

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.abort = scope["extensions"]["gateway.abort"]
        self.arrived.set()
        await self.go.wait()
        length = str(self._size).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": b"x" * self._size})


class Watched(GatewayHttp):
    """Tells when the client's end was seen."""

    def __init__(self, app: Told, *args: Any) -> None:
        super().__init__(*args)
        self._told = app

    def eof_received(self) -> bool:
        self._told.half_closed.set()
        return super().eof_received()


def run_against(factory: Callable[[], asyncio.AbstractEventLoop], size: int, client: Callable[..., Any]) -> Any:
    """Serve one connection on a loop of this kind, and run `client(app, reader, writer)` against it."""

    async def run() -> Any:
        app, state = Told(size), ServerState()
        made = config(app)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Watched(app, made, state, {}), LOOPBACK, 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            async with asyncio.timeout(20):
                found = await client(app, reader, writer)
                writer.close()
                app.go.set()
                await asyncio.gather(*state.tasks)
            return found

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run())


@pytest.mark.parametrize("factory", LOOPS)
def test_the_answer_comes_after_the_half_close(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def client(app: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write_eof()
        await app.arrived.wait()
        await app.half_closed.wait()
        app.go.set()
        return await reader.read()

    answer = run_against(factory, 2_000_000, client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\n" + b"x" * 2_000_000)


@pytest.mark.parametrize("factory", LOOPS)
def test_what_is_cut_off_is_not_kept_by_the_kernel(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Aborted without more, the kernel would go on to deliver what it holds, and then end the connection in order."""

    async def client(app: Told, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        app.go.set()
        assert await reader.readexactly(1) == b"H"
        app.abort()
        with pytest.raises(ConnectionResetError):
            await reader.read()

    run_against(factory, 50_000_000, client)
