"""A connection above the bound: it has a place of the reserve, and two seconds to show that it is for this.

The reserve is for agents and the operator. So a guest's first head must be for a control host, or be a health check:
then its request is taken as any other. Otherwise it is answered 503. Either way the connection ends with its first
answer, at once; only an agent's WebSocket stays.

It stands between the connection and its reception until the first head has come: other connections pay nothing for it.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from ..observed.metrics import Limit
from ..public.client_port import HttpListener
from ..rules import problems
from .connection import Connection
from .heads import Head
from .lines import HeadError
from .port import Peer
from .reception import GatewayReception
from .spliced_channel import SplicedChannel

GUEST_SECONDS: Final = 2.0
"""For a head: agents and programs send theirs at once, over any line that is worth a link."""


class Guest:
    """The `Reception` of such a connection. `turned_away`: told when it gets a 503."""

    __slots__ = ("_connection", "_turned_away", "_usual", "account", "backlog", "deadlines", "keep_alive_seconds")

    def __init__(self, connection: Connection, usual: GatewayReception, turned_away: Callable[[], None]) -> None:
        self._connection: Connection | None = connection
        self._usual = usual
        self._turned_away = turned_away
        self.account = usual.account
        self.backlog = usual.backlog
        self.deadlines = usual.deadlines
        self.keep_alive_seconds = usual.keep_alive_seconds
        connection.be_brief()
        connection.received_by(self)

    def due(self, now: float, /) -> float:  # noqa: ARG002  (it is asked when it is time)
        """No head came in time."""
        if self._connection is not None:
            self._connection.turn_away(HeadError("", problems.TOO_MANY_CONNECTIONS))
        return inf

    def take(self, head: Head, connection: Connection, /) -> HttpListener:
        """See `Reception`."""
        self._admit(connection)
        if self._usual.is_ours(head, connection):
            return self._usual.take(head, connection)
        self._turned_away()
        return self._usual.turn_away(head, connection, problems.TOO_MANY_CONNECTIONS)

    def upgrade(self, head: Head, connection: Connection, /) -> Peer:
        """See `Reception`."""
        self._admit(connection)
        if self._usual.is_ours(head, connection):
            return self._usual.upgrade(head, connection)
        self._turned_away()
        return self._usual.upgrade(head, connection, problems.TOO_MANY_CONNECTIONS)

    def refuse(self, error: HeadError, connection: Connection, /) -> HttpListener:
        """See `Reception`."""
        self._admit(connection)
        if error.problem is problems.TOO_MANY_CONNECTIONS:
            self._turned_away()
        return self._usual.refuse(error, connection)

    def joined(self, connection: Connection, /) -> None:
        """Not called: it has joined."""

    def relieved(self, connection: Connection, limit: Limit, /) -> None:
        """See `Reception`."""
        self._usual.relieved(connection, limit)

    def handed_over(self, connection: Connection, heir: SplicedChannel, /) -> None:
        """Not called: with its head it was admitted."""

    def parted(self, connection: Connection, /) -> None:
        """It is gone, before it said anything."""
        self._admit(connection)
        self._usual.parted(connection)

    def _admit(self, connection: Connection) -> None:
        """A head came, or never will: from now on it is as any other."""
        self._connection = None
        self.deadlines.remove(self)
        connection.received_by(self._usual)

    def __repr__(self) -> str:
        return f"<Guest {self._connection!r}>"
