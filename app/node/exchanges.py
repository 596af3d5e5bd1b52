"""The ledger of one node's exchanges: which are running, and how much each has held for how long.

Every half second it ticks each exchange, so that the exchange can check its own deadlines. At the hard mark of the
account it resets exchanges, the one that has held most for longest first, until the account is below the mark.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol

from tunnel.account import Account

logger = logging.getLogger("gateway")

TICK_SECONDS = 0.5


class Exchanging(Protocol):
    """One exchange at a door, as the ledger sees it."""

    is_websocket: bool

    def stop(self, *, now: bool) -> None:
        """Close a WebSocket with 1012, let a request finish. `now`: abort either."""

    def tick(self, now: float) -> None:
        """Check the deadlines. Called every `TICK_SECONDS` with the loop's time."""

    def relieve(self) -> None:
        """Give up: the process holds too much, and this exchange holds the largest share."""

    @property
    def held_bytes(self) -> int:
        """Bytes held for this exchange."""


class Exchanges:
    """The running exchanges. Iterates over a copy, so the loop body may end them."""

    __slots__ = ("_account", "_none_left", "_relief_called", "_running")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._running: dict[Exchanging, float] = {}  # -> bytes held x seconds, since it last held nothing
        self._none_left = asyncio.Event()
        self._relief_called = False

    def began(self, exchange: Exchanging) -> None:
        """Add an exchange."""
        self._running[exchange] = 0.0

    def ended(self, exchange: Exchanging) -> None:
        """Remove it; idempotent."""
        self._running.pop(exchange, None)
        if not self._running:
            self._none_left.set()

    def tick(self, now: float) -> None:
        """Tick every exchange, and add up what each holds. An exchange whose tick fails is aborted."""
        for exchange, held in list(self._running.items()):
            try:
                held_now = exchange.held_bytes
                self._running[exchange] = held + held_now * TICK_SECONDS if held_now else 0.0
                exchange.tick(now)
            except Exception:  # one exchange's fault must not stop the others' clocks
                logger.exception("%s failed in its tick", type(exchange).__name__)
                self._running.pop(exchange, None)
                exchange.stop(now=True)

    def call_for_relief(self) -> None:
        """The account is above its hard mark: relieve it at the end of this loop turn.

        Not at once, because the call comes from the data path of an exchange that may itself be reset.
        """
        if not self._relief_called:
            self._relief_called = True
            asyncio.get_running_loop().call_soon(self._relieve)

    def _relieve(self) -> None:
        self._relief_called = False
        ranked = sorted(self._running, key=lambda item: (self._running[item], item.held_bytes), reverse=True)
        for exchange in ranked:
            if self._account.held_bytes <= self._account.hard_mark_bytes:
                return
            if exchange.held_bytes > 0:
                logger.warning(
                    "%d bytes are held: reset %r, which held most for longest", self._account.held_bytes, exchange
                )
                exchange.relieve()

    def abort(self) -> None:
        """Abort every exchange."""
        for exchange in self:
            exchange.stop(now=True)

    async def wait_until_none(self, deadline: float) -> bool:
        """Wait until no exchange is left, or until the loop's time is `deadline`. Whether none is left."""
        while self._running:
            self._none_left.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._none_left.wait()
            except TimeoutError:
                break
        return not self._running

    def __iter__(self) -> Iterator[Exchanging]:
        return iter(list(self._running))

    def __len__(self) -> int:
        return len(self._running)

    def __repr__(self) -> str:
        return f"<Exchanges {len(self)}, {self._account.held_bytes} bytes held>"
