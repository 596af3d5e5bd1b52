"""One request that goes to the ASGI application: the operator's, health, control-plane calls.

The connection is its client, as of any other call, and so has the same bounds: the body is read only as fast as the
application takes it, and the application waits while the client does not read.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from tunnel.account import Account, Holding
from tunnel.override import override

from ..public.client_port import HttpClient, HttpListener
from ..public.dates import dated
from ..rules import problems
from ..rules.problems import Problem

logger = logging.getLogger("gateway")

_HELD_BYTES = 64 * 1024
"""Of the body, that the application has not taken: more is not read."""

Message = dict[str, Any]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]


def scope_of(
    method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], *, is_old: bool, scheme: str,
    root_path: str, client: tuple[str, int], server: tuple[str, int], state: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.0" if is_old else "1.1",
        "method": method,
        "scheme": scheme,
        "path": root_path + unquote(path.decode("ascii")),
        "raw_path": root_path.encode() + path,
        "query_string": query,
        "root_path": root_path,
        "headers": headers,
        "client": client,
        "server": server,
        "state": state,
        "extensions": {},
    }


class AsgiCall(HttpListener):
    """See the module. `tasks`: where its task is kept while it runs."""

    def __init__(
        self, app: Application, scope: dict[str, Any], client: HttpClient, account: Account,
        tasks: "set[asyncio.Task[None]]", *, has_body: bool,
    ) -> None:  # fmt: skip
        self._app = app
        self._scope = scope
        self._client = client
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._parts: deque[tuple[bytes, bool]] = deque() if has_body else deque([(b"", True)])
        self._held = Holding(account)  # of `_parts`
        self._paused = False
        self._whole = False  # the application was given the last part
        self._started = False
        self._complete = False
        self._over = False  # the client has the answer, or is gone
        self._wake: asyncio.Future[None] | None = None  # for the body
        self._taken: asyncio.Future[None] | None = None  # what was sent

    # --- told by the connection

    @override
    def begin(self) -> None:
        task = self._loop.create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @override
    def body(self, data: bytes, /, *, last: bool) -> bool:
        if self._complete:
            return False
        self._parts.append((data, last))
        self._held.add(len(data))
        if self._held.size_bytes > _HELD_BYTES and not self._paused:
            self._paused = True
            self._client.pause_body()
        _set(self._wake)
        return True

    @override
    def spoil(self, problem: Problem, why: str, /) -> None:
        if self._started:
            self._client.break_off(why)
        else:
            self._started = self._complete = True
            self._client.answer(*problems.render(problem, self._scope["headers"], why))

    @override
    def sending(self) -> None: ...

    @override
    def sent(self, size_bytes: int, /) -> None:
        _set(self._taken)

    @override
    def finished(self, size_bytes: int = 0, /) -> None:
        self._end()

    @override
    def broken_off(self) -> None:
        self._end()

    @override
    def left(self, why: str = "", /) -> None:
        self._end()

    @override
    def broke(self) -> None:
        self._end()

    # --- the application's side

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception:  # a bug in the application ends only its request
            logger.exception("the application failed")
        if self._over or self._complete:
            return
        if self._started:
            self._client.break_off("the application failed")
        else:
            self._started = self._complete = True
            self._client.answer(*problems.render(problems.INTERNAL, self._scope["headers"]))

    async def _receive(self) -> Message:
        if not self._whole:
            self._client.read_body()
        while not self._parts and not self._over and not (self._whole and self._complete):
            self._wake = self._loop.create_future()
            await self._wake
        if self._over or not self._parts:
            return {"type": "http.disconnect"}
        data, last = self._parts.popleft()
        self._held.add(-len(data))
        self._whole = last
        if self._paused and not self._parts:
            self._paused = False
            self._client.resume_body()
        return {"type": "http.request", "body": data, "more_body": not last}

    async def _send(self, message: Message) -> None:
        if self._over or self._complete:
            return
        if message["type"] == "http.response.start":
            self._started = True
            fields = [(name.lower(), value) for name, value in message["headers"]]
            self._client.start(message["status"], dated(fields))
            return
        body = message.get("body", b"")
        if body:
            self._client.send(body)
        if not message.get("more_body", False):
            self._complete = True
            self._client.end()
        if body or self._complete:
            self._taken = self._loop.create_future()
            await self._taken

    def _end(self) -> None:
        self._over = True
        self._parts.clear()
        self._held.close()
        _set(self._wake)
        _set(self._taken)


def _set(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
