"""What takes the agents' REST calls for learned routes: `LearnedRoutes`, or what shares them with other nodes."""

from collections.abc import Collection, Iterable
from typing import Protocol

from .claims import Claim, ClaimError
from .state_file import Learned


class NotSharedError(Exception):
    """It is not known whether the other nodes have the change. The agent is to ask again."""


class Registering(Protocol):
    """All of them also raise StoreError and NotSharedError. Refused claims are for the caller to `refuse`."""

    async def register(self, claim: Claim, who: str, /) -> Learned:
        """Learn one route, or renew it. Raises ClaimError."""

    async def sync(
        self, cluster: str, claims: Iterable[Claim], patterns: Iterable[str], who: str, /
    ) -> list[tuple[Claim, ClaimError]]:
        """Learn these routes, and remove the cluster's other routes, as far as the patterns cover their hosts.

        Returns the refused claims.
        """

    async def unregister(self, name: str, clusters: Collection[str], who: str, /, *, path: str | None = None) -> int:
        """Remove a host that one of these clusters holds, or one path of it. Returns how many routes were removed.

        Raises ClaimError if another cluster holds the host.
        """
