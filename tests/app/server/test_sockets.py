"""How a connection is cut off, how one is noticed that the client reset, or that waits to be accepted, and how much a
client has not taken.
"""

import contextlib
import select
import socket
import struct

import pytest

from app.server.descriptors import raise_limit
from app.server.sockets import client_waits, cut_off, is_reset, unsent_bytes
from tests.app.server.browser import browsing
from tests.app.server.door import GET, Client, Door
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport
from tunnel.websocket import Closed


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


FORGET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0), False)


def test_the_kernel_forgets_what_it_holds_before_the_transport_is_aborted():
    transport = with_socket()
    cut_off(transport)
    assert transport.aborted
    assert transport.socket.options == [FORGET]


@pytest.mark.parametrize("transport", [with_socket(OSError("gone")), FakeTransport()])
def test_a_socket_that_is_gone_or_none_is_aborted_all_the_same(transport: FakeTransport):
    cut_off(transport)
    assert transport.aborted


@dialogue
async def test_a_calls_abort_cuts_off():
    with Client(Door()) as client:
        client.wire.socket = Socket(client.wire)
        client.send(GET)
        client.connection.abort()
        assert client.wire.aborted
        assert client.wire.socket.options == [FORGET]


# --- a client that reset its connection

CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_connection_is_reset_once_its_other_end_is_gone():
    ours, theirs = socket.socketpair()
    with ours:
        transport = FakeTransport(socket=ours)
        theirs.sendall(b"unread")
        assert not is_reset(transport)
        theirs.close()
        assert is_reset(transport)
    assert not is_reset(transport)  # closed
    assert not is_reset(FakeTransport())


@dialogue
async def test_the_rest_of_a_flood_of_chunks_is_not_read_after_a_reset():
    door = Door()
    door.on_begin = lambda call: call.connection.read_body()
    ours, theirs = socket.socketpair()
    with ours, theirs, Client(door) as client:
        client.wire.socket = ours
        client.send(CHUNKED + b"1\r\na\r\n" * 10_000)
        theirs.close()
        await quiet()
        assert client.wire.closed
        assert door.call.log[-1] == "left"
        assert len(door.call.body_) < 1_000
        assert door.account.held_bytes == 0


@dialogue
async def test_the_rest_of_a_flood_of_frames_is_not_read_after_a_reset():
    async with Stage() as stage:
        browser, service = await browsing(stage)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            browser.wire.socket = ours
            browser.bring(bytes.fromhex("818000000000") * 10_000)
            theirs.close()
            await quiet()
            assert browser.wire.aborted
            *messages, closed = service.heard()
            assert closed == Closed(1011, "client vanished")
            assert len(messages) < 1_000
            assert stage.gateway.account.held_bytes == 0


# --- a client that waits to be accepted


def test_a_client_waits_until_it_is_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as other:
        assert not client_waits([other, listening])
        with socket.create_connection(listening.getsockname()):
            assert client_waits([other, listening])
            listening.accept()[0].close()
            assert not client_waits([other, listening])


def test_a_client_waits_at_a_high_descriptor_too():
    """select() takes none above 1,023."""
    fcntl = pytest.importorskip("fcntl")
    if raise_limit() <= 2_000:
        pytest.skip("no descriptor above 1,023 may be had")
    with (
        socket.create_server(("127.0.0.1", 0)) as low,
        socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, 2_000)) as high,
    ):
        assert not client_waits([high])
        with socket.create_connection(low.getsockname()):
            assert client_waits([high])


def test_a_client_waits_where_the_system_has_no_poll(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(select, "poll", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not client_waits([listening])
        with socket.create_connection(listening.getsockname()):
            assert client_waits([listening])


def test_what_the_kernel_holds_is_unsent_too_until_the_client_reads():
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()) as client, server.accept()[0] as ours:
        ours.setblocking(False)
        transport = FakeTransport()
        transport.socket = ours
        transport.stuck = True
        transport.write(b"x" * 100)
        assert unsent_bytes(transport) == 100
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(65_536))
        waiting = unsent_bytes(transport)
        assert waiting > 100
        while unsent_bytes(transport) == waiting:
            client.recv(65_536)
        assert 100 <= unsent_bytes(transport) < waiting


def test_a_socket_that_is_gone_or_none_holds_nothing():
    transport = FakeTransport()
    assert unsent_bytes(transport) == 0
    transport.socket = socket.socket()
    transport.socket.close()
    assert unsent_bytes(transport) == 0
