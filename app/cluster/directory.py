"""Which node has a link of which pool, as far as this node knows, and which one an exchange goes to.

The directory is a hint; the owner of a link decides. A wrong entry costs one NOT_HERE, a dropped one an outage, so it
drops nothing when in doubt: it holds what the bucket `links` holds, and `Presence` says which nodes may be used. Of its
own links a node knows more than any bucket (`OwnLinks`), so the index has those of others only.

Choosing, the first that differs counts:

1. what the caller wants to avoid, last
2. the state of its node: live, silent, lost_way, draining (`presence.RANKS`); gone is never chosen
3. links that are older than one of another node whose agent has not named itself, last: it may be the same agent
4. what the client sticks to
5. a link of this node
6. the load of the node, by its last beat and what this node gave it since
7. the newest link

Links that are only announced (`announced`) are looked at, by the same rules, if that finds nothing, or nothing but what
the caller wants to avoid: an entry always comes first.

Of each agent only one link is looked at: by 1 and 2, then the newest. So an older link of this node loses to a newer
one of the same agent elsewhere, until it has answered a ping that was sent because of that one (`proved`): then it is
alive, and as good as the newer one. So an agent that keeps links to several nodes is used where the client is, and not
all of it through the node that it reached last.

What the owner of an older link does when it is told of a newer one, be it announced only (`on_outranked`): no new
streams over it (a peer's is answered BUSY, since NOT_HERE would be wrong if it lives), a ping, then either `proved`, or
it closes it.

Entries that are gone without a word, because the bucket was made anew, are kept until their node has put them again, or
for `KEEP_SECONDS`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple

from tunnel.port import Pool
from tunnel.slices import work_off

from .announced import Announced
from .announcement import Announcement
from .bucket import Entry
from .keys import NotAKeyError, cluster_and_node, link_key
from .links import OLDEST, UNNAMED, Claim, Stamp, claims_of
from .own_links import OwnLink, OwnLinks
from .presence import Beats, OwnState, Peer, PeerState, Presence
from .values import Complaints, ValueIgnoredError

KEEP_SECONDS: Final = 30.0
"""Ten thousand keys are put in a few seconds. Not counted while this node is cut."""

Preference = Callable[[str], int]
"""Ranks agents by their ids: the highest value is preferred."""
_HERE: Final = -1  # the load of this node: below that of any other
_KEYS_PER_TURN: Final = 500  # of a node that can be used again, which may have ten thousand: below 1 ms
_NONE: Final[frozenset[Claim]] = frozenset()


class _Candidate(NamedTuple):
    """A link that may be chosen."""

    claim: Claim
    avoided: bool
    rank: int
    stamp: Stamp
    """Of a link of this node: `OwnLink.rank`."""

    def is_before(self, other: "_Candidate") -> bool:
        """Whether it is the better link of the same agent."""
        mine, others = (self.avoided, self.rank), (other.avoided, other.rank)
        return mine < others or (mine == others and self.stamp > other.stamp)


class _Held:
    """One entry of another node. There are as many as clusters times nodes: it is kept small."""

    __slots__ = ("claims", "missed", "revision")

    def __init__(self) -> None:
        self.revision = 0
        self.claims: tuple[Claim, ...] = ()
        self.missed: frozenset[Claim] = _NONE
        """Those of `claims` that the node said it does not have."""


class Directory:
    """The links of all nodes, as one of them knows them."""

    def __init__(self, presence: Presence) -> None:
        self.presence = presence
        self.own = OwnLinks(presence.node)
        self.announced = Announced()
        self.announced.on_gone = lambda pool: self.on_unclaimed(pool)  # noqa: PLW0108 (it may be replaced)
        self.on_claim: Callable[[Pool], object] = _nobody
        """A pool has got something new to choose: wake the requests that wait for it."""
        self.on_unclaimed: Callable[[Pool], object] = _nobody
        """A claim of a pool went away, whose link may be about to come back elsewhere."""
        self.on_outranked: Callable[[OwnLink], object] = _nobody
        """A newer link of the agent of this one is elsewhere, or may be: see the module."""
        self.on_peer_change: Callable[[Peer], object] = _nobody
        """As `Presence.on_change`."""
        self.on_own_change: Callable[[OwnState], object] = _nobody
        """As `Presence.on_own_change`."""
        presence.on_change = self._peer_changed
        presence.on_own_change = self._own_changed
        self._held: dict[str, _Held] = {}
        self._pools: dict[Pool, dict[tuple[str, str], Claim]] = {}  # by node and agent id
        self._of_node: dict[str, set[str]] = {}  # keys
        self._usable: set[str] = set()
        self._adrift: set[str] = set()  # keys that are gone without a word
        self._adrift_at = 0.0  # when the last of them went
        self._complaints = Complaints("links")

    # --- the bucket `links`

    def changed(self, entry: Entry, now: float) -> None:
        """The mirror shows this entry."""
        try:
            cluster, node = cluster_and_node(entry.key)
        except NotAKeyError as error:
            self._complaints.tell(entry.key, error)
            return
        if node == self.presence.node:
            for link in self.own.seen(entry):
                self._compare(link)
            return
        if entry.value is None and entry.revision == 0:
            if entry.key in self._held:
                self._adrift.add(entry.key)
                self._adrift_at = now
            return
        self._adrift.discard(entry.key)
        claims: tuple[Claim, ...] = ()
        if entry.value is not None:
            try:
                claims = claims_of(entry, cluster, node)
                self.announced.named(claims)
            except ValueIgnoredError as error:
                self._complaints.tell(entry.key, error)
            self.presence.met(node, now)
        self._hold(entry.key, node, entry.revision, claims, is_there=entry.value is not None)

    def heard(self, announcement: Announcement) -> None:
        """A node announces its links with a cluster. Nothing is taken from one that cannot be used."""
        if announcement.node in self._usable:
            for claim in self.announced.take(announcement):
                self.on_claim(claim.pool)
                for link in self._rivals_here(claim):
                    self.on_outranked(link)

    def anew(self) -> None:
        """The bucket was made anew, or has lost writes: put everything of this node again."""
        self.own.anew()

    def _hold(self, key: str, node: str, revision: int, claims: tuple[Claim, ...], *, is_there: bool) -> None:
        held = self._held.get(key)
        if held is None:
            if not is_there:
                return
            held = self._held[key] = _Held()
            self._of_node.setdefault(node, set()).add(key)
        before, held.claims, held.revision = held.claims, claims, revision
        if held.missed:
            held.missed = held.missed.intersection(claims)
        old = {(claim.pool, claim.agent_id): claim for claim in before}
        for claim in claims:
            known = old.pop((claim.pool, claim.agent_id), None)
            if claim not in held.missed:
                self._put_in(claim, is_new=known != claim)
        for claim in old.values():
            self._take_out(claim)
        if not is_there:
            del self._held[key]
            keys = self._of_node[node]
            keys.remove(key)
            if not keys:
                del self._of_node[node]

    def _put_in(self, claim: Claim, *, is_new: bool) -> None:
        self._pools.setdefault(claim.pool, {})[claim.node, claim.agent_id] = claim
        if is_new and claim.node in self._usable:
            self.on_claim(claim.pool)
            self._compare_with(claim)

    def _take_out(self, claim: Claim) -> None:
        claims = self._pools.get(claim.pool)
        if claims is not None:
            claims.pop((claim.node, claim.agent_id), None)
            if not claims:
                del self._pools[claim.pool]
            if claim.node in self._usable:  # else it is long lost
                self.on_unclaimed(claim.pool)

    def not_here(self, claim: Claim) -> None:
        """The claim's node said NOT_HERE: forget exactly this claim, until its link has another stamp. Idempotent."""
        if self.announced.not_here(claim):
            return
        cluster = claim.pool if isinstance(claim.pool, str) else claim.pool[0]
        held = self._held.get(link_key(cluster, claim.node))
        if held is not None and claim in held.claims:
            held.missed |= {claim}
            self._take_out(claim)

    # --- choosing

    def has(self, pool: Pool) -> bool:
        """Whether another node claims to have a link of a pool, gone ones included."""
        return pool in self._pools or pool in self.announced

    def pools_of(self, node: str) -> Iterator[Pool]:
        """The pools that another node claims to have links of; some more than once."""
        for key in self._of_node.get(node, ()):
            for claim in self._held[key].claims:
                yield claim.pool
        yield from self.announced.pools_of(node)

    def serves(self, pool: Pool) -> bool:
        """Whether a node that can be used has a link of this pool."""
        return pool in self.announced or any(node in self._usable for node, _ in self._pools.get(pool, ()))

    def pools(self) -> set[Pool]:
        """The pools of which a node that can be used has a link."""
        held = {pool for pool, claims in self._pools.items() if any(node in self._usable for node, _ in claims)}
        return held | self.announced.pools()

    def claims(self, pool: Pool) -> list[Claim]:
        """Who claims to have a link of a pool, this node and gone ones included."""
        return [*self.own.claims(pool), *self._pools.get(pool, {}).values(), *self.announced.of_pool(pool)]

    def choose(
        self,
        pool: Pool,
        *,
        local: Collection[str] = (),
        avoid: Collection[Claim] = (),
        unusable: Collection[Claim] = (),
        sticky: Preference | None = None,
    ) -> Claim | None:
        """Where the next exchange of a pool goes. None: nobody has a link that may be used; wait for `on_claim`.

        `local`: the agents whose links on this node take exchanges; of those the registry then chooses. `avoid`: chosen
        only if there is nothing else. `unusable`: claims of other nodes that are not chosen.
        """
        best_of: dict[str, _Candidate] = {}
        for agent_id in local:
            link = self.own.of_agent(pool, agent_id)
            if link is not None:
                claim = self.own.claim(link)
                best_of[agent_id] = _Candidate(claim, claim in avoid, 0, link.rank)
        self._add(self._pools.get(pool, {}).values(), avoid, unusable, best_of)
        best = self._best(best_of, sticky)
        if best is None or best.avoided:
            announced: dict[str, _Candidate] = {}
            self._add(self.announced.of_pool(pool), avoid, unusable, announced)
            other = self._best(announced, sticky)
            if other is not None and (best is None or not other.avoided):
                best = other
        if best is None:
            return None
        peer = self.presence.peer(best.claim.node)
        if peer is not None:
            peer.given += 1
        return best.claim

    def _add(
        self,
        claims: Iterable[Claim],
        avoid: Collection[Claim],
        unusable: Collection[Claim],
        best_of: dict[str, _Candidate],
    ) -> None:
        """Look at claims of other nodes, and keep the best of each agent in `best_of`."""
        for claim in claims:
            peer = self.presence.peer(claim.node)
            rank = peer.rank if peer is not None else None
            if rank is not None and claim not in unusable:
                candidate = _Candidate(claim, claim in avoid, rank, claim.stamp)
                other = best_of.get(claim.agent_id)
                if other is None or candidate.is_before(other):
                    best_of[claim.agent_id] = candidate

    def _best(self, best_of: dict[str, _Candidate], sticky: Preference | None) -> _Candidate | None:
        if len(best_of) <= 1:
            return next(iter(best_of.values()), None)
        unnamed = best_of.get(UNNAMED)

        def key(one: _Candidate) -> tuple[bool, int, bool, int, int]:
            node = one.claim.node
            is_doubted = unnamed is not None and unnamed.stamp > one.stamp and unnamed.claim.node != node
            wanted = sticky(one.claim.agent_id) if sticky is not None else 0
            peer = self.presence.peer(node)
            return one.avoided, one.rank, is_doubted, -wanted, peer.load if peer is not None else _HERE

        newest_first = sorted(best_of.values(), key=lambda one: one.stamp, reverse=True)
        return min(newest_first, key=key)

    # --- links of this node that may be old

    def named(self, name: str, agent_id: str) -> None:
        """The agent of a link of this node has said who it is."""
        self.own.named(name, agent_id)
        if (link := self.own.link(name)) is not None:
            self._compare(link)

    def is_outranked(self, link: OwnLink) -> bool:
        """Whether a newer link of its agent is elsewhere, and this one has not proved since that it lives."""
        return self._newest_rival(link) > link.rank

    def is_elsewhere(self, link: OwnLink) -> bool:
        """Whether the agent of a link of this node has one on another node that can be used."""
        announced = (claim.agent_id for claim in self.announced.of_pool(link.pool))
        return self._newest_rival(link) is not OLDEST or any(one in (link.agent_id, UNNAMED) for one in announced)

    def proved(self, name: str) -> None:
        """A link of this node has answered a ping that was sent after `on_outranked`."""
        if (link := self.own.link(name)) is not None:
            link.proved = self._newest_rival(link)

    def _newest_rival(self, link: OwnLink) -> Stamp:
        claims = self._pools.get(link.pool)
        ids = (link.agent_id, UNNAMED) if claims else ()
        rivals = (claims[node, one] for one in ids for node in self._usable if claims and (node, one) in claims)
        return max((rival.stamp for rival in rivals), default=OLDEST)

    def _compare(self, link: OwnLink) -> None:
        if self.is_outranked(link):
            self.on_outranked(link)

    def _compare_with(self, claim: Claim) -> None:
        for link in self._rivals_here(claim):
            if claim.stamp > link.rank:
                self.on_outranked(link)

    def _rivals_here(self, claim: Claim) -> list[OwnLink]:
        """The links of this node that may be older ones of the claim's agent."""
        if claim.agent_id == UNNAMED:
            return list(self.own.of_pool(claim.pool))
        link = self.own.of_agent(claim.pool, claim.agent_id)
        return [link] if link is not None else []

    # --- time and nodes

    def tick(self, now: float, due: float) -> None:
        """As `Presence.tick`, and forget what nothing is left of."""
        self.presence.tick(now, due)
        self.announced.tick(now, is_cut=self.presence.is_cut)
        if self.presence.is_cut:
            self._adrift_at = now
        elif self._adrift and now - self._adrift_at >= KEEP_SECONDS:
            for key in list(self._adrift):
                self._hold(key, key.rpartition(".")[2], 0, (), is_there=False)
            self._adrift.clear()
        for peer in self.presence:
            if peer.state is PeerState.GONE and peer.revision is None and peer.node not in self._of_node:
                self.presence.drop(peer.node)

    def left_over(self) -> Iterator[tuple[str, str, int]]:
        """What nodes have left that are over: bucket, key and revision, to be deleted if it still has that one.

        For the node that is the keeper (`Presence.is_keeper`).
        """
        for peer in self.presence:
            if peer.beats is Beats.OVER:
                for key in self._of_node.get(peer.node, ()):
                    if key not in self._adrift:
                        yield "links", key, self._held[key].revision
                if peer.revision is not None:
                    yield "nodes", peer.node, peer.revision

    def _peer_changed(self, peer: Peer) -> None:
        if peer.rank is None:
            self._usable.discard(peer.node)
            self.announced.forget(peer.node)
        elif peer.node not in self._usable:
            self._usable.add(peer.node)
            work_off(self._tell_claims(peer.node), _KEYS_PER_TURN)
        self.on_peer_change(peer)

    def _tell_claims(self, node: str) -> Iterator[None]:
        for key in list(self._of_node.get(node, ())):
            held = self._held.get(key)
            if held is not None and node in self._usable:
                for claim in held.claims:
                    if claim not in held.missed:
                        self.on_claim(claim.pool)
                        self._compare_with(claim)
            yield

    def _own_changed(self, state: OwnState) -> None:
        if state is OwnState.FROZEN:
            for link in self.own:
                link.proved = OLDEST
                self._compare(link)
        self.on_own_change(state)

    def __repr__(self) -> str:
        links = sum(len(held.claims) for held in self._held.values())
        return f"<Directory of {self.presence.node}: {links} links of {len(self._of_node)} other nodes>"


def _nobody(_what: object) -> None: ...
