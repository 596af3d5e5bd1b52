"""The client of one HTTP call under any ASGI server: an `HttpClient` around `receive` and `send`."""

from collections.abc import Awaitable, Callable

from tunnel.port import Headers

from .types import Receive, Scope, Send


class AsgiHttpClient:
    """The client of one call. `start` and `send` return the server's own awaitables, not a coroutine."""

    __slots__ = ("_receive", "_scope", "_send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    def start(self, status: int, headers: Headers, /) -> Awaitable[None]:
        """Send the answer's head."""
        return self._send({"type": "http.response.start", "status": status, "headers": headers})

    def send(self, body: bytes, /, *, more: bool) -> Awaitable[None]:
        """Send a part of the answer's body."""
        return self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Send a whole answer. An unread request body is left to the server, which reads and drops it."""
        await self.start(status, headers)
        await self.send(b"" if self._scope["method"] == "HEAD" else body, more=False)

    async def receive(self) -> tuple[bytes, bool] | None:
        """The next part of the request's body."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            return None
        return message.get("body", b""), message.get("more_body", False)

    def abort(self) -> bool:
        """Abort the connection, if the server has our extension (`app/server/http.py`)."""
        abort: Callable[[], None] | None = (self._scope.get("extensions") or {}).get("gateway.abort")
        if abort is None:
            return False
        abort()
        return True
