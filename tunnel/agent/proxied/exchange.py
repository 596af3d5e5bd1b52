"""One exchange of these dialects, whatever it carries: finds and dials its service, and sends its messages in order.

The sink of an HTTP/1.1 exchange over a connection of its own; `service_request` and `service_websocket` say what to do
with what that brings. Never awaits: the dial is the only task. Invariants: the gateway is told one end, and nothing
after it; `Shared.over` is called once, when the last message has left and the service's connection is gone, so nothing
of the exchange is left in the loop then.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from tunnel.account import Account
from tunnel.agent.proxied.backlog import Backlog, TooMuchWaitingError
from tunnel.agent.proxied.request import GatewayRequest, RequestError
from tunnel.agent.proxied.send_queue import SendQueue
from tunnel.agent.proxied.wire import CHUNK_BYTES, Wire
from tunnel.agent.service.services import Destination, NotReachableError, Services
from tunnel.agent.service.stream import ServiceStream
from tunnel.errors import TunnelError
from tunnel.http1 import BodyLengthError, HttpConnection
from tunnel.override import override
from tunnel.port import Exchange, Headers, RequestHead, Sink
from tunnel.streams import ByteStream
from tunnel.tls import TlsStream, client_context
from tunnel.wire.message_limits import carried_bytes, size_of
from tunnel.wire.messages import NAME_LIMIT
from tunnel.wire.proxy_messages import header_items
from tunnel.wire.refusals import OTHER

log = logging.getLogger(__name__)

TOO_LATE = "context deadline exceeded"
"""Makes the gateway answer 504 (PROTOCOL.md, section 5)."""
CANCELLED = "request cancelled"


@dataclass(slots=True, frozen=True)
class Shared:
    """What the exchanges of one link have in common."""

    services: Services
    account: Account
    wire: Wire
    queue: SendQueue
    dial_seconds: float
    over: Callable[["ServiceExchange"], None]
    taken: Callable[[], None]
    """A service took some of what waits for it."""
    refused: Callable[["ServiceExchange", str, str], None]
    """Count and log that a request got no connection: the reason, and its kind, one of `tunnel.wire.refusals`."""
    gateway_limit_bytes: Callable[[], int]
    """The longest message that the gateway accepts."""


class ServiceExchange(Sink):
    """One `proxy_request`. Subclasses are the `Sink` for one kind of exchange."""

    prefix = "service request failed: "
    """Before the reason, where the service could not be asked."""

    def __init__(self, request_id: str, request: GatewayRequest, shared: Shared) -> None:
        self.request_id = request_id
        self._request = request
        self._shared = shared
        self._streamed = request.supports_response_streaming
        self._limit_bytes = shared.gateway_limit_bytes()
        self._loop = asyncio.get_running_loop()
        self._outgoing = shared.queue.outgoing(self._drained)
        self._backlog = Backlog(shared.account)
        self._stream = ServiceStream(
            shared.account, on_connected=self._connected, on_failed=self._not_connected, on_gone=self._stream_gone
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

    # --- told by the carrier

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
            self._refuse(f"{self.prefix}{error}", error.kind)
            return
        self._stream_is_gone = False
        self._stream.dial(destination, services, self._shared.dial_seconds)

    def cancel(self) -> None:
        """The gateway gave it up: the service sees its client leave."""
        self._fail(f"{self.prefix}{CANCELLED}")

    def break_off(self, why: str) -> None:
        """End the exchange: what the service would get from now on is not what was sent."""
        raise NotImplementedError

    def crash(self) -> None:
        """End the exchange: something of ours failed, and is in the log."""
        self._fail(f"{self.prefix}internal error")

    @property
    def target(self) -> str:
        """The service that it is for; `?` where its name cannot be shown."""
        return self._target

    @property
    def fields(self) -> dict[str, str]:
        """What a line of the log says about it: the id that the client, the service and the gateway's log have too."""
        given = (value for name, value in header_items(self._request.headers) if name.lower() == "x-request-id")
        return {"request_id": next(given, self.request_id)[:NAME_LIMIT], "target": self._target}

    @property
    def carried_bytes(self) -> tuple[int, int]:
        """To the service, and from it."""
        return self._stream.sent_bytes, self._stream.received_bytes

    @property
    def lag_bytes(self) -> int:
        """What waits for the service."""
        return self._backlog.waiting_bytes

    @property
    def running(self) -> bool:
        """Whether the gateway was not told its end yet."""
        return not self._told

    def lost(self) -> None:
        """The link is gone: drop what waits, and reset the connection."""
        self._outgoing.discard()
        self._finish()
        self._stream.reset()

    # --- for the subclasses

    def _prepare(self, destination: Destination) -> RequestHead:
        """The head to send, and whatever else comes before the dial. Raises RequestError."""
        raise NotImplementedError

    def _opened(self, exchange: Exchange) -> None:
        """The head was written."""

    def _fail(self, why: str) -> None:
        """End the exchange with this reason, in the form its gateway asked for."""
        say = self._shared.wire.abort if self._streamed else self._shared.wire.error
        self._finish(say(self.request_id, why))

    def _refuse(self, why: str, kind: str = OTHER) -> None:
        self._shared.refused(self, why, kind)
        self._fail(why)

    def _say(self, text: str) -> None:
        """Send a message, unless the end was told. One that the gateway does not accept ends the exchange."""
        if self._told:
            return
        if (size := size_of(text)) > self._limit_bytes:
            why = f"a message of {size} bytes is larger than the {self._limit_bytes} that the gateway accepts"
            log.warning("exchange to %s ends: %s", self._target, why, extra={"fields": self.fields})
            self._too_large(why)
        else:
            self._outgoing.say(text)

    def _say_body(self, data: bytes) -> None:
        """Send a piece of the answer's body."""
        chunk_bytes = min(CHUNK_BYTES, carried_bytes(self._limit_bytes))
        for text in self._shared.wire.chunks(self.request_id, data, chunk_bytes):
            self._say(text)
        self._pause_if_full()

    def _too_large(self, why: str) -> None:
        """A message of ours is larger than the gateway accepts."""
        self._fail(f"{self.prefix}{why}")

    def _pause_if_full(self) -> None:
        """Read no more from the service while what was said waits for the link."""
        if not self._outgoing.empty and self._exchange is not None:
            self._exchange.pause()

    def _within(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late`, unless the exchange ends first or waits for something else."""
        self._stop_waiting()
        self._deadline = self._loop.call_later(seconds, late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _send(self, act: Callable[[], None]) -> None:
        """Give the service something; end an exchange that cannot be sent as it came, and say why."""
        try:
            act()
        except TooMuchWaitingError as error:
            self.break_off(str(error))
        except BodyLengthError as error:
            self._fail(f"{self.prefix}{error}")

    def _finish(self, *last: str) -> None:
        """Send the last messages; reset the service's connection unless it is closing already. Idempotent."""
        if self._told:
            return
        self._told = True
        self._stop_waiting()
        lagged = self._backlog.waiting_bytes
        self._backlog.discard()
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

    @override
    def trailers(self, headers: Headers, /) -> None:
        """Dropped: these dialects have no message for them."""

    @override
    def writable(self) -> None:
        self._send(self._backlog.writable)
        self._shared.taken()

    def _not_connected(self, error: TunnelError) -> None:
        """The dial failed."""
        self._shared.refused(self, str(error), self._stream.refusal or OTHER)
        self.failed(error)

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
        connection = HttpConnection(self._top, clock=self._loop.time, owner=self)
        self._exchange = connection.open(self._head, self)
        self._opened(self._exchange)

    def connection_idle(self, _: HttpConnection, /) -> None:
        """See `ConnectionOwner`. The service would take another request, but there is none."""
        self._close_stream()

    def connection_closed(self, _: HttpConnection, /) -> None:
        """See `ConnectionOwner`. The stream tells when it is gone."""

    def spliced_ended(self) -> None:
        """See `ConnectionOwner`. Nothing is spliced here."""

    def _close_stream(self) -> None:
        """Both sides are done: close once everything is written."""
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
        """Tell that it is over, once nothing is left."""
        if self._told and self._stream_is_gone and self._outgoing.empty and not self._over:
            self._over = True
            self._shared.over(self)
