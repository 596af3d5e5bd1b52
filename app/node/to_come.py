"""Hosts that agents may publish again right after the node's start: the node forgets what was published, agents do not.

Within the grace after the start, a request to a host that nobody has but that a token covers waits for the host, until
somebody has it: an agent that publishes or registers it, or the file after a reload. The registry's `WaitingRoom`
bounds this like all waiting; requests that wait for hosts are one pool there, of which no client gets all places.
"""

import asyncio
from collections.abc import Callable

from tunnel.gateway.registry import Registry
from tunnel.gateway.waiting_room import WaitEnd

from ..rules.clients import block_of
from ..rules.hosts import above
from ..rules.routes import Route
from ..settings import Settings
from .admission import Counts, Ticket


class HostsToCome:
    """See the module. `routes_of`: the routes in force for a host."""

    __slots__ = ("_clients", "_patterns", "_registry", "_routes_of", "_settings", "_waiting")

    def __init__(
        self, settings: Settings, registry: Registry, *, routes_of: Callable[[str], list[Route] | None]
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._routes_of = routes_of
        self._patterns: frozenset[str] | None = None  # hosts that some token covers, once somebody has asked
        self._waiting: dict[str, dict[int, asyncio.Future[None]]] = {}  # host -> those who wait; the lowest the longest
        self._clients = Counts()  # those who wait, by the client

    def may_come(self, host: str) -> bool:
        """Whether a normalised host that nobody has may still be published by an agent that is about to reconnect."""
        if self._registry.seconds_of_start() <= 0 or host in self._settings.control_hosts:
            return False
        if self._patterns is None:
            grants = self._settings.grants.values()
            self._patterns = frozenset(pattern for grant in grants if not grant.revoked for pattern in grant.hosts)
        return any(name in self._patterns for name in above(host))

    async def routes_of(self, host: str, size_bytes: int, client: str) -> list[Route] | None:
        """Wait for the routes of such a host. None: nobody has it in time. The head has `size_bytes`.

        Raises TooManyWaitingError.
        """
        key, beside = ("waiting", block_of(client)), self._clients.total
        with self._registry.waiting_room.place(size_bytes, beside, of_client=self._clients.of(key)) as place:
            waiting = self._waiting.setdefault(host, {})
            ticket = Ticket(self._clients, (key,))
            try:
                while (seconds := self._registry.seconds_of_start()) > 0:
                    waiter = waiting[place.number] = asyncio.get_running_loop().create_future()
                    await asyncio.wait((waiter,), timeout=seconds)
                    if (routes := self._routes_of(host)) is not None:
                        place.end = WaitEnd.SERVED
                        return routes
            finally:
                ticket.release()
                waiting.pop(place.number, None)
                if not waiting:
                    del self._waiting[host]
            place.end = WaitEnd.IN_VAIN
            return None

    def came(self, name: str) -> None:
        """A host or wildcard has routes now: wake those who wait for it."""
        if name in self._waiting:
            self._wake(name)
        elif self._waiting and name.startswith("*."):
            for host in [host for host in self._waiting if host.endswith(name[1:])]:
                self._wake(host)

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on. They may have routes for what somebody waits for."""
        self._settings = settings
        self._patterns = None
        for host in self._waiting:
            self._wake(host)

    def _wake(self, host: str) -> None:
        for _, waiter in sorted(self._waiting[host].items()):
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<HostsToCome {self._clients.total} waiting>"
