"""Ends tasks for certain. One `cancel` is not always enough: `asyncio.wait_for` before Python 3.12 loses one that comes
together with what it waits for, and nats-py takes one for the end of a flush.

So loops here look whether they are still wanted, too; this is for what still hangs.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

_PATIENCE_SECONDS = 4.0
"""Longer than anything here cleans up: another cancel would cut that short."""


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel these, again and again, until all have ended. What they raise is not looked at."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_PATIENCE_SECONDS)
