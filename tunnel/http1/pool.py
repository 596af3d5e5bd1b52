"""Idle connections to one target. Last in, first out, so that surplus ones expire.

It holds no connection that carries an exchange, and opens none. It has no timer: `take` closes the expired ones that
it meets, and `expire`, called now and then, the others.

Invariants: at most `max_idle` connections, each at most once. A connection leaves the pool before it is closed, so
its `on_closed` may call `discard`.
"""

from collections.abc import Callable

from tunnel.http1.connection import HttpConnection


class Pool:
    """The idle connections of one link to one target.

    `max_idle_seconds`: how long a connection is kept; less if the service says so (`Keep-Alive: timeout=N`).
    `careful_idle_seconds`: how long one may have been idle for a request that must not be sent twice. Services close
    idle connections at any time, and a request sent at that moment is lost.
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

    def __len__(self) -> int:
        return len(self._idle)

    def __repr__(self) -> str:
        return f"<Pool of {len(self._idle)} idle connections>"

    def take(self, repeatable: bool) -> HttpConnection | None:
        """Take the connection that was put last; None if there is none fit for this request."""
        idle = self._idle
        clock = self._clock
        while idle:
            connection = idle.pop()
            idle_seconds = clock() - connection.idle_since
            hint = connection.keep_alive_seconds
            if idle_seconds > self._max_idle_seconds or (hint is not None and idle_seconds > hint):
                connection.pooled = False
                connection.close()
            elif repeatable or idle_seconds <= self._careful_idle_seconds:
                connection.pooled = False
                return connection
            else:
                idle.append(connection)  # the others have been idle for longer
                break
        return None

    def put(self, connection: HttpConnection) -> None:
        """Keep an idle connection; above `max_idle`, close the one idle for longest. A suspect one is closed."""
        if connection.pooled or connection.is_closed:
            return
        if connection.suspect:
            connection.close()
            return
        connection.pooled = True
        idle = self._idle
        idle.append(connection)
        if len(idle) > self._max_idle:
            oldest = idle.pop(0)
            oldest.pooled = False
            oldest.close()

    def discard(self, connection: HttpConnection) -> None:
        """Remove a connection without closing it; idempotent."""
        if connection.pooled and connection in self._idle:
            connection.pooled = False
            self._idle.remove(connection)

    def expire(self) -> None:
        """Close those that have been idle for too long."""
        now = self._clock()
        self._close_all([connection for connection in self._idle if self._is_expired(connection, now)])

    def close(self) -> None:
        """Close all; idempotent."""
        self._close_all(list(self._idle))

    def _close_all(self, doomed: list[HttpConnection]) -> None:
        for connection in doomed:
            self.discard(connection)
        for connection in doomed:
            connection.close()

    def _is_expired(self, connection: HttpConnection, now: float) -> bool:
        idle_seconds = now - connection.idle_since
        hint = connection.keep_alive_seconds
        return idle_seconds > self._max_idle_seconds or (hint is not None and idle_seconds > hint)
