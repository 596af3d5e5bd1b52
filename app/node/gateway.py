"""The gateway itself: what the doors, the agents' endpoints and the life cycle share in one process.

Opens on first use, so that it works where the hosting application never runs our lifespan; `aclose` leaves no task,
timer or stream behind.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunnel.account import Account
from tunnel.errors import NoAgentError, NoRoomError, StoppingError
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.registry import Registry
from tunnel.port import Upstream

from ..learned import Claim, LearnedRoutes, Store
from ..observed.metrics import Metrics, Snapshot, link_state
from ..rules.request import Request
from ..rules.routes import Route, match
from ..settings import Settings
from .admission import Admission
from .stickiness import preference

logger = logging.getLogger("gateway")

_TICK_SECONDS = 0.5


_CLOSES_PER_SECOND = 100
_CLOSE_SECONDS = 3.0
"""How long `aclose` waits for what it ended."""


class Companion(Protocol):
    """Something that runs as long as the gateway does."""

    def start(self) -> None:
        """Begin; idempotent."""

    def stop(self) -> None:
        """End, and leave nothing behind; idempotent."""


class Exchanging(Protocol):
    """One exchange at a door, as the gateway sees it."""

    is_websocket: bool

    def stop(self, *, now: bool) -> None:
        """WebSockets: close with 1012. Requests: nothing while they may finish; `now`: break off."""

    def tick(self, now: float) -> None:
        """Hold the deadlines; about twice a second, with the loop's time."""

    def relieve(self) -> None:
        """The process holds too much, and this exchange the most of it: give it up."""

    @property
    def held_bytes(self) -> int:
        """What is held for it."""


@dataclass(slots=True)
class Gateway:
    """Shared state of one node. Everything runs on one event loop."""

    settings: Settings
    registry: Registry = field(init=False)
    account: Account = field(init=False)
    proxied: Proxied = field(init=False)
    """What all links without yamux share."""
    metrics: Metrics = field(init=False, default_factory=Metrics)
    admission: Admission = field(init=False, default_factory=Admission)
    learned: LearnedRoutes = field(init=False)
    """The routes that agents registered."""
    exchanges: dict[Exchanging, float] = field(init=False, default_factory=dict)
    """Each with how much it has held for how long, in bytes x seconds."""
    draining: bool = field(init=False, default=False)
    """Not ready, but still serving."""
    closing: bool = field(init=False, default=False)
    """The delay is over: no new WebSocket, no new agent."""
    sockets: "set[asyncio.Task[Any] | None]" = field(init=False, default_factory=set)
    """The tasks that serve agents."""
    listeners: list[Callable[[], Awaitable[None]]] = field(init=False, default_factory=list)
    """Called when `closing` begins: stop to listen, and close idle connections."""
    companions: list[Companion] = field(init=False, default_factory=list)
    """Start and stop with the gateway."""
    _drain_task: "asyncio.Task[None] | None" = field(init=False, default=None)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)
    _idle: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _relief_called: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.registry = Registry(clock=time.monotonic, reconnect_grace=self.settings.reconnect_grace)
        self.account = Account(
            self.settings.held_bytes_limit, self.settings.held_bytes_hard_limit, self._call_for_relief
        )
        self.proxied = Proxied(
            account=self.account,
            clock=time.monotonic,
            disk_bytes=self.settings.spool_bytes_limit,
            file_bytes=self.settings.spool_bytes_limit // 3,
            max_message_bytes=self.settings.longest_message_bytes,
            grace_seconds=self.settings.reconnect_grace,
        )
        self.metrics.watch(self)
        folder = self.settings.state_dir
        self.learned = LearnedRoutes(
            self.settings, Store.open(Path(folder)) if folder is not None else None, clock=time.time
        )

    def apply(self, settings: Settings) -> None:
        """Other settings from now on; exchanges that run keep theirs."""
        self.settings = settings
        self.proxied.max_message_bytes = settings.longest_message_bytes
        self.learned.apply(settings)

    def routes_of(self, host: str) -> list[Route] | None:
        """The routes in force of a normalised host, longest prefix first; None when it is not routed.

        A control host never is; a host of the file, by its name or a wildcard, is the file's alone.
        """
        if host in self.settings.control_hosts:
            return None
        entries = self.settings.routes.of_host(host)
        return entries if entries is not None else self.learned.of_host(host)

    def route_of(self, host: str, raw_path: bytes) -> Route | None:
        """The route in force of a normalised host and a raw path. Raises UnsafePathError."""
        return match(self.routes_of(host), raw_path)

    def is_in_force(self, claim: Claim) -> bool:
        """Whether a learned route is served: not where the file has its host, or no token covers it any more."""
        path = claim.path.encode()
        return any(
            (route.host, route.path, route.target) == (claim.host, path, claim.target)
            for route in self.routes_of(claim.host) or ()
        )

    def snapshot(self) -> Snapshot:
        """What the metrics ask for at scrape time."""
        links = self.registry.links()
        return Snapshot(
            links=[(link.cluster, link_state(link)) for link in links],
            clusters={route.target.cluster for route in self.settings.routes.routes} | self.learned.clusters,
            streams=sum(link.active for link in links),
            held_bytes=self.account.held_bytes,
            held_bytes_limits={"high": self.account.high_mark_bytes, "hard": self.account.hard_mark_bytes},
            spooled_bytes=self.proxied.disk.used_bytes,
            spooled_bytes_limit=self.proxied.disk.limit_bytes,
            learned_routes=len(self.learned),
            draining=self.draining,
        )

    def open(self) -> None:
        """Begin to keep time; idempotent, and called by every entrance."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
            for companion in self.companions:
                companion.start()

    async def choose(self, route: Route, request: Request, *, avoid: Upstream | None = None) -> Upstream:
        """The upstream for an exchange, over another link than `avoid` where there is one.

        Raises TunnelError; waits only within the grace.
        """
        if self.account.above_high_mark:
            raise NoRoomError(f"{self.account.held_bytes} bytes are held")
        target = route.target
        avoided = avoid.label if avoid is not None else None
        preferred = preference(route.policy, request)
        try:
            link = self.registry.select(target.cluster, avoid=avoided, preference=preferred)
        except NoAgentError:
            try:
                link = await self.registry.wait(target.cluster, avoid=avoided, preference=preferred)
            except NoAgentError:
                if self.draining:
                    raise StoppingError("the gateway is stopping") from None
                raise
        return link.upstream(target)

    def began(self, exchange: Exchanging) -> None:
        """Count an exchange in."""
        self.exchanges[exchange] = 0.0

    def ended(self, exchange: Exchanging) -> None:
        """Count it out; idempotent."""
        self.exchanges.pop(exchange, None)
        if not self.exchanges:
            self._idle.set()

    def begin_drain(self) -> "asyncio.Task[None]":
        """Drain as the settings say; the same task for everyone who asks."""
        if self._drain_task is None:
            drain = self.drain(self.settings.shutdown_grace, delay_seconds=self.settings.drain_delay)
            self._drain_task = asyncio.get_running_loop().create_task(drain)
        return self._drain_task

    async def drain(self, grace_seconds: float, *, delay_seconds: float = 0.0) -> None:
        """Stop in order. Not ready, but serving, for the delay; then WebSockets are told 1012, spread over the grace,
        and requests finish within it; what is left is broken off; the links close last.
        """
        self.draining = True
        logger.info(
            "draining: %d exchanges, after %g s, within %g s", len(self.exchanges), delay_seconds, grace_seconds
        )
        await asyncio.sleep(delay_seconds)
        self.closing = True
        for listener in self.listeners:
            await listener()
        deadline = time.monotonic() + grace_seconds
        await self._tell_websockets(grace_seconds)
        while self.exchanges and (left := deadline - time.monotonic()) > 0:
            self._idle.clear()
            try:
                async with asyncio.timeout(left):
                    await self._idle.wait()
            except TimeoutError:
                break
        self.registry.close()
        for exchange in list(self.exchanges):
            exchange.stop(now=True)
        self._close_links()
        logger.info("drained")

    async def _tell_websockets(self, grace_seconds: float) -> None:
        """1012 to each, not all at once: every one of them comes back somewhere at once."""
        websockets = [exchange for exchange in self.exchanges if exchange.is_websocket]
        pause = min(1 / _CLOSES_PER_SECOND, grace_seconds / 2 / max(1, len(websockets)))
        for exchange in websockets:
            exchange.stop(now=False)
            await asyncio.sleep(pause)

    def _close_links(self) -> None:
        for link in self.registry.links():
            link.close(1012, "gateway is stopping")

    async def _wait_for_all(self) -> None:
        """Until every exchange and agent's socket has ended, for a while."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self.exchanges and (left := deadline - time.monotonic()) > 0:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._idle.wait()
        here = asyncio.current_task()
        tasks = [task for task in self.sockets if task is not here and task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    async def aclose(self) -> None:
        """Close every link, last of all; nothing of ours runs afterwards. Idempotent."""
        self._closed = self.draining = self.closing = True
        self.registry.close()
        for exchange in list(self.exchanges):
            exchange.stop(now=True)
        self._close_links()
        for companion in self.companions:
            companion.stop()
        if self._drain_task is not None and not self._drain_task.done():
            self._drain_task.cancel()
            await asyncio.wait((self._drain_task,))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._wait_for_all()
        await self.proxied.aclose()
        await self.learned.aclose()

    def _call_for_relief(self) -> None:
        # From the data path: the reset itself waits for the end of this loop turn.
        if not self._relief_called:
            self._relief_called = True
            asyncio.get_running_loop().call_soon(self._relieve)

    def _relieve(self) -> None:
        """Reset who has held most for longest, until the account is below its hard mark."""
        self._relief_called = False
        ranked = sorted(self.exchanges, key=lambda item: (self.exchanges[item], item.held_bytes), reverse=True)
        for exchange in ranked:
            if self.account.held_bytes <= self.account.hard_mark_bytes:
                return
            if exchange.held_bytes > 0:
                logger.warning("%d bytes are held: %r is given up", self.account.held_bytes, exchange)
                exchange.relieve()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_TICK_SECONDS, self._tick)
        now = loop.time()
        for exchange, held in list(self.exchanges.items()):
            try:
                held_now = exchange.held_bytes
                self.exchanges[exchange] = held + held_now * _TICK_SECONDS if held_now else 0.0
                exchange.tick(now)
            except Exception:  # one exchange's fault must not stop the others' clocks
                logger.exception("%s failed in its tick", type(exchange).__name__)
                self.exchanges.pop(exchange, None)
                exchange.stop(now=True)
        for link in self.registry.links():
            try:
                link.tick()
            except Exception:  # one link's fault must not stop the others' clocks
                logger.exception("%r failed in its tick", link)
                link.close(1011, "internal error")
        self.learned.tick(now)
