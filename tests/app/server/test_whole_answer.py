"""`gateway.answer`: a whole answer in one write, and only where nothing about it is unusual."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.app.server.uvicorn_connection import Connection
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport

BLOCK = b"Content-Length: 2\r\nX-A: b\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"


class Whole:
    """Answers in one piece, and in the usual way where it may not."""

    def __init__(self) -> None:
        self.done: list[bool] = []
        self.before: Callable[[], None] = lambda: None

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.before()
        self.done.append(scope["extensions"]["gateway.answer"](200, BLOCK, b"ok"))
        if not self.done[-1]:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})


@dialogue
async def test_it_leaves_in_one_write_and_the_connection_goes_on():
    app, transport = Whole(), FakeTransport()
    with Connection(app, transport) as client:
        for number in (1, 2):
            client.send("GET / HTTP/1.1", "Host: h")
            await quiet()
            assert (transport.written, transport.writes, transport.closed) == (WHOLE * number, number, False)
        assert client.state.total_requests == 2
        assert client.protocol.timeout_keep_alive_task is not None
    assert app.done == [True, True]


@pytest.mark.parametrize(
    ("lines", "drains"),
    [
        (["GET / HTTP/1.1", "Host: h", "Connection: close"], False),
        (["GET / HTTP/1.0"], False),
        (["GET / HTTP/1.1", "Host: h"], True),
    ],
)
@dialogue
async def test_a_connection_that_ends_with_the_answer_says_so(lines: list[str], drains: bool):
    app, transport = Whole(), FakeTransport()
    with Connection(app, transport) as client:
        if drains:
            app.before = client.protocol.shutdown
        client.send(*lines)
        await quiet()
        assert app.done == [False]
        assert transport.closed
        assert b"connection: close" in transport.written


@dialogue
async def test_with_another_request_waiting_the_right_one_is_answered():
    app, transport = Whole(), FakeTransport()
    with Connection(app, transport) as client:
        client.protocol.data_received(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        await quiet()
        assert app.done == [False, True]
        assert transport.written.count(b"HTTP/1.1 200 OK") == 2
        assert transport.written.endswith(WHOLE)


@dialogue
async def test_while_the_client_takes_nothing_the_usual_way_waits_for_it():
    app, transport = Whole(), FakeTransport()
    with Connection(app, transport) as client:
        app.before = client.protocol.pause_writing
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        assert (app.done, transport.writes) == ([False], 0)
        client.protocol.resume_writing()
        await quiet()
        assert transport.written.endswith(b"\r\n\r\nok")
