"""One TCP connection to a service, as a `ByteStream`: dialled, read while its owner takes what comes, written.

Never knows what is said on it. The only task is the dial. Invariants: reading stops while `READ_AHEAD_BYTES` are not
acknowledged; what came before the connection broke off is delivered before its owner is told so; `on_gone` is called
once after `dial`, when no task, timer or socket of this object is left; after `reset` or `close` the owner is not
called again. Every byte received and not acknowledged, or waiting in the transport, is in the account.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import cast

from tunnel.account import Account
from tunnel.agent.service import dial
from tunnel.agent.service.services import Destination, NotReachableError, Services
from tunnel.errors import ServiceBrokeOffError, ServiceUnreachableError, TunnelError
from tunnel.streams import StreamOwner

READ_AHEAD_BYTES = 65_536
"""Not acknowledged before reading stops: one read more than that may be held."""
CLOSING_SECONDS = 10.0
"""How long a service may take for the last bytes of a connection that both sides are done with."""
REST_BYTES = 65_536
REST_READS = 16
"""What is saved of an answer whose service has closed already: at most 1 MiB."""


class ServiceStream(asyncio.Protocol):
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
        self._account = account
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._lost: TunnelError | None = None
        self._unacknowledged_bytes = 0
        self._counted_bytes = 0
        self._write_paused = False
        self._reading_paused = False
        self._input_ended = False
        self._output_ended = False
        self._over = False
        self._gone = False

    def __repr__(self) -> str:
        state = "over" if self._over else "open" if self._transport else "dialling" if self._dialling else "new"
        return f"<ServiceStream {state}, {self.held_bytes} bytes held>"

    def dial(self, destination: Destination, services: Services, limit_seconds: float) -> None:
        """Connect; once."""
        self._dialling = self._loop.create_task(self._dial(destination, services, limit_seconds))

    # --- the byte stream

    @property
    def held_bytes(self) -> int:
        """See `ByteStream.held_bytes`."""
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return self._unacknowledged_bytes + waiting

    def write(self, data: bytes, /) -> bool:
        """See `ByteStream.write`."""
        transport = self._transport
        if transport is None or self._output_ended or self._over or transport.is_closing():
            return True
        transport.write(data)  # may call pause_writing before it returns
        self._count()
        return not self._write_paused

    def write_end(self) -> None:
        """See `ByteStream.write_end`."""
        if self._output_ended or self._over:
            return
        self._output_ended = True
        if self._input_ended:
            self.close()
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def reset(self) -> None:
        """See `ByteStream.reset`: the service sees its client leave."""
        self._over = True
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
            self._leave()
        if self._transport is not None:
            self._transport.abort()
        self._drop()

    def acknowledge(self, size: int, /) -> None:
        """See `ByteStream.acknowledge`."""
        if self._over:
            return
        self._unacknowledged_bytes -= size
        self._count()
        if self._unacknowledged_bytes:
            return
        if self._lost is not None:
            self._loop.call_soon(self._tell_lost, self._lost)  # the owner is not called from within its own call
            self._lost = None
        elif self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Both sides are done: what was written still leaves, then the connection is closed; idempotent."""
        if self._over:
            return
        self._over = True
        self._drop()
        if self._transport is not None:
            self._deadline = self._loop.call_later(CLOSING_SECONDS, self._transport.abort)
            self._transport.close()

    @property
    def closing(self) -> bool:
        """Closed, or reset."""
        return self._over

    # --- the dial

    async def _dial(self, destination: Destination, services: Services, limit_seconds: float) -> None:
        try:
            await dial.connect(self, destination, services, limit_seconds)
        except (dial.DialError, NotReachableError) as error:
            self._refused(ServiceUnreachableError(f"{destination}: {error}"))

    def _refused(self, error: TunnelError) -> None:
        self._dialling = None
        if not self._over:
            self._over = True
            self._on_failed(error)
            self._leave()

    # --- told by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The dial succeeded."""
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's is none by its classes
        if self._over:
            transport.abort()
            return
        self._dialling = None
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._on_connected()

    def data_received(self, data: bytes) -> None:
        """Bytes of the service."""
        if self._over:
            return
        self._unacknowledged_bytes += len(data)
        self.owner.data_received(data)
        self._count()
        transport = self._transport
        full = self._unacknowledged_bytes >= READ_AHEAD_BYTES
        if full and not self._reading_paused and transport is not None and not transport.is_closing():
            self._reading_paused = True
            transport.pause_reading()

    def eof_received(self) -> bool:
        """The service ended its direction; ours stays open until our owner ends it."""
        self._input_ended = True
        if self._over:
            return False
        self.owner.end_received()
        return not self._over

    def pause_writing(self) -> None:
        """The service is slow."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The service took what waited."""
        self._write_paused = False
        self._count()
        if not self._over and not self._output_ended:
            self.owner.stream_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is not None and not self._over and not self._input_ended:
            self._take_rest()
        self._transport = None
        self._count()
        if not self._over:
            error = ServiceBrokeOffError(f"service connection lost{f': {exc}' if exc else ''}")
            if self._unacknowledged_bytes:
                self._lost = error
            else:
                self._tell_lost(error)
        self._leave()

    # --- inside

    def _take_rest(self) -> None:
        """A write failed: what the service said before it closed is still in the socket, and nobody else reads it."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is None:
            return
        with contextlib.suppress(OSError, ValueError):
            for _ in range(REST_READS):
                data = os.read(sock.fileno(), REST_BYTES)
                if not data:
                    self._input_ended = True
                    self.owner.end_received()
                if not data or self._over:
                    return
                self._unacknowledged_bytes += len(data)
                self.owner.data_received(data)

    def _tell_lost(self, error: TunnelError) -> None:
        if not self._over:
            self._over = True
            self.owner.stream_lost(error)

    def _drop(self) -> None:
        self._lost = None
        self._unacknowledged_bytes = 0
        self._count()

    def _count(self) -> None:
        """Bring the account up to date."""
        held = self.held_bytes
        if held != self._counted_bytes:
            delta, self._counted_bytes = held - self._counted_bytes, held
            self._account.adjust(delta)

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._gone:
            self._gone = True
            self._on_gone()
