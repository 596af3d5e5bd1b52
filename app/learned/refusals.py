"""Routes that agents asked for and did not get, the latest thousand: for the operator, who alone sees all of it.

Agents repeat their calls, so each route is logged once for a reason. It is forgotten when it is granted.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..rules.hosts import normalise_host
from .latest import Latest

logger = logging.getLogger("gateway.routes")

MOST_REFUSALS: Final = 1_000
"""Each costs at most 1 KiB."""
_NAME_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Refusal:
    """A route that was refused. `at`: wall-clock seconds."""

    cluster: str
    """Empty if the agent named none of its token's."""
    name: str
    """Host and path, as the agent sent them."""
    fault: StrEnum
    text: str
    at: float
    agent: str = ""
    """Its id, where it wanted to publish."""


class Refusals:
    """See the module. `clock`: seconds of the wall clock. Iterates from the earliest to the latest."""

    __slots__ = ("_clock", "_refused")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused: Latest[tuple[str, str, str], Refusal] = Latest(MOST_REFUSALS)

    def refuse(
        self, cluster: str, host: str, path: str, fault: StrEnum, text: str, who: str, *,
        agent: str = "", quiet: bool = False,
    ) -> Refusal | None:  # fmt: skip
        """Remember it, and log it if it is new; else None. Host and path as the agent sent them.

        `agent`: the one that wanted it, where each has routes of its own. `quiet`: do not log it.
        """
        key, name = _key(cluster, agent, host, path), (host + path)[:_NAME_CHARACTERS]
        known, refusal = self._refused.of(key), Refusal(cluster, name, fault, text, self._clock(), agent)
        self._refused.put(key, refusal)
        if known is not None and known.fault == fault:
            return None
        if not quiet:
            logger.warning("route %.300s of %s rejected: %s", ascii(name), who, text)
        return refusal

    def forget(self, cluster: str, host: str, path: str, *, agent: str = "") -> None:
        """The route was granted; idempotent."""
        if self._refused:
            self._refused.forget(_key(cluster, agent, host, path))

    def __iter__(self) -> Iterator[Refusal]:
        return iter(self._refused)

    def __len__(self) -> int:
        return len(self._refused)

    def __repr__(self) -> str:
        return f"<Refusals {len(self)}>"


def _key(cluster: str, agent: str, host: str, path: str) -> tuple[str, str, str]:
    """The same for every spelling of a route, so that a route that is granted in the end is no longer listed."""
    return cluster, agent, (normalise_host(host[:_NAME_CHARACTERS]) + (path.rstrip("/") or "/"))[:_NAME_CHARACTERS]
