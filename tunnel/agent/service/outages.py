"""Services that refuse connections: a service that restarts is waited for, a dead one costs a bounded number of dials.

A refused dial is tried again for about a second, whatever the request: nothing was sent. Of all that wait for one
service, one dials at a time, with pauses in between; when it is connected, the others dial too. Who is cancelled gives
up its turn. A service that has been away for longer than a restart takes is not waited for: one dial now and then
finds out when it is back, and all others are refused at once.

A process that is killed loses its connections before the port it listens on. What connects in between is accepted by
the system and lost with the process. So, once a service has left something unanswered, dials to it wait for a moment,
at most `SETTLE_SECONDS` each.

Invariants: while a service is away, there are no two dials to it at once and at most one for each `_PAUSES`; services
do not wait for each other; there is no task or timer but those of the dials that wait; at most `LIMIT` services are
remembered as away, each until it is back or nobody was refused for `FORGOTTEN_SECONDS`, and `LIMIT` as shaken.
"""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Hashable

PATIENCE_SECONDS = 1.0
"""How long one dial waits: a process that is restarted in place is away for 0.1 to 0.5 s."""
RESTART_SECONDS = 10.0
"""A service that was away for this long is not restarting."""
FORGOTTEN_SECONDS = 10.0
LIMIT = 1024
SETTLE_SECONDS = 0.02
"""The end of a process takes a few milliseconds, more on a busy machine."""
_PAUSES = (0.02, 0.05, 0.1)
"""Between two dials, in seconds; the last one repeats."""

Attempt = Callable[[], Awaitable[None]]
"""One dial. It raises ConnectionRefusedError if the service refuses."""


class _Outage:
    """One service that refuses connections."""

    def __init__(self, now: float) -> None:
        self.began = self.refused_at = now
        self.refusals = 1
        self.turn = asyncio.Lock()
        """Held by the one that dials. It is fair, and a waiter that is cancelled leaves the queue."""
        self.over = False

    def refused(self, now: float) -> None:
        """Another dial was refused."""
        self.refused_at = now
        self.refusals += 1

    @property
    def next_dial_at(self) -> float:
        return self.refused_at + _PAUSES[min(self.refusals, len(_PAUSES)) - 1]


class Outages:
    """The services that refuse connections at the moment."""

    def __init__(self) -> None:
        self._outages: dict[Hashable, _Outage] = {}
        self._shaken: dict[Hashable, float] = {}
        """Service -> when dials to it may go on. Never later than that for those that wait already."""

    def __repr__(self) -> str:
        return f"<Outages of {len(self._outages)} services>"

    async def dial(self, service: Hashable, attempt: Attempt) -> None:
        """Return once an attempt succeeded; a refused one is repeated within the patience.

        Raises ConnectionRefusedError, and whatever else `attempt` raises.
        """
        clock = asyncio.get_running_loop().time
        settled_at = self._shaken.get(service)
        if settled_at is not None and (seconds := settled_at - clock()) > 0:
            await asyncio.sleep(seconds)
        until: float | None = None
        while True:
            outage = self._current(service, clock())
            if outage is None:
                try:
                    await attempt()
                except ConnectionRefusedError:
                    outage = self._begin(service, clock())
                    if outage is None:
                        raise
                else:
                    return
            if until is None:
                until = clock() + PATIENCE_SECONDS
            if await self._wait(service, outage, attempt, until):
                return

    def left_unanswered(self, service: Hashable) -> None:
        """A connection to it ended, and something that it was sent has no answer: it may be dying."""
        if len(self._shaken) >= LIMIT:
            self._shaken.clear()
        self._shaken[service] = asyncio.get_running_loop().time() + SETTLE_SECONDS

    def _current(self, service: Hashable, now: float) -> _Outage | None:
        outage = self._outages.get(service)
        if outage is None or now - outage.refused_at <= FORGOTTEN_SECONDS:
            return outage
        self._end(service, outage)
        return None

    def _begin(self, service: Hashable, now: float) -> _Outage | None:
        """The outage that a refused dial begins, or joins; None: too many services are away."""
        outage = self._outages.get(service)
        if outage is not None:
            return outage
        for other, old in list(self._outages.items()):
            if now - old.refused_at > FORGOTTEN_SECONDS:
                self._end(other, old)
        if len(self._outages) >= LIMIT:
            return None
        outage = self._outages[service] = _Outage(now)
        return outage

    def _end(self, service: Hashable, outage: _Outage) -> None:
        """Those that wait dial for themselves; idempotent."""
        outage.over = True
        if self._outages.get(service) is outage:
            del self._outages[service]

    async def _wait(self, service: Hashable, outage: _Outage, attempt: Attempt, until: float) -> bool:
        """Wait for the turn and dial. True: connected. False: the service is back."""
        clock = asyncio.get_running_loop().time
        now = clock()
        if now - outage.began > RESTART_SECONDS:
            if outage.turn.locked() or now < outage.next_dial_at:
                raise _refused()
            async with outage.turn:
                return await self._dial_once(service, outage, attempt, last=True)
        try:
            async with asyncio.timeout_at(until), outage.turn:
                while not outage.over:
                    await asyncio.sleep(outage.next_dial_at - clock())
                    if await self._dial_once(service, outage, attempt):
                        return True
        except TimeoutError:
            raise _refused() from None
        return False

    async def _dial_once(self, service: Hashable, outage: _Outage, attempt: Attempt, *, last: bool = False) -> bool:
        """Whether it is connected. `last`: a refusal is raised."""
        try:
            await attempt()
        except ConnectionRefusedError:
            outage.refused(asyncio.get_running_loop().time())
            if last:
                raise
            return False
        self._end(service, outage)
        return True


def _refused() -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
