"""Whether a node that has just started waits for its agents before it is ready.

The clusters that it expects are those of the agents' tokens: no other can have a link, whatever routes it has. Each
counts as back once it was seen with a link, here or on another node. The wait ends when all are back, or after
`ready_wait`, whichever is first, and never begins again: an agent that goes away later does not make the node unready.
"""

import logging
from collections.abc import Callable, Iterable

from tunnel.gateway.registry import Registry

logger = logging.getLogger("gateway")

_NAMED = 20
"""Clusters that one log line names."""


class Readiness:
    """The wait of one node, from its start. Gets the time only from its callers."""

    def __init__(self, registry: Registry, started: float) -> None:
        self._registry = registry
        self._started = started
        self._missing: set[str] | None = None  # until the first question
        self._over = False

    def missing(
        self,
        expected: Iterable[str],
        wait_seconds: float,
        now: float,
        *,
        elsewhere: Callable[[str], bool] | None = None,
    ) -> int:
        """How many expected clusters the node still waits for; 0: it is ready. `expected` is read at the first call.

        `elsewhere`: whether a cluster has an agent on another node.
        """
        if self._over:
            return 0
        first = self._missing is None
        left = set(expected) if self._missing is None else self._missing
        links = self._registry.links
        left = {name for name in left if not any(link.available for link in links(name))}
        if elsewhere is not None:
            left = {name for name in left if not elsewhere(name)}
        self._missing = left
        rest = self._started + wait_seconds - now
        if left and rest > 0:
            if first:
                logger.info("not ready for at most %.0f s: waiting for agents of %s", rest, _names(left))
            return len(left)
        self._over = True
        if left and wait_seconds > 0:
            logger.info("ready after %.0f s, without agents of %s", wait_seconds, _names(left))
        elif not first:
            logger.info("ready: all expected clusters have an agent")
        return 0

    def __repr__(self) -> str:
        return f"<Readiness {'over' if self._over else len(self._missing or ())}>"


def _names(clusters: set[str]) -> str:
    named = sorted(clusters)
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return ", ".join(named[:_NAMED]) + more
