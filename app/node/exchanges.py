"""The ledger of one node's exchanges: which are running, and how much each has held for how long.

Every half second it looks at those that asked for it, so that they can check their deadlines. An exchange is awake or
asleep. Awake, it is looked at each time: a new one, one that holds bytes, and one that gave no time for the next look.
Asleep, it is on the wheel until its deadline, or until something happens to it and it calls `wake`; it holds nothing.
So the cost follows what is due or held, and ten thousand idle WebSockets cost nothing. Many looks at once are divided
among turns of the loop.

Whom the process ends when it holds too much is for `relief.py` to say.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Protocol

from tunnel.account import Account
from tunnel.slices import let_go, work_off

from ..observed.metrics import Limit
from ..observed.record import Record
from .exchange_item import ExchangeItem
from .stalls import Lags
from .wheel import Wheel

logger = logging.getLogger("gateway")

TICK_SECONDS = 0.5

LOOKS_PER_TURN = 16
"""A look costs some microseconds, ending the exchange 200: 3 ms if all of them end."""


class Exchanging(Protocol):
    """One exchange at a door, as the ledger sees it."""

    is_websocket: bool

    @property
    def client(self) -> str:
        """The client's address."""

    def item(self, identity: str, *, began_at: float, now: float) -> ExchangeItem:
        """What the operator sees of it; see `item_of`."""

    @property
    def record(self) -> Record:
        """What is known of it so far."""

    def stop(self, *, now: bool) -> None:
        """Close a WebSocket with 1012, let a request finish. `now`: abort either."""

    def end_by_operator(self) -> bool:
        """End it, and say so: a WebSocket with 1012, a request with 502 or, midway in its answer, by breaking off.

        False: it was ending already, whoever began it.
        """

    def tick(self, now: float) -> float | None:
        """Check the deadlines; `now` is the loop's time. Returns when to look again; None: after `TICK_SECONDS`.

        One that gives a time further away sleeps until then. It must call `Exchanges.wake` before it holds a byte, and
        when an earlier deadline begins.
        """

    def relieve(self, limit: Limit) -> None:
        """Give up, and say so to both sides: the process holds too much. `limit`: which limit it is."""

    def lags(self) -> Lags:
        """Which of its two sides bytes wait for."""

    @property
    def held_bytes(self) -> int:
        """Bytes held for this exchange."""


class Exchanges:
    """The running exchanges. Iterates over a copy, so the loop body may end them.

    Those that the operator looks at get a number, in the order in which they began: nobody else pays for it.
    """

    __slots__ = ("_account", "_awake", "_by_number", "_looking", "_none_left", "_numbers", "_running", "_wheel",
                 "last_number")  # fmt: skip

    def __init__(self, account: Account) -> None:
        self._account = account
        self._running: dict[Exchanging, None] = {}
        self._awake: dict[Exchanging, float] = {}  # -> bytes held x seconds, since it last held nothing
        self._wheel: Wheel[Exchanging] = Wheel()  # those asleep
        self._looking = False
        self._none_left: asyncio.Event | None = None  # once somebody has waited for it
        self._numbers: dict[Exchanging, int] = {}  # of those that have one
        self._by_number: dict[int, Exchanging] = {}
        self.last_number = 0
        """The highest that was given."""

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
        if self._numbers:
            self._by_number.pop(self._numbers.pop(exchange, 0), None)

    def hand_over(self, exchange: Exchanging, heir: Exchanging) -> None:
        """`heir`, awake, takes the place of a running exchange, and its number if it has one."""
        self.began(heir)
        number = self._numbers.pop(exchange, None)
        if number is not None:
            self._numbers[heir] = number
            self._by_number[number] = heir
        self.ended(exchange)

    def number_of(self, exchange: Exchanging) -> int:
        """The number of a running exchange. Ask for those of all that are before it `in_order` first."""
        number = self._numbers.get(exchange)
        if number is None:
            number = self.last_number = self.last_number + 1
            self._numbers[exchange] = number
            self._by_number[number] = exchange
        return number

    def in_order(self) -> list[Exchanging]:
        """The running exchanges in the order of their numbers, those that get one only now last."""
        return [*self._by_number.values(), *[one for one in self._running if one not in self._numbers]]

    def find(self, number: int) -> Exchanging | None:
        """The running exchange that was given this number."""
        return self._by_number.get(number)

    def __contains__(self, exchange: Exchanging) -> bool:
        return exchange in self._running

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

    def awake(self) -> Iterator[Exchanging]:
        """Those that are awake, among them whoever holds something. They may end meanwhile: then they are left out."""
        for exchange in list(self._awake):
            if exchange in self._awake:
                yield exchange

    def holding(self) -> tuple[list[tuple[float, Exchanging]], list[Exchanging]]:
        """Those that held something at the last look, each with its bytes x seconds; and the others that are awake."""
        seen = [(weight, exchange) for exchange, weight in self._awake.items() if weight]
        return seen, [exchange for exchange, weight in self._awake.items() if not weight]

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
