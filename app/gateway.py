"""The gateway itself: what the doors, the agents' endpoints and the life cycle share in one process.

Opens on first use, so that it works where the hosting application never runs our lifespan; `aclose` leaves no task,
timer or stream behind.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Protocol

from app.settings import Settings
from tunnel.account import Account
from tunnel.errors import NoAgentError, StoppingError
from tunnel.link import Link
from tunnel.port import Target, Upstream
from tunnel.registry import Registry
from tunnel.yamux import Limits

logger = logging.getLogger("gateway")

_TICK_SECONDS = 0.5


class Exchanging(Protocol):
    """One exchange at a door, as the gateway sees it when it stops."""

    def stop(self, *, now: bool) -> None:
        """WebSockets: close with 1012. Requests: nothing while they may finish; `now`: break off."""


@dataclass(slots=True)
class Choice:
    """Where an exchange goes: the link, and its upstream to the target."""

    link: Link
    upstream: Upstream


@dataclass(slots=True)
class Gateway:
    """Shared state of one node. Everything runs on one event loop."""

    settings: Settings
    registry: Registry = field(init=False)
    account: Account = field(init=False)
    exchanges: set[Exchanging] = field(init=False, default_factory=set)
    draining: bool = field(init=False, default=False)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)
    _idle: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.registry = Registry(clock=time.monotonic, reconnect_grace=self.settings.reconnect_grace)
        self.account = Account(self.settings.held_bytes_limit)

    def open(self) -> None:
        """Begin to keep time; idempotent, and called by every entrance."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def limits(self) -> Limits:
        """Limits of a new link's yamux session."""
        return Limits(max_window=self.settings.max_window_bytes)

    async def choose(self, target: Target, *, avoid: Link | None = None) -> Choice:
        """The link and upstream for an exchange. Raises TunnelError; waits only within the grace."""
        try:
            link = self.registry.select(target.cluster, avoid=avoid)
        except NoAgentError:
            try:
                link = await self.registry.wait(target.cluster, avoid=avoid)
            except NoAgentError:
                if self.draining:
                    raise StoppingError("the gateway is stopping") from None
                raise
        return Choice(link, link.upstream(target))

    def began(self, exchange: Exchanging) -> None:
        """Count an exchange in."""
        self.exchanges.add(exchange)

    def ended(self, exchange: Exchanging) -> None:
        """Count it out; idempotent."""
        self.exchanges.discard(exchange)
        if not self.exchanges:
            self._idle.set()

    async def drain(self, grace_seconds: float) -> None:
        """Stop in order: WebSockets get 1012, requests finish within the grace, what is left is broken off."""
        self.draining = True
        for exchange in list(self.exchanges):
            exchange.stop(now=False)
        deadline = time.monotonic() + grace_seconds
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

    async def aclose(self) -> None:
        """Close every link, last of all; nothing of ours runs afterwards. Idempotent."""
        self._closed = self.draining = True
        self.registry.close()
        for exchange in list(self.exchanges):
            exchange.stop(now=True)
        for link in self.registry.links():
            link.close(1012, "gateway is stopping")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        for link in self.registry.links():
            try:
                link.tick()
            except Exception:  # one link's fault must not stop the others' clocks
                logger.exception("%r failed in its tick", link)
                link.close(1011, "internal error")
