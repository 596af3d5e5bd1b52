"""Begins and ends the record of an exchange, the same way for HTTP calls and WebSockets.

`app/observed/access.py` defines the record and writes its line.
"""

import asyncio

from tunnel.errors import TunnelError
from tunnel.port import Target

from ..node.gateway import Gateway
from ..observed import access
from ..observed.access import Record
from ..observed.metrics import limit_of_error
from ..rules import problems
from ..rules.request import Request


def begin(request: Request, target: Target | None) -> Record:
    """A record that begins now. `target` is None if no route was found."""
    return Record(
        kind="websocket" if request.is_websocket else "http",
        request_id=request.request_id,
        method=request.method,
        host=request.host,
        path=request.path,
        target=target,
        began=asyncio.get_running_loop().time(),
        client=request.client,
    )


def failed(gateway: Gateway, record: Record, error: TunnelError) -> problems.Problem:
    """Note an error that came before any answer, and count it if it was a limit. Returns what to answer."""
    record.detail = str(error)
    if (limit := limit_of_error(error)) is not None and not record.limit:
        gateway.metrics.limit_hit(limit, record)
    return problems.problem_of(error)


def end(gateway: Gateway, record: Record) -> None:
    """End the record: count the exchange and write its line to the access log."""
    record.ended_at = asyncio.get_running_loop().time()
    gateway.metrics.ended(record)
    access.emit(record)
