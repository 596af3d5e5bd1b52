"""All published routes of a gateway: which agent holds which host, and until when.

Invariants: one agent holds a host, with all its paths. A `publish` replaces everything that its agent had, in one plain
call: when it returns, what the answer says is in force. Routes outlive their link by `LINGER_SECONDS`, so that clients
only wait while an agent reconnects; during that time the same agent, or another one of the same machine and token,
takes them over at once. A route that its token no longer covers is kept but not served, and its host is free for
others. Nothing is stored: an agent that comes back publishes again. What agents publish on other nodes is here, too
(`take`), and goes when these say so.

Control hosts and hosts of the file come before published routes, which come before learned ones (`Gateway.routes_of`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

from tunnel.wire import publishing

from ..learned import LearnedRoutes
from ..learned.latest import Latest
from ..learned.stale import Stale
from ..rules.hosts import HOST_FIELD_BYTES, above, covers
from ..rules.paths import PREFIX_CHARACTERS
from ..rules.routes import Route
from ..settings import Grant, Settings
from .claims import NotPublishedError
from .offer import Offer
from .publication import HeldRoutes, Holder, Hosts, Lost, Publication, Told, Watch, machine_of
from .reports import Reports
from .unpublished import MOST_HOSTS, Unpublished

LINGER_SECONDS: Final = 60.0
"""How long routes outlive their link. An agent that lost it dials again within seconds."""
ROUTES_IN_ALL: Final = 20_000
"""About 2 KiB each."""
_HOLDINGS_PER_TICK: Final = 10
"""Each has at most 100 routes."""

_Key = TypeVar("_Key")


class Publications:
    """See the module. Its methods are called on the event loop, and none waits."""

    def __init__(
        self, settings: Settings, learned: LearnedRoutes, reports: Reports, *, clock: Callable[[], float]
    ) -> None:
        """`clock`: monotonic seconds."""
        self._settings = settings
        self._learned = learned
        self._reports = reports
        self._clock = clock
        self._holdings: dict[tuple[str, str, str], HeldRoutes] = {}  # by `Holder.key`; each has routes
        self._hosts: dict[str, HeldRoutes] = {}
        self._gone: dict[tuple[str, str, str], HeldRoutes] = {}  # of this node, without a link, the longest gone first
        self._per_token: Counter[bytes] = Counter()
        self._per_cluster: Counter[str] = Counter()
        self.count = 0
        """Of all routes. Every request for a host that is not in the file asks whether there are any."""
        self._served: dict[str, list[Route]] = {}
        self._stale = Stale("published", self._look_at)
        self.on_served: Callable[[str], object] | None = None
        """Told of each host that is served, as it was or otherwise."""
        self.on_own_change: Callable[[str], object] | None = None
        """Told of each host that an agent of this node has, and of each that it had: other nodes are to know."""
        self.unpublished: Latest[str, Unpublished] = Latest(MOST_HOSTS)
        """What became of hosts that nobody publishes any more."""
        self.refusals = reports.refusals
        """The routes that were refused and not published since."""
        self.refused = reports.refused
        """How often routes were refused, by code."""

    # --- for requests

    def of_host(self, host: str) -> list[Route] | None:
        """The routes of a normalised host, longest prefix first. None when it is not published."""
        if host in self._stale:
            self._refresh(host)
        return self._served.get(host)

    # --- for the operator

    def holder_of(self, host: str) -> Holder | None:
        """The agent that holds a host, so that nobody else may have it. None: nobody does."""
        holding = self._hosts.get(host)
        return holding.holder if holding is not None and self._covers(holding, host) else None

    def hosts(self) -> list[str]:
        """All hosts, served or not, in no order, for callers that go through them over several turns of the loop."""
        return list(self._hosts)

    def registered(self, host: str) -> list[Publication]:
        """The routes of exactly this host, served or not, by path."""
        holding = self._hosts.get(host)
        return [one for _, one in sorted(holding.hosts[host].items())] if holding is not None else []

    def expires_at(self, one: Publication) -> float | None:
        """When a route goes, in the time of the clock. None: it has a link."""
        return None if one.gone_at is None else one.gone_at + LINGER_SECONDS

    def count_of(self, cluster: str) -> int:
        """How many routes the agents of a cluster have published."""
        return self._per_cluster.get(cluster, 0)

    @property
    def clusters(self) -> set[str]:
        """The clusters with at least one published route."""
        return set(self._per_cluster)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Publication]:
        """Every published route, by host and path."""
        for host in sorted(self._hosts):
            yield from self.registered(host)

    # --- for agents

    def publish(
        self,
        holder: Holder,
        grant: Grant,
        message: publishing.Publish,
        *,
        base_url: str,
        watch: Watch | None = None,
        lost: Lost | None = None,
    ) -> publishing.Published:
        """Put in force what this agent publishes from now on. Returns the result for each route.

        `base_url`: where clients reach the gateway; only its scheme and port count. `watch`: told of each exchange on
        one of the routes that has ended. `lost`: told of each host that turns out to be another node's agent's.
        """
        machine = machine_of(holder.cluster, message.name_seed)
        holding = self._holdings.get(holder.key) or HeldRoutes(holder)
        own = holding.count if holding.holder.token_hash == holder.token_hash else 0
        offer = Offer(
            holding, holder, grant, message, self._settings,
            taken=lambda host: self._taken(host, holding, holder, machine),
            freed=lambda host: self._freed(host, holding, holder),
            room=grant.max_published - self._per_token[holder.token_hash] + own,
            room_in_all=ROUTES_IN_ALL - self.count + holding.count,
            now=self._clock(),
        )  # fmt: skip
        address = _address(base_url)
        answers: list[publishing.PublishedRoute] = []
        outcomes: list[tuple[publishing.WantedRoute, NotPublishedError | None]] = []
        for wanted in message.routes:
            answer = publishing.PublishedRoute(
                key=wanted.key, host=wanted.host[:HOST_FIELD_BYTES], path=wanted.path[:PREFIX_CHARACTERS], url=""
            )
            try:
                one = offer.take(wanted)
            except NotPublishedError as error:
                answer.code, answer.error = error.code.value, str(error)
                outcomes.append((wanted, error))
            else:
                answer.host, answer.path = one.host, one.path
                answer.url = address.format(one.host) + one.path
                outcomes.append((wanted, None))
            answers.append(answer)
        self._reports.answered(holder, outcomes)
        self._take_over(holding, holder, machine)
        holding.watch, holding.lost = watch, lost
        self._replace(holding, offer.hosts, "its agent took it back")
        return publishing.Published(routes=answers)

    def link_gone(self, holder: Holder, now: float) -> None:
        """The link has ended: its routes linger, unless another link of the agent already has them. Idempotent."""
        holding = self._holdings.get(holder.key)
        if holding is not None and holding.holder.link_name == holder.link_name and holding.gone_at is None:
            holding.gone_at, holding.watch, holding.lost = now, None, None
            self._gone[holder.key] = holding
            self._own_changed(holding, holding.hosts)

    # --- for other nodes

    def own(self, host: str) -> HeldRoutes | None:
        """All that the agent of this node publishes that holds a host. None: no agent of this node does."""
        holding = self._hosts.get(host)
        return holding if holding is not None and not holding.holder.node else None

    def take(self, host: str, told: Told | None) -> None:
        """Another node says this of a host, whatever an agent of this node has. None: no other node has it."""
        known = self._hosts.get(host)
        if told is None:
            if known is not None and known.holder.node:
                self._replace(known, _without(known, host), "")
            return
        holder = told.holder
        holding = self._holdings.get(holder.key) or HeldRoutes(holder)
        gone_at = holding.gone_at if holding.gone_at is not None else self._clock()
        has_other_token = holding.holder.token_hash != holder.token_hash
        self._take_over(holding, holder, told.machine)
        for name in holding.hosts if has_other_token else ():
            self._refresh(name)
        holding.gone_at = gone_at if told.is_away else None
        paths = {}
        for path, (target, key, rewrite) in told.routes.items():
            one = Publication(holding, host, path, target, key, rewrite, self._clock())
            same = holding.hosts.get(host, {}).get(path)
            paths[path] = same if same is not None and same.is_same(one) else one
        self._replace(holding, {**_without(holding, host), host: paths} if paths else _without(holding, host), "")
        if known is not None and known.lost is not None and not known.holder.is_same_agent(holder):
            known.lost(host)

    def drop(self, holding: HeldRoutes, why: str) -> None:
        """An agent publishes nothing of this any more."""
        self._replace(holding, {}, why)

    # --- for the gateway

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on: the policy, and what tokens cover. Cheap: hosts are looked at again later."""
        self._settings = settings
        self._stale.mark(self._hosts)

    def tick(self, now: float) -> None:
        """Remove routes that have lingered long enough, a limited number at a time."""
        for _ in range(_HOLDINGS_PER_TICK):
            holding = next(iter(self._gone.values()), None)
            if holding is None or holding.gone_at is None or now < holding.gone_at + LINGER_SECONDS:
                return
            self._replace(holding, {}, f"its agent has been away for {LINGER_SECONDS:.0f} s")

    # --- decisions

    def _taken(self, host: str, holding: HeldRoutes, holder: Holder, machine: str) -> str | None:
        """Who else has a host, in words for the operator. None: this agent has it or may have it."""
        of_file = self._settings.routes.of_host(host)
        if of_file is not None:
            return f"the file routes {of_file[0].host}"
        other = self._hosts.get(host)
        if other is holding:
            return None
        if other is not None and self._covers(other, host):
            return None if other.is_left_to(holder, machine) else f"{other.holder} has published it"
        for name in above(host) if len(self._learned) else ():
            cluster = self._learned.holder_of(name)
            if cluster is not None and (name == host or cluster != holder.cluster):
                return f"cluster {cluster} has registered {name}"
        return None

    def _freed(self, host: str, holding: HeldRoutes, holder: Holder) -> tuple[int, int]:
        """How many routes of a host that this agent may have go when it has them: of its token, and of all."""
        other = self._hosts.get(host)
        if other is None or other is holding:
            return 0, 0
        routes = len(other.hosts[host])
        return routes if other.holder.token_hash == holder.token_hash else 0, routes

    def _covers(self, holding: HeldRoutes, host: str) -> bool:
        """Whether the holder's token covers a host now."""
        holder = holding.holder
        grant = self._settings.grants.get(holder.token_hash)
        return (
            grant is not None and not grant.revoked and holder.cluster in grant.clusters and covers(grant.hosts, host)
        )

    # --- changes

    def _take_over(self, holding: HeldRoutes, holder: Holder, machine: str) -> None:
        """The holder's routes are this link's from now on."""
        if holding.holder.token_hash != holder.token_hash:
            self._add(holding.holder, -holding.count)
            self._add(holder, holding.count)
        holding.holder, holding.machine, holding.gone_at = holder, machine, None
        self._gone.pop(holder.key, None)

    def _replace(self, holding: HeldRoutes, hosts: Hosts, why: str) -> None:
        """A holder has these routes and no others."""
        old, holder = holding.hosts, holding.holder
        others = {self._hosts.get(host): None for host in hosts}  # in this order
        for other in others:
            if other is not None and other is not holding:  # it is away, or its token does not cover the hosts any more
                left = {name: paths for name, paths in other.hosts.items() if name not in hosts}
                self._replace(other, left, f"{holder} took it over")
        gone = [one for one in holding if one.path not in hosts.get(one.host, ())]
        changed = [
            one
            for host, paths in hosts.items()
            for path, one in paths.items()
            if old.get(host, {}).get(path) is not one
        ]
        count = holding.count
        holding.replace(hosts)
        self._add(holder, holding.count - count)
        for host in old:
            if host not in hosts:
                del self._hosts[host]
                if why:
                    self.unpublished.put(host, Unpublished(holder, self._clock(), why))
        for host in hosts:
            self._hosts[host] = holding
            self.unpublished.forget(host)
        if hosts:
            self._holdings[holder.key] = holding
        else:
            self._holdings.pop(holder.key, None)
            self._gone.pop(holder.key, None)
        unserved = [host for host in hosts if host not in self._served]  # its holder's token may be another one now
        for host in dict.fromkeys([*(one.host for one in (*gone, *changed)), *unserved]):
            self._refresh(host)
        if holder.node:
            return  # that node tells the operator
        if gone:
            self._reports.unpublished(holder, gone, why)
        if changed:
            self._reports.published(holder, changed)
        self._own_changed(holding, {**old, **hosts})

    def _own_changed(self, holding: HeldRoutes, hosts: Iterable[str]) -> None:
        if self.on_own_change is not None and not holding.holder.node:
            for host in hosts:
                self.on_own_change(host)

    def _add(self, holder: Holder, routes: int) -> None:
        self.count += routes
        _add(self._per_token, holder.token_hash, routes)
        _add(self._per_cluster, holder.cluster, routes)

    def _refresh(self, host: str) -> None:
        """Decide again what is served at a host: its routes have changed, or what its token covers."""
        self._stale.pop(host, None)
        holding = self._hosts.get(host)
        if holding is None or not self._covers(holding, host):
            self._served.pop(host, None)
            return
        paths = sorted(holding.hosts[host].values(), key=lambda one: len(one.path), reverse=True)
        self._served[host] = [self._route(one) for one in paths]
        if self.on_served is not None:
            self.on_served(host)

    def _route(self, one: Publication) -> Route:
        policy = self._settings.policy
        if one.rewrite is not None:
            policy = replace(policy, rewrite=one.rewrite)
        return Route(one.host, one.path.encode(), one.target, policy, published_by=one)

    def _look_at(self, host: str) -> bool:
        if host in self._stale:
            self._refresh(host)
        holding = self._hosts.get(host)
        return holding is None or self._covers(holding, host)


def _without(holding: HeldRoutes, host: str) -> Hosts:
    return {name: paths for name, paths in holding.hosts.items() if name != host}


def _add(counter: Counter[_Key], key: _Key, number: int) -> None:
    """Count, and keep no zeros."""
    counter[key] += number
    if not counter[key]:
        del counter[key]


def _address(base_url: str) -> str:
    """The URL of a host, with `{}` in its place: the scheme and the port of `base_url`."""
    url = urlsplit(base_url)
    port = f":{url.port}" if url.port is not None else ""
    return f"{url.scheme}://{{}}{port}"
