"""Idle connections to one target: last in, first out, so that those too many grow old and go.

Holds no connection that carries an exchange, and starts none. Has no timer: `take` closes what it finds
expired on its way, and `expire`, called now and then, the rest.

Invariants: at most `max_idle` connections, each at most once; a connection leaves the pool before it is closed, so its
`on_closed` may call `discard`.
"""

from collections.abc import Callable

from tunnel.http1.connection import Connection


class Pool:
    """The idle connections of one link to one target.

    `max_idle_seconds`: how long a connection is kept; shorter where the service said so (`Keep-Alive:
    timeout=N`). `careful_idle_seconds`: how long at most for a request that must not be sent twice, since
    services close idle connections unasked, and a request that meets the closing is lost.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        max_idle_seconds: float = 3.0,
        careful_idle_seconds: float = 1.0,
        max_idle: int = 64,
    ) -> None:
        self._clock = clock
        self._max_idle_seconds = max_idle_seconds
        self._careful_idle_seconds = careful_idle_seconds
        self._max_idle = max_idle
        self._idle: list[Connection] = []  # the one idle for longest first

    def __len__(self) -> int:
        return len(self._idle)

    def __repr__(self) -> str:
        return f"<Pool of {len(self._idle)} idle connections>"

    def take(self, *, repeatable: bool) -> Connection | None:
        """The connection that was put last, no longer in the pool; None where none is fit."""
        now = self._clock()
        while self._idle:
            connection = self._idle[-1]
            expired = self._is_expired(connection, now)
            if not expired and not repeatable and now - connection.idle_since > self._careful_idle_seconds:
                return None  # and those below have idled longer still
            self._idle.pop()
            if not expired:
                return connection
            connection.close()
        return None

    def put(self, connection: Connection) -> None:
        """Keep an idle connection; beyond `max_idle` the one idle for longest is closed for it."""
        if connection.is_closed or connection in self._idle:
            return
        self._idle.append(connection)
        if len(self._idle) > self._max_idle:
            self._idle.pop(0).close()

    def discard(self, connection: Connection) -> None:
        """Forget a connection, without closing it; idempotent."""
        if connection in self._idle:
            self._idle.remove(connection)

    def expire(self) -> None:
        """Close all that idled for too long."""
        now = self._clock()
        self._close_all([connection for connection in self._idle if self._is_expired(connection, now)])

    def close(self) -> None:
        """Close all; idempotent."""
        self._close_all(list(self._idle))

    def _close_all(self, doomed: list[Connection]) -> None:
        for connection in doomed:
            self.discard(connection)
        for connection in doomed:
            connection.close()

    def _is_expired(self, connection: Connection, now: float) -> bool:
        limit = self._max_idle_seconds
        if connection.keep_alive_seconds is not None:
            limit = min(limit, connection.keep_alive_seconds)
        return now - connection.idle_since > limit
