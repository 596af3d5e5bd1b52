"""The caller of one of our own endpoints: the rest of its body, and its answer (`Caller` in `app/agents/rest.py`)."""

from tunnel.port import Headers

from .types import Receive, Scope, Send


class AsgiCaller:
    """One call under any ASGI server."""

    __slots__ = ("_is_head_request", "_receive", "_send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_head_request = scope["method"] == "HEAD"

    async def receive(self) -> tuple[bytes, bool] | None:
        """The next part of the body, and whether more comes; None once the caller has left."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            return None
        return message.get("body", b""), message.get("more_body", False)

    async def answer(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Send the answer. A body still to come is left unread: the server reads and drops it."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"" if self._is_head_request else body})
