"""The listener on real sockets: how many clients a turn of the loop accepts, and what becomes of those that queue."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast
from unittest.mock import Mock

import pytest
import uvloop

from app.server.listener import ACCEPTS_PER_TURN, Listener

pytestmark = pytest.mark.system

HOST = "127.0.0.1"


class Greeting(asyncio.Protocol):
    """Says hello to each client, and counts them."""

    def __init__(self, met: "Met") -> None:
        self.met = met

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.met.append(cast("asyncio.Transport", transport))  # uvloop's is no subclass
        self.met[-1].write(b"hello")


Met = list[asyncio.Transport]


def on_uvloop(test: Callable[[Listener, Met], Awaitable[None]]) -> None:
    async def run() -> None:
        met: Met = []
        listener = Listener(lambda: Greeting(met), HOST, 0, backlog=4096)
        await listener.open()
        try:
            await test(listener, met)
        finally:
            await listener.close()
            for transport in met:
                transport.abort()

    uvloop.run(run())


def connect(address: tuple[str, int], count: int) -> list[socket.socket]:
    """Clients whose connections the system completed: they wait in the backlog."""
    return [socket.create_connection(address, timeout=10) for _ in range(count)]


def test_a_turn_accepts_eight_clients():
    async def test(listener: Listener, met: Met) -> None:
        clients = connect(listener.address, 200)
        most = 0
        while len(met) < len(clients):
            before = len(met)
            await asyncio.sleep(0)
            most = max(most, len(met) - before)
        assert most == ACCEPTS_PER_TURN == 8
        for client in clients:
            client.close()

    on_uvloop(test)


def test_accepted_sockets_have_the_listening_ones_options():
    async def test(listener: Listener, met: Met) -> None:
        (client,) = connect(listener.address, 1)
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 16) == b"hello"
        accepted = met[0].get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 128 * 1024
        client.close()

    on_uvloop(test)


def test_clients_that_wait_in_the_backlog_are_served_when_it_closes():
    async def test(listener: Listener, met: Met) -> None:
        clients = connect(listener.address, 200)
        address = listener.address
        await listener.close()
        assert len(met) == len(clients)
        for client in clients:
            assert client.recv(16) == b"hello"
            client.close()
        with pytest.raises(ConnectionRefusedError):
            connect(address, 1)

    on_uvloop(test)


def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open():
    async def test(listener: Listener, _: Met) -> None:
        other = Listener(lambda: Greeting([]), *listener.address, backlog=16)
        with pytest.raises(OSError, match="address already in use"):
            await other.open()
        assert other.servers == []
        await other.close()

    on_uvloop(test)


def test_a_handle_that_cannot_be_had_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch):
    async def run() -> None:
        loop = asyncio.get_running_loop()
        made: list[asyncio.Server] = []
        duplicates: list[socket.socket] = []

        async def create_server(*where: object, sock: socket.socket | None = None, **options: object) -> asyncio.Server:
            if sock is not None:
                duplicates.append(sock)
                if len(duplicates) == 3:
                    raise OSError("too many open files")
                options["sock"] = sock
            made.append(await uvloop.Loop.create_server(loop, *where, **options))  # type: ignore[arg-type]
            return made[-1]

        monkeypatch.setattr(asyncio, "get_running_loop", lambda: Mock(wraps=loop, create_server=create_server))
        listener = Listener(lambda: Greeting([]), HOST, 0, backlog=16)
        with pytest.raises(OSError, match="too many open files"):
            await listener.open()
        assert listener.servers == []
        assert [server.is_serving() for server in made] == [False] * 3
        assert duplicates[-1].fileno() == -1

    uvloop.run(run())


def test_it_listens_no_more_when_its_close_is_cut_short():
    async def run() -> None:
        listener = Listener(lambda: Greeting([]), HOST, 0, backlog=16)
        await listener.open()
        address = listener.address
        closing = asyncio.ensure_future(listener.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait((closing,))
        with pytest.raises(ConnectionRefusedError):
            connect(address, 1)

    uvloop.run(run())
