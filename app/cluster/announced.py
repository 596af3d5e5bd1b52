"""The links that other nodes have announced and that no entry of the bucket `links` has named yet.

They are a hint below the hint: used only where no entry leads anywhere (`Directory.choose`). The newest is the one that
this node heard of last, since nothing orders them over all nodes; their stamps say so, and are below all stamps of
entries. A wrong one costs a NOT_HERE, as a wrong entry does.

| what happens | what becomes of an announced link |
|---|---|
| its node announces it again | it stays, and is kept for another `KEEP_SECONDS`; with another `came` it is a new one |
| its node announces the cluster without it | gone |
| an entry of its node names the agent | gone |
| its node said NOT_HERE | not used any more, unless it is announced with another `came` |
| its node cannot be used any more | gone |
| `KEEP_SECONDS` without any of this, not counted while this node is cut | gone |

A message that is older than another one of its node is dropped: it waited on a connection that stood still.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from sys import intern
from typing import Final

from tunnel.port import Pool

from .announcement import AnnouncedLink, Announcement
from .links import Claim, Stamp, pool_of

KEEP_SECONDS: Final = 30.0
"""JetStream has another leader after 3.5 to 6.4 s, and announcements are repeated every 10 s until then."""
MOST_PER_NODE: Final = 20_000
"""Links: 10,000 clusters with two agents each, about 0.8 KiB for one. More of them are told by their entries alone."""

_Which = tuple[str, Pool, str]
"""Node, pool and agent id."""

_ANNOUNCED: Final = ""


class _Held:
    """One link."""

    __slots__ = ("came", "claim", "cluster", "keep_until")

    def __init__(self, claim: Claim, cluster: str, came: int) -> None:
        self.claim = claim
        self.cluster = cluster
        self.came = came
        self.keep_until = 0.0


class _Node:
    """What one node has announced."""

    __slots__ = ("clusters", "count", "seq")

    def __init__(self) -> None:
        self.seq = -1
        self.count = 0
        self.clusters: dict[str, set[_Which]] = {}


class Announced:
    """See the module. Time is passed in; only nodes that can be used are taken."""

    def __init__(self) -> None:
        self.on_gone: Callable[[Pool], object] = _nobody
        """A link of a pool is not used any more, and no entry took its place."""
        self._held: OrderedDict[_Which, _Held] = OrderedDict()  # the one that is kept for the shortest time, first
        self._nodes: dict[str, _Node] = {}
        self._pools: dict[Pool, dict[_Which, Claim]] = {}  # without those that are NOT_HERE
        self._arrivals = 0
        self._now: float | None = None
        self._counted = 0.0  # seconds in which this node was not cut

    def take(self, announcement: Announcement) -> list[Claim]:
        """What is new in it."""
        name = intern(announcement.node)
        node = self._nodes.setdefault(name, _Node())
        if announcement.seq <= node.seq:
            return []
        node.seq = announcement.seq
        listed = dict(_listed(name, announcement))
        for which in node.clusters.get(announcement.cluster, set()) - listed.keys():
            self._lose(which)
        new = (self._take(node, announcement.cluster, which, link) for which, link in listed.items())
        return [claim for claim in new if claim is not None]

    def _take(self, node: _Node, cluster: str, which: _Which, link: AnnouncedLink) -> Claim | None:
        held, claim = self._held.get(which), None
        if link.came is None:
            return None
        if held is None or held.came < link.came:
            if held is not None:
                self._drop(which)
            elif node.count >= MOST_PER_NODE:
                return None
            self._arrivals += 1
            name, pool, agent_id = which
            claim = Claim(name, agent_id, Stamp(_ANNOUNCED, self._arrivals), intern(link.dialect), pool)
            held = self._held[which] = _Held(claim, cluster, link.came)
            self._pools.setdefault(pool, {})[which] = claim
            node.clusters.setdefault(cluster, set()).add(which)
            node.count += 1
        held.keep_until = self._counted + KEEP_SECONDS
        self._held.move_to_end(which)
        return claim

    def of_pool(self, pool: Pool) -> Collection[Claim]:
        """What may be used of a pool."""
        claims = self._pools.get(pool)
        return claims.values() if claims is not None else ()

    def pools_of(self, node: str) -> Iterator[Pool]:
        """The pools that a node has announced links of; some more than once."""
        known = self._nodes.get(node)
        if known is not None:
            yield from (pool for of in known.clusters.values() for _, pool, _ in of)

    def named(self, claims: Iterable[Claim]) -> None:
        """An entry names these."""
        if self._held:
            for claim in claims:
                self._drop((claim.node, claim.pool, claim.agent_id))

    def pools(self) -> set[Pool]:
        """Those with links."""
        return set(self._pools)

    def not_here(self, claim: Claim) -> bool:
        """The claim's node said NOT_HERE. False: it is not one of these. Idempotent."""
        if claim.stamp.created != _ANNOUNCED:
            return False
        which = claim.node, claim.pool, claim.agent_id
        held = self._held.get(which)
        if held is not None and held.claim == claim:
            self._take_out(which)
            self.on_gone(claim.pool)
        return True

    def forget(self, node: str) -> None:
        """It cannot be used any more; idempotent."""
        known = self._nodes.get(node)
        if known is not None:
            for which in [which for of in known.clusters.values() for which in of]:
                self._lose(which)
            del self._nodes[node]

    def tick(self, now: float, *, is_cut: bool) -> None:
        """Look at the clock."""
        if not is_cut and self._now is not None:
            self._counted += now - self._now
        self._now = now
        while self._held:
            which, held = next(iter(self._held.items()))
            if held.keep_until > self._counted:
                break
            self._lose(which)

    def _lose(self, which: _Which) -> None:
        self._drop(which)
        self.on_gone(which[1])

    def _drop(self, which: _Which) -> None:
        held = self._held.pop(which, None)
        if held is None:
            return
        self._take_out(which)
        node = self._nodes[which[0]]
        node.count -= 1
        of_cluster = node.clusters[held.cluster]
        of_cluster.remove(which)
        if not of_cluster:
            del node.clusters[held.cluster]

    def _take_out(self, which: _Which) -> None:
        claims = self._pools.get(which[1])
        if claims is not None:
            claims.pop(which, None)
            if not claims:
                del self._pools[which[1]]

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, pool: Pool) -> bool:
        return pool in self._pools

    def __repr__(self) -> str:
        return f"<Announced {len(self._held)} links of {len(self._nodes)} nodes>"


def _listed(node: str, announcement: Announcement) -> Iterator[tuple[_Which, AnnouncedLink]]:
    for agents, publishes in ((announcement.agents, False), (announcement.publishers, True)):
        for agent_id, link in agents.items():
            yield (node, pool_of(announcement.cluster, agent_id if publishes else ""), agent_id), link


def _nobody(_what: object) -> None: ...
