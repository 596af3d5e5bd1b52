"""Idle connections to one target. Last in, first out, so that surplus ones expire.

A request that must not be sent twice takes none of them until the service has shown that it keeps idle connections:
one stayed open until it expired here, or the service announces a time (`Keep-Alive: timeout=N`). Without that, the
moment after an answer is when services close, and up to half of such requests were lost. A service that closed an idle
connection of its own accord, before it expired, is distrusted for `DISTRUST_SECONDS`, whatever else it shows. For
`WARY_SECONDS` even requests that may be sent twice take only those idle for less than half of the time after which it
closed one: one that turns out to be closed uses up the only retry, and a service that dies may need it.

It holds no connection that carries an exchange, and opens none. It has no timer: `take` closes the expired ones that
it meets, and `expire`, called now and then, the others.

Invariants: at most `max_idle` connections, each at most once. A connection leaves the pool before it is closed, so
its `on_closed` may call `discard`.
"""

from collections.abc import Callable
from math import inf

from tunnel.http1.connection import HttpConnection

DISTRUST_SECONDS = 60.0
WARY_SECONDS = 5.0
"""A service that closes after each answer renews it with each; one that only restarted is soon reused again."""
UNPROVEN_IDLE = 8
"""Connections of requests that must not be sent twice, kept to see whether the service keeps them open."""
_MARGIN_SECONDS = 1.0
"""Between the last use of a connection and the end that its service announced: a link's longest round trip."""


class Pool:
    """The idle connections of one link to one target.

    `max_idle_seconds`: how long a connection is kept; less if the service says so (`Keep-Alive: timeout=N`).
    `careful_idle_seconds`: how long one may have been idle for a request that must not be sent twice, where the service
    keeps them: far from the moment at which it may close them after all.
    `max_idle`: answers come in bursts, and of a burst so many connections are kept for the requests that follow at
    once. With 64, each request of 500 busy clients cost the agent five times as much: most opened a connection.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        max_idle_seconds: float = 3.0,
        careful_idle_seconds: float = 1.0,
        max_idle: int = 1024,
    ) -> None:
        self._clock = clock
        self._max_idle_seconds = max_idle_seconds
        self._careful_idle_seconds = careful_idle_seconds
        self._max_idle = max_idle
        self._idle: list[HttpConnection] = []  # longest idle first
        self._keeps = False
        """An idle connection stayed open until it expired."""
        self._distrusted_until: float | None = None
        self._wary_until = -inf
        self._closes_after_seconds = 0.0  # the shortest time after which it closed one, while we are wary

    def __len__(self) -> int:
        return len(self._idle)

    def __repr__(self) -> str:
        return f"<Pool of {len(self._idle)} idle connections>"

    @property
    def distrusts(self) -> bool:
        """The service closed an idle connection of its own accord, not long ago."""
        return self._distrusted_until is not None and self._clock() < self._distrusted_until

    def take(self, repeatable: bool) -> HttpConnection | None:
        """Take the connection that was put last; None if there is none fit for this request."""
        idle = self._idle
        clock = self._clock
        while idle:
            connection = idle.pop()
            now = clock()
            idle_seconds = now - connection.idle_since
            hint = connection.keep_alive_seconds
            if idle_seconds > self._max_idle_seconds or (hint is not None and idle_seconds > hint):
                connection.pooled = False
                self._stayed_open(hint)
                connection.close()
                continue
            if repeatable:
                is_fit = now >= self._wary_until or idle_seconds < self._closes_after_seconds / 2
            else:
                is_fit = idle_seconds <= self._careful_idle_seconds and self._is_kept(idle_seconds, hint)
            if is_fit:
                connection.pooled = False
                return connection
            idle.append(connection)  # the others have been idle for longer
            break
        return None

    def put(self, connection: HttpConnection) -> None:
        """Keep an idle connection; above `max_idle`, close the one idle for longest. A suspect one is closed."""
        if connection.pooled or connection.is_closed:
            return
        idle = self._idle
        if connection.suspect or (
            connection.careful and len(idle) >= UNPROVEN_IDLE and not self._is_kept(0.0, connection.keep_alive_seconds)
        ):
            connection.close()
            return
        connection.pooled = True
        idle.append(connection)
        if len(idle) > self._max_idle:
            oldest = idle.pop(0)
            oldest.pooled = False
            oldest.close()

    def closed_by_service(self, connection: HttpConnection) -> None:
        """The service closed a connection that was idle, or had just been given its next request."""
        hint, now = connection.keep_alive_seconds, self._clock()
        idle_seconds = now - connection.idle_since
        if hint is not None and idle_seconds >= hint:
            return
        is_wary = now < self._wary_until
        self._closes_after_seconds = min(idle_seconds, self._closes_after_seconds) if is_wary else idle_seconds
        self._wary_until = now + WARY_SECONDS
        self._distrusted_until = now + DISTRUST_SECONDS

    def discard(self, connection: HttpConnection) -> None:
        """Remove a connection without closing it; idempotent."""
        if connection.pooled and connection in self._idle:
            connection.pooled = False
            self._idle.remove(connection)

    def expire(self) -> None:
        """Close those that have been idle for too long."""
        now = self._clock()
        expired = [connection for connection in self._idle if self._is_expired(connection, now)]
        for connection in expired:
            self._stayed_open(connection.keep_alive_seconds)
        self._close_all(expired)

    def close(self) -> None:
        """Close all; idempotent."""
        self._close_all(list(self._idle))

    def _close_all(self, doomed: list[HttpConnection]) -> None:
        for connection in doomed:
            self.discard(connection)
        for connection in doomed:
            connection.close()

    def _stayed_open(self, hint: float | None) -> None:
        """A connection is still open after as long as we keep one."""
        self._keeps = self._keeps or hint is None or hint >= self._max_idle_seconds

    def _is_kept(self, idle_seconds: float, hint: float | None) -> bool:
        """Whether the service will most likely not close this connection as the next request comes."""
        if self._distrusted_until is not None:
            if self.distrusts:
                return False
            self._distrusted_until = None
            self._keeps = False
        return self._keeps if hint is None else hint - idle_seconds >= _MARGIN_SECONDS

    def _is_expired(self, connection: HttpConnection, now: float) -> bool:
        idle_seconds = now - connection.idle_since
        hint = connection.keep_alive_seconds
        return idle_seconds > self._max_idle_seconds or (hint is not None and idle_seconds > hint)
