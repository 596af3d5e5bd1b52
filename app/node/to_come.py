"""Hosts that agents may publish again right after the node's start: the node forgets what was published, agents do not.

Within the grace after the start, a request to a host that nobody has but that a token covers waits for the host. The
registry's `WaitingRoom` bounds this like all waiting; requests that wait for hosts are one pool there.
"""

import asyncio
from collections.abc import Callable

from tunnel.gateway.registry import Registry
from tunnel.gateway.waiting_room import WaitEnd

from ..published import Publications
from ..rules.routes import Route


class HostsToCome:
    """See the module. `routes_of`: the routes in force for a host."""

    __slots__ = ("_published", "_registry", "_routes_of", "_waiting")

    def __init__(
        self, registry: Registry, published: Publications, *, routes_of: Callable[[str], list[Route] | None]
    ) -> None:
        self._registry = registry
        self._published = published
        self._routes_of = routes_of
        self._waiting = 0

    def may_come(self, host: str) -> bool:
        """Whether a normalised host that nobody has may still be published by an agent that is about to reconnect."""
        return self._registry.seconds_of_start() > 0 and self._published.could_come(host)

    async def routes_of(self, host: str, size_bytes: int) -> list[Route] | None:
        """Wait for the routes of such a host. None: nobody has published it in time. The head has `size_bytes`.

        Raises TooManyWaitingError.
        """
        with self._registry.waiting_room.place(size_bytes, self._waiting) as place:
            self._waiting += 1
            try:
                while (seconds := self._registry.seconds_of_start()) > 0:
                    try:
                        async with asyncio.timeout(seconds):
                            await self._published.wait_for(host)
                    except TimeoutError:
                        continue
                    if (routes := self._routes_of(host)) is not None:
                        place.end = WaitEnd.SERVED
                        return routes
            finally:
                self._waiting -= 1
            routes = self._routes_of(host)  # an agent may have registered it meanwhile
            place.end = WaitEnd.IN_VAIN if routes is None else WaitEnd.SERVED
            return routes

    def __repr__(self) -> str:
        return f"<HostsToCome {self._waiting} waiting>"
