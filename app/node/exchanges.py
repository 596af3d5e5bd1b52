"""The ledger of one node's exchanges: which are running, and how much each has held for how long.

Every half second it looks at those that asked for it, so that they can check their deadlines. An exchange is awake or
asleep. Awake, it is looked at each time: a new one, one that holds bytes, and one that gave no time for the next look.
Asleep, it is on the wheel until its deadline, or until something happens to it and it calls `wake`; it holds nothing.
So the cost follows what is due or held, and ten thousand idle WebSockets cost nothing. Many looks at once are divided
among turns of the loop.

At the hard mark of the account it resets exchanges, the one that has held most for longest first, and ends connections
of clients, the one with the most waiting bytes first, until the account is below the mark. It begins with the kind that
holds more.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Protocol
from weakref import WeakSet

from tunnel.account import Account
from tunnel.slices import let_go, work_off

from .wheel import Wheel

logger = logging.getLogger("gateway")

TICK_SECONDS = 0.5

LOOKS_PER_TURN = 16
"""A look costs some microseconds, ending the exchange 200: 3 ms if all of them end."""


class Exchanging(Protocol):
    """One exchange at a door, as the ledger sees it."""

    is_websocket: bool

    def stop(self, *, now: bool) -> None:
        """Close a WebSocket with 1012, let a request finish. `now`: abort either."""

    def tick(self, now: float) -> float | None:
        """Check the deadlines; `now` is the loop's time. Returns when to look again; None: after `TICK_SECONDS`.

        One that gives a time further away sleeps until then. It must call `Exchanges.wake` before it holds a byte, and
        when an earlier deadline begins.
        """

    def relieve(self) -> None:
        """Give up: the process holds too much, and this exchange holds the largest share."""

    @property
    def held_bytes(self) -> int:
        """Bytes held for this exchange."""


class Waiting(Protocol):
    """A client's connection, as the ledger sees it."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that came and are not read yet: of the next requests, of a body, of an unfinished head."""

    def relieve(self) -> None:
        """End: the process holds too much, and this connection the most of what waits."""


class Waiters(Protocol):
    """Who has connections: a door."""

    def waiting(self) -> Iterable[Waiting]:
        """Its connections."""


class Exchanges:
    """The running exchanges. Iterates over a copy, so the loop body may end them."""

    __slots__ = ("_account", "_awake", "_looking", "_none_left", "_relief_called", "_running", "_wheel", "waiters")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._running: dict[Exchanging, None] = {}
        self._awake: dict[Exchanging, float] = {}  # -> bytes held x seconds, since it last held nothing
        self._wheel: Wheel[Exchanging] = Wheel()  # those asleep
        self._looking = False
        self._none_left: asyncio.Event | None = None  # once somebody has waited for it
        self._relief_called = False
        self.waiters: WeakSet[Waiters] = WeakSet()
        """The doors whose connections may be ended at the hard mark."""

    def began(self, exchange: Exchanging) -> None:
        """Add an exchange, awake."""
        self._running[exchange] = None
        self._awake[exchange] = 0.0

    def ended(self, exchange: Exchanging) -> None:
        """Remove it; idempotent."""
        running = self._running
        running.pop(exchange, None)
        if self._awake.pop(exchange, None) is None:
            self._wheel.remove(exchange)
        if not running and self._none_left is not None:
            self._none_left.set()

    def wake(self, exchange: Exchanging) -> None:
        """Something happened to it: look at it with the next tick."""
        if exchange in self._running and exchange not in self._awake:
            self._wheel.remove(exchange)
            self._awake[exchange] = 0.0

    def tick(self, now: float) -> None:
        """Look at those that are awake or due. Called every `TICK_SECONDS`."""
        for exchange in self._wheel.due(now):
            self._awake[exchange] = 0.0
        if self._awake and not self._looking:  # else the last round is not over yet
            self._looking = True
            work_off(self._looks(now), LOOKS_PER_TURN)

    def _looks(self, now: float) -> Iterator[None]:
        """A round: one look a step."""
        for exchange in list(self._awake):
            if exchange in self._awake:
                self._look_at(exchange, now)
                yield
        self._looking = False

    def _look_at(self, exchange: Exchanging, now: float) -> None:
        """Add up what it holds, and tick it. An exchange whose tick fails is aborted."""
        try:
            held = exchange.held_bytes
            self._awake[exchange] = self._awake[exchange] + held * TICK_SECONDS if held else 0.0
            again = exchange.tick(now)
            if again is not None and again > now + TICK_SECONDS and not held and exchange in self._awake:
                del self._awake[exchange]
                self._wheel.put(exchange, again)
        except Exception:  # one exchange's fault must not stop the others' clocks
            logger.exception("%s failed in its tick", type(exchange).__name__)
            self.ended(exchange)
            with contextlib.suppress(Exception):  # it has failed already, and that is logged
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
        account = self._account
        waiting = [each for door in self.waiters for each in door.waiting() if each.waiting_bytes]
        waiting.sort(key=lambda each: each.waiting_bytes, reverse=True)
        # Whoever holds something is awake.
        ranked = sorted(self._awake, key=lambda item: (self._awake[item], item.held_bytes), reverse=True)
        steps = [self._end_waiting(waiting), self._reset_holding(ranked)]
        if sum(each.held_bytes for each in ranked) >= sum(each.waiting_bytes for each in waiting):
            steps.reverse()
        for step in steps:
            while account.held_bytes > account.hard_mark_bytes and next(step, None) is not None:
                pass

    def _reset_holding(self, exchanges: list[Exchanging]) -> Iterator[Exchanging]:
        for exchange in exchanges:
            if exchange.held_bytes > 0:
                logger.warning(
                    "%d bytes are held: reset %r, which held most for longest", self._account.held_bytes, exchange
                )
                exchange.relieve()
                yield exchange

    def _end_waiting(self, connections: list[Waiting]) -> Iterator[Waiting]:
        for connection in connections:
            if connection.waiting_bytes > 0:
                logger.warning(
                    "%d bytes are held: end %s, where most bytes wait unread",
                    self._account.held_bytes,
                    repr(connection),
                )
                connection.relieve()
                yield connection

    async def abort(self) -> None:
        """Abort every exchange, some in each turn of the loop."""
        for number, exchange in enumerate(let_go(self._running), 1):
            exchange.stop(now=True)
            if number % LOOKS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def wait_until_none(self, deadline: float) -> bool:
        """Wait until no exchange is left, or until the loop's time is `deadline`. Whether none is left."""
        while self._running:
            none_left = self._none_left = self._none_left or asyncio.Event()
            none_left.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await none_left.wait()
            except TimeoutError:
                break
        return not self._running

    def __iter__(self) -> Iterator[Exchanging]:
        return iter(list(self._running))

    def __len__(self) -> int:
        return len(self._running)

    def __repr__(self) -> str:
        return f"<Exchanges {len(self)}, {self._account.held_bytes} bytes held>"
