"""Deadlines and least rates of a connection's states."""

import asyncio

import pytest

from app.server import connection_states as states
from app.server.connection_states import State
from tests.app.server.door import GET, KEEP_ALIVE_SECONDS, Client, Door, reading
from tests.fakes.loop import dialogue, quiet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("piece", [b"", b"G", b"GET / HTTP/1.1\r\nHost"])
@dialogue
async def test_the_first_head_has_a_deadline_whatever_comes_of_it(piece: bytes):
    with Client(Door()) as client:
        if piece:
            client.send(piece)
        await asyncio.sleep(states.HEAD_SECONDS - 0.1)
        assert not client.wire.done
        await asyncio.sleep(1.1)
        if piece:
            assert client.got.startswith(b"HTTP/1.1 408 ")
            assert client.connection.state is State.LINGERING
        else:
            assert client.wire.done == ["close"]


@dialogue
async def test_a_head_that_trickles_has_the_same_deadline():
    with Client(Door()) as client:
        client.send(GET)
        client.door.call.whole()
        for byte in GET[:20]:
            client.send(bytes([byte]))
            await asyncio.sleep(1.0)
        await asyncio.sleep(1.0)
        assert b"HTTP/1.1 408 " in client.got


@dialogue
async def test_an_idle_connection_is_closed_in_time():
    with Client(Door()) as client:
        client.send(GET)
        client.door.call.whole()
        await asyncio.sleep(KEEP_ALIVE_SECONDS - 0.1)
        assert not client.wire.closed
        await asyncio.sleep(1.1)
        assert client.wire.closed


@pytest.mark.parametrize("seconds", [7.0, 45.0])
@dialogue
async def test_a_body_has_a_least_rate(seconds: float):
    door = reading()
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(int(states.BODY_SECONDS // seconds) + 1):
            client.send(b"x")
            await asyncio.sleep(seconds)
        assert "spoil 408" in door.call.log


@dialogue
async def test_a_body_that_comes_slowly_enough_goes_on():
    door = reading()
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(20):
            client.send(b"x" * (states.LEAST_BODY_BYTES // 2))
            await asyncio.sleep(states.BODY_SECONDS / 2)
        assert not any(said.startswith("spoil") for said in door.call.log)


@dialogue
async def test_a_service_that_does_not_read_is_not_the_clients_fault():
    door = Door()
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        await asyncio.sleep(3 * states.BODY_SECONDS)
        client.connection.read_body()
        client.connection.pause_body()
        await asyncio.sleep(3 * states.BODY_SECONDS)
        assert door.call.log == ["begin"]


@dialogue
async def test_trailers_and_the_rest_of_a_body_have_deadlines():
    door = reading()
    with Client(door) as client:
        client.send(CHUNKED + b"1\r\na\r\n0\r\n")
        assert client.connection.state is State.TRAILERS
        for _ in range(11):
            client.send(b"X: 1\r\n")
            await asyncio.sleep(2.0)
        assert "spoil 408" in door.call.log
    with Client(door) as client:
        client.send(POST + b"h")
        door.call.whole()
        await quiet()
        assert client.connection.state is State.DROPPING
        await asyncio.sleep(11.0)
        assert client.wire.closed


@dialogue
async def test_lingering_and_closing_have_deadlines():
    with Client(Door()) as client:
        client.send(b"x\n")
        await quiet()
        assert client.connection.state is State.LINGERING
        await asyncio.sleep(11.0)
        assert client.wire.closed
    with Client(Door()) as client:
        client.wire.stuck = True
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        client.door.call.answer()
        await quiet()
        assert client.connection.state is State.CLOSING
        await asyncio.sleep(11.0)
        assert client.wire.aborted


@dialogue
async def test_a_deadline_of_a_connection_that_is_gone_means_nothing():
    door = Door()
    with Client(door) as client:
        pass
    assert client.connection.due(asyncio.get_running_loop().time() + 1_000.0) == float("inf")
    assert client.wire.done == []


@dialogue
async def test_nothing_is_left_of_connections_that_are_gone():
    door = Door()
    for data in (b"", GET, GET * 3, POST + b"x", CHUNKED, UPGRADE, b"bad\n"):
        with Client(door) as client:
            if data:
                client.send(data)
            await quiet()
    assert door.connections == []
    assert len(door.deadlines) == 0
    assert door.account.held_bytes == 0
    assert [call.log[-1] for call in door.calls if call.log[-1] != "left"] == ["finished 2"]


@dialogue
async def test_trailers_that_wait_for_the_service_are_not_late():
    """The service does not take the payload; what the client has sent behind it is not read meanwhile."""
    door = Door()
    with Client(door) as client:
        client.send(CHUNKED)
        client.connection.read_body()
        client.connection.pause_body()
        client.send(b"3\r\nabc\r\n0\r\n")
        client.connection.resume_body()
        await quiet()
        client.connection.pause_body()
        client.send(b"\r\n")
        await asyncio.sleep(10 * states.HEAD_SECONDS)
        assert "spoil 408" not in door.call.log
        client.connection.resume_body()
        await quiet()
        assert door.call.log[-1] == "body 0 last"
        door.call.whole()
        assert client.got.startswith(b"HTTP/1.1 200 ")
