"""What is refused before its route is known: it has no target, but an answer, a request id, an access line and a count.

The host that was asked for stands in the access line alone, never in a label: clients send what they like.
"""

import contextlib

from starlette.types import Receive, Scope, Send

from ..asgi.answers import answer_problem, refuse_with_problem
from ..node.gateway import Gateway
from ..rules import problems
from . import records
from .header_rules import raw_path_of


async def refuse_unrouted(
    gateway: Gateway, scope: Scope, receive: Receive, send: Send, problem: problems.Problem, detail: str = ""
) -> None:
    """Answer a request or a WebSocket handshake with `problem`; `detail` is shown, as in `problems.render`."""
    is_websocket = scope["type"] == "websocket"
    record = records.begin(gateway, scope, raw_path_of(scope), None)
    try:
        if is_websocket and (await receive())["type"] != "websocket.connect":
            record.outcome = "client_left"
            return
        record.status, record.outcome, record.detail = problem.status, problem.code, detail
        with contextlib.suppress(OSError):  # the client has left
            if is_websocket:
                record.closed_by = "gateway"
                await refuse_with_problem(scope, send, problem, detail, request_id=record.request_id)
            else:
                close = gateway.draining or problem is problems.BAD_REQUEST
                await answer_problem(problem, scope, send, detail, request_id=record.request_id, close=close)
    finally:
        records.end(gateway, record)
