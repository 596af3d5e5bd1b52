"""Where clients connect: listening sockets, each with several handles, so that the loop accepts several clients a turn.

libuv accepts one connection per handle and turn of the loop. With 500 busy clients a turn takes some milliseconds, and
newcomers waited for over a second. So each socket has several handles, on duplicates of its descriptor. What every
client's socket needs is set on the listening one, once: accepted sockets inherit it (socket(7), tcp(7)).
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from ssl import SSLContext
from typing import Any, Final

from .sockets import client_waits, keep_alive

ACCEPTS_PER_TURN: Final = 8
"""Of one socket. A connection costs some 50 us to make; one that finds no room holds a descriptor for three turns."""
TLS_ACCEPTS_PER_TURN: Final = 2
"""Likewise, over TLS: a handshake takes 0.4 ms or more."""
TLS_HANDSHAKE_SECONDS: Final = 10.0
"""From the connection to the end of the handshake; then the client is dropped."""
TLS_SHUTDOWN_SECONDS: Final = 5.0
"""For what was written to leave, and for the client's close_notify after ours; then the connection is aborted."""


class Listener:
    """See the module. `make` makes the protocol of a new connection. With `tls` all of them speak TLS."""

    def __init__(
        self, make: Callable[[], asyncio.Protocol], host: str, port: int, *, backlog: int,
        tls: SSLContext | None = None, handshake_seconds: float = TLS_HANDSHAKE_SECONDS,
    ) -> None:  # fmt: skip
        self._make = make
        self._host = host
        self._port = port
        self._backlog = backlog
        self._handles = ACCEPTS_PER_TURN if tls is None else TLS_ACCEPTS_PER_TURN
        self._options: dict[str, Any] = {"backlog": backlog, "ssl": tls}
        if tls is not None:
            self._options |= {"ssl_handshake_timeout": handshake_seconds, "ssl_shutdown_timeout": TLS_SHUTDOWN_SECONDS}
        self.servers: list[asyncio.Server] = []

    async def open(self) -> None:
        """Listen on every address of the host. Raises OSError if one of them cannot be had; then it listens on none."""
        try:
            loop = asyncio.get_running_loop()
            first = await loop.create_server(self._make, self._host, self._port, **self._options)
            self.servers.append(first)
            for listening in first.sockets:
                keep_alive(listening)
                for _ in range(1, self._handles):
                    await self._serve_duplicate(listening)
        except BaseException:
            self._stop()
            raise

    async def _serve_duplicate(self, listening: socket.socket) -> None:
        duplicate = socket.socket(fileno=os.dup(listening.fileno()))
        try:
            loop = asyncio.get_running_loop()
            self.servers.append(await loop.create_server(self._make, sock=duplicate, **self._options))
        except BaseException:
            duplicate.close()  # otherwise it is the server's
            raise

    @property
    def address(self) -> tuple[str, int]:
        """The first address that it listens on. Not to be asked before `open` or after `close`."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return host, port

    async def close(self) -> None:
        """Accept what waits in the backlog, which closing would reset, then listen no more; idempotent."""
        try:
            if self.servers:
                await self._accept_queued(self.servers[0].sockets)
        finally:
            self._stop()

    def _stop(self) -> None:
        servers, self.servers = self.servers, []
        for server in servers:
            server.close()

    async def _accept_queued(self, listening: Sequence[socket.socket]) -> None:
        for _ in range(self._backlog):  # clients that come all the time must not keep it open
            waiting = client_waits(listening)
            await asyncio.sleep(0)
            if not waiting:
                break
        await asyncio.sleep(0)  # uvloop makes the connections of a turn's clients in the next one

    def __repr__(self) -> str:
        return f"<Listener {self._host}:{self._port}, {len(self.servers)} handles>"
