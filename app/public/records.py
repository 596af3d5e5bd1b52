"""Ends the record of an exchange: counts it, and writes its line to the access log.

`app/observed/record.py` defines the record, `app/observed/access.py` writes its line.
"""

import asyncio

from ..node.gateway import Gateway
from ..observed import access
from ..observed.access import Record
from ..published import Publication
from ..rules.routes import Route


def end(gateway: Gateway, record: Record, route: Route | None = None) -> None:
    """The exchange has ended now. `route`: by which it came, if it has one."""
    record.ended_at = asyncio.get_running_loop().time()
    gateway.metrics.ended(record)
    access.emit(record)
    if route is not None and route.published_by is not None:
        show(route, record)


def show(route: Route, record: Record) -> None:
    """Show an exchange that has ended to whoever published its route."""
    if isinstance(route.published_by, Publication):
        route.published_by.seen(record)
