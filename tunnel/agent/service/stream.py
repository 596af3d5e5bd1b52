"""A service's connection as a `ByteStream`: read as far as its owner acknowledges, written, closed in time.

Knows nothing of what is said on it. Invariants: reading stops while `READ_AHEAD_BYTES` are not acknowledged; what came
before the connection broke off is delivered before the owner is told so; `on_gone` is called once after `dial`, when
no task, timer or socket is left; after `reset` or `close` the owner is not called again. Every byte that was received
and not acknowledged, or waits in the transport, is in the account.
"""

import asyncio
from collections.abc import Callable

from tunnel.account import Account, Holding
from tunnel.agent.service.connection import ServiceConnection
from tunnel.agent.service.services import Destination, Services
from tunnel.errors import ServiceBrokeOffError, ServiceUnreachableError, TunnelError
from tunnel.streams import StreamOwner

READ_AHEAD_BYTES = 65_536
"""Not acknowledged before reading stops: one read more than that may be held."""
CLOSING_SECONDS = 10.0
"""How long a service may take for the last bytes of a connection that both sides are done with."""


class ServiceStream:
    """A `ByteStream`. `on_failed` is told why there is no connection; `on_connected` sets the owner."""

    owner: StreamOwner

    def __init__(
        self,
        account: Account,
        *,
        on_connected: Callable[[], None],
        on_failed: Callable[[TunnelError], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._holding = Holding(account)
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._connection = ServiceConnection(self)
        self._deadline: asyncio.TimerHandle | None = None
        self._lost: TunnelError | None = None
        """What the owner is told once it has acknowledged everything."""
        self._unacknowledged_bytes = 0
        self._reading_paused = False
        self._input_ended = False
        self._over = False
        self.sent_bytes = 0
        self.received_bytes = 0
        """To the service and from it, so far."""
        self.refusal: str | None = None
        """Why there is no connection: one of `tunnel.wire.refusals`, once the dial failed."""

    def __repr__(self) -> str:
        state = "over" if self._over else self._connection.state
        return f"<ServiceStream {state}, {self.held_bytes} bytes held>"

    def dial(self, destination: Destination, services: Services, limit_seconds: float) -> None:
        """Connect; once."""
        self._connection.dial(destination, services, limit_seconds)

    # --- the byte stream

    @property
    def held_bytes(self) -> int:
        """Received and not acknowledged, and waiting in the transport."""
        return self._unacknowledged_bytes + self._connection.waiting_bytes

    def write(self, data: bytes, /) -> bool:
        """Hand `data` to the transport."""
        if self._over or self._connection.output_ended or not self._connection.is_open:
            return True
        self.sent_bytes += len(data)
        welcome = self._connection.write(data)
        self._count()
        return welcome

    def write_end(self) -> None:
        """End our direction; where the service has ended its own, close."""
        if self._over:
            return
        self._connection.write_end()
        if self._input_ended:
            self.close()

    def reset(self) -> None:
        """Close at once: the service sees its client leave."""
        self._over = True
        self._connection.abort()
        self._drop()

    def acknowledge(self, size: int, /) -> None:
        """Read on once everything is acknowledged, or tell the owner that the connection broke off."""
        if self._over:
            return
        self._unacknowledged_bytes -= size
        self._count()
        if self._unacknowledged_bytes:
            return
        if self._lost is not None:
            self._loop.call_soon(self._tell_lost, self._lost)  # the owner is not called from within its own call
            self._lost = None
        elif self._reading_paused:
            self._reading_paused = False
            self._connection.resume()

    def close(self) -> None:
        """Both sides are done: what was written still leaves, then the connection is closed; idempotent."""
        if self._over:
            return
        self._over = True
        self._drop()
        if self._connection.is_open:
            self._deadline = self._loop.call_later(CLOSING_SECONDS, self._connection.abort)
        self._connection.close()

    @property
    def closing(self) -> bool:
        """Closed, or reset."""
        return self._over

    # --- told by the connection

    def connected(self) -> None:
        """Let the owner be set, and begin."""
        self._on_connected()

    def not_connected(self, reason: str, kind: str, /) -> None:
        """Tell why, unless nobody wants to know any more."""
        if not self._over:
            self._over = True
            self.refusal = kind
            self._on_failed(ServiceUnreachableError(reason))
        self._on_gone()

    def data_received(self, data: bytes, /) -> None:
        """Deliver, and stop reading where too much is not acknowledged."""
        self._unacknowledged_bytes += len(data)
        self.received_bytes += len(data)
        self.owner.data_received(data)
        self._count()
        if self._unacknowledged_bytes >= READ_AHEAD_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._connection.pause()

    def end_received(self) -> None:
        """Tell the owner; where it has ended its own direction, close."""
        self._input_ended = True
        self.owner.end_received()
        if self._connection.output_ended:
            self.close()

    def service_writable(self) -> None:
        """Tell the owner."""
        self._count()
        if not self._connection.output_ended:
            self.owner.stream_writable()

    def connection_lost(self, error: Exception | None, /) -> None:
        """Tell the owner, once it has acknowledged everything."""
        if not self._over and self._connection.input_ended and not self._input_ended:
            self._input_ended = True
            self.owner.end_received()
        self._count()
        if not self._over:
            broke_off = ServiceBrokeOffError(f"service connection lost{f': {error}' if error else ''}")
            if self._unacknowledged_bytes:
                self._lost = broke_off
            else:
                self._tell_lost(broke_off)
        if self._deadline is not None:
            self._deadline.cancel()
        self._on_gone()

    # --- inside

    def _tell_lost(self, error: TunnelError) -> None:
        if not self._over:
            self._over = True
            self.owner.stream_lost(error)

    def _drop(self) -> None:
        self._lost = None
        self._unacknowledged_bytes = 0
        self._count()

    def _count(self) -> None:
        self._holding.set(self.held_bytes)
