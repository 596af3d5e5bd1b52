"""An exchange's record, from its scope to its line: begun alike at both doors, and closed alike.

`app/observed/access.py` says what a record is and how it is written; here it meets the request and the gateway.
"""

import asyncio

from tunnel.errors import TunnelError
from tunnel.port import Target

from ..asgi.answers import Scope
from ..node.gateway import Gateway
from ..observed import access
from ..observed.access import Record
from ..observed.metrics import limit_of_error
from ..observed.request_id import request_id_of
from ..rules import problems
from .header_rules import client_address, client_is_trusted, host_header


def begin(gateway: Gateway, scope: Scope, raw_path: bytes, target: Target | None) -> Record:
    """The record of what begins now; `target` None where no route was found."""
    websocket = scope["type"] == "websocket"
    return Record(
        kind="websocket" if websocket else "http",
        request_id=request_id_of(scope["headers"], client_is_trusted(scope, gateway.settings)),
        method="GET" if websocket else scope["method"],
        host=host_header(scope),
        path=raw_path,
        target=target,
        began=asyncio.get_running_loop().time(),
        client=client_address(scope, gateway.settings),
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
