"""An exchange's record, from its request to its line: begun alike and closed alike, whatever the exchange is.

`app/observed/access.py` says what a record is and how it is written; here it meets the request and the gateway.
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
    """The record of what begins now; `target` None where no route was found."""
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
    """What went wrong before there was an answer: noted, counted where it is a limit, and what to answer."""
    record.detail = str(error)
    if (limit := limit_of_error(error)) is not None and not record.limit:
        gateway.metrics.limit_hit(limit, record)
    return problems.problem_of(error)


def end(gateway: Gateway, record: Record) -> None:
    """It is over: counted, and written into the access log."""
    record.ended_at = asyncio.get_running_loop().time()
    gateway.metrics.ended(record)
    access.emit(record)
