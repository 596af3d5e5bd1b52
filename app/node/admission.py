"""Admits WebSockets, and counts the open ones by route, client address and cluster. Likewise requests of a client.

A `Ticket` counts one of them until its `release`, which is idempotent. The limits come from the policy. The addresses
of one IPv6 network are one client (`block_of`). With several nodes the limits of WebSockets count those of all
(`shared_counts.py`); the limit of requests, which come and go within a second, counts those of this node.
"""

from collections import Counter

from ..rules import problems
from ..rules.clients import block_of
from ..rules.policy import origin_allowed
from ..rules.request import Request
from ..rules.routes import Route
from .shared_counts import SharedCounts

_Key = tuple[str | bytes, ...]
"""`route`, `client`, `cluster` or `requests`, and which one; `requests` are those of a client."""


class Ticket:
    """One admitted WebSocket or request."""

    __slots__ = ("_counts", "_keys")

    def __init__(self, counts: "Counter[_Key]", keys: tuple[_Key, ...]) -> None:
        self._counts = counts
        self._keys = keys
        for key in keys:
            counts[key] += 1

    def release(self) -> None:
        """It is over: stop counting it. Idempotent."""
        keys, self._keys = self._keys, ()
        self._discount(keys)

    def release_as(self, kind: str) -> None:
        """Stop counting it as one of this kind. Idempotent."""
        self._discount(tuple(key for key in self._keys if key[0] == kind))
        self._keys = tuple(key for key in self._keys if key[0] != kind)

    def _discount(self, keys: tuple[_Key, ...]) -> None:
        for key in keys:
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]


class Admission:
    """The open WebSockets of this node, and the running requests that are counted."""

    def __init__(self) -> None:
        self._counts: Counter[_Key] = Counter()
        self.shared: SharedCounts | None = None
        """Those of other nodes. None: this is the only one."""

    def count_of(self, key: _Key) -> int:
        """How many are counted under a key."""
        return self._counts[key]

    def admit(self, route: Route, request: Request, max_per_cluster: int | None) -> Ticket | problems.Problem:
        """A ticket, or the answer that refuses one. `max_per_cluster`: WebSockets of one cluster; None: no limit."""
        policy = route.policy
        host = request.host.decode("latin-1")
        if not origin_allowed(policy, request.all(b"origin"), host, request.scheme, route.host):
            return problems.ORIGIN_REFUSED
        keys = (
            ("route", route.host, route.path),
            ("client", block_of(request.client)),
            ("cluster", route.target.cluster),
        )
        limits = (
            (policy.max_websockets, problems.TOO_MANY_OF_ROUTE),
            (policy.max_websockets_per_client, problems.TOO_MANY_OF_CLIENT),
            (max_per_cluster, problems.TOO_MANY_OF_CLUSTER),
        )
        shared = self.shared
        for key, (limit, problem) in zip(keys, limits, strict=True):
            if limit is not None:
                elsewhere = shared.elsewhere(key) if shared is not None else 0
                if self._counts[key] + elsewhere >= limit:
                    return problem
        ticket = Ticket(self._counts, keys)
        if shared is not None:
            for key, (limit, _) in zip(keys, limits, strict=True):
                if limit is not None:
                    shared.admitted(key, self._counts[key], limit)
        return ticket

    def admit_request(self, route: Route, request: Request) -> Ticket | problems.Problem:
        """A ticket of a route that bounds the requests of a client, or the answer that refuses one.

        Only requests that ask for a ticket count, so other routes pay nothing for it.
        """
        key = ("requests", block_of(request.client))
        limit = route.policy.max_requests_per_client
        if limit is not None and self._counts[key] >= limit:
            return problems.TOO_MANY_REQUESTS_OF_CLIENT
        return Ticket(self._counts, (key,))

    def __repr__(self) -> str:
        places = Counter(kind for kind, *_ in self._counts)
        count = sum(count for key, count in self._counts.items() if key[0] == "route")
        return (
            f"<Admission {count} WebSockets: {places['route']} routes, {places['client']} clients, "
            f"{places['cluster']} clusters>"
        )
