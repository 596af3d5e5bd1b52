"""What a gateway knows of other nodes: nothing, unless `[cluster]` is set (`app/cluster/node.py`)."""

from collections.abc import Callable
from typing import Protocol

from tunnel.errors import NotPassedOnError
from tunnel.port import Pool, Target, Upstream

Preference = Callable[[str], int]
"""Ranks agents by their ids, those without an id by the names of their links: the highest value is preferred."""


class Elsewhere(Protocol):
    """The other nodes, and the agents that they have."""

    def has(self, pool: Pool) -> bool:
        """Whether another node claims to have a link of this pool."""

    def choose(self, target: Target, avoid: Upstream | None, preference: Preference | None, /) -> Upstream | None:
        """The upstream over another node's agent, if the next exchange is to go there. None: it stays here.

        `avoid`: of the attempt that failed.
        """

    def not_taken(self, upstream: Upstream, error: NotPassedOnError, /) -> None:
        """Another node did not take an exchange over this upstream."""

    def serves(self, pool: Pool, /) -> bool:
        """Whether a pool has an agent on a node that can be used."""

    def pools(self) -> set[Pool]:
        """All pools that have one there; those of publishers too."""

    async def leave(self, deadline: float) -> None:
        """The node drains, and has no exchanges of its own any more: give its links to other nodes.

        Returns once no other node uses this one, or at the deadline of the loop's clock.
        """

    async def aclose(self) -> None:
        """Say goodbye, and leave nothing running. Idempotent."""
