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

from app.server.connection import Connection
from tests.app.server.door import GET, Call, Door
from tests.services.pattern import digest
from tests.system.clients import RawClient
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, Stack
from tests.system.test_sse import push

pytestmark = [pytest.mark.anyio, app_only("it closes the connection with the client's direction")]

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


# --- the connection alone, on both event loops


class Watched(Connection):
    """Tells when the client's end was seen."""

    __slots__ = ("half_closed",)

    def __init__(self, door: Door) -> None:
        super().__init__(door, asyncio.get_running_loop())
        self.half_closed = asyncio.Event()

    def eof_received(self) -> bool:
        self.half_closed.set()
        return super().eof_received()


def run_against(factory: Callable[[], asyncio.AbstractEventLoop], client: Callable[..., Any]) -> Any:
    """Serve one connection on a loop of this kind, and run `client(call, reader, writer)` once its request is there."""

    async def run() -> Any:
        door = Door()
        arrived = asyncio.Event()
        door.on_begin = lambda _: arrived.set()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Watched(door), LOOPBACK, 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(GET)
            async with asyncio.timeout(20):
                await arrived.wait()
                found = await client(door.call, reader, writer)
                writer.close()
            return found

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run())


@pytest.mark.parametrize("factory", LOOPS)
def test_the_answer_comes_after_the_half_close(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def client(call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write_eof()
        assert isinstance(call.connection, Watched)
        await call.connection.half_closed.wait()
        call.answer(body=b"x" * 2_000_000)
        return await reader.read()

    answer = run_against(factory, client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in answer
    assert answer.endswith(b"\r\n\r\n" + b"x" * 2_000_000)


@pytest.mark.parametrize("factory", LOOPS)
def test_what_is_cut_off_is_not_kept_by_the_kernel(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Aborted without more, the kernel would go on to deliver what it holds, and then end the connection in order."""

    async def client(call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call.answer(body=b"x" * 50_000_000)
        assert await reader.readexactly(1) == b"H"
        call.connection.abort()
        with pytest.raises(ConnectionResetError):
            await reader.read()

    run_against(factory, client)
