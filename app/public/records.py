"""Ends the record of an exchange: counts it, and writes its line to the access log.

`app/observed/record.py` defines the record, `app/observed/access.py` writes its line.
"""

import asyncio

from ..node.gateway import Gateway
from ..observed import access
from ..observed.access import Record


def end(gateway: Gateway, record: Record) -> None:
    """The exchange has ended now."""
    record.ended_at = asyncio.get_running_loop().time()
    gateway.metrics.ended(record)
    access.emit(record)
