"""A link's socket holds little; a socket without the option is left alone."""

import asyncio
import socket

import pytest

from tests.fakes.transport import FakeTransport
from tunnel.sockets import LINK_UNSENT_BYTES, hold_little, limit_unsent


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system has no such option")
def test_the_kernel_holds_little_of_a_link():
    with socket.socket() as sock:
        transport: asyncio.Transport = FakeTransport(socket=sock)
        hold_little(transport)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == LINK_UNSENT_BYTES
        assert isinstance(transport, FakeTransport)
        assert transport.high_water == 1


def test_other_sockets_are_left_alone():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        limit_unsent(ours, LINK_UNSENT_BYTES)
    limit_unsent(ours, LINK_UNSENT_BYTES)  # closed by now


def test_a_system_without_the_option(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(socket, "TCP_NOTSENT_LOWAT", raising=False)
    with socket.socket() as sock:
        limit_unsent(sock, LINK_UNSENT_BYTES)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
