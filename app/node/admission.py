"""Who may open a WebSocket here, and how many are open, by route, client address and cluster.

A count goes up with each `Ticket` and down with its `release`, which is idempotent. The policy decides; this module
knows what is open.
"""

from collections import Counter
from collections.abc import Hashable

from ..asgi.answers import Scope
from ..public.header_rules import client_address, forwarded_scheme, host_header
from ..rules import problems
from ..rules.policy import origin_allowed
from ..rules.routes import Route
from ..settings import Settings


class Ticket:
    """One admitted WebSocket."""

    __slots__ = ("_counts", "_keys")

    def __init__(self, counts: "Counter[Hashable]", keys: tuple[Hashable, ...]) -> None:
        self._counts = counts
        self._keys = keys
        for key in keys:
            counts[key] += 1

    def release(self) -> None:
        """It is closed."""
        keys, self._keys = self._keys, ()
        for key in keys:
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]


class Admission:
    """The open WebSockets of this node."""

    def __init__(self) -> None:
        self._counts: Counter[Hashable] = Counter()

    def admit(self, route: Route, scope: Scope, settings: Settings) -> Ticket | problems.Problem:
        """A ticket, or why not."""
        policy = route.policy
        headers = scope["headers"]
        origins = [value for name, value in headers if name == b"origin"]
        host = host_header(scope).decode("latin-1")
        scheme = forwarded_scheme(scope, settings).replace("ws", "http", 1)
        if not origin_allowed(policy, origins, host, scheme, route.host):
            return problems.ORIGIN_REFUSED
        keys = (
            ("route", route.host, route.path),
            ("client", client_address(scope, settings)),
            ("cluster", route.target.cluster),
        )
        limits = (
            (policy.max_websockets, problems.TOO_MANY_OF_ROUTE),
            (policy.max_websockets_per_client, problems.TOO_MANY_OF_CLIENT),
            (settings.max_websockets_per_cluster, problems.TOO_MANY_OF_CLUSTER),
        )
        for key, (limit, problem) in zip(keys, limits, strict=True):
            if limit is not None and self._counts[key] >= limit:
                return problem
        return Ticket(self._counts, keys)

    @property
    def is_empty(self) -> bool:
        """Nothing is counted."""
        return not self._counts

    def __repr__(self) -> str:
        return f"<Admission {sum(count for key, count in self._counts.items() if key[0] == 'route')} WebSockets>"  # type: ignore[index,misc]
