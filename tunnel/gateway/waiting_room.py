"""The room for requests that wait until somebody can carry them: how many there may be, and how their waits ended.

Bounded by the number of requests, of one pool and of all, and by the bytes of their heads; the body of a waiting
request has not been read. Where clients choose what they wait for, by the number of one client too. Knows neither
links nor time: whoever waits says what for, and for how long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import count

from tunnel.errors import TooManyWaitingError

_POOLS_WAITING = 4
"""As many pools may have all the waiting requests that one may have."""

_CLIENTS_WAITING = 4
"""As many clients may have all the places of one pool."""

_WAITING_BYTES = 32 * 1024 * 1024
"""Of the heads of all waiting requests. Four thousand usual ones have 4 to 8 MiB; the longest has 64 KiB."""


class WaitEnd(StrEnum):
    """How a request's wait ended: the values of the label `outcome`."""

    SERVED = "served"
    IN_VAIN = "in_vain"
    LEFT = "left"
    REFUSED = "refused"
    """There was no room to wait."""


class Place:
    """One request's place. `end`: how its wait ended, to be set before the place is left."""

    __slots__ = ("end", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        """The lowest has waited longest."""
        self.end = WaitEnd.LEFT


class WaitingRoom:
    """The requests that wait on one node."""

    __slots__ = ("_bytes", "_numbers", "ends", "most", "waiting")

    def __init__(self, most: int) -> None:
        self.most = most
        """Requests of one pool that may wait."""
        self.waiting = 0
        """Requests that wait now."""
        self.ends: dict[str, int] = dict.fromkeys(WaitEnd, 0)
        """The waits that have ended, by how they did."""
        self._bytes = 0
        self._numbers = count()

    @contextmanager
    def place(self, size_bytes: int, beside: int, *, of_client: int = 0) -> Iterator[Place]:
        """A place for a request whose head has `size_bytes`, beside so many that wait for the same.

        `of_client`: how many of these are its client's, where they are counted. Raises TooManyWaitingError: there is
        none.
        """
        if why := self._why_not(size_bytes, beside, of_client):
            self.ends[WaitEnd.REFUSED] += 1
            raise TooManyWaitingError(why)
        place = Place(next(self._numbers))
        self.waiting += 1
        self._bytes += size_bytes
        try:
            yield place
        finally:
            self.ends[place.end] += 1
            self.waiting -= 1
            self._bytes -= size_bytes

    def _why_not(self, size_bytes: int, beside: int, of_client: int) -> str:
        """Why no further request may wait; empty: it may."""
        if beside >= self.most or self.waiting >= _POOLS_WAITING * self.most:
            return f"{self.waiting} requests are already waiting for agents"
        if of_client >= max(1, self.most // _CLIENTS_WAITING):
            return f"{of_client} requests of this client are already waiting"
        if self._bytes + size_bytes > _WAITING_BYTES:
            return f"the requests that wait for agents have heads of {self._bytes} bytes"
        return ""

    def __repr__(self) -> str:
        return f"<WaitingRoom {self.waiting} waiting, {self._bytes} bytes>"
