"""The learned routes: which are in force, which cluster holds which host, and until when.

Invariants: a cluster holds a host with all its paths. The host goes to another cluster only when none of its paths is
both unexpired and covered by a token of the cluster that holds it. A wildcard also holds the hosts below it. No method
awaits between reading and changing a route, and each returns after its changes are committed. Routes that no token
covers any more are kept but not served. Everything is bounded (`bounds.py`).

Control hosts and hosts of the file come first (`Gateway.routes_of`).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..rules.hosts import above, covers
from ..rules.routes import Route
from ..settings import Settings
from .bounds import LOOK_SECONDS, MOST_EXPIRED, PATHS_PER_HOST, ROUTES_IN_ALL, ROUTES_PER_CLUSTER
from .changes import Changes
from .claims import Claim, ClaimError, Fault, is_sound
from .latest import Latest
from .lifetimes import LIFETIME_SECONDS, Lifetimes
from .refusals import Refusal, Refusals
from .served import Host, Served
from .state_file import Change, Drop, Learned
from .store import Store

logger = logging.getLogger("gateway.routes")

_LINES_PER_TURN = 50
_HOSTS_PER_LOOK = 500
_CLAIMS_PER_TURN = 1_000
_ROUTES_PER_TURN = 50
"""Of a sync: 2 ms. What a turn changes is in force and on its way to the file when the turn ends."""


class LearnedRoutes:
    """All learned routes of one gateway."""

    def __init__(self, settings: Settings, store: Store | None, *, clock: Callable[[], float]) -> None:
        """The store's routes are served at once. `clock`: seconds of the wall clock. Raises ConfigurationError."""
        self._store = store
        self._clock = clock
        self._hosts: dict[str, Host] = {}
        self._per_cluster: Counter[str] = Counter()
        self._count = 0  # kept, because every new route asks for it
        self._served = Served(self._hosts, self._tell_served)
        self.on_served: Callable[[str], object] | None = None
        """Told of each host and wildcard that is served, as it was or otherwise."""
        self.refusals = Refusals(clock)
        """The routes that were refused and not learned since."""
        self.on_refused: Callable[[Refusal, str], object] | None = None
        """Told of each refusal that is logged, and whose claim it was."""
        self.published_for: Callable[[str], str | None] = _nobody
        """The cluster of the agent that has published a host; None: nobody has."""
        self.expired: Latest[tuple[str, str], Learned] = Latest(MOST_EXPIRED)
        """The routes that nobody renewed in time, by host and path: why one is gone that was there yesterday. Those of
        before a restart are forgotten, but for what the file still has."""
        self._next_look = 0.0
        self._to_look_at: list[str] = []  # hosts, by the look for expired routes that is on its way
        self._lifetimes = Lifetimes(self._hosts, clock=clock, on_moved=self._rewrite)
        self._told_of_memory = False
        self._owed: list[Change] = []  # to write as soon as the loop runs
        self._load()
        if store is not None:
            store.everything = self._everything
        self.apply(settings)

    # --- for requests and scrapes

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first. None when the host is not learned."""
        return self._served.of_host(host)

    @property
    def clusters(self) -> set[str]:
        """The clusters with at least one learned route."""
        return set(self._per_cluster)

    @property
    def is_kept(self) -> bool | None:
        """Whether the file has what agents registered. None: there is no `state_dir`."""
        return self._store.is_kept if self._store is not None else None

    @property
    def files_set_aside(self) -> Mapping[str, int]:
        """Files that could not be used and were renamed, by what is wrong with them; empty without a `state_dir`."""
        return self._store.set_aside if self._store is not None else {}

    def count_of(self, cluster: str) -> int:
        """How many routes a cluster has registered."""
        return self._per_cluster.get(cluster, 0)

    def hosts(self) -> list[str]:
        """The hosts with learned routes, in no order: for whoever looks at them in turns of the loop."""
        return list(self._hosts)

    def registered(self, host: str) -> list[Learned]:
        """The routes that were registered for exactly this host, served or not, by path."""
        known = self._hosts.get(host)
        return [learned for _, learned in sorted(known.paths.items())] if known is not None else []

    def holder_of(self, host: str) -> str | None:
        """The cluster that holds exactly this host or wildcard. None: nobody does, so any cluster may have it."""
        known = self._hosts.get(host)
        return known.cluster if known is not None and self._is_held(host, known) else None

    def take_set_aside(self) -> list[tuple[str, str]]:
        """The files that were set aside since the last call: what is wrong with each, and a line about it."""
        return self._store.take_set_aside() if self._store is not None else []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Learned]:
        """Every learned route, sorted by host and path."""
        for _, host in sorted(self._hosts.items()):
            for _, learned in sorted(host.paths.items()):
                yield learned

    # --- for agents

    async def register(self, claim: Claim, who: str) -> Learned:
        """Learn one route, or renew it. Raises ClaimError, for the caller to `refuse`, and StoreError."""
        changes = Changes()
        learned = self._put(claim, changes, who)
        await self._commit(changes)
        return learned

    async def sync(
        self, cluster: str, claims: Iterable[Claim], patterns: Iterable[str], who: str
    ) -> list[tuple[Claim, ClaimError]]:
        """Learn these routes, and remove the cluster's other routes, as far as the patterns cover their hosts.

        Done in turns of the loop, each whole in itself: other calls may come in between, and what a call of the same
        cluster learned meanwhile stays. Returns the refused claims, for the caller to `refuse` when it suits. Raises
        StoreError.
        """
        wanted: dict[tuple[str, str], Claim] = {}
        for number, claim in enumerate(claims, 1):
            wanted[claim.host, claim.path] = claim
            if number % _CLAIMS_PER_TURN == 0:
                await asyncio.sleep(0)
        patterns = tuple(patterns)
        newest = self._clock() + LIFETIME_SECONDS  # what expires later was learned while this call ran
        names = list(self._hosts)
        written: asyncio.Future[None] | None = None
        for begin in range(0, len(names), _ROUTES_PER_TURN):
            changes = Changes()
            for name in names[begin : begin + _ROUTES_PER_TURN]:
                host = self._hosts.get(name)
                if host is not None and host.cluster == cluster and covers(patterns, name):
                    gone = [
                        path for path, learned in host.paths.items()
                        if (name, path) not in wanted and learned.expires_at <= newest
                    ]  # fmt: skip
                    self._drop(name, gone, changes, f"not in the sync of {who}")
            written = self._put_in_force(changes) or written
            await self._log(changes)
            await asyncio.sleep(0)
        refused = []
        asked = list(wanted.values())
        for begin in range(0, len(asked), _ROUTES_PER_TURN):
            changes = Changes()
            for claim in asked[begin : begin + _ROUTES_PER_TURN]:
                try:
                    self._put(claim, changes, who)
                except ClaimError as error:
                    refused.append((claim, error))
            written = self._put_in_force(changes) or written
            await self._log(changes)
            await asyncio.sleep(0)
        await self._wait_for(self._put_in_force(Changes()) or written)
        return refused

    async def unregister(self, name: str, clusters: Iterable[str], who: str, *, path: str | None = None) -> int:
        """Remove a host that one of these clusters holds, or one path of it. Returns how many routes were removed.

        Raises ClaimError, for the caller to `refuse`, if another cluster holds the host, and StoreError.
        """
        host = self._hosts.get(name)
        if host is None:
            await self._commit(Changes())  # the agent may repeat the call because the file still has it
            return 0
        if host.cluster not in clusters:
            if not self._is_held(name, host):
                return 0
            raise ClaimError(Fault.TAKEN, f"{name} belongs to another cluster")
        gone = list(host.paths) if path is None else [known for known in host.paths if known == path]
        changes = Changes()
        self._drop(name, gone, changes, f"unregistered by {who}")
        await self._commit(changes)
        return len(gone)

    def refuse(self, cluster: str, host: str, path: str, error: ClaimError, who: str) -> None:
        """Remember a refusal. Host and path as sent; `cluster` is empty if the agent named none of its token's."""
        new = self.refusals.refuse(cluster, host, path, error.fault, str(error), who)
        if new is not None and self.on_refused is not None:
            self.on_refused(new, who)

    # --- for what nodes share

    def check(self, claim: Claim) -> Learned:
        """What this claim would be, learned now. Changes nothing. Raises ClaimError: it is refused."""
        cluster = claim.target.cluster
        for name in above(claim.host):
            other = self._hosts.get(name)
            if other is not None and other.cluster != cluster and self._is_held(name, other):
                raise ClaimError(Fault.TAKEN, f"{name} belongs to another cluster")
        if self.published_for(claim.host) not in (None, cluster):
            raise ClaimError(Fault.TAKEN, f"{claim.host} belongs to another cluster")
        host = self._hosts.get(claim.host)
        if host is None or host.cluster != cluster or claim.path not in host.paths:
            self._check_room(cluster, host)
        return Learned(claim, self._clock() + LIFETIME_SECONDS)

    def take(self, host: str, routes: Iterable[Learned], who: str) -> "asyncio.Future[None] | None":
        """These are all routes of a host now, of one cluster: others decided it. Returns the write, if there is one."""
        wanted = {learned.claim.path: learned for learned in routes}
        known = self._hosts.get(host)
        before = dict(known.paths) if known is not None else {}
        changes = Changes()
        if gone := [path for path in before if path not in wanted]:
            self._drop(host, gone, changes, f"removed by {who}")
        for path, learned in wanted.items():
            if before.get(path) != learned:
                self._learn(learned, changes, who)
        written = self._put_in_force(changes)
        for level, text, values in changes.lines:
            logger.log(level, text, *values)
        return written

    # --- for the gateway

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on: the policy, and what tokens cover."""
        self._served.apply(settings)

    def tick(self, now: float) -> None:
        """Remove expired routes, about once a minute. `now`: the loop's time."""
        self._lifetimes.follow(now)
        if now >= self._next_look and self._lifetimes.settled:
            self._next_look = now if self.expire() else now + LOOK_SECONDS

    async def aclose(self) -> None:
        """Write what is pending, and close the store; idempotent."""
        if not self._lifetimes.settled:
            self._lifetimes.settle_all()
            self._rewrite()
        if self._store is not None:
            await self._store.aclose()

    def expire(self) -> bool:
        """Remove routes that were not renewed in time, a limited number at once. Returns whether there may be more."""
        now = self._clock()
        changes = Changes()
        looked_at = 0
        if not self._to_look_at:
            self._to_look_at = list(self._hosts)
        while self._to_look_at and looked_at < _HOSTS_PER_LOOK and len(changes.lines) < _LINES_PER_TURN:
            looked_at += 1
            name = self._to_look_at.pop()
            host = self._hosts.get(name)
            if host is not None:
                gone = [path for path, learned in host.paths.items() if learned.expires_at <= now]
                for path in gone:
                    self.expired.put((name, path), host.paths[path])
                self._drop(name, gone, changes, "expired")
        self._served.refresh(changes.hosts)
        for level, text, values in changes.lines:
            logger.log(level, text, *values)
        stored, self._owed = self._owed + changes.stored, []
        if self._store is not None and (stored or self._store.behind):
            self._store.look(stored)
        return bool(self._to_look_at)

    # --- decisions

    def _put(self, claim: Claim, changes: Changes, who: str) -> Learned:
        """Learn or renew one route. Raises ClaimError; then nothing has changed."""
        learned = self.check(claim)
        self._learn(learned, changes, who)
        return learned

    def _learn(self, learned: Learned, changes: Changes, who: str) -> None:
        claim, cluster = learned.claim, learned.claim.target.cluster
        host = self._hosts.get(claim.host)
        if host is not None and host.cluster != cluster:
            self._drop(claim.host, list(host.paths), changes, f"no longer held by {host.cluster}, taken over by {who}")
            host = None
        if host is None:
            host = self._hosts[claim.host] = Host(cluster)
        old = host.paths.get(claim.path)
        host.paths[claim.path] = learned
        changes.stored.append(learned)
        self.expired.forget((claim.host, claim.path))
        if old is None:
            self._per_cluster[cluster] += 1
            self._count += 1
        if old is None or old.claim != claim:
            changes.hosts[claim.host] = None
            changes.log(logging.INFO, "route %s%s learned from %s: %s", claim.host, claim.path, who, claim.target)
        for name in ("", cluster):
            self.refusals.forget(name, claim.host, claim.path)

    def _check_room(self, cluster: str, host: Host | None) -> None:
        same = host is not None and host.cluster == cluster
        if host is not None and same and len(host.paths) >= PATHS_PER_HOST:
            raise ClaimError(Fault.TOO_MANY, f"a host may have at most {PATHS_PER_HOST} learned paths")
        if self._per_cluster[cluster] >= ROUTES_PER_CLUSTER:
            raise ClaimError(Fault.TOO_MANY, f"a cluster may have at most {ROUTES_PER_CLUSTER} learned routes")
        if self._count >= ROUTES_IN_ALL:
            raise ClaimError(Fault.TOO_MANY, f"the gateway may have at most {ROUTES_IN_ALL} learned routes")

    def _is_held(self, name: str, host: Host) -> bool:
        now = self._clock()
        self._lifetimes.settle(name)
        is_covered = self._served.covers(name, host.cluster)
        return is_covered and any(learned.expires_at > now for learned in host.paths.values())

    def _drop(self, name: str, paths: Iterable[str], changes: Changes, why: str) -> None:
        host = self._hosts[name]
        for path in paths:
            del host.paths[path]
            self._per_cluster[host.cluster] -= 1
            self._count -= 1
            changes.hosts[name] = None
            changes.stored.append(Drop(name, path))
            changes.log(logging.INFO, "route %s%s of cluster %s removed: %s", name, path, host.cluster, why)
        if not self._per_cluster[host.cluster]:
            del self._per_cluster[host.cluster]
        if not host.paths:
            del self._hosts[name]

    # --- index, store and log

    def _tell_served(self, name: str) -> None:
        if self.on_served is not None:
            self.on_served(name)

    def _everything(self) -> list[Learned]:
        return [learned for host in self._hosts.values() for learned in host.paths.values()]

    def _rewrite(self) -> None:
        if self._store is not None:
            self._store.rewrite()

    async def _commit(self, changes: Changes) -> None:
        """Put the changes in force at once, and return when they are on disk. Raises StoreError."""
        written = self._put_in_force(changes)
        await self._log(changes)
        await self._wait_for(written)

    def _put_in_force(self, changes: Changes) -> "asyncio.Future[None] | None":
        """Serve the changes, and have them written; None where nothing is to be written."""
        self._served.refresh(changes.hosts)
        store = self._store
        if store is None or not (changes.stored or store.behind):
            return None
        return store.write(changes.stored)

    async def _log(self, changes: Changes) -> None:
        if self._store is None and self._hosts and not self._told_of_memory:
            self._told_of_memory = True
            logger.warning("learned routes are kept in memory only; to keep them over a restart, set state_dir")
        for number, (level, text, values) in enumerate(changes.lines, 1):
            logger.log(level, text, *values)
            if number % _LINES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _wait_for(self, written: "asyncio.Future[None] | None") -> None:
        """A write takes all earlier ones with it. Raises StoreError."""
        if written is not None:
            await asyncio.shield(written)  # other calls may share this commit, so a cancelled caller must not cancel it

    def _load(self) -> None:
        """Take over what the store holds. No lifetime may end later than a new one would: the clock was ahead then."""
        now = self._clock()
        for learned in self._store.load() if self._store is not None else ():
            claim = learned.claim
            host = self._hosts.get(claim.host) or Host(claim.target.cluster)
            if not is_sound(claim) or host.cluster != claim.target.cluster:
                logger.warning("route %.300r of the file is not valid, and was removed", f"{claim.host}{claim.path}")
                self._owed.append(Drop(claim.host, claim.path))
            elif learned.expires_at <= now:
                logger.info("route %s%s of cluster %s removed: expired", claim.host, claim.path, host.cluster)
                self.expired.put((claim.host, claim.path), learned)
                self._owed.append(Drop(claim.host, claim.path))
            else:
                self._hosts[claim.host] = host
                host.paths[claim.path] = Learned(claim, min(learned.expires_at, now + LIFETIME_SECONDS))
                self._per_cluster[host.cluster] += 1
                self._count += 1
        if self._hosts:
            logger.info("%d learned routes of %d hosts are served again", len(self), len(self._hosts))


def _nobody(_host: str) -> None:
    return None
