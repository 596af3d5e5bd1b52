"""How a connection is cut off: the kernel drops what it holds, then the transport is aborted."""

import socket
import struct

import pytest

from app.server.sockets import cut_off
from tests.app.server.door import GET, Client, Door
from tests.fakes.loop import dialogue
from tests.fakes.transport import FakeTransport


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
