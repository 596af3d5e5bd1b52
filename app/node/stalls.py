"""Who stalls, and who of these is ended first. Plain values and times; no I/O, no clock.

An exchange stalls when bytes wait for one of its two sides and that side takes nothing: the client does not read its
answer, or the service does not read the request. Whoever takes a byte now and then is slow and does not stall. That
shows only in two looks: a `Sight` compares them.
"""

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, TypeVar

STALLED_SECONDS = 0.5
"""A client took nothing for as long: two round trips of a slow line, or the pause after a segment that got lost."""
SERVICE_STALLED_SECONDS = 1.5
"""Likewise a service. That it reads shows only with each half of a window, because agents give credit back in these
steps: 128 KiB, so whoever reads 85 KiB/s is seen to."""


class Lag(NamedTuple):
    """One side of an exchange, while bytes wait for it."""

    since: float | None
    """When it last took something, as far as the exchange knows; None: the exchange does not know."""
    mark: int
    """Another number once it has taken some of what waits, such as the bytes that are left."""


Lags = tuple[Lag | None, Lag | None]
"""Of the client, and of the service. None: nothing waits for it."""

NO_LAGS: Lags = (None, None)

_ENOUGH = (STALLED_SECONDS, SERVICE_STALLED_SECONDS)


class _Side:
    """What was seen of one side."""

    __slots__ = ("lag", "seen_at", "since")

    def __init__(self) -> None:
        self.lag: Lag | None = None
        self.seen_at = self.since = 0.0


class Sight:
    """What was seen of one exchange so far."""

    __slots__ = ("_sides", "is_ended")

    def __init__(self) -> None:
        self._sides = (_Side(), _Side())
        self.is_ended = False
        """It was ended, and holds something until its server lets go of it."""

    def look(self, lags: Lags, now: float) -> float | None:
        """For how many seconds one side has taken nothing, the longer of the two.

        None: no side stalls, or that cannot be told yet because the first look is not old enough.
        """
        longest: float | None = None
        for side, lag, enough_seconds in zip(self._sides, lags, _ENOUGH, strict=True):
            if lag != side.lag:
                known = lag.since if side.lag is None and lag is not None else None
                side.since = known if known is not None else now  # it has taken something since the last look
                side.lag, side.seen_at = lag, now
            elif lag is not None and now - side.seen_at >= enough_seconds:
                longest = max(now - side.since, longest or 0.0)
        return longest


Item = TypeVar("Item")


class Stalled(NamedTuple, Generic[Item]):
    """Somebody who stalls."""

    item: Item
    client: str
    """The address under which its client is counted."""
    held_bytes: int
    seconds: float


def in_order(stalled: Iterable[Stalled[Item]]) -> Iterator[Stalled[Item]]:
    """Who is ended first: of the client that holds most in all that stalls of it, the one that stalled longest.

    Whoever is ended no longer counts for its client: so clients with many go down together, and one with few is not
    reached before they hold as little as it does.
    """
    groups: dict[str, list[Stalled[Item]]] = {}
    for each in stalled:
        groups.setdefault(each.client, []).append(each)
    queue: list[tuple[int, float, str]] = []
    for client, group in groups.items():
        group.sort(key=_seconds)
        queue.append((-sum([each.held_bytes for each in group]), -group[-1].seconds, client))
    heapify(queue)
    while queue:
        negative_bytes, _, client = heappop(queue)
        group = groups[client]
        first = group.pop()
        yield first
        if group:
            heappush(queue, (negative_bytes + first.held_bytes, -group[-1].seconds, client))


def _seconds(each: Stalled[Item]) -> float:
    return each.seconds
