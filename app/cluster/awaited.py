"""Waits until a mirror shows what somebody else wrote: a write that met it has to be decided anew."""

import asyncio
from typing import Final

from .bucket import Bucket, Entry

MIRROR_SECONDS: Final = 1.0
"""How long to wait at most."""


class Awaited:
    """Those who wait for keys of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def changed(self, key: str) -> None:
        """The mirror shows something else under this key."""
        for waiter in self._waiting.get(key, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def other_than(self, entry: Entry | None, key: str) -> None:
        """Wait until the mirror shows another entry under this key, for so long at most."""
        if self._bucket.get(key) != entry:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=MIRROR_SECONDS)
        finally:
            waiting = self._waiting[key]
            waiting.remove(waiter)
            if not waiting:
                del self._waiting[key]

    def __repr__(self) -> str:
        return f"<Awaited {len(self._waiting)} keys>"
