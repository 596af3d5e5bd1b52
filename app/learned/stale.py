"""Hosts of agents' routes that have to be looked at again, because other settings are in force.

To mark all of them costs next to nothing, however many there are. A stale host is looked at before a request for it is
answered; all others a few in each turn of the loop. So what is served always follows the settings in force.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tunnel.slices import work_off

logger = logging.getLogger("gateway.routes")

_HOSTS_PER_TURN: Final = 100
"""About 1 ms."""


class Stale(dict[str, None]):
    """The hosts that nobody has looked at yet. Whoever looks at one takes it out.

    `origin`: what kind of hosts they are, for the log. `look`: looks at a host; False: no token covers it.
    """

    def __init__(self, origin: str, look: Callable[[str], bool]) -> None:
        super().__init__()
        self._origin = origin
        self._look = look
        self._generation = 0

    def mark(self, hosts: Iterable[str]) -> None:
        """Other settings are in force: all of these are stale, and no others."""
        self.clear()
        self.update(dict.fromkeys(hosts))
        self._generation += 1
        work_off(self._look_at_all(list(self), self._generation), _HOSTS_PER_TURN)

    def _look_at_all(self, hosts: list[str], generation: int) -> Iterator[None]:
        """Look at every host, until other settings come, and say how many are not served any more."""
        uncovered, example = 0, ""
        for host in hosts:
            if self._generation != generation:
                return
            if not self._look(host):
                uncovered, example = uncovered + 1, example or host
            yield
        if uncovered:
            logger.warning(
                "%d %s hosts are not served: no token covers them any more; %.200s is one of them",
                uncovered, self._origin, example,
            )  # fmt: skip
