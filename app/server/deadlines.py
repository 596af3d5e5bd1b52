"""The deadlines of a process's connections, on one wheel with one timer.

A connection is on the wheel once, at a time that is never later than its deadline. It is asked when that time comes,
and says when to ask again: so the path of a request moves nothing, and an idle connection costs a look a minute.
"""

import asyncio
import logging
from collections.abc import Iterator
from math import inf
from typing import Protocol

from tunnel.slices import work_off

from ..node.wheel import SLOT_SECONDS, Wheel

logger = logging.getLogger("gateway")

LOOKS_PER_TURN = 16
"""A look costs a microsecond, ending a call 200: 3 ms if all of them end."""
AGAIN_SECONDS = 10.0
"""After a look that failed."""


class Timed(Protocol):
    """What has deadlines."""

    def due(self, now: float, /) -> float:
        """Hold the deadlines. Returns when to be asked again: infinite for never."""


class Deadlines:
    """See the module."""

    __slots__ = ("_loop", "_timer", "_wheel")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._wheel: Wheel[Timed] = Wheel()

    def put(self, item: Timed, at: float) -> None:
        """Ask the item then, and not at the time that was said before."""
        self._wheel.put(item, at)
        if self._timer is None and at != inf:
            self._timer = self._loop.call_later(SLOT_SECONDS, self._tick)

    def remove(self, item: Timed) -> None:
        """Ask it no more; idempotent. The timer stops with the last one."""
        self._wheel.remove(item)
        if self._timer is not None and not len(self._wheel):
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        found = self._wheel.due(now - SLOT_SECONDS)  # the wheel is early by less than a slot: a deadline never is
        if len(self._wheel):
            self._timer = self._loop.call_later(SLOT_SECONDS, self._tick)
        if found:
            work_off(self._looks(found, now), LOOKS_PER_TURN)

    def _looks(self, found: list[Timed], now: float) -> Iterator[None]:
        for item in found:
            try:
                at = item.due(now)
            except Exception:  # one connection's fault must not stop the others' clocks, nor its own
                logger.exception("%r failed at its deadline", item)
                at = now + AGAIN_SECONDS
            if at != inf:
                self.put(item, at)
            yield

    def __len__(self) -> int:
        return len(self._wheel)

    def __repr__(self) -> str:
        return f"<Deadlines {len(self)}>"
