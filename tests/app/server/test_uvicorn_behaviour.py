"""What uvicorn's own protocol classes do that `app/asgi/` relies on under plain uvicorn (`uvicorn app.main:app`)."""

from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from tests.app.server.door_stage import HANDSHAKE
from tests.fakes.loop import dialogue, quiet
from tests.fakes.transport import FakeTransport


def connected(app: Callable[..., Any]) -> FakeTransport:
    """A client's connection, as the documented options set the server up."""
    config = uvicorn.Config(
        app, http="httptools", ws="websockets-sansio", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    wire = FakeTransport()
    wire.protocol = HttpToolsProtocol(config, ServerState(), {})
    wire.protocol.connection_made(wire)
    return wire


@dialogue
async def test_an_application_that_raises_after_its_head_cuts_the_connection() -> None:
    """How a broken answer is broken off on the ASGI door."""

    async def app(scope: object, receive: object, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broken off")

    wire = connected(app)
    wire.protocol.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await quiet()
    assert wire.written.endswith(b"half")
    assert wire.closed
    wire.lose()


class Accepting:
    """Accepts a WebSocket, and remembers what it received next."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        self.scopes.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        self.received.append(await receive())


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("vanishes", {"type": "websocket.disconnect", "code": 1005}),
        ("closes without a code", {"type": "websocket.disconnect", "code": 1005, "reason": ""}),
        ("closes with 4001", {"type": "websocket.disconnect", "code": 4001, "reason": "ok"}),
        ("is shut down", {"type": "websocket.disconnect", "code": 1012}),
    ],
)
def test_a_client_that_vanished_is_told_from_one_that_closed(how: str, told: dict[str, Any]) -> None:
    """`reason` is missing where no close frame came, and a refusal of our own is possible: `app/asgi/` relies on it."""

    @dialogue
    async def run() -> None:
        app = Accepting()
        wire = connected(app)
        wire.protocol.data_received(b"GET /w HTTP/1.1\r\nHost: h\r\n" + HANDSHAKE + b"\r\n")
        await quiet()
        protocol = wire.protocol
        assert isinstance(protocol, WebSocketsSansIOProtocol)
        assert app.scopes[0]["extensions"] == {"websocket.http.response": {}}
        assert wire.written.startswith(b"HTTP/1.1 101 ")
        if how == "vanishes":
            wire.lose()
        elif how == "is shut down":
            protocol.shutdown()
        else:
            payload = (4001).to_bytes(2, "big") + b"ok" if "4001" in how else b""
            protocol.data_received(bytes([0x88, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        await quiet()
        assert app.received == [told]
        wire.lose()

    run()
