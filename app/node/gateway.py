"""The gateway itself: the parts that doors, agents' endpoints and the life cycle share in one process.

It wires the parts together and decides nothing about them. It opens on first use, so it works where the hosting
application never runs our lifespan. `aclose` leaves no task, timer or stream behind.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunnel.account import Account, Holding
from tunnel.errors import NoAgentError, NoRoomError, NotPassedOnError, StoppingError
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.registry import Registry
from tunnel.port import Pool, Upstream

from ..learned import Claim, LearnedRoutes, Refusal, Registering, Store
from ..observed.events import EventKind, Events
from ..observed.metrics import Metrics, Snapshot, link_state
from ..published import Publications, Settling
from ..published.reports import Reports
from ..rules.proxies import Proxies
from ..rules.request import Request
from ..rules.routes import Route, match
from ..settings import Settings
from .admission import Admission
from .asking import Ask, Operator
from .drain import Drain
from .elsewhere import Elsewhere
from .exchanges import TICK_SECONDS, Exchanges, Exchanging
from .last_seen import LastSeen
from .nodes import Nodes
from .notices import Notices
from .prober import Prober
from .readiness import Readiness
from .refused_agents import RefusedAgents
from .relief import Relief
from .seats import Seats
from .stickiness import preference
from .to_come import HostsToCome
from .turns import Turns

logger = logging.getLogger("gateway")


def _running_clock() -> float:
    return asyncio.get_running_loop().time()


class Companion(Protocol):
    """Something that starts and stops with the gateway."""

    def start(self) -> None:
        """Start; idempotent."""

    def stop(self) -> None:
        """Stop, and leave nothing running; idempotent."""


@dataclass(slots=True)
class Gateway:
    """Shared state of one node. Everything runs on one event loop."""

    settings: Settings
    proxies: Proxies | None = field(init=False)
    """Of the settings: each request asks for it."""
    registry: Registry = field(init=False)
    readiness: Readiness = field(init=False)
    account: Account = field(init=False)
    proxied: Proxied = field(init=False)
    """What all links without yamux share."""
    metrics: Metrics = field(init=False, default_factory=Metrics)
    events: Events = field(init=False, default_factory=Events)
    """What happened lately, for the operator."""
    admission: Admission = field(init=False, default_factory=Admission)
    refused_agents: RefusedAgents = field(init=False)
    seats: Seats = field(init=False, default_factory=Seats)
    """Of agents' links."""
    last_seen: LastSeen = field(init=False, default_factory=LastSeen)
    started_at: float = field(init=False)
    """In the wall clock."""
    learned: LearnedRoutes = field(init=False)
    """The routes that agents registered."""
    registering: Registering = field(init=False)
    """Takes the calls by which they do: `learned`, unless there are other nodes."""
    published: Publications = field(init=False)
    """The routes that agents publish over links of their own."""
    settling: Settling | None = field(init=False, default=None)
    """Who holds a published host, over all nodes. None: this is the only one."""
    to_come: HostsToCome = field(init=False)
    """The hosts that agents may publish again after a start."""
    turns: Turns = field(init=False, default_factory=Turns)
    """Of agents that publish."""
    exchanges: Exchanges = field(init=False)
    relief: Relief = field(init=False)
    drain: Drain = field(init=False)
    sockets: "set[asyncio.Task[Any] | None]" = field(init=False, default_factory=set)
    """The tasks that serve agents, and those that serve watchers of the operator's API: `aclose` waits for them."""
    listeners: list[Callable[[], Awaitable[None]]] = field(init=False, default_factory=list)
    """Called when `closing` begins: stop listening, and close idle connections."""
    connections: Sized = field(init=False, default=())
    """Those of clients and agents that are open, where the door is our own."""
    companions: list[Companion] = field(init=False, default_factory=list)
    """They start and stop with the gateway."""
    ask: Ask | None = field(init=False, default=None)
    """What other nodes are asked for the operator. None: this is the only node."""
    operator: Operator | None = field(init=False, default=None)
    """Answers what other nodes ask for the operator."""
    prober: Prober | None = field(init=False, default=None)
    """The public side, as the operator knows it. None: there is none."""
    elsewhere: Elsewhere | None = field(init=False, default=None)
    """Other nodes. None: this is the only one."""
    nodes: Nodes | None = field(init=False, default=None)
    """The nodes, as the operator sees them. None: there is no `[cluster]`, so this is the only one."""
    clock: Callable[[], float] = field(init=False, default=_running_clock)
    """The loop's time; the loop's own method once the gateway is open."""
    _notices: Notices = field(init=False)
    _started: float = field(init=False)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)
    _tick_due: float = field(init=False, default=0.0)
    _closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.started_at = time.time()
        self._started = time.monotonic()
        self.proxies = self.settings.proxies
        self.registry = Registry(clock=time.monotonic, reconnect_grace=self.settings.reconnect_grace)
        self.registry.waiting_room.most = self.settings.max_waiting_requests
        self.readiness = Readiness(self.registry, self._started)
        self.account = Account(self.settings.held_bytes_limit, self.settings.held_bytes_hard_limit)
        self.refused_agents = RefusedAgents(self.metrics, self.events)
        self.exchanges = Exchanges(self.account)
        self.relief = Relief(self.account, self.exchanges, self.metrics, self.events)
        self.account.on_high_mark = self.relief.high_mark_passed
        self.account.on_hard_mark = self.relief.hard_mark_passed
        self.drain = Drain(self.exchanges, self.registry, self.events, listeners=self.listeners, sockets=self.sockets)
        self.proxied = Proxied(
            account=self.account,
            clock=time.monotonic,
            disk_bytes=self.settings.spool_bytes_limit,
            file_bytes=self.settings.spool_bytes_limit // 3,
            max_message_bytes=self.settings.longest_message_bytes,
            grace_seconds=self.settings.reconnect_grace,
        )
        self.metrics.watch(self)
        self.metrics.reloads.succeeded_at = time.time()
        folder = self.settings.state_dir
        self.learned = LearnedRoutes(
            self.settings, Store.open(Path(folder)) if folder is not None else None, clock=time.time
        )
        self.registering = self.learned
        self.learned.on_refused = self._route_refused
        self.published = Publications(self.settings, self.learned, Reports(self.events), clock=time.monotonic)
        self.learned.published_for = self._published_for
        self.to_come = HostsToCome(self.settings, self.registry, routes_of=self.routes_of)
        self.learned.on_served = self.published.on_served = self.to_come.came
        self._notices = Notices(self.metrics, self.events)

    def apply(self, settings: Settings) -> None:
        """Use other settings from now on. Running exchanges keep theirs."""
        self.settings = settings
        self.proxies = settings.proxies
        self.registry.waiting_room.most = settings.max_waiting_requests
        self.proxied.max_message_bytes = settings.longest_message_bytes
        self.learned.apply(settings)
        self.published.apply(settings)
        self.to_come.apply(settings)

    def routes_of(self, host: str) -> list[Route] | None:
        """The routes in force for a normalised host, longest prefix first. None when the host is not routed.

        A control host is never routed. If the file has the host, by its name or a wildcard, only the file counts; if an
        agent has published it, only what that agent publishes.
        """
        if host in self.settings.control_hosts:
            return None
        entries = self.settings.routes.of_host(host)
        if entries is None and self.published.count:
            entries = self.published.of_host(host)
        return entries if entries is not None else self.learned.of_host(host)

    def route_of(self, host: str, raw_path: bytes) -> Route | None:
        """The route in force for a normalised host and a raw path. Raises UnsafePathError."""
        return match(self.routes_of(host), raw_path)

    def is_in_force(self, claim: Claim) -> bool:
        """Whether a learned route is served. It is not if the file has its host, or if no token covers it any more."""
        path = claim.path.encode()
        return any(
            (route.host, route.path, route.target) == (claim.host, path, claim.target)
            for route in self.routes_of(claim.host) or ()
        )

    @property
    def count_of_routes(self) -> int:
        """Of the file and of agents, in force or not."""
        return len(self.settings.routes.routes) + len(self.learned) + len(self.published)

    def in_wall_clock(self, moment: float) -> float:
        """A moment of the loop's clock. The same each time, whatever happens to the wall clock meanwhile."""
        return self.started_at + (moment - self._started)

    def missing_clusters(self) -> int:
        """How many expected clusters a node that has just started still waits for; 0: it is ready, but for a drain."""
        granted = (name for grant in self.settings.grants.values() if not grant.revoked for name in grant.clusters)
        serves = self.elsewhere.serves if self.elsewhere is not None else None
        return self.readiness.missing(granted, self.settings.ready_wait, time.monotonic(), elsewhere=serves)

    def has_agent(self, cluster: str) -> bool:
        """Whether a link of this cluster takes exchanges, here or on another node."""
        is_here = any(link.available for link in self.registry.links(cluster))
        return is_here or (self.elsewhere is not None and self.elsewhere.serves(cluster))

    def connected(self) -> set[Pool]:
        """The pools of which a link takes new exchanges, here or on another node."""
        return self.registry.connected() | (self.elsewhere.pools() if self.elsewhere is not None else set())

    def snapshot(self) -> Snapshot:
        """The state for the metrics, at scrape time."""
        links = self.registry.links()
        routed = {route.target.cluster for route in self.settings.routes.routes} | self.learned.clusters
        granted = {cluster for grant in self.settings.grants.values() for cluster in grant.clusters}
        return Snapshot(
            links=[(link.cluster, link_state(link)) for link in links if not link.publisher],
            clusters=routed,
            known_clusters=routed | granted | self.published.clusters | {link.cluster for link in links},
            connections=len(self.connections),
            streams=sum(link.active for link in links),
            held_bytes=self.account.held_bytes,
            held_bytes_limits={"high": self.account.high_mark_bytes, "hard": self.account.hard_mark_bytes},
            held_bytes_state=self.relief.state,
            spooled_bytes=self.proxied.disk.used_bytes,
            spooled_bytes_limit=self.proxied.disk.limit_bytes,
            learned_routes=len(self.learned),
            published_routes=len(self.published),
            publishes_refused=self.published.refused,
            is_state_kept=self.learned.is_kept,
            state_files_set_aside=self.learned.files_set_aside,
            draining=self.draining,
            waiting=self.registry.waiting_room.waiting,
            waits=self.registry.waiting_room.ends,
            nodes=self.nodes.snapshot() if self.nodes is not None else None,
        )

    def open(self) -> None:
        """Start the timer and the companions. Idempotent; every entrance calls it."""
        if self._timer is None and not self._closed:
            loop = asyncio.get_running_loop()
            self.clock = loop.time
            self._tick_in(loop)
            for companion in self.companions:
                companion.start()

    def choose(self, route: Route, request: Request, avoid: Upstream | None = None) -> Upstream | None:
        """The upstream for an exchange, over another link than `avoid` where there is one.

        None: there is none, but one may be on its way; see `wait_for_upstream`. Raises TunnelError.
        """
        account = self.account
        if account.is_full and account.held_bytes > account.high_mark_bytes:
            raise NoRoomError(f"{account.held_bytes} bytes are held")
        known = self.registry.known_upstream(route.target)
        if known is not None and (self.elsewhere is None or not self.elsewhere.has(route.target.pool)):
            return known
        try:
            return self._upstream(route, request, avoid)
        except NoAgentError:
            if self.registry.seconds_of_grace(route.target.pool) > 0:
                return None
            if self.draining:
                raise StoppingError("the gateway is stopping") from None
            raise

    def _upstream(self, route: Route, request: Request, avoid: Upstream | None) -> Upstream:
        """What there is now, here or on another node. Raises NoAgentError."""
        target, policy = route.target, route.policy
        preferred = preference(policy, request, target.cluster) if policy.sticky != "off" else None
        if self.elsewhere is not None:
            upstream = self.elsewhere.choose(target, avoid, preferred)
            if upstream is not None:
                return upstream
        return self.registry.upstream(target, avoid=avoid.label if avoid is not None else None, preference=preferred)

    async def wait_for_upstream(self, route: Route, request: Request, *, avoid: Upstream | None = None) -> Upstream:
        """Like `choose`, but wait, within the grace, for a link that may be on its way. Raises TunnelError."""
        head = self._head_of(request)
        try:
            return await self.registry.wait_until(
                route.target.pool, lambda: self._upstream(route, request, avoid), size_bytes=head.size_bytes
            )
        except NoAgentError:
            if self.draining:
                raise StoppingError("the gateway is stopping") from None
            raise
        finally:
            head.close()

    def not_taken(self, upstream: Upstream, error: NotPassedOnError) -> None:
        """Another node did not take an exchange over this upstream."""
        if self.elsewhere is not None:
            self.elsewhere.not_taken(upstream, error)

    def is_to_come(self, host: str) -> bool:
        """Whether a normalised host that nobody has may still be published, as this node has just started."""
        return not self.draining and self.to_come.may_come(host)

    async def wait_for_routes(self, host: str, request: Request) -> list[Route] | None:
        """The routes of a host that is to come, once somebody has it. None: nobody has it within the grace.

        Raises TooManyWaitingError.
        """
        head = self._head_of(request)
        try:
            return await self.to_come.routes_of(host, head.size_bytes, request.client)
        finally:
            head.close()

    def began(self, exchange: Exchanging) -> None:
        """Count an exchange in."""
        self.exchanges.began(exchange)

    def ended(self, exchange: Exchanging) -> None:
        """Count it out; idempotent."""
        self.exchanges.ended(exchange)

    @property
    def draining(self) -> bool:
        """Not ready, but still serving."""
        return self.drain.draining

    @property
    def closing(self) -> bool:
        """The delay of the drain is over: no new WebSocket, no new agent."""
        return self.drain.closing

    def begin_drain(self) -> "asyncio.Task[None]":
        """Drain as the settings say. Every caller gets the same task."""
        return self.drain.begin(self.settings.shutdown_grace, delay_seconds=self.settings.drain_delay)

    async def aclose(self) -> None:
        """Stop everything. Nothing of the gateway runs afterwards. Idempotent."""
        self._closed = True
        for companion in self.companions:
            companion.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.relief.stop()
        await self.drain.aclose()
        if self.elsewhere is not None:
            await self.elsewhere.aclose()
        await self.proxied.aclose()
        await self.learned.aclose()

    def _head_of(self, request: Request) -> Holding:
        """What a waiting request holds, counted."""
        head = Holding(self.account)
        head.set(len(request.asked) + sum(len(name) + len(value) for name, value in request.fields))
        return head

    def _tick_in(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tick_due = loop.time() + TICK_SECONDS
        self._timer = loop.call_at(self._tick_due, self._tick)

    def _published_for(self, host: str) -> str | None:
        holder = self.published.holder_of(host)
        return None if holder is None else holder.cluster

    def _route_refused(self, refusal: Refusal, who: str) -> None:
        text = f"route {refusal.name} of {who} rejected: {refusal.text}"
        self.events.emit(
            EventKind.ROUTE_REFUSED, text, level="warning", cluster=refusal.cluster, code=refusal.fault.value
        )

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.metrics.loop_lag.add(max(0.0, now - self._tick_due))
        self._tick_in(loop)
        self.exchanges.tick(now)
        for link in self.registry.links():
            try:
                link.tick()
            except Exception:  # one link's fault must not stop the others' clocks
                logger.exception("%r failed in its tick", link)
                link.close(1011, "internal error")
        self.registry.forget()  # the links may have dropped upstreams
        self.learned.tick(now)
        self.published.tick(now)
        self._notices.tick(now, self.learned.take_set_aside())
