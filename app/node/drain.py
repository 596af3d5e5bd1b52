"""How a node stops, in order.

1. For the delay the node is not ready, but it serves everything as before.
2. Then it takes no new WebSocket and no new agent. It tells WebSockets 1012, spread over the grace, and lets requests
   finish within the grace.
3. It aborts the exchanges that are left, and closes the links last.

`aclose` does the third step at once and waits until nothing runs any more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tunnel.gateway.registry import Registry
from tunnel.slices import let_go

from ..observed.events import EventKind, Events
from .exchanges import Exchanges

logger = logging.getLogger("gateway")

_CLOSES_PER_SECOND = 100
_ACLOSE_SECONDS = 3.0
"""How long `aclose` waits for the exchanges, and then for the agents' sockets, that it ended."""


class Drain:
    """The drain of one node: what it has reached, and the steps."""

    def __init__(
        self,
        exchanges: Exchanges,
        registry: Registry,
        events: Events,
        *,
        listeners: Iterable[Callable[[], Awaitable[None]]],
        sockets: Iterable["asyncio.Task[Any] | None"],
    ) -> None:
        """`listeners` are called when `closing` begins; `sockets` are the tasks that serve agents."""
        self._exchanges = exchanges
        self._registry = registry
        self._events = events
        self._listeners = listeners
        self._sockets = sockets
        self._task: asyncio.Task[None] | None = None
        self.draining = False
        """The node is not ready, but it still serves."""
        self.closing = False
        """The delay is over: no new WebSocket, no new agent."""
        self.on_begin: list[Callable[[], object]] = []
        """Called when it begins."""
        self.leave: Callable[[float], Awaitable[None]] | None = None
        """Gives what other nodes have here away, until the deadline, while the exchanges end: see `Elsewhere`."""
        self.on_closing: list[Callable[[], object]] = []
        """Called at that moment."""

    def begin(self, grace_seconds: float, *, delay_seconds: float) -> "asyncio.Task[None]":
        """Start to drain. Later calls return the same task."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.run(grace_seconds, delay_seconds=delay_seconds))
        return self._task

    async def run(self, grace_seconds: float, *, delay_seconds: float = 0.0) -> None:
        """All three steps."""
        self.draining = True
        for told in self.on_begin:
            told()
        logger.info(
            "draining: %d exchanges are open; serving for another %g s, then they have %g s to end",
            len(self._exchanges), delay_seconds, grace_seconds,
        )  # fmt: skip
        self._events.emit(EventKind.DRAIN_BEGAN, f"draining: {len(self._exchanges)} exchanges are open")
        await asyncio.sleep(delay_seconds)
        self.closing = True
        for told in self.on_closing:
            told()
        for listener in self._listeners:
            await listener()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        leaving = asyncio.ensure_future(self.leave(deadline)) if self.leave is not None else None
        try:
            await self._tell_websockets(grace_seconds)
            await self._exchanges.wait_until_none(deadline)
            if leaving is not None:
                await leaving
        finally:
            if leaving is not None:
                leaving.cancel()
        await self._abort()
        logger.info("drained")
        self._events.emit(EventKind.DRAIN_ENDED, "drained")

    async def _tell_websockets(self, grace_seconds: float) -> None:
        # Spread out, because every client reconnects somewhere as soon as it is told.
        count = sum(exchange.is_websocket for exchange in self._exchanges)
        pause = min(1 / _CLOSES_PER_SECOND, grace_seconds / 2 / max(1, count))
        for exchange in let_go(self._exchanges):
            if not exchange.is_websocket:
                continue
            exchange.stop(now=False)
            await asyncio.sleep(pause)

    async def _abort(self) -> None:
        self._registry.close()
        await self._exchanges.abort()
        for link in self._registry.links():
            link.close(1012, "gateway is stopping")

    async def aclose(self) -> None:
        """Abort every exchange, close every link, and wait until they have ended. Idempotent."""
        self.draining = self.closing = True
        await self._abort()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._exchanges.wait_until_none(asyncio.get_running_loop().time() + _ACLOSE_SECONDS)
        here = asyncio.current_task()
        sockets = [task for task in self._sockets if task is not None and task is not here]
        if sockets:
            await asyncio.wait(sockets, timeout=_ACLOSE_SECONDS)

    def __repr__(self) -> str:
        state = "closing" if self.closing else "draining" if self.draining else "not begun"
        return f"<Drain {state}, {len(self._exchanges)} exchanges left>"
