"""The listener with TLS, on real sockets: handshakes that fail, records, ends, aborts, and what its buffers hold.

The far end is a client that sees each record, so that it can end its direction alone, or stop in the middle.
"""

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
import uvloop

from app.server.connection_states import LINGERED_BYTES, State
from app.server.sockets import cut_off
from app.server.tls import WRITE_BUFFER_BYTES
from tests.app.server.door import GET, Call
from tests.fakes.certificates import serial
from tests.system.clients import RESET
from tests.system.tls_world import READ_BYTES, World

pytestmark = pytest.mark.system

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
APPLICATION_DATA = 23
SOON = 1.0
"""Seconds for a handshake that is to be late; one that is not takes a hundredth of it."""


def is_writable(sock: socket.socket) -> bool:
    return bool(select.select((), (sock,), (), 0)[1])


Test = Callable[[World], Awaitable[None]]


@pytest.fixture
def on_uvloop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., None]:
    caplog.set_level(logging.DEBUG)

    def run(test: Test, handshake_seconds: float = 10.0) -> None:
        async def main() -> None:
            world = World(tmp_path, handshake_seconds)
            await world.listener.open()
            try:
                await test(world)
            finally:
                await world.listener.close()
                for connection in list(world.door.connections):
                    connection.abort_for("the test is over")
                for client in world.sockets:
                    client.close()
                await world.until(lambda: not world.door.connections)
            assert world.faults == []
            assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == []

        uvloop.run(main())

    return run


# --- handshakes that come to nothing


def test_a_client_that_stalls_in_its_handshake_is_dropped(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        silent, halfway = await world.connected(), await world.connected()
        await world.loop.sock_sendall(halfway, b"\x16\x03\x01\x02\x00\x01\x00")
        for client in (silent, halfway):
            assert await world.loop.sock_recv(client, 100) == b""
        await world.until(lambda: world.ended == (0, 0, 2))
        assert world.door.connections == []

    on_uvloop(test, SOON)


def test_the_time_for_a_handshake_is_over_when_it_is(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        client = await world.client()
        await world.until(lambda: world.door.connections)
        stalled = await world.connected()
        assert await world.loop.sock_recv(stalled, 100) == b""  # its time began later
        world.door.on_begin = Call.answer
        await client.send(GET)
        assert await client.receive() == OK

    on_uvloop(test, SOON)


@pytest.mark.parametrize("sent", [GET, b"\x00" * 300, b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff"])
def test_what_is_no_tls_is_dropped(on_uvloop: Callable[..., None], sent: bytes):
    async def test(world: World) -> None:
        client = await world.connected()
        await world.loop.sock_sendall(client, sent)
        with contextlib.suppress(ConnectionResetError):
            assert await world.loop.sock_recv(client, 100) == b""
        await world.until(lambda: world.ended == (0, 1, 0))
        assert world.door.connections == []

    on_uvloop(test)


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_in_its_handshake(on_uvloop: Callable[..., None], begun: bytes, reset: bool):
    async def test(world: World) -> None:
        client = await world.connected()
        await world.loop.sock_sendall(client, begun)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        await world.until(lambda: world.ended == (0, 0, 1))
        assert world.door.connections == []

    on_uvloop(test)


def test_a_client_of_tls_1_1_is_refused(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        world.context.use(world.certificate())
        client = await world.connected()
        hello = b"\x03\x02" + bytes(32) + b"\0" + b"\0\x02\xc0\x09" + b"\x01\0"
        body = b"\x01" + len(hello).to_bytes(3) + hello
        await world.loop.sock_sendall(client, b"\x16\x03\x01" + len(body).to_bytes(2) + body)
        assert await world.loop.sock_recv(client, 100) == b""
        await world.until(lambda: world.ended == (0, 1, 0))

    on_uvloop(test)


# --- requests


def test_an_answer_is_one_record_and_nothing_else_is_sent(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        client = await world.client()
        for answer in (Call.whole, Call.answer):
            world.door.on_begin = answer
            await client.send(GET)
            assert await client.receive() == OK
            assert client.records() == [APPLICATION_DATA]
            client.raw = b""
        assert world.door.call.connection.scheme == "https"

    on_uvloop(test)


def test_open_connections_keep_their_certificate_and_new_ones_get_the_new_one(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        world.door.on_begin = Call.answer
        old = await world.client()
        world.context.use(world.certificate())
        new = await world.client()
        assert serial(old.tls) != serial(new.tls)
        for client in (old, new):
            await client.send(GET)
            assert await client.receive() == OK

    on_uvloop(test)


# --- ends


@pytest.mark.parametrize("alone", [False, True], ids=["close_notify", "FIN alone"])
def test_a_client_that_ends_its_direction_has_left(on_uvloop: Callable[..., None], alone: bool):
    """TLS of the event loop has no half-closed connections: the answer would be dropped."""

    async def test(world: World) -> None:
        client = await world.client()
        await client.send(GET)
        await world.until(lambda: world.door.calls)
        if alone:
            client.sock.shutdown(socket.SHUT_WR)
        else:
            await client.close_notify()
        await world.until(lambda: "left" in world.door.call.log)
        assert await client.receive() == b""
        await world.until(lambda: not world.door.connections)

    on_uvloop(test)


def test_an_answer_given_at_once_reaches_a_client_that_ends_its_direction_with_its_request(
    on_uvloop: Callable[..., None],
):
    async def test(world: World) -> None:
        world.door.on_begin = Call.whole
        client = await world.client()
        client.tls.write(GET)
        await client.close_notify()
        assert await client.receive() == OK
        assert await client.receive() == b""

    on_uvloop(test)


def test_a_close_of_ours_is_told(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        client = await world.client()
        await world.until(lambda: world.door.connections)
        world.door.connections[0].finish()
        assert await client.receive() == b""
        assert client.told_end
        client.sock.close()
        await world.until(lambda: not world.door.connections)

    on_uvloop(test)


def test_an_abort_drops_what_is_unsent(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        client = await world.client()
        await client.send(GET)
        await world.until(lambda: world.door.calls)
        connection = world.door.call.connection
        transport = connection.transport
        connection.start(200, [])
        while not connection.is_full:
            connection.send(bytes(WRITE_BUFFER_BYTES))
            await asyncio.sleep(0)
        cut_off(transport)
        await world.until(lambda: connection.state is State.CLOSED)
        with pytest.raises(ConnectionResetError):
            await client.receive_all()

    on_uvloop(test)


def test_a_flood_after_the_answer_is_cut_off(on_uvloop: Callable[..., None]):
    """uvloop reads what comes between a close and the client's close_notify, all of it, as fast as it can."""

    async def test(world: World) -> None:
        client = await world.client()
        await client.send(b"bad\r\n\r\n")
        sent_bytes = 0
        with contextlib.suppress(ConnectionError):
            while sent_bytes < 4 * LINGERED_BYTES:
                await client.send(bytes(READ_BYTES))
                sent_bytes += READ_BYTES
        await world.until(lambda: not world.door.connections)
        assert LINGERED_BYTES <= sent_bytes < 2 * LINGERED_BYTES

    on_uvloop(test)


# --- newcomers


def test_a_turn_accepts_two_clients(on_uvloop: Callable[..., None]):
    async def test(world: World) -> None:
        clients = [socket.create_connection(world.listener.address) for _ in range(20)]
        world.sockets += clients
        begun = [world.counts.under_way]
        while begun[-1] < len(clients):
            await asyncio.sleep(0)
            begun.append(world.counts.under_way)
        assert max(after - before for before, after in pairwise(begun)) == 2

    on_uvloop(test)


# --- buffers


def test_what_is_unsent_is_bounded_by_the_mark(on_uvloop: Callable[..., None]):
    """The loop's own mark is 512 KiB for TLS."""

    async def test(world: World) -> None:
        client = await world.client()
        await client.send(GET)
        await world.until(lambda: world.door.calls)
        connection = world.door.call.connection
        assert connection.transport.get_write_buffer_limits()[1] == WRITE_BUFFER_BYTES
        piece = bytes(16_384)
        connection.start(200, [])
        while not connection.is_full:
            connection.send(piece)
            await asyncio.sleep(0)
        assert connection.transport.get_write_buffer_size() < WRITE_BUFFER_BYTES + 2 * len(piece)

    on_uvloop(test)


def test_a_client_that_is_not_read_fills_one_read_and_no_more(on_uvloop: Callable[..., None]):
    """The loop's own mark is 256 KiB above that."""

    async def test(world: World) -> None:
        client = await world.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        await world.until(lambda: world.door.calls)
        transport = world.door.call.connection.transport
        sending = asyncio.create_task(client.send(bytes(20_000_000)))
        await world.until(lambda: transport.get_read_buffer_size() > 0 and not is_writable(client.sock))
        assert not sending.done()
        assert transport.get_read_buffer_size() <= 128 * 1024
        sending.cancel()

    on_uvloop(test)
