"""The bound on a listener's connections: who makes room, who may stay above it, and what the operator is told.

A connection that comes while the bound is reached takes the place of an idle one: one that was answered and waits for
its next request, the longest idle first. If there is none, it gets a place of the reserve (`guest.py`). If that is full
too, it is cut off at once, before anything of it is read.

Below the bound a connection costs a comparison, in `GatewayReception.joined`. Above it the cost of one is bounded: at
most `LOOKED_AT` connections are looked at, for a batch of idle ones, and not again for a second if none is idle.
"""

import asyncio
import logging
from itertools import islice
from typing import Final

from ..observed.metrics import Metrics, Shed
from .connection import Connection
from .connection_states import CLOSED
from .descriptors import Room
from .guest import GUEST_SECONDS, Guest
from .reception import GatewayReception

logger = logging.getLogger("gateway")

LOOKED_AT: Final = 4000
"""Connections, for idle ones, in one go: 4 ms if all are idle. Of more than these, others may have been idle longer."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""After a look at all of them that found nothing."""
_BATCHES: Final = (1, 64)
"""Idle connections closed in one go: a 64th of the bound, within these."""
_FIRST_LINE_SECONDS: Final = 1.0
LINE_SECONDS: Final = 60.0
"""Between two lines of the log."""


class Crowd:
    """See the module."""

    def __init__(self, reception: GatewayReception, room: Room, metrics: Metrics) -> None:
        self._reception = reception
        self._connections = reception.connections
        self._room = room
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        least, most = _BATCHES
        self._batch = min(max(room.most // 64, least), most)
        self._leaving: list[Connection] = []
        """Idle ones that were closed, and may not be gone yet."""
        self._look_from = 0
        self._look_at = 0.0
        self._told_at = -LINE_SECONDS
        self._told = dict(metrics.connections_shed)
        self._line: asyncio.TimerHandle | None = None
        metrics.connections_limit = room.most
        reception.most_connections = room.most
        reception.overfull = self.meet

    def meet(self, connection: Connection) -> None:
        """A connection was made, and it is one too many."""
        above = self._above(0)
        if above <= 0 or self._close_idle():
            return
        if above > self._room.reserve:
            self._shed(Shed.CUT_OFF)
            connection.abort()
            return
        guest = Guest(connection, self._reception, self._turned_away)
        self._reception.deadlines.put(guest, self._loop.time() + GUEST_SECONDS)

    def lets_in(self, arriving: int) -> bool:
        """Whether there is room for one more, beside `arriving` that were accepted and are no connections yet."""
        above = self._above(arriving) + 1
        if above <= 0 or self._close_idle() or above <= self._room.reserve:
            return True
        self._shed(Shed.CUT_OFF)
        return False

    def places(self) -> int:
        """How many connections more there may be, with those of the reserve."""
        return self._room.reserve - self._above(0)

    def stop(self) -> None:
        """Write no more lines; idempotent."""
        if self._line is not None:
            self._line.cancel()
            self._line = None

    def _above(self, arriving: int) -> int:
        """How many connections there are above the bound; below 0: room for so many."""
        self._leaving = [one for one in self._leaving if one.state is not CLOSED]
        return len(self._connections) - len(self._leaving) + arriving - self._room.most

    def _close_idle(self) -> bool:
        """Close a batch of idle connections. Whether there was one."""
        now = self._loop.time()
        if now < self._look_at:
            return False
        begin, end = self._look_from, self._look_from + LOOKED_AT
        idle = [
            (since, one)
            for one in islice(self._connections, begin, end)
            if isinstance(one, Connection) and (since := one.idle_since) is not None
        ]
        idle.sort(key=_since)
        self._look_from = end if end < len(self._connections) else 0
        for _, one in idle[: self._batch]:
            one.give_way()
            self._leaving.append(one)
            self._shed(Shed.IDLE)
        if not idle and not self._look_from:
            self._look_at = now + LOOK_AGAIN_SECONDS
        return bool(idle)

    def _turned_away(self) -> None:
        self._shed(Shed.TURNED_AWAY)

    def _shed(self, reason: Shed) -> None:
        """Count it, and see that it gets into the log: soon, but only once a minute."""
        self._metrics.connections_shed[reason] += 1
        if self._line is None:
            wait = max(self._told_at + LINE_SECONDS - self._loop.time(), _FIRST_LINE_SECONDS)
            self._line = self._loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        self._line = None
        self._told_at = self._loop.time()
        self._above(0)  # and so forget those that are gone
        shed = self._metrics.connections_shed
        new = {reason: count - self._told[reason] for reason, count in shed.items()}
        self._told = dict(shed)
        logger.warning(
            "no room for more than %d connections: %d idle ones were closed, %d new ones got 503, %d cut off; look "
            "for clients that connect and ask for nothing, or raise the limit of open files or max_connections",
            self._room.most, new[Shed.IDLE], new[Shed.TURNED_AWAY], new[Shed.CUT_OFF],
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Crowd {len(self._connections)} of {self._room.most} connections, {self._room.reserve} in reserve>"


def _since(found: tuple[float, Connection]) -> float:
    return found[0]
