"""One exchange of these dialects, whatever it carries: its service is found and dialled, its messages leave in order.

The sink of an HTTP/1.1 exchange over one connection of its own; what that brings is for `http_exchange` and
`websocket_exchange`. Never awaits: the dial is the only task. Invariants: the gateway is told one end, after which
nothing more is said; `Shared.over` is called once, when that has left and the service's connection is gone, so then
nothing of the exchange is left in the loop.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from tunnel.account import Account
from tunnel.agent.proxied.outbox import Outbox
from tunnel.agent.proxied.request import Request, RequestError
from tunnel.agent.proxied.upload import TooMuchWaitingError, Upload
from tunnel.agent.proxied.wire import Wire
from tunnel.agent.service.connection import ServiceStream
from tunnel.agent.service.services import Destination, NotReachableError, Services
from tunnel.errors import TunnelError
from tunnel.http1 import BodyLengthError, Connection
from tunnel.port import Exchange, Headers, RequestHead, ResponseHead
from tunnel.streams import ByteStream
from tunnel.tls import TlsStream, client_context

log = logging.getLogger(__name__)

TOO_LATE = "context deadline exceeded"
"""What gateways look for, to answer 504 (section 10)."""
CANCELLED = "request cancelled"


@dataclass(slots=True, frozen=True)
class Shared:
    """What the exchanges of one link have in common."""

    services: Services
    account: Account
    wire: Wire
    outbox: Outbox
    dial_seconds: float
    over: Callable[["ServiceExchange"], None]
    taken: Callable[[], None]
    """A service took something of what waits for it."""
    refused: Callable[[str, str], None]
    """Log why a request got no connection: its target, and the reason."""


class ServiceExchange:
    """One `proxy_request`. A `Sink`; its parts for one kind of exchange are the subclasses'."""

    prefix = "service request failed: "
    """Before the reason, where the service could not be asked."""

    def __init__(self, request_id: str, request: Request, shared: Shared) -> None:
        self.request_id = request_id
        self._request = request
        self._shared = shared
        self._streamed = request.supports_response_streaming
        self._loop = asyncio.get_running_loop()
        self._outgoing = shared.outbox.outgoing(self._drained)
        self._upload = Upload(shared.account)
        self._stream = ServiceStream(
            shared.account, on_connected=self._connected, on_failed=self.failed, on_gone=self._stream_gone
        )
        self._top: ByteStream = self._stream
        self._head: RequestHead | None = None
        self._exchange: Exchange | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._server_name = ""
        self._target = "?"
        self._stream_is_gone = True
        self._told = False
        self._over = False

    def __repr__(self) -> str:
        state = "over" if self._over else "told" if self._told else "open" if self._exchange else "dialling"
        return f"<{type(self).__name__} {self._target} {state}>"

    # --- told by the table

    def start(self) -> None:
        """Find the service and dial it."""
        services = self._shared.services
        try:
            route = self._request.route()
            self._target = str(route) if f"{route.service}{route.namespace}".isprintable() else "?"
            destination = services.destination_of(route)
            self._server_name = services.dns_name(route)
            self._head = self._prepare(destination)
        except RequestError as error:
            self._refuse(str(error))
            return
        except NotReachableError as error:
            self._refuse(f"{self.prefix}{error}")
            return
        self._stream_is_gone = False
        self._stream.dial(destination, services, self._shared.dial_seconds)

    def cancel(self) -> None:
        """The gateway gave it up: the service sees its client leave."""
        self._fail(f"{self.prefix}{CANCELLED}")

    def spoiled(self, why: str) -> None:
        """A message of it cannot be understood, so what the service would get is not what was sent."""
        raise NotImplementedError

    def crash(self) -> None:
        """Something of ours failed; it is in the log."""
        self._fail(f"{self.prefix}internal error")

    @property
    def lag_bytes(self) -> int:
        """What waits for the service."""
        return self._upload.waiting_bytes

    @property
    def running(self) -> bool:
        """Whether its end was not said yet."""
        return not self._told

    def lost(self) -> None:
        """The link is gone: nobody is told any more."""
        self._outgoing.discard()
        self._finish()
        self._stream.reset()

    # --- for the subclasses

    def _prepare(self, destination: Destination) -> RequestHead:
        """The head to send; and whatever else stands before the dial. Raises RequestError."""
        raise NotImplementedError

    def _opened(self, exchange: Exchange) -> None:
        """The head was written."""

    def _fail(self, why: str) -> None:
        """End the exchange with this text, in the way its gateway takes it."""
        say = self._shared.wire.abort if self._streamed else self._shared.wire.error
        self._finish(say(self.request_id, why))

    def _refuse(self, why: str) -> None:
        self._shared.refused(self._target, why)
        self._fail(why)

    def _say(self, text: str) -> None:
        self._outgoing.say(text)

    def _pause_if_full(self) -> None:
        """The link is full: read no more of the service until what was said has left."""
        if not self._outgoing.empty and self._exchange is not None:
            self._exchange.pause()

    def _within(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` unless the exchange ends, or something else is waited for, before."""
        self._stop_waiting()
        self._deadline = self._loop.call_later(seconds, late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _send(self, act: Callable[[], None]) -> None:
        """Give the service something; an exchange that cannot be sent as it came is ended by name."""
        try:
            act()
        except TooMuchWaitingError as error:
            self.spoiled(str(error))
        except BodyLengthError as error:
            self._fail(f"{self.prefix}{error}")

    def _finish(self, *last: str) -> None:
        """Say the last of it; the service's connection is reset, unless it is closing by now. Idempotent."""
        if self._told:
            return
        self._told = True
        self._stop_waiting()
        lagged = self._upload.waiting_bytes
        self._upload.drop()
        if lagged:
            self._shared.taken()
        for text in last:
            self._outgoing.say(text)
        if not self._stream.closing:
            if self._exchange is not None:
                self._exchange.reset()
            self._stream.reset()
        self._look()

    # --- told by the service's connection

    def head(self, head: ResponseHead, /) -> None:
        """See `Sink.head`."""
        raise NotImplementedError

    def data(self, data: bytes, /) -> None:
        """See `Sink.data`."""
        raise NotImplementedError

    def trailers(self, headers: Headers, /) -> None:
        """See `Sink.trailers`: this wire has no place for them."""

    def end(self) -> None:
        """See `Sink.end`."""
        raise NotImplementedError

    def failed(self, error: TunnelError, /) -> None:
        """See `Sink.failed`; the same where no connection was made."""
        raise NotImplementedError

    def writable(self) -> None:
        """See `Sink.writable`."""
        self._send(self._upload.writable)
        self._shared.taken()

    def _connected(self) -> None:
        try:
            self._open()
        except TunnelError as error:
            self.failed(error)
        except Exception:
            log.exception("%r failed", self)
            self.crash()

    def _open(self) -> None:
        if self._head is None:
            return
        if self._request.scheme.lower() == "https":
            context = client_context(ca_file=None, verify=False)
            self._top = TlsStream(self._stream, context, self._server_name, account=self._shared.account)
        connection = Connection(self._top, clock=self._loop.time, on_idle=self._idle, on_closed=_nothing)
        self._exchange = connection.open(self._head, self)
        self._opened(self._exchange)

    def _idle(self, connection: Connection) -> None:  # noqa: ARG002 (called so)
        """The service would take another request; there is none."""
        self._close_stream()

    def _close_stream(self) -> None:
        """Both sides are done; what was written still leaves."""
        self._top.write_end()
        self._stream.close()

    def _stream_gone(self) -> None:
        self._stream_is_gone = True
        self._look()

    def _drained(self) -> None:
        if self._exchange is not None and not self._told:
            self._exchange.resume()
        self._look()

    def _look(self) -> None:
        """Be over, once nothing is left."""
        if self._told and self._stream_is_gone and self._outgoing.empty and not self._over:
            self._over = True
            self._shared.over(self)


def _nothing(connection: Connection) -> None:
    """The stream itself tells when it is gone."""
