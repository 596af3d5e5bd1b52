"""The server's side of ASGI, played by hand: scopes as dicts, `receive` from a queue, `send` into a list.

`hold` makes `send` block, as a server does whose client does not read; `refuse_sends` makes it raise, as ASGI 2.4
has it when the client is gone. No sockets, no server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self
from urllib.parse import unquote

Message = Mapping[str, Any]
App = Callable[
    [dict[str, Any], Callable[[], Awaitable[Message]], Callable[[dict[str, Any]], Awaitable[None]]], Awaitable[None]
]
Pairs = list[tuple[bytes, bytes]]

CLIENT = ("203.0.113.9", 50_123)
SERVER = ("192.0.2.1", 8080)


def scope_of(
    kind: str,
    target: str = "/",
    host: str | None = "app.example.test",
    headers: Pairs | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A scope as uvicorn makes them; `more` replaces any of its keys."""
    path, _, query = target.partition("?")
    fields = [] if host is None else [(b"host", host.encode("latin-1"))]
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws" if kind == "websocket" else "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [*fields, *(headers or [])],
        "client": CLIENT,
        "server": SERVER,
        "extensions": {},
    }
    if kind == "websocket":
        scope["subprotocols"] = []
        scope["extensions"] = {"websocket.http.response": {}}
    else:
        scope["method"] = "GET"
    return {**scope, **more}


def _look_at(task: asyncio.Task[None]) -> None:
    """`over` raises what a call raised. Where a test failed before, asyncio must not report it at some later time."""
    if not task.cancelled():
        task.exception()


class Call:
    """One call of the application."""

    def __init__(self, app: App, scope: dict[str, Any]) -> None:
        self.app = app
        self.scope = scope
        self.sent: list[dict[str, Any]] = []
        self.received = 0
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self.sends_fail = False
        self.task: asyncio.Task[None] | None = None

    def start(self) -> Self:
        async def run() -> None:
            await self.app(self.scope, self.receive, self.send)

        self.task = asyncio.get_running_loop().create_task(run())
        self.task.add_done_callback(_look_at)
        return self

    async def over(self) -> Self:
        """Until the application has returned; raises what it raised."""
        assert self.task is not None
        await self.task
        return self

    @property
    def is_over(self) -> bool:
        return self.task is not None and self.task.done()

    def hold(self) -> None:
        self._may_send.clear()

    def release(self) -> None:
        self._may_send.set()

    async def receive(self) -> Message:
        message = await self._incoming.get()
        self.received += 1
        return message

    async def send(self, message: dict[str, Any]) -> None:
        if self.sends_fail:
            raise ConnectionResetError("client left")
        self.sent.append(message)
        await self._may_send.wait()

    def put(self, message: Message) -> None:
        self._incoming.put_nowait(message)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] == kind]


class Request(Call):
    """An HTTP request."""

    def __init__(self, app: App, method: str = "GET", target: str = "/", **scope: Any) -> None:
        super().__init__(app, scope_of("http", target, method=method, **scope))

    def body(self, data: bytes = b"", *, more: bool = False) -> None:
        self.put({"type": "http.request", "body": data, "more_body": more})

    def leave(self) -> None:
        self.put({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        starts = self.all("http.response.start")
        assert len(starts) <= 1
        return starts[0]["status"] if starts else 0

    @property
    def headers(self) -> Pairs:
        return [tuple(pair) for pair in self.all("http.response.start")[0]["headers"]]

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1
        return values[0] if values else None

    @property
    def answer(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.all("http.response.body"))

    @property
    def complete(self) -> bool:
        return any(not message.get("more_body", False) for message in self.all("http.response.body"))


class WebSocket(Call):
    """A WebSocket handshake and what follows."""

    def __init__(self, app: App, target: str = "/", **scope: Any) -> None:
        super().__init__(app, scope_of("websocket", target, **scope))
        self.put({"type": "websocket.connect"})

    def say(self, data: str | bytes) -> None:
        self.put({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})

    def leave(self, code: int = 1000, reason: str | None = "") -> None:
        message: dict[str, Any] = {"type": "websocket.disconnect", "code": code}
        self.put(message if reason is None else {**message, "reason": reason})

    @property
    def accepted(self) -> dict[str, Any] | None:
        accepts = self.all("websocket.accept")
        assert len(accepts) <= 1
        return accepts[0] if accepts else None

    @property
    def heard(self) -> list[str | bytes]:
        return [m["text"] if m.get("text") is not None else m["bytes"] for m in self.all("websocket.send")]

    @property
    def closed(self) -> tuple[int, str] | None:
        closes = self.all("websocket.close")
        assert len(closes) <= 1
        return (closes[0]["code"], closes[0].get("reason") or "") if closes else None

    @property
    def refusal(self) -> tuple[int, dict[bytes, bytes], bytes] | None:
        """Status, headers and body of an answer instead of the upgrade."""
        starts = self.all("websocket.http.response.start")
        if not starts:
            return None
        assert self.accepted is None
        bodies = self.all("websocket.http.response.body")
        assert bodies
        assert not bodies[-1].get("more_body", False)
        return starts[0]["status"], dict(starts[0]["headers"]), b"".join(m.get("body", b"") for m in bodies)
