"""A request that goes to an ASGI application: bounded as any other, and over whatever the application does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.server import asgi_call
from app.server.asgi_call import AsgiCall
from app.server.heads import Head
from tests.app.server.door import Client, Door
from tests.fakes.loop import dialogue, quiet

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

START = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"2")]}
NOTHING = {"type": "http.request", "body": b"", "more_body": False}
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = 2 * asgi_call._HELD_BYTES


class AppDoor(Door):
    """Gives every request to the application."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        super().__init__()
        self.app = app
        self.tasks: set[asyncio.Task[None]] = set()

    def take(self, head: Head, connection: Any, /) -> AsgiCall:  # type: ignore[override]
        framing = head.fields.framing
        has_body = framing.chunked or framing.length > 0
        scope = {"headers": head.fields.lines}
        return AsgiCall(self.app, scope, connection, self.account, self.tasks, has_body=has_body)


@dialogue
async def test_a_body_is_read_as_fast_as_the_application_takes_it():
    may_read = asyncio.Event()
    got: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        got.append(await receive())
        await may_read.wait()
        while got[-1]["more_body"]:
            got.append(await receive())
        await send(START)
        await send({"type": "http.response.body", "body": b"ok"})

    door = AppDoor(app)
    with Client(door) as client:
        client.send(CHUNKED + b"1\r\na\r\n")
        await quiet()
        for _ in range(4):
            client.send(b"%x\r\n" % LONG + b"x" * LONG + b"\r\n")
        assert not client.wire.reading
        assert door.account.held_bytes >= LONG
        may_read.set()
        await quiet()
        client.send(b"0\r\n\r\n")
        await quiet()
        assert sum(len(message["body"]) for message in got) == 1 + 4 * LONG
        assert client.got.endswith(b"\r\n\r\nok")
        assert (door.account.held_bytes, door.tasks) == (0, set())


@dialogue
async def test_what_follows_an_early_answer_is_not_kept():
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"ok"})

    door = AppDoor(app)
    with Client(door) as client:
        client.wire.stuck = True
        client.wire.high_water = 0
        client.send(CHUNKED + b"1\r\na\r\n")
        await quiet()
        client.send(b"%x\r\n" % LONG + b"x" * LONG)
        assert door.account.held_bytes == 0
        assert client.wire.reading


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("raises", [False, True])
@dialogue
async def test_an_application_that_does_not_answer(started: bool, raises: bool):
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if started:
            await send(START)
            await send({"type": "http.response.body", "body": b"o", "more_body": True})
        if raises:
            raise ValueError("a bug")

    door = AppDoor(app)
    with Client(door) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await quiet()
        if started:
            assert client.got.endswith(b"\r\n\r\no")
            assert client.wire.closed
        else:
            assert client.got.startswith(b"HTTP/1.1 500 ")
            assert not client.wire.closed
        assert door.tasks == set()


@dialogue
async def test_an_application_is_told_that_its_client_left():
    got: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        got.extend([await receive(), await receive()])
        await send(START)  # for nobody
        await send({"type": "http.response.body", "body": b"ok"})

    door = AppDoor(app)
    with Client(door) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await quiet()
    await quiet()
    assert got == [NOTHING, {"type": "http.disconnect"}]
    assert door.tasks == set()


@pytest.mark.parametrize("lines", [b"", b"Content-Length: 0\r\n"])
@dialogue
async def test_a_request_without_a_body_has_an_empty_one(lines: bytes):
    """An application that reads the body must not wait for it."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert await receive() == NOTHING
        await send(START)
        await send({"type": "http.response.body", "body": b"ok"})

    door = AppDoor(app)
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n")
        await quiet()
        assert client.got.endswith(b"\r\n\r\nok")
