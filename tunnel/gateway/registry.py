"""The live links of each cluster on this node, and which of them gets the next exchange.

`add` and `remove` work by identity and are idempotent: a link's cleanup never removes its successor. A request waits
for a link if its cluster lost its last one less than `reconnect_grace` ago, or if this node has just started. Waiting
is bounded by time, by the number of requests and by the bytes of their heads; the body of a waiting request has not
been read. Whoever has waited longest is served first.

Which link is which agent's (tunnel/PROTOCOL.md, section 1): a link without an agent id gets all new exchanges until
its first heartbeat. Meanwhile the older links of its cluster are doubted: they get none until something is received
from them. A link whose agent already has a link replaces it, unless two processes seem to share the id (`twins.py`).
Links of different agents share the load.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from enum import StrEnum
from itertools import count

from tunnel.errors import NoAgentError, TooManyWaitingError
from tunnel.gateway.link import Link
from tunnel.gateway.twins import REPLACEMENTS, WITHIN_SECONDS, Twins
from tunnel.port import Target, Upstream
from tunnel.wire.messages import REPLACED

logger = logging.getLogger("gateway")

_CLUSTERS_WAITING = 4
"""As many clusters may have all the waiting requests that one may have."""

_WAITING_BYTES = 32 * 1024 * 1024
"""Of the heads of all waiting requests. Four thousand usual ones have 4 to 8 MiB; the longest has 64 KiB."""

_KNOWN = 4_096
"""Targets whose upstream is known, until `forget`. Each costs 0.2 KiB."""


class WaitEnd(StrEnum):
    """How a request's wait for a link ended: the values of the label `outcome`."""

    SERVED = "served"
    IN_VAIN = "in_vain"
    LEFT = "left"
    REFUSED = "refused"
    """There was no room to wait."""


class _Cluster:
    """The links of one cluster, newest last, and the requests that wait for one."""

    __slots__ = ("links", "lost_at", "waiters")

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.lost_at: float | None = None
        self.waiters: dict[int, asyncio.Future[None]] = {}
        """By the number of the wait: the lowest has waited longest."""


class Registry:
    """cluster -> live links."""

    def __init__(self, *, clock: Callable[[], float], reconnect_grace: float = 3.0, most_waiting: int = 1_000) -> None:
        self.most_waiting = most_waiting
        """Requests that may wait for a link of one cluster."""
        self.waits: dict[str, int] = dict.fromkeys(WaitEnd, 0)
        """The waits that have ended, by how they did."""
        self.newest = ""
        """The name of the link that was added last: links are numbered, so it tells which there have been."""
        self.waiting = 0
        """Requests that wait now."""
        self._waiting_bytes = 0
        self._wait_numbers = count()
        self._clock = clock
        self._grace = reconnect_grace
        self._started = clock()
        self._clusters: dict[str, _Cluster] = {}
        self._known: dict[int, tuple[Target, Link, Upstream]] = {}
        """By the identity of the target, which the entry keeps alive: hashing a target costs more than the rest."""
        self._twins = Twins()

    def add(self, link: Link) -> None:
        """Add a link, in any state. One without an agent id puts the cluster's older links in doubt."""
        cluster = self._clusters.setdefault(link.cluster, _Cluster())
        if link in cluster.links:
            return
        if link.agent_id is None:
            for older in cluster.links:
                if not older.suspect:  # one that is in doubt already is being asked
                    older.doubt()
        cluster.links.append(link)
        self.newest = link.name
        self._known.clear()
        self.identified(link)

    def identified(self, link: Link) -> None:
        """The link's agent id is known: close an older link of the same agent."""
        cluster = self._clusters.get(link.cluster)
        if cluster is None or link not in cluster.links or link.agent_id is None:
            return
        for other in list(cluster.links):
            if other is link:
                break
            is_live_twin = other.agent_id == link.agent_id and other.close_code is None
            if is_live_twin and not self._replace(other, link, link.agent_id):
                return

    def _replace(self, older: Link, link: Link, agent_id: str) -> bool:
        was_contested = self._twins.is_contested(link.cluster, agent_id)
        if not self._twins.may_replace(link.cluster, agent_id, self._clock()):
            link.close(1013, "another process with this agent id is connected")
            return False
        older.close(1012, REPLACED)
        if self._twins.is_contested(link.cluster, agent_id) and not was_contested:
            logger.warning(
                "agent %.80r of cluster %s was replaced %d times within %d s: the next newcomer is refused. Two "
                "processes seem to have this agent id: look for replicas: 2, or for an old pod on a partitioned node",
                agent_id, link.cluster, REPLACEMENTS, WITHIN_SECONDS,
            )  # fmt: skip
        return True

    def holds_off(self, cluster: str) -> bool:
        """Whether a newcomer of this cluster that has no agent id yet is to be refused: see `twins.py`."""
        return self._twins.hold_off(cluster, self._clock())

    def ready(self, link: Link) -> None:
        """The link takes exchanges, now or again: wake the requests that wait for its cluster."""
        cluster = self._clusters.get(link.cluster)
        if cluster is not None:
            self._release(cluster)

    def remove(self, link: Link) -> None:
        """Remove exactly this link; idempotent."""
        cluster = self._clusters.get(link.cluster)
        if cluster is None or link not in cluster.links:
            return
        cluster.links.remove(link)
        if link.agent_id is not None and all(other.agent_id != link.agent_id for other in cluster.links):
            self._twins.gone(link.cluster, link.agent_id)
        self._known.clear()
        if not cluster.links:
            cluster.lost_at = self._clock()

    def known_upstream(self, target: Target) -> Upstream | None:
        """What `upstream` last returned for this object, if there is only one link to choose. None: ask `upstream`."""
        known = self._known.get(id(target))
        return known[2] if known is not None and known[1].available else None

    def upstream(
        self, target: Target, *, avoid: str | None = None, preference: Callable[[Link], int] | None = None
    ) -> Upstream:
        """The upstream to a target over the link that `select` chooses. Raises NoAgentError."""
        link = self.select(target.cluster, avoid=avoid, preference=preference)
        upstream = link.upstream(target)
        if len(self._clusters[target.cluster].links) == 1 and len(self._known) < _KNOWN:
            self._known[id(target)] = target, link, upstream
        return upstream

    def forget(self) -> None:
        """Forget the known upstreams. Call it after the links' ticks, in which carriers drop unused upstreams."""
        self._known.clear()

    def select(self, name: str, *, avoid: str | None = None, preference: Callable[[Link], int] | None = None) -> Link:
        """The link for the next exchange of a cluster: the newest link without an agent id, else the least loaded.

        The link named `avoid` is chosen only if there is no other. `preference` ranks links before their load,
        highest first. Raises NoAgentError.
        """
        cluster = self._clusters.get(name)
        best: Link | None = None
        if cluster is not None and len(cluster.links) == 1:
            best = cluster.links[0] if cluster.links[0].available else None
        elif cluster is not None:
            candidates = (link for link in reversed(cluster.links) if link.available)
            best = min(candidates, key=lambda link: _rank(link, avoid, preference), default=None)
        if best is None:
            raise NoAgentError(f"no agent of cluster {name} is connected")
        return best

    async def wait(
        self,
        name: str,
        *,
        avoid: str | None = None,
        preference: Callable[[Link], int] | None = None,
        size_bytes: int = 0,
    ) -> Link:
        """Like `select`, but wait for a link that may be about to connect. The request's head has `size_bytes`.

        Raises NoAgentError once the grace is over, with the seconds waited; TooManyWaitingError if there is no room
        to wait.
        """
        try:
            return self.select(name, avoid=avoid, preference=preference)
        except NoAgentError:
            if self.seconds_of_grace(name) <= 0:
                raise
        cluster = self._clusters.setdefault(name, _Cluster())
        if why := self._why_not_wait(cluster, size_bytes):
            self.waits[WaitEnd.REFUSED] += 1
            raise TooManyWaitingError(why)
        began, number = self._clock(), next(self._wait_numbers)
        self.waiting += 1
        self._waiting_bytes += size_bytes
        end = WaitEnd.LEFT
        try:
            while (seconds := self.seconds_of_grace(name)) > 0:
                waiter = cluster.waiters[number] = asyncio.get_running_loop().create_future()
                await asyncio.wait((waiter,), timeout=seconds)
                try:
                    link = self.select(name, avoid=avoid, preference=preference)
                except NoAgentError:
                    continue
                end = WaitEnd.SERVED
                return link
            end = WaitEnd.IN_VAIN
            waited = self._clock() - began
            raise NoAgentError(f"no agent of cluster {name} connected: waited {waited:.1f} s for one", waited)
        finally:
            self.waits[end] += 1
            self.waiting -= 1
            self._waiting_bytes -= size_bytes
            cluster.waiters.pop(number, None)

    def _why_not_wait(self, cluster: _Cluster, size_bytes: int) -> str:
        """Why no further request may wait; empty: it may."""
        if len(cluster.waiters) >= self.most_waiting or self.waiting >= _CLUSTERS_WAITING * self.most_waiting:
            return f"{self.waiting} requests are already waiting for agents"
        if self._waiting_bytes + size_bytes > _WAITING_BYTES:
            return f"the requests that wait for agents have heads of {self._waiting_bytes} bytes"
        return ""

    def seconds_of_grace(self, name: str) -> float:
        """How long a request for this cluster may still wait for a link; 0: answer 503 now."""
        now = self._clock()
        since = self._started
        cluster = self._clusters.get(name)
        if cluster is not None:
            if cluster.lost_at is not None:
                since = max(since, cluster.lost_at)
            if any(not link.available for link in cluster.links):
                # One is joining, being probed, or going away: its successor may be about to connect.
                since = max(since, *(link.unavailable_since for link in cluster.links))
        return max(0.0, since + self._grace - now)

    def close(self) -> None:
        """End all waiting; idempotent."""
        self._grace = 0.0
        for cluster in self._clusters.values():
            self._release(cluster)

    def waiting_for(self, name: str) -> int:
        """How many requests wait for a link of this cluster now."""
        cluster = self._clusters.get(name)
        return len(cluster.waiters) if cluster is not None else 0

    def links(self, name: str | None = None) -> Collection[Link]:
        """The links of one cluster, or all."""
        if name is not None:
            cluster = self._clusters.get(name)
            return tuple(cluster.links) if cluster is not None else ()
        return tuple(link for cluster in self._clusters.values() for link in cluster.links)

    def _release(self, cluster: _Cluster) -> None:
        for _, waiter in sorted(cluster.waiters.items()):  # those who were woken in vain have come back later
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        live = {name: len(cluster.links) for name, cluster in self._clusters.items() if cluster.links}
        return f"<Registry {live}, {self.waiting} waiting>"


def _rank(link: Link, avoid: str | None, preference: Callable[[Link], int] | None) -> tuple[bool, bool, int, int]:
    """The lowest is chosen; of equal ones the newest."""
    named = link.agent_id is not None
    wanted = preference(link) if preference is not None else 0
    return (link.name == avoid, named, -wanted, link.active if named else 0)
