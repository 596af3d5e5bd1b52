"""Listens for agents on a port of loopback, keeps their handshakes, and refuses those that it is told to refuse.

What a gateway says to an agent it took is for a subclass: `tests/tunnel/agent/gateway.py` registers our agent and
speaks yamux with it; `tests/existing/replay.py` plays recordings to the stand-in of the existing agent. Imports
nothing of the product: the stand-in's independence (see `tests/existing`) must not end in its gateway.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from http import HTTPStatus
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

SECONDS = 15.0
"""After which a test that waits for an agent fails."""


class FakeGateway(ABC):
    """`refusals` are the statuses of the next handshakes, instead of 101."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.port = 0
        self.handshakes: list[Request] = []
        """Refused ones too."""
        self.refusals: list[int] = []
        self.max_size: int | None = None
        """A larger message of an agent ends its link with 1009."""
        self._server: Server | None = None
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; again on the same port after a `stop`."""
        self._server = await serve(
            self.connected,
            "127.0.0.1",
            self.port,
            ssl=self.tls,
            process_request=self._decide,
            compression=None,
            ping_interval=None,
            max_size=self.max_size,
            max_queue=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Close every connection, and listen no more; idempotent."""
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()
            self._server = None

    def changed(self) -> None:
        """Let those look again who wait in `until`."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def handshake(self, number: int = 1) -> Request:
        """The `number`th handshake."""
        await self.until(lambda: len(self.handshakes) >= number)
        return self.handshakes[number - 1]

    def may_refuse(self, request: Request) -> bool:
        """Whether `refusals` are meant for this handshake."""
        return True

    @abstractmethod
    async def connected(self, connection: ServerConnection, /) -> None:
        """Talk to an agent; the connection ends with this call."""

    def _decide(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        self.changed()
        if self.refusals and self.may_refuse(request):
            return connection.respond(HTTPStatus(self.refusals.pop(0)), "not now\n")
        return None
