"""A WebSocket under any ASGI server, awaited: of an agent, and below a client's `AsgiHandshake`."""

from collections.abc import Awaitable
from typing import Any

from tunnel.port import Headers

from ..agents.socket import AgentLeftError, Channel
from .types import Receive, Scope, Send


class AsgiWebSocket:
    """One WebSocket around `receive` and `send`."""

    __slots__ = ("_extensions", "_receive", "_send")

    message_limit_bytes = 16 * 1024 * 1024
    """What uvicorn and hypercorn accept by default. ASGI does not tell what this server accepts."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._extensions: dict[str, Any] = scope.get("extensions") or {}
        self._receive = receive
        self._send = send

    async def begin(self) -> bool:
        """Wait for the server to hand over the handshake. False: the peer has left."""
        event = await self._receive()
        return bool(event["type"] == "websocket.connect")

    def accept(self, subprotocol: str | None = None, headers: Headers | None = None, /) -> Awaitable[None]:
        """Answer 101."""
        return self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers or []})

    @property
    def can_refuse(self) -> bool:
        """Whether the server can answer a handshake with our response."""
        return "websocket.http.response" in self._extensions

    async def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Answer the handshake with this response if the server can, else with the server's 403."""
        if self.can_refuse:
            await self._send({"type": "websocket.http.response.start", "status": status, "headers": headers})
            await self._send({"type": "websocket.http.response.body", "body": body})
        else:
            await self.close(1011, f"refused with {status}")

    # --- an open one

    def channel(self) -> Channel | None:
        """None: an agent's WebSocket does not bypass ASGI here."""
        return None

    async def receive(self) -> str | bytes:
        """The next message. Raises AgentLeftError with the reason when the WebSocket has ended."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code", 1006)
            if code == 1005 and "reason" not in message:
                code = 1006  # this is how uvicorn reports a connection that ended without a close frame
            raise AgentLeftError.with_code(code, message.get("reason") or "")
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return text if text is not None else data

    def send(self, message: str | bytes, /) -> Awaitable[None]:
        """Send one message."""
        return self._send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})

    def close(self, code: int, reason: str, /) -> Awaitable[None]:
        """Close; before `accept` this refuses the handshake with 403."""
        return self._send({"type": "websocket.close", "code": code, "reason": reason})
