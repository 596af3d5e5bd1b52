"""Idle connections, by target: last in, first out, so that those too many grow old and go.

Holds no connection that carries an exchange, and starts none. Has no timer: `take` closes what it finds
expired on its way, and `expire`, called now and then, the rest.

Invariants: at most `max_idle_per_key` connections for each key, no key without one, each connection at most
once; a connection leaves the pool before it is closed, so its `on_closed` may call `discard`.
"""

from collections.abc import Callable, Hashable

from tunnel.http1.connection import Connection


class Pool:
    """The idle connections of one link.

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
        max_idle_per_key: int = 64,
    ) -> None:
        self._clock = clock
        self._max_idle_seconds = max_idle_seconds
        self._careful_idle_seconds = careful_idle_seconds
        self._max_idle_per_key = max_idle_per_key
        self._idle: dict[Hashable, list[Connection]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"<Pool of {self._size} idle connections to {len(self._idle)} targets>"

    def take(self, key: Hashable, *, repeatable: bool) -> Connection | None:
        """The connection that was put last, no longer in the pool; None where none is fit."""
        connections = self._idle.get(key)
        if connections is None:
            return None
        now = self._clock()
        while connections:
            connection = connections[-1]
            expired = self._is_expired(connection, now)
            if not expired and not repeatable and now - connection.idle_since > self._careful_idle_seconds:
                return None  # and those below have idled longer still
            connections.pop()
            self._removed_one(key, connections)
            if not expired:
                return connection
            connection.close()
        return None

    def put(self, key: Hashable, connection: Connection) -> None:
        """Keep an idle connection; beyond `max_idle_per_key` the one idle for longest is closed for it."""
        if connection.is_closed:
            return
        connections = self._idle.setdefault(key, [])
        if connection in connections:
            return
        connections.append(connection)
        self._size += 1
        if len(connections) > self._max_idle_per_key:
            oldest = connections.pop(0)
            self._removed_one(key, connections)
            oldest.close()

    def discard(self, key: Hashable, connection: Connection) -> None:
        """Forget a connection, without closing it; idempotent."""
        connections = self._idle.get(key)
        if connections is not None and connection in connections:
            connections.remove(connection)
            self._removed_one(key, connections)

    def expire(self) -> None:
        """Close all that idled for too long."""
        now = self._clock()
        self._close_all(
            [
                (key, connection)
                for key, connections in self._idle.items()
                for connection in connections
                if self._is_expired(connection, now)
            ]
        )

    def close(self) -> None:
        """Close all; idempotent."""
        self._close_all([(key, connection) for key, connections in self._idle.items() for connection in connections])

    def _close_all(self, doomed: list[tuple[Hashable, Connection]]) -> None:
        for key, connection in doomed:
            self.discard(key, connection)
        for _, connection in doomed:
            connection.close()

    def _is_expired(self, connection: Connection, now: float) -> bool:
        limit = self._max_idle_seconds
        if connection.keep_alive_seconds is not None:
            limit = min(limit, connection.keep_alive_seconds)
        return now - connection.idle_since > limit

    def _removed_one(self, key: Hashable, connections: list[Connection]) -> None:
        self._size -= 1
        if not connections:
            del self._idle[key]
