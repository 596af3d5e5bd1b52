"""One stream and its one connection to a service, joined by callbacks.

Knows nothing of WebSockets and yamux: the stream is an `Outlet`. Invariants: bytes of the gateway are acknowledged
once, when the connection has taken them, so what is held here is at most the stream's window; reading from the service
stops while the stream is full; each direction ends by itself; after `lost` or the end of both directions nothing of
this object is left in the loop.
"""

import asyncio
from typing import Protocol

from tunnel.account import Account, Holding
from tunnel.agent.service.connection import ServiceConnection
from tunnel.agent.service.services import Destination, NotReachableError, Services
from tunnel.wire.routing_header import Decoder, RoutingHeaderError

REFUSED_LINGER_SECONDS = 10.0
"""How long a refused stream waits for the gateway to end its direction, before it is reset."""
CLOSING_SECONDS = 60.0
"""How long a service that both sides are done with may take for the bytes that wait for it: one window."""


class Outlet(Protocol):
    """The stream, as its splice sees it; every call is about this one stream."""

    def send_data(self, data: bytes, /) -> bool:
        """Take all of `data`; False: hold the rest until `Splice.writable`."""

    def end(self) -> None:
        """End our direction."""

    def reset(self) -> None:
        """Abandon both directions, after what was sent."""

    def acknowledge(self, size: int, /) -> None:
        """The service took so many bytes."""

    def refused(self, target: str, reason: str, /) -> None:
        """The stream gets no connection."""

    def opened(self, target: str, destination: Destination | None, /) -> None:
        """The service is connected."""

    def closed(self, summary: str, /) -> None:
        """Both directions are over, and the service's connection too. Called once."""


class Splice:
    """Header, dial, bytes both ways, end. The owner of its connection."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_decoder",
        "_dial_seconds",
        "_gateway_ended",
        "_holding",
        "_outlet",
        "_over",
        "_refused",
        "_services",
        "_target",
        "_to_gateway_bytes",
        "_to_service_bytes",
        "_waiting",
    )

    def __init__(self, outlet: Outlet, services: Services, account: Account, dial_seconds: float) -> None:
        self._outlet = outlet
        self._services = services
        self._dial_seconds = dial_seconds
        self._decoder: Decoder | None = Decoder()
        self._connection: ServiceConnection | None = None
        """From the dial to the end: a splice and its connection refer to each other no longer than they must."""
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting: list[bytes] | None = []
        """What came before the service was connected; None from then on."""
        self._holding = Holding(account)
        """Received and not acknowledged."""
        self._gateway_ended = False
        self._refused = False
        self._over = False
        self._target = "?"
        self._to_service_bytes = 0
        self._to_gateway_bytes = 0

    def __repr__(self) -> str:
        state = "over" if self._over else "waiting" if self._connection is None else self._connection.state
        return f"<Splice {self._target} {state} in={self._to_service_bytes} out={self._to_gateway_bytes}>"

    # --- told by the gateway

    def data_from_gateway(self, data: bytes) -> None:
        """Bytes of the stream, in order."""
        if self._over or self._refused:
            self._outlet.acknowledge(len(data))
        elif self._decoder is not None:
            self._read_header(self._decoder, data)
        elif self._waiting is not None:
            self._waiting.append(data)
            self._holding.add(len(data))
        else:
            size = len(data)
            self._to_service_bytes += size
            if self._connection is None or self._connection.write(data):
                self._outlet.acknowledge(size)
            else:
                self._holding.add(size)

    def end_from_gateway(self) -> None:
        """The gateway ended its direction: the service sees an end of file, and may still answer."""
        self._gateway_ended = True
        if self._refused:
            self._finish()
        elif self._decoder is not None:
            self.refuse("the stream ended within its routing header")
        elif self._waiting is None:
            self._end_to_service()

    def lost(self, reason: str) -> None:
        """The stream was reset, or its link is gone: the service's connection is reset."""
        if self._over:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.reset()
        self._finish(reason)

    def writable(self) -> None:
        """The stream has room again."""
        if self._connection is not None:
            self._connection.resume()

    def refuse(self, reason: str) -> None:
        """End the stream without a byte, like a dial that failed."""
        if self._over or self._refused:
            return
        self._refused = True
        self._decoder = self._waiting = None
        if size := self._holding.size_bytes:
            self._holding.set(0)
            self._outlet.acknowledge(size)
        self._outlet.refused(self._target, reason)
        self._outlet.end()
        if self._gateway_ended:
            self._finish()
        else:
            self._end_within(REFUSED_LINGER_SECONDS, "refused")

    # --- told by the service's connection

    def connected(self) -> None:
        """Write what waited."""
        if self._connection is not None:
            self._outlet.opened(self._target, self._connection.destination)
        waiting, self._waiting = self._waiting, None
        if waiting:
            self._holding.set(0)
            self.data_from_gateway(b"".join(waiting))
        if self._gateway_ended:
            self._end_to_service()

    def not_connected(self, reason: str, /) -> None:
        """Refuse the stream."""
        self._connection = None
        self.refuse(reason)

    def data_received(self, data: bytes, /) -> None:
        """Pass it on; read no more while the stream is full."""
        self._to_gateway_bytes += len(data)
        if not self._outlet.send_data(data) and self._connection is not None:
            self._connection.pause()

    def end_received(self) -> None:
        """End our direction; the other one stays while the gateway keeps it open."""
        self._outlet.end()
        if self._gateway_ended:
            self._end_within(CLOSING_SECONDS, "the service did not take its last bytes")

    def service_writable(self) -> None:
        """The service took what waited: its credit goes back at once."""
        if size := self._holding.size_bytes:
            self._holding.set(0)
            self._outlet.acknowledge(size)

    def connection_lost(self, error: Exception | None, /) -> None:
        """Over in order when both directions had ended; else the stream is reset, after what the service had said."""
        connection = self._connection
        if connection is None:
            return
        if error is None and connection.input_ended:
            self._finish()
        else:
            self._reset(f"service connection lost: {error}" if error else "service connection lost")

    # --- inside

    def _read_header(self, decoder: Decoder, data: bytes) -> None:
        try:
            header = decoder.feed(data)
        except RoutingHeaderError as error:
            self._outlet.acknowledge(len(data))
            self.refuse(f"bad routing header: {error}")
            return
        self._outlet.acknowledge(len(data) - len(decoder.rest))
        if header is None:
            return
        self._decoder = None
        self._target = str(header) if header.service.isprintable() and header.namespace.isprintable() else "?"
        if decoder.rest:
            self._waiting = [decoder.rest]
            self._holding.set(len(decoder.rest))
        try:
            destination = self._services.destination_of(header)
        except NotReachableError as error:
            self.refuse(str(error))
            return
        self._connection = ServiceConnection(self)
        self._connection.dial(destination, self._services, self._dial_seconds)

    def _end_to_service(self) -> None:
        if self._connection is not None:
            if self._connection.input_ended:
                self._end_within(CLOSING_SECONDS, "the service did not take its last bytes")
            self._connection.write_end()

    def _end_within(self, seconds: float, reason: str) -> None:
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._reset, reason)

    def _reset(self, reason: str) -> None:
        self._outlet.reset()
        self.lost(reason)

    def _finish(self, reason: str = "ended") -> None:
        if self._over:
            return
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._connection = self._waiting = None
        self._holding.close()
        self._outlet.closed(
            f"{self._target} {reason}: {self._to_service_bytes} bytes in, {self._to_gateway_bytes} bytes out"
        )
