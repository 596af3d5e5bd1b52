"""What a connection asks of the rest of the door: who takes its requests, and who has it once it is upgraded.

A `Reception` is given to it from outside, so that a connection stands anywhere: on a socket before all routes, or on a
stream before one target.
"""

from typing import Any, Protocol

from tunnel.account import Account

from ..observed.metrics import Limit
from ..public.client_port import HttpListener
from .backlog import Backlog
from .deadlines import Deadlines
from .heads import Head
from .lines import HeadError


class Peer(Protocol):
    """The other half of an upgraded connection: a handshake, then a channel."""

    def serve(self) -> None:
        """The connection is ready: begin."""

    def on_writable(self) -> None:
        """The transport's buffer has drained."""

    def left(self) -> None:
        """The connection is gone; idempotent."""

    def shutdown(self) -> None:
        """The server stops."""


class Channel(Protocol):
    """An open WebSocket's end of its connection."""

    def data_received(self, data: bytes, /) -> None:
        """Bytes of the peer."""


class Reception(Protocol):
    """Who takes the requests of a door. A `connection` is a `Connection`."""

    account: Account
    backlog: Backlog
    deadlines: Deadlines
    keep_alive_seconds: float

    def take(self, head: Head, connection: Any, /) -> HttpListener:  # noqa: ANN401  (see the class)
        """The call of a request."""

    def refuse(self, error: HeadError, connection: Any, /) -> HttpListener:  # noqa: ANN401  (see the class)
        """The call of what was not a request."""

    def upgrade(self, head: Head, connection: Any, /) -> Peer:  # noqa: ANN401  (see the class)
        """Who answers a WebSocket handshake, and has the connection once it is open."""

    def joined(self, connection: Any, /) -> None:  # noqa: ANN401  (see the class)
        """A connection was made."""

    def relieved(self, connection: Any, limit: Limit, /) -> None:  # noqa: ANN401  (see the class)
        """It is ended, because the process holds too much."""

    def handed_over(self, connection: Any, heir: Any, /) -> None:  # noqa: ANN401  (see the class)
        """Another protocol has its transport now, and counts as a connection in its place."""

    def parted(self, connection: Any, /) -> None:  # noqa: ANN401  (see the class)
        """It is gone."""
