"""The live links of each pool on this node, and which of them gets the next exchange.

A pool is the agents that may carry the same exchanges: a cluster, or, for what an agent has published, this agent alone
(`Target.pool`). No exchange of a cluster goes to a link that publishes, nor the other way round. A pool without a link
is forgotten once nobody waits for it and its grace is over: publishers come and go.

`add` and `remove` work by identity and are idempotent: a link's cleanup never removes its successor. A request waits
for a link if its pool lost its last one less than `reconnect_grace` ago, or if this node has just started. Waiting is
bounded by time and by the `WaitingRoom`. Whoever has waited longest is served first.

Which link is which agent's (tunnel/PROTOCOL.md, section 1): a link without an agent id gets all new exchanges until
its first heartbeat. Meanwhile the older links of its pool are doubted: they get none until something is received
from them. A link whose agent already has a link replaces it, unless two processes seem to share the id (`twins.py`).
Links of different agents share the load.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from tunnel.errors import NoAgentError
from tunnel.gateway.link import Link
from tunnel.gateway.twins import REPLACEMENTS, WITHIN_SECONDS, Twins
from tunnel.gateway.waiting_room import WaitEnd, WaitingRoom
from tunnel.port import Pool, Target, Upstream
from tunnel.wire.messages import REPLACED

logger = logging.getLogger("gateway")

_KNOWN = 4_096
"""Targets whose upstream is known, until `forget`. Each costs 0.2 KiB."""

_GRACES = 10
"""How many of them a request waits at most, where links are lost again and again."""

Preference = Callable[[str], int]
"""Ranks links by the ids of their agents, or their names: the highest value is preferred."""
Chosen = TypeVar("Chosen")


class Watcher(Protocol):
    """Who is told of each link."""

    def ready(self, link: Link) -> None:
        """It takes exchanges, now or again."""

    def named(self, link: Link) -> None:
        """Its agent has said who it is."""

    def gone(self, link: Link) -> None:
        """It is over. It may never have been ready."""


class _Pool:
    """The links of one pool, newest last, and the requests that wait for one."""

    __slots__ = ("links", "lost_at", "waiters")

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.lost_at: float | None = None
        self.waiters: dict[int, asyncio.Future[None]] = {}
        """By the number of the wait: the lowest has waited longest."""


class Registry:
    """pool -> live links."""

    def __init__(self, *, clock: Callable[[], float], reconnect_grace: float = 3.0, most_waiting: int = 1_000) -> None:
        self.waiting_room = WaitingRoom(most_waiting)
        """Of the requests that wait for a link."""
        self.newest = ""
        """The name of the link that was added last: links are numbered, so it tells which there have been."""
        self._clock = clock
        self._grace = reconnect_grace
        self._longest = _GRACES * reconnect_grace
        self._started = clock()
        self._pools: dict[Pool, _Pool] = {}
        self._vacant: set[Pool] = set()
        """The pools that have no link."""
        self._known: dict[int, tuple[Target, Link, Upstream]] = {}
        """By the identity of the target, which the entry keeps alive: hashing a target costs more than the rest."""
        self._twins = Twins()
        self.watcher: Watcher | None = None
        self.lost_elsewhere: Callable[[Pool], float] | None = None
        """When another node lost its link of a pool, on this registry's clock. Asked only where there is none here."""

    def add(self, link: Link) -> None:
        """Add a link, in any state. One without an agent id puts the pool's older links in doubt."""
        pool = self._pools.setdefault(link.pool, _Pool())
        if link in pool.links:
            return
        if link.agent_id is None:
            for older in pool.links:
                if not older.suspect:  # one that is in doubt already is being asked
                    older.doubt()
        pool.links.append(link)
        self._vacant.discard(link.pool)
        self.newest = link.name
        self._known.clear()
        self.identified(link)

    def identified(self, link: Link) -> None:
        """The link's agent id is known: close an older link of the same agent."""
        pool = self._pools.get(link.pool)
        if pool is None or link not in pool.links or link.agent_id is None:
            return
        if self.watcher is not None:
            self.watcher.named(link)
        for other in list(pool.links):
            if other is link:
                break
            is_live_twin = other.agent_id == link.agent_id and other.close_code is None
            if is_live_twin and not self._replace(other, link, link.agent_id):
                return

    def _replace(self, older: Link, link: Link, agent_id: str) -> bool:
        was_contested = self._twins.is_contested(link.pool, agent_id)
        if not self._twins.may_replace(link.pool, agent_id, self._clock()):
            link.close(1013, "another process with this agent id is connected")
            return False
        older.close(1012, REPLACED)
        if self._twins.is_contested(link.pool, agent_id) and not was_contested:
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
        """The link takes exchanges, now or again: wake the requests that wait for its pool."""
        if self.watcher is not None:
            self.watcher.ready(link)
        self.wake(link.pool)

    def wake(self, name: Pool) -> None:
        """There is something new to choose for this pool: wake the requests that wait for it."""
        pool = self._pools.get(name)
        if pool is not None:
            self._release(pool)

    def remove(self, link: Link) -> None:
        """Remove exactly this link; idempotent."""
        pool = self._pools.get(link.pool)
        if pool is None or link not in pool.links:
            return
        pool.links.remove(link)
        if self.watcher is not None:
            self.watcher.gone(link)
        if link.agent_id is not None and all(other.agent_id != link.agent_id for other in pool.links):
            self._twins.gone(link.pool, link.agent_id)
        self._known.clear()
        if not pool.links:
            pool.lost_at = self._clock()
            self._vacant.add(link.pool)

    def known_upstream(self, target: Target) -> Upstream | None:
        """What `upstream` last returned for this object, if there is only one link to choose. None: ask `upstream`."""
        known = self._known.get(id(target))
        return known[2] if known is not None and known[1].available else None

    def upstream(self, target: Target, *, avoid: str | None = None, preference: Preference | None = None) -> Upstream:
        """The upstream to a target over the link that `select` chooses. Raises NoAgentError."""
        name = target.pool
        link = self.select(name, avoid=avoid, preference=preference)
        upstream = link.upstream(target)
        if len(self._pools[name].links) == 1 and len(self._known) < _KNOWN:
            self._known[id(target)] = target, link, upstream
        return upstream

    def forget(self) -> None:
        """Forget the known upstreams, and the pools that are over.

        Call it after the links' ticks, in which carriers drop unused upstreams.
        """
        self._known.clear()
        for name in [name for name in self._vacant if self._is_over(name)]:
            self._vacant.remove(name)
            del self._pools[name]

    def _is_over(self, name: Pool) -> bool:
        pool = self._pools[name]
        if pool.waiters or (pool.lost_at is not None and pool.lost_at + self._grace > self._clock()):
            return False  # the usual cases, and the cheap ones
        return self.seconds_of_grace(name) <= 0

    def select(self, name: Pool, *, avoid: str | None = None, preference: Preference | None = None) -> Link:
        """The link for the next exchange of a pool: the newest link without an agent id, else the least loaded.

        The link named `avoid` is chosen only if there is no other. `preference` ranks links before their load,
        highest first. Raises NoAgentError.
        """
        pool = self._pools.get(name)
        best: Link | None = None
        if pool is not None and len(pool.links) == 1:
            best = pool.links[0] if pool.links[0].available else None
        elif pool is not None:
            candidates = (link for link in reversed(pool.links) if link.available)
            best = min(candidates, key=lambda link: _rank(link, avoid, preference), default=None)
        if best is None:
            raise NoAgentError(f"no {_agent_of(name)} is connected")
        return best

    async def wait(
        self, name: Pool, *, avoid: str | None = None, preference: Preference | None = None, size_bytes: int = 0
    ) -> Link:
        """Like `select`, but wait as `wait_until` does."""
        return await self.wait_until(
            name, lambda: self.select(name, avoid=avoid, preference=preference), size_bytes=size_bytes
        )

    async def wait_until(self, name: Pool, choose: Callable[[], Chosen], *, size_bytes: int = 0) -> Chosen:
        """What `choose` returns once it does not raise NoAgentError: a link of the pool may be about to connect.

        The request's head has `size_bytes`. Raises NoAgentError, with the seconds waited, once the grace is over, and
        after ten graces however often links are lost meanwhile; TooManyWaitingError if there is no room to wait.
        """
        try:
            return choose()
        except NoAgentError:
            if self.seconds_of_grace(name) <= 0:
                raise
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = _Pool()
            self._vacant.add(name)
        began = self._clock()
        with self.waiting_room.place(size_bytes, len(pool.waiters)) as place:
            try:
                while (seconds := min(self.seconds_of_grace(name), began + self._longest - self._clock())) > 0:
                    waiter = pool.waiters[place.number] = asyncio.get_running_loop().create_future()
                    await asyncio.wait((waiter,), timeout=seconds)
                    try:
                        chosen = choose()
                    except NoAgentError:
                        continue
                    place.end = WaitEnd.SERVED
                    return chosen
            finally:
                pool.waiters.pop(place.number, None)
            place.end = WaitEnd.IN_VAIN
            waited = self._clock() - began
            raise NoAgentError(f"no {_agent_of(name)} connected: waited {waited:.1f} s for one", waited)

    def seconds_of_grace(self, name: Pool) -> float:
        """How long a request for this pool may still wait for a link; 0: answer 503 now."""
        now = self._clock()
        since = self._started
        if self.lost_elsewhere is not None:
            since = max(since, self.lost_elsewhere(name))
        pool = self._pools.get(name)
        if pool is not None:
            if pool.lost_at is not None:
                since = max(since, pool.lost_at)
            if any(not link.available for link in pool.links):
                # One is joining, being probed, or going away: its successor may be about to connect.
                since = max(since, *(link.unavailable_since for link in pool.links))
        return max(0.0, since + self._grace - now)

    def seconds_of_start(self) -> float:
        """How long what nobody has yet may still come because this node has just started; 0: no longer."""
        return max(0.0, self._started + self._grace - self._clock())

    def close(self) -> None:
        """End all waiting; idempotent."""
        self._grace = 0.0
        for pool in self._pools.values():
            self._release(pool)

    def waiting_for(self, name: Pool) -> int:
        """How many requests wait for a link of this pool now."""
        pool = self._pools.get(name)
        return len(pool.waiters) if pool is not None else 0

    def connected(self) -> set[Pool]:
        """The pools of which a link takes new exchanges."""
        return {name for name, pool in self._pools.items() if any(link.available for link in pool.links)}

    def links(self, name: Pool | None = None) -> Collection[Link]:
        """The links of one pool, or all. Those of a cluster's publishers are not in the cluster's pool."""
        if name is not None:
            pool = self._pools.get(name)
            return tuple(pool.links) if pool is not None else ()
        return tuple(link for pool in self._pools.values() for link in pool.links)

    def _release(self, pool: _Pool) -> None:
        for _, waiter in sorted(pool.waiters.items()):  # those who were woken in vain have come back later
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        live = {name: len(pool.links) for name, pool in self._pools.items() if pool.links}
        return f"<Registry {live}, {self.waiting_room.waiting} waiting>"


def _agent_of(name: Pool) -> str:
    """Whom a pool lacks, for the operator."""
    if isinstance(name, str):
        return f"agent of cluster {name}"
    cluster, publisher = name
    return f"link of publisher {publisher:.80} of cluster {cluster}"


def _rank(link: Link, avoid: str | None, preference: Preference | None) -> tuple[bool, bool, int, int]:
    """The lowest is chosen; of equal ones the newest."""
    named = link.agent_id is not None
    wanted = preference(link.agent_id or link.name) if preference is not None else 0
    return (link.name == avoid, named, -wanted, link.active if named else 0)
