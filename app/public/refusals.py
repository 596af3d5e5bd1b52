"""The gateway's own answers: error pages, and refusals of requests that have no route.

A request that is refused before its route is known has no target, but it still gets an answer, a request id, a line in
the access log and a count. Its host appears in the access log only, never in a metric label: clients can send anything.
"""

import contextlib

from tunnel.port import Headers

from ..node.gateway import Gateway
from ..observed.request_id import with_request_id
from ..rules import problems
from ..rules.problems import Problem
from ..rules.request import Request
from . import records
from .client_port import Handshake, HttpClient


def page(request: Request, problem: Problem, detail: str = "", *, close: bool = False) -> tuple[int, Headers, bytes]:
    """Status, fields and body of an error answer; the client sees `detail`. `close` adds `Connection: close`."""
    status, headers, body = problems.render(problem, request.fields, detail)
    headers = with_request_id(headers, request.request_id)
    if close:
        headers.append((b"connection", b"close"))
    return status, headers, body


async def refuse_request(
    gateway: Gateway, request: Request, client: HttpClient, problem: Problem, detail: str = ""
) -> None:
    """Answer a request that has no route; the client sees `detail`."""
    record = records.begin(request, None)
    record.status, record.outcome, record.detail = problem.status, problem.code, detail
    try:
        with contextlib.suppress(OSError):  # the client has left
            close = gateway.draining or problem is problems.BAD_REQUEST
            await client.answer(*page(request, problem, detail, close=close))
    finally:
        records.end(gateway, record)


async def refuse_websocket(
    gateway: Gateway, request: Request, client: Handshake, problem: Problem, detail: str = ""
) -> None:
    """Refuse a WebSocket handshake that has no route; the client sees `detail`."""
    record = records.begin(request, None)
    try:
        if not await client.begin():
            record.outcome = "client_left"
            return
        record.status, record.outcome, record.detail = problem.status, problem.code, detail
        record.closed_by = "gateway"
        with contextlib.suppress(OSError):  # the client has left
            await client.refuse(*page(request, problem, detail))
    finally:
        records.end(gateway, record)
