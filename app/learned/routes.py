"""The learned routes: which are in force, which cluster holds which host, and until when.

Invariants: a cluster holds a host with all its paths. The host goes to another cluster only when none of its paths is
both unexpired and covered by a token of the cluster that holds it. A wildcard also holds the hosts below it. No method
awaits between reading and changing the routes, and each returns after its changes are committed. Routes that no token
covers any more are kept but not served. Everything is bounded: routes per cluster and in all, paths per host, and
remembered refusals.

Control hosts and hosts of the file come before learned routes (`Gateway.routes_of`).
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..rules.routes import HostIndex, Route
from ..settings import Settings
from .claims import Claim, ClaimError, Fault, covers, is_sound
from .store import Change, Drop, Learned, Store

logger = logging.getLogger("gateway.routes")

LIFETIME_SECONDS = 24 * 3600.0
"""Without a renewal. The existing agent registers every 5 minutes and syncs every 4 hours."""
LOOK_SECONDS = 60.0
"""How often to look for expired routes."""
ROUTES_PER_CLUSTER = 10_000
ROUTES_IN_ALL = 20_000
"""About 1 KiB each. Room for two full clusters, so that one alone cannot lock out the others."""
PATHS_PER_HOST = 100
"""Each request to the host goes through them one by one."""
_REFUSALS_REMEMBERED = 1_000
_LEAP_SECONDS = 60.0
"""A jump of the wall clock between two ticks: it was set, or the machine slept."""
_LINES_PER_TURN = 50


@dataclass(slots=True)
class _Host:
    """One host, and the cluster that holds it."""

    cluster: str
    paths: dict[str, Learned] = field(default_factory=dict)


class _Changes:
    """What one call changes: in the store, in the index and in the log."""

    __slots__ = ("hosts", "lines", "stored")

    def __init__(self) -> None:
        self.stored: list[Change] = []
        self.hosts: dict[str, None] = {}
        self.lines: list[tuple[int, str, tuple[object, ...]]] = []

    def log(self, level: int, text: str, *values: object) -> None:
        """Log this line when the changes are committed."""
        self.lines.append((level, text, values))


class LearnedRoutes:
    """All learned routes of one gateway."""

    def __init__(self, settings: Settings, store: Store | None, *, clock: Callable[[], float]) -> None:
        """The store's routes are served at once. `clock`: seconds of the wall clock. Raises ConfigurationError."""
        self._store = store
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._per_cluster: Counter[str] = Counter()
        self._index = HostIndex()
        self._refused: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._next_look = 0.0
        self._ahead: float | None = None  # wall clock minus the loop's clock
        self._told_of_memory = False
        self._owed: list[Change] = []  # to write as soon as the loop runs
        self._load()
        if store is not None:
            store.everything = self._everything
        self.apply(settings)

    # --- for requests and scrapes

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first. None when the host is not learned."""
        return self._index.of_host(host)

    @property
    def clusters(self) -> set[str]:
        """The clusters with at least one learned route."""
        return set(self._per_cluster)

    def __len__(self) -> int:
        return self._per_cluster.total()

    def __iter__(self) -> Iterator[Learned]:
        """Every learned route, sorted by host and path."""
        for _, host in sorted(self._hosts.items()):
            for _, learned in sorted(host.paths.items()):
                yield learned

    # --- for agents

    async def register(self, claim: Claim, who: str) -> Learned:
        """Learn one route, or renew it. Raises ClaimError, StoreError."""
        changes = _Changes()
        try:
            learned = self._put(claim, changes, who)
        except ClaimError as error:
            self.refuse(claim.target.cluster, claim.host + claim.path, error, who)
            raise
        await self._commit(changes)
        return learned

    async def sync(
        self, cluster: str, claims: Iterable[Claim], patterns: Iterable[str], who: str
    ) -> list[tuple[Claim, ClaimError]]:
        """Learn these routes, and remove the cluster's other routes, as far as the patterns cover their hosts.

        Returns the refused claims, for the caller to `refuse` when it suits. Raises StoreError.
        """
        wanted = {(claim.host, claim.path): claim for claim in claims}
        changes = _Changes()
        patterns = tuple(patterns)
        for name, host in list(self._hosts.items()):
            if host.cluster == cluster and covers(patterns, name):
                gone = [path for path in host.paths if (name, path) not in wanted]
                self._drop(name, gone, changes, f"not in the sync of {who}")
        refused = []
        for claim in wanted.values():
            try:
                self._put(claim, changes, who)
            except ClaimError as error:
                refused.append((claim, error))
        await self._commit(changes)
        return refused

    async def unregister(self, name: str, clusters: Iterable[str], who: str, *, path: str | None = None) -> int:
        """Remove a host that one of these clusters holds, or one path of it. Returns how many routes were removed.

        Raises ClaimError if another cluster holds the host, and StoreError.
        """
        host = self._hosts.get(name)
        if host is None:
            await self._commit(
                _Changes()
            )  # the file may still have it, and the agent may be repeating the call for that reason
            return 0
        if host.cluster not in clusters:
            if not self._is_held(name, host):
                return 0
            error = ClaimError(Fault.TAKEN, f"{name} belongs to another cluster")
            self.refuse("", name, error, who)
            raise error
        gone = list(host.paths) if path is None else [known for known in host.paths if known == path]
        changes = _Changes()
        self._drop(name, gone, changes, f"unregistered by {who}")
        await self._commit(changes)
        return len(gone)

    def refuse(self, cluster: str, name: str, error: ClaimError, who: str) -> None:
        """Log a refusal, once per route and reason: agents repeat their calls every few minutes."""
        key = (cluster, name[:400])
        if self._refused.get(key) == error.fault:
            return
        self._refused[key] = error.fault
        while len(self._refused) > _REFUSALS_REMEMBERED:
            self._refused.popitem(last=False)
        logger.warning("route %.300s of %s rejected: %s", ascii(name), who, error)

    # --- for the gateway

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on: the policy, and what tokens cover."""
        self._policy = settings.policy
        patterns: dict[str, list[str]] = {}
        for grant in settings.grants.values():
            if not grant.revoked:
                for cluster in grant.clusters:
                    patterns.setdefault(cluster, []).extend(grant.hosts)
        self._patterns = patterns
        self._index = HostIndex()
        self._reindex(self._hosts)
        uncovered = [name for name, host in self._hosts.items() if not self._is_covered(name, host)]
        if uncovered:
            logger.warning(
                "%d learned hosts are not served: no token covers them any more; %.200s is one of them",
                len(uncovered), uncovered[0],
            )  # fmt: skip

    def tick(self, now: float) -> None:
        """Remove expired routes, about once a minute. `now`: the loop's time."""
        self._follow_clock(now)
        if now >= self._next_look:
            self._next_look = now if self.expire() else now + LOOK_SECONDS

    async def aclose(self) -> None:
        """Write what is pending, and close the store; idempotent."""
        if self._store is not None:
            await self._store.aclose()

    def expire(self) -> bool:
        """Remove routes that were not renewed in time, a limited number at once. Returns whether there may be more."""
        now = self._clock()
        changes = _Changes()
        for name, host in list(self._hosts.items()):
            gone = [path for path, learned in host.paths.items() if learned.expires_at <= now]
            self._drop(name, gone, changes, "expired")
            if len(changes.lines) >= _LINES_PER_TURN:
                break
        self._reindex(changes.hosts)
        for level, text, values in changes.lines:
            logger.log(level, text, *values)
        stored, self._owed = self._owed + changes.stored, []
        if self._store is not None and (stored or self._store.behind):
            self._store.write(stored)
        return len(changes.lines) >= _LINES_PER_TURN

    def _follow_clock(self, now: float) -> None:
        """Move the lifetimes along when the wall clock jumps ahead, because no agent could renew during the jump.

        A clock that is set back does not make a lifetime longer.
        """
        wall = self._clock()
        before, self._ahead = self._ahead, wall - now
        if before is None or abs(leap := self._ahead - before) < _LEAP_SECONDS:
            return
        logger.warning("the clock jumped by %.0f s: the lifetimes of learned routes were adjusted", leap)
        for host in self._hosts.values():
            for path, learned in host.paths.items():
                expires_at = min(learned.expires_at + max(leap, 0.0), wall + LIFETIME_SECONDS)
                host.paths[path] = Learned(learned.claim, expires_at)
        if self._store is not None:
            self._store.rewrite()

    # --- decisions

    def _put(self, claim: Claim, changes: _Changes, who: str) -> Learned:
        """Learn or renew one route. Raises ClaimError; then nothing has changed."""
        cluster = claim.target.cluster
        for name in _above(claim.host):
            other = self._hosts.get(name)
            if other is not None and other.cluster != cluster and self._is_held(name, other):
                raise ClaimError(Fault.TAKEN, f"{name} belongs to another cluster")
        host = self._hosts.get(claim.host)
        old = host.paths.get(claim.path) if host is not None and host.cluster == cluster else None
        if old is None:
            self._check_room(cluster, host)
        if host is not None and host.cluster != cluster:
            self._drop(claim.host, list(host.paths), changes, f"no longer held by {host.cluster}, taken over by {who}")
            host = None
        if host is None:
            host = self._hosts[claim.host] = _Host(cluster)
        learned = Learned(claim, self._clock() + LIFETIME_SECONDS)
        host.paths[claim.path] = learned
        changes.stored.append(learned)
        if old is None:
            self._per_cluster[cluster] += 1
        if old is None or old.claim != claim:
            changes.hosts[claim.host] = None
            changes.log(logging.INFO, "route %s%s learned from %s: %s", claim.host, claim.path, who, claim.target)
        self._refused.pop((cluster, claim.host + claim.path), None)
        return learned

    def _check_room(self, cluster: str, host: _Host | None) -> None:
        same = host is not None and host.cluster == cluster
        if host is not None and same and len(host.paths) >= PATHS_PER_HOST:
            raise ClaimError(Fault.TOO_MANY, f"a host may have at most {PATHS_PER_HOST} learned paths")
        if self._per_cluster[cluster] >= ROUTES_PER_CLUSTER:
            raise ClaimError(Fault.TOO_MANY, f"a cluster may have at most {ROUTES_PER_CLUSTER} learned routes")
        if len(self) >= ROUTES_IN_ALL:
            raise ClaimError(Fault.TOO_MANY, f"the gateway may have at most {ROUTES_IN_ALL} learned routes")

    def _is_held(self, name: str, host: _Host) -> bool:
        now = self._clock()
        return self._is_covered(name, host) and any(learned.expires_at > now for learned in host.paths.values())

    def _is_covered(self, name: str, host: _Host) -> bool:
        return covers(self._patterns.get(host.cluster, ()), name)

    def _drop(self, name: str, paths: Iterable[str], changes: _Changes, why: str) -> None:
        host = self._hosts[name]
        for path in paths:
            del host.paths[path]
            self._per_cluster[host.cluster] -= 1
            changes.hosts[name] = None
            changes.stored.append(Drop(name, path))
            changes.log(logging.INFO, "route %s%s of cluster %s removed: %s", name, path, host.cluster, why)
        if not self._per_cluster[host.cluster]:
            del self._per_cluster[host.cluster]
        if not host.paths:
            del self._hosts[name]

    # --- index, store and log

    def _reindex(self, names: Iterable[str]) -> None:
        for name in names:
            host = self._hosts.get(name)
            if host is None or not self._is_covered(name, host):
                self._index.put(name, ())
            else:
                self._index.put(
                    name,
                    [Route(name, path.encode(), one.claim.target, self._policy) for path, one in host.paths.items()],
                )

    def _everything(self) -> list[Learned]:
        return [learned for host in self._hosts.values() for learned in host.paths.values()]

    async def _commit(self, changes: _Changes) -> None:
        """Put the changes in force at once, and return when they are on disk. Raises StoreError."""
        self._reindex(changes.hosts)
        store = self._store
        written = store.write(changes.stored) if store is not None and (changes.stored or store.behind) else None
        if self._store is None and self._hosts and not self._told_of_memory:
            self._told_of_memory = True
            logger.warning("learned routes are kept in memory only; to keep them over a restart, set state_dir")
        for number, (level, text, values) in enumerate(changes.lines, 1):
            logger.log(level, text, *values)
            if number % _LINES_PER_TURN == 0:
                await asyncio.sleep(0)
        if written is not None:
            await asyncio.shield(written)  # other calls may share this commit, so a cancelled caller must not cancel it

    def _load(self) -> None:
        """Take over what the store holds. No lifetime may end later than a new one would: the clock was ahead then."""
        now = self._clock()
        for learned in self._store.load() if self._store is not None else ():
            claim = learned.claim
            host = self._hosts.get(claim.host) or _Host(claim.target.cluster)
            if not is_sound(claim) or host.cluster != claim.target.cluster:
                logger.warning("route %.300r of the file is not valid, and was removed", f"{claim.host}{claim.path}")
                self._owed.append(Drop(claim.host, claim.path))
            elif learned.expires_at <= now:
                logger.info("route %s%s of cluster %s removed: expired", claim.host, claim.path, host.cluster)
                self._owed.append(Drop(claim.host, claim.path))
            else:
                self._hosts[claim.host] = host
                host.paths[claim.path] = Learned(claim, min(learned.expires_at, now + LIFETIME_SECONDS))
                self._per_cluster[host.cluster] += 1
        if self._hosts:
            logger.info("%d learned routes of %d hosts are served again", len(self), len(self._hosts))


def _above(host: str) -> Iterator[str]:
    """The host itself, and every wildcard above it.

    >>> list(_above("a.b.test"))
    ['a.b.test', '*.b.test', '*.test']
    """
    yield host
    rest = host.removeprefix("*.")
    while rest := rest.partition(".")[2]:
        yield "*." + rest
