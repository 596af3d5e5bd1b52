"""Admits WebSockets, and counts the open ones by route, client address and cluster. Likewise requests of a client.

A `Ticket` counts one of them until its `release`, which is idempotent. The limits come from the policy. The addresses
of one IPv6 network are one client (`block_of`). With several nodes the limits of WebSockets count those of all
(`shared_counts.py`); the limit of requests, which come and go within a second, counts those of this node.
"""

from collections import Counter
from collections.abc import Iterator

from ..rules import problems
from ..rules.clients import block_of
from ..rules.policy import origin_allowed
from ..rules.request import Request
from ..rules.routes import Route
from .shared_counts import SharedCounts

Key = tuple[str | bytes, ...]
"""`route`, `client`, `cluster` or `requests`, and which one; `requests` are those of a client."""


class Place:
    """What is counted together. The tickets of one key share one."""

    __slots__ = ("count", "key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.count = 0


class Counts:
    """The places of which there are tickets."""

    __slots__ = ("_places", "total")

    def __init__(self) -> None:
        self._places: dict[Key, Place] = {}
        self.total = 0
        """Of all keys: a ticket counts once for each of its own."""

    def of(self, key: Key) -> int:
        """How many tickets there are."""
        place = self._places.get(key)
        return 0 if place is None else place.count

    def take(self, key: Key) -> Place:
        """Count one more."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(key)
        place.count += 1
        self.total += 1
        return place

    def drop(self, key: Key) -> None:
        """Count one less that was taken."""
        self.give_back(self._places[key])

    def give_back(self, place: Place) -> None:
        """Count one less."""
        place.count -= 1
        self.total -= 1
        if place.count <= 0:
            self._places.pop(place.key, None)

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places.values())


class Ticket:
    """One admitted WebSocket or request."""

    __slots__ = ("_counts", "_places")

    def __init__(self, counts: Counts, keys: tuple[Key, ...]) -> None:
        self._counts = counts
        self._places = tuple(counts.take(key) for key in keys)

    def release(self) -> None:
        """It is over: stop counting it. Idempotent."""
        places, self._places = self._places, ()
        for place in places:
            self._counts.give_back(place)

    def give_up(self) -> None:
        """What it stands for is counted on, and no longer by it: see `Admission.left`."""
        self._places = ()

    def release_as(self, kind: str) -> None:
        """Stop counting it as one of this kind. Idempotent."""
        for place in self._places:
            if place.key[0] == kind:
                self._counts.give_back(place)
        self._places = tuple(place for place in self._places if place.key[0] != kind)


class Admission:
    """The open WebSockets of this node, and the running requests that are counted."""

    def __init__(self) -> None:
        self._counts = Counts()
        self.shared: SharedCounts | None = None
        """Those of other nodes. None: this is the only one."""

    def count_of(self, key: Key) -> int:
        """How many are counted under a key."""
        return self._counts.of(key)

    def admit(self, route: Route, request: Request, max_per_cluster: int | None) -> Ticket | problems.Problem:
        """A ticket, or the answer that refuses one. `max_per_cluster`: WebSockets of one cluster; None: no limit."""
        policy = route.policy
        host = request.host.decode("latin-1")
        if not origin_allowed(policy, request.all(b"origin"), host, request.scheme, route.host):
            return problems.ORIGIN_REFUSED
        keys = _keys(route, request.client)
        limits = (
            (policy.max_websockets, problems.TOO_MANY_OF_ROUTE),
            (policy.max_websockets_per_client, problems.TOO_MANY_OF_CLIENT),
            (max_per_cluster, problems.TOO_MANY_OF_CLUSTER),
        )
        shared = self.shared
        for key, (limit, problem) in zip(keys, limits, strict=True):
            if limit is not None:
                elsewhere = shared.elsewhere(key) if shared is not None else 0
                if self._counts.of(key) + elsewhere >= limit:
                    return problem
        ticket = Ticket(self._counts, keys)
        if shared is not None:
            for key, (limit, _) in zip(keys, limits, strict=True):
                if limit is not None:
                    shared.admitted(key, self._counts.of(key), limit)
        return ticket

    def left(self, route: Route, client: str) -> None:
        """A WebSocket is over that was admitted so, and whose ticket was given up. To be called once."""
        for key in _keys(route, client):
            self._counts.drop(key)

    def admit_request(self, route: Route, request: Request) -> Ticket | problems.Problem:
        """A ticket of a route that bounds the requests of a client, or the answer that refuses one.

        Only requests that ask for a ticket count, so other routes pay nothing for it.
        """
        key = ("requests", block_of(request.client))
        limit = route.policy.max_requests_per_client
        if limit is not None and self._counts.of(key) >= limit:
            return problems.TOO_MANY_REQUESTS_OF_CLIENT
        return Ticket(self._counts, (key,))

    def __repr__(self) -> str:
        places = Counter(place.key[0] for place in self._counts)
        count = sum(place.count for place in self._counts if place.key[0] == "route")
        return (
            f"<Admission {count} WebSockets: {places['route']} routes, {places['client']} clients, "
            f"{places['cluster']} clusters>"
        )


def _keys(route: Route, client: str) -> tuple[Key, Key, Key]:
    """What a WebSocket of this client counts as."""
    return ("route", route.host, route.path), ("client", block_of(client)), ("cluster", route.target.cluster)
