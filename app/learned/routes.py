"""The learned routes in force, who holds which host, and until when.

Invariants: a host belongs to one cluster at a time, with all its paths; it goes over to another only when no path of it
is both unexpired and covered by a token of its cluster; a wildcard holds what is below it. All decisions are made
without an await between reading and changing; a method returns after its changes are committed. Routes whose cluster
and host no token covers any more are kept, but not served. Nothing grows without bound: routes by cluster and in all,
paths by host, remembered refusals.

Who beats them: control hosts and the file's hosts are asked first (`Gateway.routes_of`).
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
"""Without renewal. The existing agent registers again every 5 minutes and syncs every 4 hours."""
LOOK_SECONDS = 60.0
ROUTES_PER_CLUSTER = 10_000
ROUTES_IN_ALL = 20_000
"""About 1 KiB each; two clusters of the largest size, so that one alone cannot shut out the others."""
PATHS_PER_HOST = 100
"""Each request of the host looks at them one by one."""
_REFUSALS_REMEMBERED = 1_000
_LEAP_SECONDS = 60.0
"""Of the wall clock between two ticks: it was set, or the machine slept."""
_LINES_PER_TURN = 50


@dataclass(slots=True)
class _Host:
    """One host, and the cluster that holds it."""

    cluster: str
    paths: dict[str, Learned] = field(default_factory=dict)


class _Changes:
    """What one call does: for the store, for the index, and for the log."""

    __slots__ = ("hosts", "lines", "stored")

    def __init__(self) -> None:
        self.stored: list[Change] = []
        self.hosts: dict[str, None] = {}
        self.lines: list[tuple[int, str, tuple[object, ...]]] = []

    def log(self, level: int, text: str, *values: object) -> None:
        """One line, once the changes are committed."""
        self.lines.append((level, text, values))


class LearnedRoutes:
    """All learned routes of one gateway."""

    def __init__(self, settings: Settings, store: Store | None, *, clock: Callable[[], float]) -> None:
        """Serves what the store holds at once. `clock`: the wall clock's seconds. Raises ConfigurationError."""
        self._store = store
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._per_cluster: Counter[str] = Counter()
        self._index = HostIndex()
        self._refused: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._next_look = 0.0
        self._ahead: float | None = None  # the wall clock, of the loop's
        self._told_of_memory = False
        self._owed: list[Change] = []  # for the store, as soon as there is a loop
        self._load()
        if store is not None:
            store.everything = self._everything
        self.apply(settings)

    # --- what is asked on the way of a request, and of a scrape

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first; None when nobody learned it."""
        return self._index.of_host(host)

    @property
    def clusters(self) -> set[str]:
        """Those with at least one route."""
        return set(self._per_cluster)

    def __len__(self) -> int:
        return self._per_cluster.total()

    def __iter__(self) -> Iterator[Learned]:
        """In the order of hosts and paths."""
        for _, host in sorted(self._hosts.items()):
            for _, learned in sorted(host.paths.items()):
                yield learned

    # --- what agents do

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
        """Learn these, and forget what the cluster has besides, as far as the patterns cover it.

        Those refused, for the caller to `refuse` in its own time. Raises StoreError.
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
        """Forget a host that one of these clusters holds, or one path of it; how many routes went.

        Raises ClaimError where another cluster holds it, StoreError.
        """
        host = self._hosts.get(name)
        if host is None:
            await self._commit(_Changes())  # the file may still have it, and the agent asks again for that reason
            return 0
        if host.cluster not in clusters:
            if not self._is_held(name, host):
                return 0
            error = ClaimError(Fault.TAKEN, f"{name} is another cluster's")
            self.refuse("", name, error, who)
            raise error
        gone = list(host.paths) if path is None else [known for known in host.paths if known == path]
        changes = _Changes()
        self._drop(name, gone, changes, f"unregistered by {who}")
        await self._commit(changes)
        return len(gone)

    def refuse(self, cluster: str, name: str, error: ClaimError, who: str) -> None:
        """One line per refused route and reason: agents repeat what they register every few minutes."""
        key = (cluster, name[:400])
        if self._refused.get(key) == error.fault:
            return
        self._refused[key] = error.fault
        while len(self._refused) > _REFUSALS_REMEMBERED:
            self._refused.popitem(last=False)
        logger.warning("route %.300s of %s rejected: %s", ascii(name), who, error)

    # --- what the gateway does

    def apply(self, settings: Settings) -> None:
        """Other settings hold from now on: policies, and what tokens cover."""
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
                "%d learned hosts are not served, for no token covers them any more; %.200s is one of them",
                len(uncovered), uncovered[0],
            )  # fmt: skip

    def tick(self, now: float) -> None:
        """Look for what has expired, once a minute; `now`: the loop's time."""
        self._follow_clock(now)
        if now >= self._next_look:
            self._next_look = now if self.expire() else now + LOOK_SECONDS

    async def aclose(self) -> None:
        """Close the store, with all that was promised in it; idempotent."""
        if self._store is not None:
            await self._store.aclose()

    def expire(self) -> bool:
        """Forget what nobody renewed in time, so many at once; whether there are more."""
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
        """A wall clock that was set, or stood still, takes nobody's lifetime: no agent could renew anything meanwhile.

        One that was set back gives no longer life.
        """
        wall = self._clock()
        before, self._ahead = self._ahead, wall - now
        if before is None or abs(leap := self._ahead - before) < _LEAP_SECONDS:
            return
        logger.warning("the clock leapt by %.0f s; learned routes live on", leap)
        for host in self._hosts.values():
            for path, learned in host.paths.items():
                expires_at = min(learned.expires_at + max(leap, 0.0), wall + LIFETIME_SECONDS)
                host.paths[path] = Learned(learned.claim, expires_at)
        if self._store is not None:
            self._store.rewrite()

    # --- decisions

    def _put(self, claim: Claim, changes: _Changes, who: str) -> Learned:
        """Raises ClaimError, and has changed nothing then."""
        cluster = claim.target.cluster
        for name in _above(claim.host):
            other = self._hosts.get(name)
            if other is not None and other.cluster != cluster and self._is_held(name, other):
                raise ClaimError(Fault.TAKEN, f"{name} is another cluster's")
        host = self._hosts.get(claim.host)
        old = host.paths.get(claim.path) if host is not None and host.cluster == cluster else None
        if old is None:
            self._check_room(cluster, host)
        if host is not None and host.cluster != cluster:
            self._drop(
                claim.host, list(host.paths), changes, f"not held by {host.cluster} any more, and taken by {who}"
            )
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
            raise ClaimError(Fault.TOO_MANY, f"a host has {PATHS_PER_HOST} learned paths at the most")
        if self._per_cluster[cluster] >= ROUTES_PER_CLUSTER:
            raise ClaimError(Fault.TOO_MANY, f"a cluster has {ROUTES_PER_CLUSTER} learned routes at the most")
        if len(self) >= ROUTES_IN_ALL:
            raise ClaimError(Fault.TOO_MANY, f"the gateway has {ROUTES_IN_ALL} learned routes at the most")

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

    # --- index, store, log

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
        """In force at once; returns when it is on disk. Raises StoreError."""
        self._reindex(changes.hosts)
        store = self._store
        written = store.write(changes.stored) if store is not None and (changes.stored or store.behind) else None
        if self._store is None and self._hosts and not self._told_of_memory:
            self._told_of_memory = True
            logger.warning("learned routes are kept in memory only; set state_dir, and they survive a restart")
        for number, (level, text, values) in enumerate(changes.lines, 1):
            logger.log(level, text, *values)
            if number % _LINES_PER_TURN == 0:
                await asyncio.sleep(0)
        if written is not None:
            await asyncio.shield(written)  # it may be others' commit too: one caller that leaves must not cancel it

    def _load(self) -> None:
        """What the store holds. A lifetime that ends later than one from now was written by a clock that was ahead."""
        now = self._clock()
        for learned in self._store.load() if self._store is not None else ():
            claim = learned.claim
            host = self._hosts.get(claim.host) or _Host(claim.target.cluster)
            if not is_sound(claim) or host.cluster != claim.target.cluster:
                logger.warning("route %.300r is not valid, and forgotten", f"{claim.host}{claim.path}")
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
    """The host itself, and every wildcard that takes it in.

    >>> list(_above("a.b.test"))
    ['a.b.test', '*.b.test', '*.test']
    """
    yield host
    rest = host.removeprefix("*.")
    while rest := rest.partition(".")[2]:
        yield "*." + rest
