"""Pings to the clients of one event loop: one timer for all, which visits only the connections that are due.

A client gets a ping every `ping_interval`, whatever else it is sent; one whose bytes are spliced only after an interval
in which nothing came from it. If nothing comes from it for `ping_timeout` after
a ping, it is gone. Any byte from it is a sign of life, so a client whose pong is stuck behind a large message is kept,
and a ping needs no payload. What the client is sent proves nothing: the system takes it long after the client is gone.
Times are rounded up to ticks. Pings that are due together are divided among turns of the loop.

Time is counted in ticks, so that a process that was stopped for a minute does not take all its clients for gone.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from typing import Protocol
from weakref import WeakKeyDictionary

from tunnel.slices import work_off

from ..node.wheel import SLOT_SECONDS, Wheel

logger = logging.getLogger("gateway")

VISITS_PER_TURN = 16
"""A ping costs 20 us, giving a client up 200: 3 ms if all of them are gone."""


class Pinged(Protocol):
    """A client's connection."""

    heard: bool
    """A byte came. Set by the connection, cleared with each ping."""
    pinged_at: float
    """When the last ping was sent or spared, or the handshake ended. Kept by `Pings`, on its own clock."""
    asked: bool
    """A ping was sent then. Kept by `Pings`, and cleared by `send_ping` where none could be sent."""
    pings_only_silence: bool
    """Whoever was heard since the last look is spared a ping."""

    @property
    def ping_interval(self) -> float | None:
        """None or 0: it gets none."""

    @property
    def ping_timeout(self) -> float | None:
        """None: a client that does not answer is kept."""

    @property
    def is_ending(self) -> bool:
        """Closed or closing: it gets no more pings."""

    def send_ping(self) -> None:
        """Write a ping."""

    def keepalive_timeout(self) -> None:
        """The client is gone: end the connection."""

    def abort(self) -> None:
        """End the connection at once: a visit has failed."""


class Pings:
    """The connections that get pings. Without any, no timer runs."""

    __slots__ = ("_due", "_now", "_tick_at", "_timer", "_wheel", "_working")

    def __init__(self) -> None:
        self._wheel: Wheel[Pinged] = Wheel()
        self._due: deque[Pinged] = deque()  # to be visited in this or a later turn
        self._working = False
        self._now = 0.0
        self._tick_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, client: Pinged) -> None:
        """The handshake is over: send pings from now on."""
        if client.ping_interval:
            client.heard = True
            client.asked = False
            client.pinged_at = self._now
            self._put(client, self._now + client.ping_interval)

    def remove(self, client: Pinged) -> None:
        """Send no more; idempotent."""
        self._wheel.remove(client)
        if self._timer is not None and not self._wheel:
            self._timer.cancel()
            self._timer = None

    def _put(self, client: Pinged, at: float) -> None:
        self._wheel.put(client, at)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._tick_at = loop.time() + SLOT_SECONDS
            self._timer = loop.call_at(self._tick_at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._now += SLOT_SECONDS
        self._due.extend(self._wheel.due(self._now))
        if not self._due and not self._wheel:
            return
        loop = asyncio.get_running_loop()
        self._tick_at = max(self._tick_at + SLOT_SECONDS, loop.time())  # a late tick does not delay the next
        self._timer = loop.call_at(self._tick_at, self._tick)
        if self._due and not self._working:  # else the last round is not over yet
            self._working = True
            work_off(self._visits(), VISITS_PER_TURN)

    def _visits(self) -> Iterator[None]:
        """A round: one visit a step."""
        while self._due:
            client = self._due.popleft()
            try:
                self._visit(client)
            except Exception:  # a fault with one connection must not stop the others' pings
                logger.exception("a ping failed")
                client.abort()
            yield
        self._working = False

    def _visit(self, client: Pinged) -> None:
        """Send a ping, or give the client up, or come back later."""
        interval, timeout, now = client.ping_interval, client.ping_timeout, self._now
        if client.is_ending or interval is None:
            return
        if client.heard or timeout is None or not client.asked:
            again = client.pinged_at + interval
            if again <= now:
                client.asked = not (client.heard and client.pings_only_silence)
                client.heard = False
                client.pinged_at = now
                if client.asked:
                    client.send_ping()
                again = now + (interval if timeout is None or not client.asked else min(interval, timeout))
        else:
            again = client.pinged_at + timeout
            if again <= now:
                client.keepalive_timeout()
                return
            again = min(again, now + interval)
        self._put(client, again)

    def __repr__(self) -> str:
        return f"<Pings to {len(self._wheel) + len(self._due)}>"


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Pings] = WeakKeyDictionary()


def pings_of(loop: asyncio.AbstractEventLoop) -> Pings:
    """The one that all connections of a loop share."""
    pings = _of_loop.get(loop)
    if pings is None:
        pings = _of_loop[loop] = Pings()
    return pings
