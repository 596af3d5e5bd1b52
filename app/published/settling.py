"""What several nodes add to publishing: a host that is free here may be taken on another node at the same moment."""

from collections.abc import Collection
from typing import Protocol


class Settling(Protocol):
    """Has the nodes decide who holds a host."""

    async def settle(self, hosts: Collection[str], /) -> bool:
        """An agent of this node has just published these. Returns whether it has them all.

        False: `Publications` knows by then who has the others, so the agent is to be asked to publish again.
        """
