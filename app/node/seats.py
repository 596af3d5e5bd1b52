"""How many links there may be: of one cluster, and of the agents of one token.

A link costs the node memory, pings, and a look at each new one of its cluster. The bounds are far above what anybody
runs; they stop an agent that dials without end. Those of a cluster's agents that publish have seats apart, as many as
the others, so that neither can shut the other out. A seat is taken before the link is there, so that a burst of
handshakes cannot pass together, and given back when the agent's WebSocket has ended.
"""

from collections import Counter

from ..rules import problems
from ..settings import Settings
from .admission import Counts, Key, Ticket

TOO_MANY = problems.Problem(
    503, "too_many_links", "Too many links", "This cluster or token has as many links as the gateway allows.",
    "Ask the operator to check how many agents run, or to raise max_links_per_cluster or max_links_per_token.", 5,
)  # fmt: skip


class Seats:
    """The seats of one node."""

    def __init__(self) -> None:
        self._counts = Counts()

    def take(
        self,
        settings: Settings,
        *,
        token: bytes | None = None,
        cluster: str | None = None,
        publishers_of: str | None = None,
    ) -> Ticket | str:
        """A seat of the token (by its hash), of the cluster, of a cluster's publishers, as far as given.

        Else which bound is reached.
        """
        keys: list[Key] = []
        if token is not None:
            if self._counts.of(("token", token)) >= settings.max_links_per_token:
                return f"max_links_per_token is {settings.max_links_per_token}"
            keys.append(("token", token))
        if cluster is not None:
            if self._counts.of(("cluster", cluster)) >= settings.max_links_per_cluster:
                return f"max_links_per_cluster is {settings.max_links_per_cluster}, and cluster {cluster} has as many"
            keys.append(("cluster", cluster))
        if publishers_of is not None:
            if self._counts.of(("publishers", publishers_of)) >= settings.max_links_per_cluster:
                whose = f"cluster {publishers_of} has as many that publish"
                return f"max_links_per_cluster is {settings.max_links_per_cluster}, and {whose}"
            keys.append(("publishers", publishers_of))
        return Ticket(self._counts, tuple(keys))

    def __repr__(self) -> str:
        kinds = Counter({"token": 0, "cluster": 0, "publishers": 0})
        for place in self._counts:
            kinds[str(place.key[0])] += place.count
        return f"<Seats {kinds['cluster'] + kinds['publishers']} of clusters, {kinds['token']} of tokens>"
