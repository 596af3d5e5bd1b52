"""ASGI as the doors and endpoints see it: the types of a call, and the answers that are ours, not a service's."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from app import problems
from tunnel.port import Headers

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def answer_problem(problem: problems.Problem, scope: Scope, send: Send, detail: str = "") -> None:
    """Send an error page of ours; a body still to come is left unread, so the connection is closed after it."""
    status, headers, body = problems.render(problem, scope["headers"], detail)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def refuse(scope: Scope, send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer a handshake with an HTTP response, where the server can; else with its 403."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1011, "reason": f"refused with {status}"})


async def refuse_with_problem(scope: Scope, send: Send, problem: problems.Problem, detail: str = "") -> None:
    """Refuse a handshake with a page of ours."""
    status, headers, body = problems.render(problem, scope["headers"], detail)
    await refuse(scope, send, status, headers, body)
