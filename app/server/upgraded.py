"""What the two kinds of upgraded connections, a client's and an agent's, have in common: they are a `Peer`.

Until the handshake is accepted there is neither a socket nor a channel. Afterwards every byte is the channel's.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from . import port
from .open_socket import OpenSocket

if TYPE_CHECKING:
    from .connection import Connection


class Channel(port.Channel, Protocol):
    """What takes the bytes of an open WebSocket, and is told of its connection."""

    @property
    def on_writable(self) -> Callable[[], None]:
        """Called when the transport's buffer has drained."""

    def connection_lost(self) -> None:
        """The connection is gone."""


AnyChannel = TypeVar("AnyChannel", bound=Channel)


class Upgraded(Generic[AnyChannel]):
    """See the module. A subclass makes the channel, sets it, and then opens the connection."""

    __slots__ = ("_channel", "_connection", "_key", "_loop", "_settings", "_socket")

    def __init__(
        self, connection: "Connection", key: bytes, pings: tuple[float | None, float | None], max_message_bytes: int
    ) -> None:
        self._connection = connection
        self._key = key
        self._settings = (pings, max_message_bytes)
        self._loop = asyncio.get_running_loop()
        self._socket: OpenSocket | None = None
        self._channel: AnyChannel | None = None

    def on_writable(self) -> None:
        """See `Peer`."""
        if self._channel is not None:
            self._channel.on_writable()

    def _make_socket(self, transport: asyncio.Transport) -> OpenSocket:
        pings, max_message_bytes = self._settings
        self._socket = OpenSocket(self._connection, transport, self._loop, pings, max_message_bytes)
        return self._socket

    def _lose(self) -> None:
        """The connection is gone; idempotent."""
        if self._socket is not None:
            self._socket.connection_lost()
        if self._channel is not None:
            self._channel.connection_lost()
