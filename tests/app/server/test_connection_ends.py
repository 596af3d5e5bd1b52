"""A client that ends its sending side and still gets its answer: who is kept, and how long for."""

import asyncio

import pytest

from app.server import connection_states as states
from tests.app.server.door import GET, Client, Door, reading
from tests.fakes.loop import dialogue, quiet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


# --- who is kept


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ],
)
@dialogue
async def test_a_complete_request_is_answered_and_then_the_connection_closed(request_: bytes):
    with Client(reading()) as client:
        client.send(request_)
        assert client.end()
        assert client.end()  # asked again when reading goes on
        await quiet()
        assert not client.wire.closed
        client.door.call.whole()
        await quiet()
        assert client.got == CLOSING
        assert client.wire.closed
        assert not client.wire.aborted
        assert client.connection.eof_received() is False


@dialogue
async def test_an_answer_that_is_under_way_goes_on_for_as_long_as_it_takes():
    with Client(Door()) as client:
        client.send(GET)
        client.connection.start(200, [(b"content-length", b"2")])
        client.connection.send(b"o")
        await quiet()
        assert client.end()
        await asyncio.sleep(600.0)
        assert not client.wire.closed
        client.connection.send(b"k")
        client.connection.end()
        await quiet()
        assert client.got.endswith(b"\r\n\r\nok")
        assert client.wire.closed
        assert not client.wire.aborted


@dialogue
async def test_an_end_behind_pipelined_requests_is_seen_late_and_counts_as_prompt():
    """The socket is not read while so many requests wait."""
    door = Door()
    with Client(door) as client:
        count = states.WAITING_BYTES // len(GET) + 2
        client.send(GET * count)
        assert not client.wire.reading
        await asyncio.sleep(30.0)
        while not client.wire.reading:
            door.call.whole()
            await quiet()
        assert client.end()
        while not client.wire.closed:
            door.call.whole()
            await quiet()
        assert client.got.count(b"\r\n\r\nok") == len(door.calls) == count
        assert not client.wire.aborted


@dialogue
async def test_an_end_behind_a_long_body_too():
    """The socket is not read while the body waits, so the end is seen late."""
    size = states.WAITING_BYTES + 1
    with Client(Door()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size)
        assert not client.wire.reading
        await asyncio.sleep(30.0)
        assert client.end()
        client.connection.read_body()
        await quiet()
        assert len(client.door.call.body_) == size
        client.door.call.whole()
        await quiet()
        assert client.got == CLOSING
        assert client.wire.closed


# --- who is not


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
@dialogue
async def test_an_end_within_a_request_is_the_connections_end(sent: bytes):
    door = reading()
    with Client(door) as client:
        if sent:
            client.send(sent)
        assert not client.end()
        await quiet()
        assert client.wire.lost
        assert [call.log[-1] for call in door.calls] == ["left"] * sent.startswith(b"POST")


@dialogue
async def test_an_end_within_the_next_request_is_the_connections_end_after_the_answer():
    door = Door()
    with Client(door) as client:
        client.send(GET + b"GET / HT")
        assert client.end()
        door.call.whole()
        await quiet()
        assert client.got == OK
        assert client.wire.lost
        assert len(door.calls) == 1


@dialogue
async def test_an_idle_connection_just_ends():
    with Client(Door()) as client:
        client.send(GET)
        client.door.call.whole()
        assert not client.end()
        assert client.door.call.log == ["begin"]


@pytest.mark.parametrize(("later", "kept"), [(0.5, True), (0.51, False)])
@dialogue
async def test_an_end_long_after_the_request_is_a_client_that_left(later: float, kept: bool):
    with Client(Door()) as client:
        client.send(GET)
        await asyncio.sleep(later)
        assert client.end() is kept
        assert client.door.call.log == (["begin"] if kept else ["begin", "left"])


@dialogue
async def test_tls_has_no_half():
    with Client(Door()) as client:
        client.connection.scheme = "https"
        client.send(GET)
        assert not client.end()
        assert client.door.call.log == ["begin", "left"]


# --- for how long


@pytest.mark.parametrize(("after", "aborted"), [(states.HALF_CLOSED_SECONDS - 0.1, False), (6.1, True)])
@dialogue
async def test_the_answer_begins_in_time_or_the_client_counts_as_gone(after: float, aborted: bool):
    with Client(Door()) as client:
        client.send(GET)
        assert client.end()
        await asyncio.sleep(after)
        if not aborted:
            client.connection.start(200, [])
            client.connection.send(b"o")
            await asyncio.sleep(600.0)
        assert client.wire.aborted is aborted
        assert ("left" in client.door.call.log) is aborted


@dialogue
async def test_a_client_that_resets_leaves_no_deadline():
    door = Door()
    with Client(door) as client:
        client.send(GET)
        assert client.end()
        client.wire.lose(ConnectionResetError())
        assert len(door.deadlines) == 0
        assert door.connections == []
        assert door.call.log == ["begin", "left"]
