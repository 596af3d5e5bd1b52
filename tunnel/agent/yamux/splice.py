"""One stream and its one TCP connection to a service, joined by callbacks.

Never knows WebSockets or yamux: the stream is an `Outlet`. The only task is the dial. Invariants: bytes from
the gateway are acknowledged once, when the service's transport has taken them, so what is held here is at
most the stream's window; reading from the service stops while the stream is full; each direction ends by
itself; after `lost` or the end of both directions nothing of this object is left in the loop.
"""

import asyncio
import contextlib
import os
import socket
import struct
from typing import Protocol, cast

from tunnel.agent.service import dial
from tunnel.agent.service.services import Destination, NotReachableError, Services
from tunnel.wire.routing_header import Decoder, RoutingHeaderError

REFUSED_LINGER_SECONDS = 10.0
"""How long a refused stream waits for the gateway to end its direction, before it is reset."""
CLOSING_SECONDS = 60.0
"""How long a service that both sides are done with may take for the bytes that wait for it: one window."""

_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: an aborted connection ends with RST, which no service takes for an end."""


REST_BYTES = 65_536
REST_READS = 16
"""What is saved of an answer whose service has closed already: at most 1 MiB."""


class Outlet(Protocol):
    """The stream, as its splice sees it; every call is about this one stream."""

    def send_data(self, data: bytes, /) -> bool:
        """Take all of `data`; False: hold the rest until `Splice.writable`."""

    def end(self) -> None:
        """End our direction."""

    def reset(self) -> None:
        """Abort both directions."""

    def acknowledge(self, size: int, /) -> None:
        """The service took so many bytes."""

    def hold(self, delta_bytes: int, /) -> None:
        """So many more (or fewer) received bytes wait here; for the process's account."""

    def refused(self, target: str, reason: str, /) -> None:
        """The stream gets no connection."""

    def opened(self, target: str, destination: Destination, /) -> None:
        """The service is connected."""

    def closed(self, summary: str, /) -> None:
        """Both directions are over, and the service's connection too. Called once."""


class Splice(asyncio.Protocol):
    """Header, dial, bytes both ways, end."""

    def __init__(self, outlet: Outlet, services: Services, dial_seconds: float) -> None:
        self._outlet = outlet
        self._services = services
        self._dial_seconds = dial_seconds
        self._decoder: Decoder | None = Decoder()
        self._transport: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting: list[bytes] = []
        self._unacknowledged_bytes = 0
        self._write_paused = False
        self._gateway_ended = False
        self._service_ended = False
        self._refused = False
        self._over = False
        self._target = "?"
        self._to_service_bytes = 0
        self._to_gateway_bytes = 0

    def __repr__(self) -> str:
        state = "over" if self._over else "open" if self._transport else "dialling" if self._dialling else "waiting"
        return f"<Splice {self._target} {state} in={self._to_service_bytes} out={self._to_gateway_bytes}>"

    # From the gateway.

    def data_from_gateway(self, data: bytes) -> None:
        """Bytes of the stream, in order."""
        if self._over or self._refused:
            self._outlet.acknowledge(len(data))
        elif self._decoder is not None:
            self._read_header(self._decoder, data)
        elif self._transport is None:
            self._waiting.append(data)
            self._hold(len(data))
        else:
            self._write(self._transport, data)

    def end_from_gateway(self) -> None:
        """The gateway ended its direction: the service sees an end of file, and may still answer."""
        self._gateway_ended = True
        if self._refused:
            self._finish()
        elif self._decoder is not None:
            self.refuse("the stream ended within its routing header")
        elif self._transport is not None:
            self._end_to_service(self._transport)

    def lost(self, reason: str) -> None:
        """The stream was reset, or its link is gone: the service's connection is aborted."""
        self._abort(reason)

    def writable(self) -> None:
        """The stream has room again."""
        if self._transport is not None and not self._over and not self._service_ended:
            self._transport.resume_reading()

    def refuse(self, reason: str) -> None:
        """End the stream without a byte, like a dial that failed."""
        if self._over or self._refused:
            return
        self._refused = True
        self._decoder = None
        self._drop_waiting(acknowledge=True)
        self._outlet.refused(self._target, reason)
        self._outlet.end()
        if self._gateway_ended:
            self._finish()
        else:
            self._end_within(REFUSED_LINGER_SECONDS, "refused")

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
            self._waiting.append(decoder.rest)
            self._hold(len(decoder.rest))
        try:
            destination = self._services.destination_of(header)
        except NotReachableError as error:
            self.refuse(str(error))
            return
        self._dialling = asyncio.get_running_loop().create_task(self._dial(destination))

    async def _dial(self, destination: Destination) -> None:
        try:
            await dial.connect(self, destination, self._services, self._dial_seconds)
        except (dial.DialError, NotReachableError) as error:
            self._dialling = None
            self.refuse(f"{destination}: {error}")
        else:
            self._dialling = None
            self._outlet.opened(self._target, destination)

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        size = len(data)
        self._to_service_bytes += size
        transport.write(data)  # may call pause_writing before it returns
        if transport.is_closing():
            self._take_rest(transport)
        if self._write_paused:
            self._hold(size)
        else:
            self._outlet.acknowledge(size)

    def _take_rest(self, transport: asyncio.Transport) -> None:
        """The write failed: what the service said before it closed is still in the socket, and nobody else reads it."""
        sock = transport.get_extra_info("socket")
        if sock is None or self._service_ended:
            return
        with contextlib.suppress(OSError, ValueError):
            for _ in range(REST_READS):
                data = os.read(sock.fileno(), REST_BYTES)
                if not data:
                    return
                self._to_gateway_bytes += len(data)
                self._outlet.send_data(data)

    def _end_to_service(self, transport: asyncio.Transport) -> None:
        if self._service_ended:
            self._end_within(CLOSING_SECONDS, "the service did not take its last bytes")
            transport.close()  # writes what it still has first
        elif not transport.is_closing():
            transport.write_eof()

    # From the service.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The dial succeeded: what waited is written."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by its classes
        if self._over:
            transport.abort()
            return
        self._transport = transport
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._waiting:
            data = b"".join(self._waiting)
            self._drop_waiting(acknowledge=False)
            self._write(transport, data)
        if self._gateway_ended:
            self._end_to_service(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the service."""
        if self._over:
            return
        self._to_gateway_bytes += len(data)
        full = not self._outlet.send_data(data)
        if full and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The service ended its direction; the other one stays while the gateway keeps it open."""
        self._service_ended = True
        if self._over:
            return False
        self._outlet.end()
        if self._gateway_ended:
            self._end_within(CLOSING_SECONDS, "the service did not take its last bytes")
        return not self._gateway_ended

    def pause_writing(self) -> None:
        """The service is slow: no credit goes back until it took what there is."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The service took it: its credit goes back at once."""
        self._write_paused = False
        held = self._unacknowledged_bytes
        if held and not self._over:
            self._hold(-held)
            self._outlet.acknowledge(held)

    def connection_lost(self, exc: Exception | None) -> None:
        """The service's connection is gone: in order when both directions had ended."""
        if self._over:
            return
        self._transport = None
        if exc is None and self._service_ended:
            self._finish()
        else:
            self._reset(f"service connection lost: {exc}" if exc else "service connection lost")

    # The end.

    def _hold(self, delta_bytes: int) -> None:
        self._unacknowledged_bytes += delta_bytes
        self._outlet.hold(delta_bytes)

    def _drop_waiting(self, *, acknowledge: bool) -> None:
        size = sum(map(len, self._waiting))
        self._waiting.clear()
        if size:
            self._hold(-size)
            if acknowledge:
                self._outlet.acknowledge(size)

    def _end_within(self, seconds: float, reason: str) -> None:
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._reset, reason)

    def _reset(self, reason: str) -> None:
        self._outlet.reset()
        self._abort(reason)

    def _abort(self, reason: str) -> None:
        if self._over:
            return
        if self._dialling is not None:
            self._dialling.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            if (sock := transport.get_extra_info("socket")) is not None:
                with contextlib.suppress(OSError):  # the far end may have taken the socket down already
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            transport.abort()
        self._finish(reason)

    def _finish(self, reason: str = "ended") -> None:
        if self._over:
            return
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._waiting.clear()
        if self._unacknowledged_bytes:
            self._hold(-self._unacknowledged_bytes)
        self._outlet.closed(
            f"{self._target} {reason}: {self._to_service_bytes} bytes in, {self._to_gateway_bytes} bytes out"
        )
