"""ASGI as the doors and endpoints see it: the types of a call, and the answers that are ours, not a service's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tunnel.port import Headers

from ..observed.request_id import with_request_id
from ..rules import problems

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def awaited(event: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a task can be made of: `receive` gives some awaitable, not always a coroutine."""
    return await event


def cut_off(scope: Scope, runner: "asyncio.Task[Any] | None") -> None:
    """Cut the client's connection at once, unsent bytes and all; where the server cannot, cancel its task.

    Servers flush before they close, so a client that never reads would never be rid of; `app.http_protocol` adds this.
    """
    abort: Callable[[], None] | None = (scope.get("extensions") or {}).get("gateway.abort")
    if abort is not None:
        abort()
    elif runner is not None:
        runner.cancel()


async def answer_problem(
    problem: problems.Problem, scope: Scope, send: Send, detail: str = "", *,
    request_id: str | None = None, close: bool = False,
) -> None:  # fmt: skip
    """Send an error page of ours. A body still to come is left unread: the server reads and drops it."""
    status, headers, body = problems.render(problem, scope["headers"], detail)
    if request_id is not None:
        headers = with_request_id(headers, request_id)
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def refuse(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer a handshake with an HTTP response, where the server can; else with its 403."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1011, "reason": f"refused with {status}"})


async def refuse_with_problem(
    scope: Scope, send: Send, problem: problems.Problem, detail: str = "", *, request_id: str | None = None
) -> None:
    """Refuse a handshake with a page of ours."""
    status, headers, body = problems.render(problem, scope["headers"], detail)
    if request_id is not None:
        headers = with_request_id(headers, request_id)
    await refuse(scope, send, status, headers, body)
