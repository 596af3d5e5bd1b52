"""The door of our own before a whole gateway, without sockets: bytes in by hand, bytes out of a fake wire."""

import asyncio
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from app.server.http import Protocol
from tests.app.server.moves import Moves
from tests.app.stage import HOST, Stage
from tests.fakes.transport import FakeTransport

HANDSHAKE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n"
ACCEPT = b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"


class Front:
    """A server of one gateway."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.stage = stage
        self.config = uvicorn.Config(
            stage.app, http=Protocol, lifespan="off", log_config=None, access_log=False, **options
        )
        self.config.load()
        self.state = ServerState()


class WatchedProtocol(Moves, Protocol):
    """See `Moves`."""


class Visitor:
    """One client's connection."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.wire = FakeTransport()
        self.protocol = WatchedProtocol(front.config, front.state, {}, asyncio.get_running_loop())
        self.wire.protocol = self.protocol
        self.wire.can_write_eof = lambda: True  # type: ignore[method-assign]
        self.protocol.connection_made(self.wire)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.lose()

    def ask(self, target: str = "/", *lines: bytes, host: str = HOST, method: str = "GET", body: bytes = b"") -> None:
        head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n".encode()
        self.protocol.data_received(head + b"".join(lines) + b"\r\n" + body)

    @property
    def got(self) -> bytes:
        return self.wire.written

    @property
    def status(self) -> int:
        return int(self.wire.written[9:12])
