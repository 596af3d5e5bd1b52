"""uvicorn's protocol classes, with what a gateway needs of its clients' connections besides.

`gateway.abort` in the ASGI scope's extensions cuts a connection at once, unsent bytes and all: uvicorn flushes before
it closes, and a client that never reads would never be rid of. TCP keep-alive finds clients that vanished. What of
uvicorn is used here is named in tests/app/test_uvicorn_contract.py, because it is not its public interface.
"""

import asyncio
import socket
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""A vanished client is noticed after 60 + 4 x 15 s."""


class GatewayHttp(HttpToolsProtocol):
    """HTTP/1.1 of one client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        keep_alive(transport)

    def on_message_begin(self) -> None:
        """A request begins: its scope is new."""
        super().on_message_begin()
        self.scope["extensions"] = {"gateway.abort": self.transport.abort}  # type: ignore[dict-item]


class GatewayWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket of one client, or of one agent."""

    def handle_connect(self, event: Request) -> None:
        """A handshake came; its task starts in the next turn of the loop."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            extensions = cast("dict[str, object]", self.scope["extensions"])
            extensions["gateway.abort"] = self.transport.abort


def keep_alive(transport: asyncio.Transport) -> None:
    """Switch TCP keep-alive on, with times that fit a gateway where the system lets us set them."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
