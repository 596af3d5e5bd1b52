"""A client's connection to the gateway's uvicorn protocols, without a socket: bytes in by hand, bytes out in a list."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from app.server.uvicorn_http import GatewayHttp
from app.server.websocket import GatewayWebSocket
from tests.fakes.transport import FakeTransport


def config(app: Callable[..., Any], **options: Any) -> uvicorn.Config:
    """As `serve` makes it, without anything that a test need not start."""
    made = uvicorn.Config(
        app, http=GatewayHttp, ws=GatewayWebSocket, lifespan="off", log_config=None, access_log=False, **options
    )
    made.load()
    return made


class Application:
    """Remembers the scopes, and answers when it is told to."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            self.received.append(await receive())
            return
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Connection:
    """One client's connection to a protocol of ours."""

    def __init__(self, application: Callable[..., Any], transport: FakeTransport | None = None, **options: Any) -> None:
        self.state = ServerState()
        self.transport = transport or FakeTransport()
        self.protocol = GatewayHttp(config(application, **options), self.state, {})
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.lose()

    def send(self, *lines: str) -> None:
        self.protocol.data_received("\r\n".join([*lines, "", ""]).encode())

    def upgrade(self) -> GatewayWebSocket:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        self.send(
            "GET /w HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade", key, "Sec-WebSocket-Version: 13"
        )
        protocol = self.transport.protocol
        assert isinstance(protocol, GatewayWebSocket)
        return protocol
