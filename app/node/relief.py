"""What one node does when it holds too much: it ends exchanges, and only then refuses new ones.

Above the high mark of the account it looks at whoever holds something, four times a second, and ends those that stall:
of the client that holds most, the one that stalled longest (`stalls.py`), down to an eighth below the mark. Whoever
moves is left alone. Where for a second nobody was found and the account is still above, new exchanges are refused; for
two while services lag, of which one look more is needed.

At the hard mark it does not look twice: it resets exchanges, the one that has held most for longest first, and ends
connections of clients, the one with the most unread bytes first, down to a sixteenth below the mark, so that the next
byte does not begin this again. It begins with the kind that holds more.

Below the high mark nothing of this runs: no timer, no look.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop
from itertools import chain
from typing import Final, Protocol, TypeVar
from weakref import WeakSet

from tunnel.account import Account
from tunnel.slices import work_off

from ..observed.events import Events
from ..observed.metrics import Limit, Metrics, Relieved
from ..rules.clients import block_of
from .episode import Episode
from .exchanges import LOOKS_PER_TURN, Exchanges, Exchanging
from .stalls import SERVICE_STALLED_SECONDS, Lags, Sight, Stalled, in_order

logger = logging.getLogger("gateway")

ROUND_SECONDS: Final = 0.25
REFUSE_SECONDS: Final = 1.0
"""Above the mark for as long, and nobody was left to be ended: new exchanges are refused."""
SERVICE_REFUSE_SECONDS: Final = SERVICE_STALLED_SECONDS + 2 * ROUND_SECONDS
"""The same while there are services that lag: it takes longer to see whether these stall."""
_LINED_UP: Final = 2_048
"""Ordered in one turn of the loop, which takes 3 ms. The next round has the others."""


class Waiting(Protocol):
    """A client's connection, as the relief sees it."""

    @property
    def client(self) -> str:
        """The address it comes from."""

    @property
    def held_bytes(self) -> int:
        """Bytes that came and are not read yet: of the next requests, of a body, of an unfinished head."""

    def lags(self) -> Lags:
        """Whom these bytes wait for."""

    def relieve(self, limit: Limit) -> None:
        """End: the process holds too much."""


class Waiters(Protocol):
    """Who has connections: a door."""

    def waiting(self) -> Iterable[Waiting]:
        """Its connections."""


class Relief:
    """See the module. `high_mark_passed` and `hard_mark_passed` are for the account to call, from the data path."""

    __slots__ = (
        "_above_since", "_account", "_ended_at", "_episode", "_exchanges", "_hard_again_at", "_hard_called", "_metrics",
        "_refuse_seconds", "_sights", "_stopped", "_timer", "waiters",
    )  # fmt: skip

    def __init__(self, account: Account, exchanges: Exchanges, metrics: Metrics, events: Events) -> None:
        self._account = account
        self._exchanges = exchanges
        self._metrics = metrics
        self._timer: asyncio.Handle | None = None  # of the next round
        self._hard_called = False
        self._hard_again_at = 0.0
        self._stopped = False
        self._sights: dict[Exchanging | Waiting, Sight] = {}  # of those that held something in the last round
        self._above_since: float | None = None  # the high mark, at each round since
        self._ended_at = 0.0  # somebody, at the high mark
        self._refuse_seconds = REFUSE_SECONDS
        self._episode = Episode(events)
        self.waiters: WeakSet[Waiters] = WeakSet()
        """The doors whose connections may be ended."""

    @property
    def state(self) -> int:
        """0: there is room. 1: the high mark was passed, and who stalls is ended. 2: new exchanges are refused."""
        return 2 if self._account.refuses else 1 if self._account.is_pressed else 0

    def stop(self) -> None:
        """Begin no further round; idempotent."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    # --- the high mark

    def high_mark_passed(self) -> None:
        """Look for those that stall, from the end of this loop turn on.

        Not at once, because the call comes from the data path of an exchange that may itself be ended.
        """
        if not self._stopped:
            loop = asyncio.get_running_loop()
            self._above_since = loop.time()
            self._timer = loop.call_soon(self._round)

    def _round(self) -> None:
        work_off(self._steps(asyncio.get_running_loop().time()), LOOKS_PER_TURN)

    def _steps(self, now: float) -> Iterator[None]:
        """Look at everybody who holds something, end whom it takes, and say what is next: one of them a step."""
        before, self._sights = self._sights, {}
        self._episode.look_again()
        self._refuse_seconds = REFUSE_SECONDS
        stalled: list[Stalled[Exchanging | Waiting]] = []
        for each, kind in self._holders():
            try:
                self._look_at(each, kind, before.get(each) or Sight(), now, stalled)
            except Exception:  # one exchange's fault must not keep the others
                logger.exception("%s failed under a look", type(each).__name__)
            yield
        if self._account.above_high_mark:
            yield from self._end_stalled(stalled)
        self._settle()

    def _holders(self) -> Iterator[tuple[Exchanging | Waiting, str]]:
        """Whoever may hold something, and what it is, for the log; empty for a request, where its lags say it."""
        for exchange in self._exchanges.awake():
            yield exchange, "WebSockets" if exchange.is_websocket else ""
        for door in list(self.waiters):
            for connection in [each for each in door.waiting() if each.held_bytes]:
                yield connection, "unread requests"

    def _look_at(
        self, each: Exchanging | Waiting, kind: str, sight: Sight, now: float,
        stalled: "list[Stalled[Exchanging | Waiting]]",
    ) -> None:  # fmt: skip
        size_bytes = each.held_bytes
        if not size_bytes:
            return
        client, lags = block_of(each.client), each.lags()
        self._episode.holds(kind or _kind_of(lags), client, size_bytes)
        self._sights[each] = sight
        seconds = sight.look(lags, now)
        if seconds is None and lags[1] is not None:
            self._refuse_seconds = SERVICE_REFUSE_SECONDS
        if seconds is not None and not sight.is_ended and len(stalled) < _LINED_UP:
            stalled.append(Stalled(each, client, size_bytes, seconds))

    def _end_stalled(self, stalled: "list[Stalled[Exchanging | Waiting]]") -> Iterator[None]:
        account, loop = self._account, asyncio.get_running_loop()
        low_mark_bytes = account.high_mark_bytes - account.high_mark_bytes // 8
        for each, _, _, _ in in_order(stalled):
            if account.held_bytes <= low_mark_bytes or self._stopped:
                return
            now = loop.time()
            try:
                sight = self._sights[each]
                if each.held_bytes and sight.look(each.lags(), now) is not None:  # it has not moved since
                    sight.is_ended = True
                    each.relieve(Limit.HELD_STALLED)
                    self._metrics.relieved[Relieved.STALLED] += 1
                    self._episode.ended += 1
                    self._ended_at = now
            except Exception:  # as above
                logger.exception("%s failed in its end", type(each).__name__)
            yield

    def _settle(self) -> None:
        """After a round: whether there is room for new exchanges, and whether another round is needed."""
        account, loop = self._account, asyncio.get_running_loop()
        now = loop.time()
        if account.above_high_mark:
            if self._above_since is None:
                self._above_since = now
            account.is_full = now - max(self._above_since, self._ended_at) >= self._refuse_seconds
            self._episode.passed(account, now)
        elif self._above_since is not None:  # it may go up again at once: one more round
            self._above_since = None
            account.is_full = False
        else:
            self._sights = {}
            account.eased()
            self._episode.over(account, now)
            return
        if not self._stopped:
            self._timer = loop.call_later(ROUND_SECONDS, self._round)

    # --- the hard mark

    def hard_mark_passed(self) -> None:
        """Relieve the account at the end of this loop turn; for why not at once see `high_mark_passed`."""
        if not self._hard_called:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._hard_again_at:
                self._hard_called = True
                loop.call_soon(work_off, self._relieve(), LOOKS_PER_TURN)

    def _relieve(self) -> Iterator[object]:
        """End whom it takes, one a step."""
        account = self._account
        ended = False
        try:
            if account.held_bytes > account.hard_mark_bytes:
                for each in self._heaviest():
                    ended = True
                    yield each
                if not ended:  # nobody can be ended: look again, but not with each byte
                    self._hard_again_at = asyncio.get_running_loop().time() + ROUND_SECONDS
        finally:
            self._hard_called = False

    def _heaviest(self) -> Iterator[object]:
        """Those that it takes, each once it is ended."""
        account = self._account
        enough_bytes = account.hard_mark_bytes - account.hard_mark_bytes // 16
        waiting = [(each.held_bytes, each) for door in self.waiters for each in door.waiting() if each.held_bytes]
        waiting_bytes = sum([size_bytes for size_bytes, _ in waiting])
        steps = [self._end_waiting(waiting), self._reset_holding()]
        if account.held_bytes - waiting_bytes >= waiting_bytes:
            steps.reverse()
        for each in chain(*steps):
            yield each
            if account.held_bytes <= enough_bytes:
                return

    def _reset_holding(self) -> Iterator[Exchanging]:
        """Those that held something at the last look, by bytes and time; then those that came since, by bytes."""
        seen, new = self._exchanges.holding()
        yield from self._reset(seen)
        yield from self._reset([(each.held_bytes, each) for each in new])

    def _reset(self, weighed: "Iterable[tuple[float, Exchanging]]") -> Iterator[Exchanging]:
        for exchange in _heaviest_first(weighed):
            if exchange.held_bytes > 0:
                logger.warning(
                    "%d bytes are held: reset %r, which held most for longest", self._account.held_bytes, exchange
                )
                self._metrics.relieved[Relieved.HELD_MOST] += 1
                exchange.relieve(Limit.HELD_HARD)
                yield exchange

    def _end_waiting(self, connections: list[tuple[int, Waiting]]) -> Iterator[Waiting]:
        for connection in _heaviest_first(connections):
            if connection.held_bytes > 0:
                logger.warning(
                    "%d bytes are held: end %s, where most bytes wait unread",
                    self._account.held_bytes,
                    repr(connection),
                )
                self._metrics.relieved[Relieved.UNREAD] += 1
                connection.relieve(Limit.HELD_HARD)
                yield connection

    def __repr__(self) -> str:
        return f"<Relief {('at rest', 'ends who stalls', 'refuses')[self.state]}, {self._account!r}>"


def _kind_of(lags: Lags) -> str:
    """What a request holds, for the log."""
    if lags[0] is not None:
        return "answers that clients do not read"
    return "request bodies that services do not read" if lags[1] is not None else "requests that move"


_Heavy = TypeVar("_Heavy")


def _heaviest_first(weighed: Iterable[tuple[float, _Heavy]]) -> Iterator[_Heavy]:
    """In order of their weights, as far as it is asked for: 2 ms for the first of 10,000."""
    heap = [(-weight, number, each) for number, (weight, each) in enumerate(weighed)]
    heapify(heap)
    while heap:
        yield heappop(heap)[2]
