"""Lifetimes of learned routes when the wall clock jumps: they move along, because no agent could renew meanwhile.

A clock that is set back does not make a lifetime longer. Ten thousand routes are moved a few in each turn of the loop;
who looks at the lifetime of one host before its turn has come must `settle` it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping

from tunnel.slices import work_off

from .served import Host
from .state_file import Learned

logger = logging.getLogger("gateway.routes")

LIFETIME_SECONDS = 24 * 3600.0
"""Without a renewal. The existing agent registers every 5 minutes and syncs every 4 hours."""
_LEAP_SECONDS = 60.0
"""A jump of the wall clock between two ticks: it was set, or the machine slept."""
_HOSTS_PER_TURN = 20
"""A host has at most 100 routes, of 1 us each."""


class Lifetimes:
    """Moves the lifetimes of `hosts`. `clock`: seconds of the wall clock. `on_moved`: called when all are moved."""

    def __init__(
        self, hosts: Mapping[str, Host], *, clock: Callable[[], float], on_moved: Callable[[], object]
    ) -> None:
        self._hosts = hosts
        self._clock = clock
        self._on_moved = on_moved
        self._ahead: float | None = None  # wall clock minus the loop's clock
        self._leap = 0.0
        self._leapt_at = 0.0  # by the wall clock
        self._unsettled: dict[str, None] = {}

    @property
    def settled(self) -> bool:
        """Whether every lifetime follows the clock."""
        return not self._unsettled

    def follow(self, now: float) -> None:
        """Look at the wall clock. `now`: the loop's time."""
        wall = self._clock()
        before, self._ahead = self._ahead, wall - now
        if before is None or abs(leap := self._ahead - before) < _LEAP_SECONDS:
            return
        logger.warning("the clock jumped by %.0f s: the lifetimes of learned routes were adjusted", leap)
        is_running = not self.settled
        self.settle_all()  # of the jump before, if that was just now
        self._leap, self._leapt_at = leap, wall
        self._unsettled = dict.fromkeys(self._hosts)
        if not is_running:
            work_off(self._settle_each(), _HOSTS_PER_TURN)

    def settle(self, name: str) -> None:
        """Move the routes of this host, unless that was done."""
        if name not in self._unsettled:
            return
        del self._unsettled[name]
        host = self._hosts.get(name)
        if host is not None:
            for path, learned in host.paths.items():
                expires_at = min(learned.expires_at + max(self._leap, 0.0), self._leapt_at + LIFETIME_SECONDS)
                host.paths[path] = Learned(learned.claim, expires_at)

    def settle_all(self) -> None:
        """Move all that are left, in one piece."""
        for name in list(self._unsettled):
            self.settle(name)

    def _settle_each(self) -> Iterator[None]:
        while self._unsettled:
            self.settle(next(iter(self._unsettled)))
            yield
        self._on_moved()
