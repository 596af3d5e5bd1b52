"""A listener behind a TCP balancer without a door behind it: each client gets back what it sends."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Any

import pytest
import uvloop

from app.node.gateway import Gateway
from app.server.balanced_listener import MOST_WAITING, BalancedListener
from app.server.doorman import Doorman
from app.settings import Settings
from app.settings.hosts import network

HOST, HOST6 = "127.0.0.1", "::1"
CLIENT, SERVER = ("203.0.113.9", 50_123), ("192.0.2.1", 443)
CLIENT6, SERVER6 = ("2001:db8::9", 50_123), ("2001:db8::1", 443)


class Echo(asyncio.Protocol):
    """Keeps who came, and sends back what it gets."""

    def __init__(self, world: "World", peer: str, local: str) -> None:
        self.world = world
        self.told = (peer, local)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.world.met.append(self)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class World:
    """A listener, and those who connect to it."""

    def __init__(self, trusted: str = "127.0.0.0/8", host: str = HOST, tls: SSLContext | None = None) -> None:
        self.room = MOST_WAITING
        networks = (network(trusted, ()), network(HOST6, ()))
        self.gateway = Gateway(Settings(trusted_proxies=networks, proxy_protocol=True))
        self.met: list[Echo] = []
        self.loop = asyncio.get_running_loop()
        self.listener = BalancedListener(
            lambda peer, local: Echo(self, peer, local), host, 0, backlog=4096, doorman=Doorman(self.gateway), tls=tls,
            room=lambda: self.room,
        )  # fmt: skip

    def connect(self, data: bytes = b"") -> socket.socket:
        """The system completes the connection: it waits in the backlog until the loop runs."""
        client = socket.create_connection(self.listener.address)
        client.sendall(data)
        client.setblocking(False)
        return client

    async def read(self, client: socket.socket, size_bytes: int) -> bytes:
        """So many bytes, or fewer and then the end."""
        data = b""
        while len(data) < size_bytes:
            try:
                got = await self.loop.sock_recv(client, size_bytes - len(data))
            except ConnectionResetError:
                break
            if not got:
                break
            data += got
        return data

    async def ended(self, client: socket.socket) -> bool:
        return not await self.read(client, 1)

    @property
    def faults(self) -> dict[str, int]:
        return {fault.value: count for fault, count in self.gateway.metrics.headers_refused.items() if count}


async def turns(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it holds."""
    while True:
        if condition():
            return
        await asyncio.sleep(0)


def on(loop: object, test: Callable[[World], Awaitable[None]], **parts: Any) -> None:
    async def run() -> None:
        world = World(**parts)
        await world.listener.open()
        try:
            await test(world)
        finally:
            await world.listener.close()
            for echo in world.met:
                assert echo.transport is not None
                echo.transport.abort()
            assert len(world.listener) == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop is uvloop else None) as runner:
        runner.run(asyncio.wait_for(run(), 30))


both = pytest.mark.parametrize("loop", [uvloop, asyncio], ids=["uvloop", "asyncio"])
