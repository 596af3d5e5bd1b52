"""Whether the next exchange of a pool stays here or goes to another node, and what is learned from those that did not.

The directory says who claims to have a link, the dialler which nodes can be reached. A claim that cannot be used now is
passed over: its node cannot be reached, or it has just declined (busy, or about to stop) and is asked again after
`DECLINED_SECONDS`. If nothing is left, the request waits as it does for a lost agent (`Registry.wait_until`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Final, Protocol

from tunnel.errors import NotHereError, NotPassedOnError
from tunnel.gateway.registry import Registry
from tunnel.port import Pool, Target, Upstream
from tunnel.slices import work_off

from ..node.elsewhere import Preference
from .directory import Directory
from .links import UNNAMED, Claim
from .peer.upstream import Asking, PeerUpstream

DECLINED_SECONDS: Final = 0.25
MOST_LOST: Final = 20_000
"""Pools whose last loss is known. Each costs 0.2 KiB."""
_POOLS_PER_TURN: Final = 1_000
"""Of a node that comes or goes: about 1 ms."""
_NEVER: Final = float("-inf")


class Ways(Protocol):
    """The links to other nodes: a `Dialler`."""

    def asking(self, node: str, /) -> Asking | None:
        """What opens exchanges there; None while there is no link to it."""


class Choosing:
    """See the module. `clock` is the registry's."""

    def __init__(self, directory: Directory, ways: Ways, registry: Registry, *, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._ways = ways
        self._registry = registry
        self._clock = clock
        self._lost: OrderedDict[Pool, float] = OrderedDict()  # when a claim of the pool went away
        self._unreachable: dict[str, float] = {}  # nodes, and since when
        self._declined: dict[Claim, asyncio.TimerHandle] = {}
        self.not_here = 0
        """Answers of other nodes that they do not have the link."""
        self.declined = 0
        """Answers of other nodes that they are busy or about to stop."""

    def has(self, pool: Pool) -> bool:
        """Whether another node claims to have a link of this pool."""
        return self._directory.has(pool)

    def choose(self, target: Target, avoid: Upstream | None, preference: Preference | None) -> Upstream | None:
        """The upstream over another node's agent. None: the exchange stays here, or nobody can be reached."""
        pool = target.pool
        if not self._directory.has(pool):
            return None
        local = {link.agent_id or UNNAMED for link in self._registry.links(pool) if link.available}
        avoided = tuple(self._claims_of(avoid)) if avoid is not None else ()
        unusable: Collection[Claim] = self._declined
        without_way: set[str] = set()
        while True:
            claim = self._directory.choose(pool, local=local, avoid=avoided, unusable=unusable, sticky=preference)
            if claim is None or claim.node == self._directory.presence.node:
                return None
            asking = self._ways.asking(claim.node)
            if asking is not None and not asking.going_away:
                return asking.upstream(target, agent_id=claim.agent_id, dialect=claim.dialect, claim=claim)
            self.unreachable(claim.node)  # if it was not known yet, as of one that goes away
            without_way.add(claim.node)
            unusable = {
                one for one in self._directory.claims(pool) if one in self._declined or one.node in without_way
            }  # fmt: skip

    def _claims_of(self, upstream: Upstream) -> Iterator[Claim]:
        """The claim that an attempt went by."""
        if isinstance(upstream, PeerUpstream):
            if isinstance(upstream.claim, Claim):
                yield upstream.claim
            return
        own = self._directory.own.link(upstream.label)
        if own is not None:
            yield self._directory.own.claim(own)

    # --- what is learned

    def not_taken(self, upstream: Upstream, error: NotPassedOnError) -> None:
        """Another node did not take an exchange over this upstream."""
        for claim in self._claims_of(upstream):
            if isinstance(error, NotHereError):
                self.not_here += 1
                self._directory.not_here(claim)
            elif claim not in self._declined:
                self.declined += 1
                loop = asyncio.get_running_loop()
                self._declined[claim] = loop.call_later(DECLINED_SECONDS, self._ask_again, claim)

    def _ask_again(self, claim: Claim) -> None:
        self._declined.pop(claim, None)
        self._registry.wake(claim.pool)

    def lost(self, pool: Pool) -> None:
        """Another node has lost a link of this pool: the agent may be about to connect, anywhere."""
        self._was_lost(self._clock(), pool)

    def reached(self, node: str) -> None:
        """There is a link to this node."""
        self._unreachable.pop(node, None)
        pools = list(self._directory.pools_of(node))
        work_off(map(self._registry.wake, pools), _POOLS_PER_TURN)

    def unreachable(self, node: str) -> None:
        """There is none, or none any more; idempotent."""
        self._unreachable.setdefault(node, self._clock())

    def gone(self, node: str) -> None:
        """The node is over, and with it its links. They are lost since it cannot be reached, if that was before."""
        when = self._unreachable.pop(node, self._clock())
        pools = list(self._directory.pools_of(node))
        work_off(map(partial(self._was_lost, when), pools), _POOLS_PER_TURN)

    def _was_lost(self, when: float, pool: Pool) -> None:
        self._lost[pool] = max(when, self._lost.get(pool, _NEVER))
        self._lost.move_to_end(pool)
        if len(self._lost) > MOST_LOST:
            self._lost.popitem(last=False)

    def lost_at(self, pool: Pool) -> float:
        """When another node last lost a link of this pool, or became unreachable. See `Registry.lost_elsewhere`."""
        when = self._lost.get(pool, _NEVER)
        for claim in self._directory.claims(pool):
            when = max(when, self._unreachable.get(claim.node, _NEVER))
            if claim in self._declined:
                when = self._clock()
        return when

    def close(self) -> None:
        """Leave no timer; idempotent."""
        for timer in self._declined.values():
            timer.cancel()
        self._declined.clear()

    def __repr__(self) -> str:
        return f"<Choosing {len(self._declined)} declined, {len(self._unreachable)} unreachable>"
