"""A listener with TLS on real sockets, and a client of it that sees each record, so that it can stop in the middle."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from app.observed.metrics import Tls
from app.server.connection import Connection
from app.server.listener import Listener
from app.server.tls import ListenerContext
from tests.app.server.door import Door
from tests.fakes.certificates import NAME, Authority

READ_BYTES = 256 * 1024


class World:
    """A listener whose connections a `Door` takes; nothing that fails may reach the loop's handler or the log."""

    def __init__(self, folder: Path, handshake_seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.faults: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.authority = Authority(folder)
        self.sockets: list[socket.socket] = []
        self.counts = Tls()
        self.context = ListenerContext(self.certificate(), self.counts)
        self.door = Door()
        self.listener = Listener(
            lambda: Connection(self.door, self.loop), "127.0.0.1", 0, backlog=64, tls=self.context,
            handshake_seconds=handshake_seconds,
        )  # fmt: skip

    def certificate(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.num_tickets = 0
        self.authority.issue().configure_cert(context)
        return context

    async def connected(self) -> socket.socket:
        client = socket.socket()
        self.sockets.append(client)
        client.setblocking(False)
        await self.loop.sock_connect(client, self.listener.address)
        return client

    async def client(self) -> "Client":
        return await Client(self, await self.connected()).shaken()

    async def until(self, condition: Callable[[], object]) -> None:
        """Turn the loop until it holds."""
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  (nobody tells of it)
                await asyncio.sleep(0.001)

    @property
    def ended(self) -> tuple[int, int, int]:
        return self.counts.ok, self.counts.failed, self.counts.unfinished


class Client:
    """One client, record by record."""

    def __init__(self, world: World, sock: socket.socket) -> None:
        self.world = world
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = world.authority.client().wrap_bio(self._incoming, self._outgoing, server_hostname=NAME)
        self.raw = b""
        """What came after the handshake, as it came."""
        self.told_end = False

    async def shaken(self) -> Self:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                self._incoming.write(await self.world.loop.sock_recv(self.sock, READ_BYTES))
            else:
                await self.flush()
                return self

    async def flush(self) -> None:
        await self.world.loop.sock_sendall(self.sock, self._outgoing.read())

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def receive(self) -> bytes:
        """The next plaintext; empty at close_notify (`told_end`), and at the connection's end."""
        while True:
            try:
                plaintext = self.tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                data = await self.world.loop.sock_recv(self.sock, READ_BYTES)
            except ssl.SSLZeroReturnError:  # after our own close_notify
                self.told_end = True
                return b""
            else:
                self.told_end = not plaintext
                return plaintext
            if not data:
                return b""
            self.raw += data
            self._incoming.write(data)

    async def receive_all(self) -> None:
        while await self.receive():
            pass

    async def close_notify(self) -> None:
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.flush()

    def records(self) -> list[int]:
        """The types of the records in `raw`."""
        found, rest = [], self.raw
        while rest:
            found.append(rest[0])
            rest = rest[5 + int.from_bytes(rest[3:5]) :]
        return found
