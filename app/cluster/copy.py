"""What the shared routes need of this node's copy of them."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from ..learned import Claim, ClaimError, Learned


class Copy(Protocol):
    """`LearnedRoutes`, as far as it is used here."""

    def check(self, claim: Claim) -> Learned:
        """What this claim would be, learned now. Raises ClaimError."""

    def take(self, host: str, routes: Iterable[Learned], who: str) -> "asyncio.Future[None] | None":
        """These are all routes of a host now. Returns the write of the file, which may fail; None: there is none."""

    def holder_of(self, host: str) -> str | None:
        """The cluster that holds a host."""

    def hosts(self) -> list[str]:
        """The hosts that it has."""

    def registered(self, host: str) -> list[Learned]:
        """The routes of a host."""

    def refuse(self, cluster: str, host: str, path: str, error: ClaimError, who: str, /) -> None:
        """Remember that a claim was refused, and tell the operator."""
