"""One TCP connection to a service: dial, socket options, bytes both ways, and its ends.

Both dialects reach their services through it: a yamux stream is joined to one by `splice`, and `stream` makes a
`ByteStream` of one. Knows nothing of either and counts nothing: the owner decides when reading stops and how long a
service may take for its last bytes. Invariants: the only task is the dial; each direction ends by itself, and the
connection closes once both have and everything is written; the owner is told one last thing after `dial`, either
`not_connected` or `connection_lost`, when no task or socket is left, and nothing else after `close` or `reset`.

What the service sends goes from the transport to the owner without a call in between: `data_received` is the owner's
own. That is safe, because a transport reads no more once it is closed or aborted. An owner may write to `transport`
itself where `is_closing` is asked first, and then looks at `write_paused`: `write` does no more.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

from tunnel.agent.service import dial
from tunnel.agent.service.services import Destination, NotReachableError, Services

REST_BYTES = 65_536
REST_READS = 16
"""What is saved of an answer whose service has closed already: at most 1 MiB."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER without time: the connection ends with RST, which no service mistakes for the end of a request."""


def _drop(_data: bytes, /) -> None: ...


class ConnectionOwner(Protocol):
    """Told what the connection brings."""

    def connected(self) -> None:
        """The dial succeeded: `write` reaches the service from now on."""

    def not_connected(self, reason: str, kind: str, /) -> None:
        """The dial failed; `kind` is one of `tunnel.wire.refusals`. Nothing more comes."""

    def data_received(self, data: bytes, /) -> None:
        """Bytes of the service."""

    def end_received(self) -> None:
        """The service ended its direction (FIN)."""

    def service_writable(self) -> None:
        """After `write` returned False: the service took what waited."""

    def connection_lost(self, error: Exception | None, /) -> None:
        """The connection is gone; None where no error ended it. Nothing more comes."""


class ServiceConnection(asyncio.BaseProtocol):
    """One connection; its calls do nothing once it is gone."""

    __slots__ = (
        "_closing",
        "_dialling",
        "_gone",
        "_owner",
        "data_received",
        "destination",
        "input_ended",
        "output_ended",
        "transport",
        "write_paused",
    )

    data_received: Callable[[bytes], None]
    """Told by the transport: bytes of the service."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self.data_received = owner.data_received
        self.transport: asyncio.Transport | None = None
        """While it is connected."""
        self._dialling: asyncio.Task[None] | None = None
        self.destination: Destination | None = None
        self.write_paused = False
        """The service is slow: what is written now waits."""
        self.input_ended = False
        """The service ended its direction."""
        self.output_ended = False
        self._closing = False
        """The owner is done with it."""
        self._gone = False

    def __repr__(self) -> str:
        return f"<ServiceConnection {self.state}>"

    @property
    def state(self) -> str:
        """For status lines: new, dialling, open, closing or gone."""
        if self._gone or self._closing:
            return "gone" if self._gone else "closing"
        return "open" if self.transport is not None else "dialling" if self._dialling is not None else "new"

    # --- told by the owner

    def dial(self, destination: Destination, services: Services, limit_seconds: float) -> None:
        """Connect; once."""
        self.destination = destination
        self._dialling = asyncio.get_running_loop().create_task(self._dial(destination, services, limit_seconds))

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self.transport is not None

    @property
    def waiting_bytes(self) -> int:
        """Written, and not yet taken by the kernel."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def write(self, data: bytes) -> bool:
        """Take all of `data`; False while the service is slow. Dropped once the connection is closing or lost."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return True
        transport.write(data)  # may call pause_writing before it returns
        return not self.write_paused

    def write_end(self) -> None:
        """End our direction (FIN) after what was written; idempotent."""
        if self.output_ended:
            return
        self.output_ended = True
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self.input_ended:
            transport.close()  # writes what it still has first
        else:
            transport.write_eof()

    def pause(self) -> None:
        """Read no more."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        transport = self.transport
        if transport is not None and not self.input_ended and not transport.is_closing():
            transport.resume_reading()

    def close(self) -> None:
        """Close once everything is written; idempotent. `abort` bounds the wait."""
        self._leave()
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once, also during the dial; idempotent. The service sees its client leave."""
        self._leave()
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
            self._tell_lost(None)
        if self.transport is not None:
            self.transport.abort()

    def reset(self) -> None:
        """Like `abort`, and the service sees a reset (RST); idempotent."""
        if self.transport is not None and (sock := self.transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):  # the far end may have taken the socket down already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def _leave(self) -> None:
        """Tell the owner no more of what comes."""
        self._closing = True
        self.data_received = _drop

    # --- the dial

    async def _dial(self, destination: Destination, services: Services, limit_seconds: float) -> None:
        try:
            await dial.connect(self, destination, services, limit_seconds)
        except (dial.DialError, NotReachableError) as error:
            self._dialling = None
            if not self._gone and self.transport is None:  # else it came with the deadline, and is being closed
                self._gone = True
                self._owner.not_connected(f"{destination}: {error}", error.kind)

    # --- told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The dial succeeded."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by its classes
        if self._closing:
            transport.abort()
            return
        self.transport = transport
        self._dialling = None
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._owner.connected()

    def eof_received(self) -> bool:
        """The service ended its direction; True keeps ours open."""
        self.input_ended = True
        if not self._closing:
            self._owner.end_received()
        return not (self._closing or self.output_ended)

    def pause_writing(self) -> None:
        """The service is slow."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """The service took what waited."""
        self.write_paused = False
        if not self._closing:
            self._owner.service_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is not None:
            self._take_rest()
        self.transport = None
        self._tell_lost(exc)

    def _take_rest(self) -> None:
        """A write failed: what the service said before it closed is still in the socket, and nobody else reads it."""
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if sock is None:
            return
        with contextlib.suppress(OSError, ValueError):
            for _ in range(REST_READS):
                if self._closing or self.input_ended:
                    return
                data = os.read(sock.fileno(), REST_BYTES)
                if data:
                    self._owner.data_received(data)
                else:
                    self.input_ended = True

    def _tell_lost(self, error: Exception | None) -> None:
        if not self._gone:
            self._gone = True
            self._owner.connection_lost(error)
