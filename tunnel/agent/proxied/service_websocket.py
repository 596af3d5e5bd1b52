"""One WebSocket to a service: our own handshake, then whole messages both ways.

No extension is offered, whatever the client offered. The service's pings are answered here; the gateway's pings go to
the service, and the pongs to them come back. Invariants: each direction keeps the order of its messages and loses none:
`Backlog` bounds what the service has not taken, and the WebSocket ends beyond that; the service's close is passed on
with its code and reason, and an end without a close as an end without one; nothing is said after that.
"""

import logging

from tunnel import websocket
from tunnel.account import Holding
from tunnel.agent.proxied.exchange import CANCELLED, TOO_LATE, ServiceExchange, Shared
from tunnel.agent.proxied.request import GatewayRequest
from tunnel.agent.service.services import Destination
from tunnel.errors import BadAnswerError, TunnelError
from tunnel.override import override
from tunnel.port import Headers, RequestHead, ResponseHead
from tunnel.websocket.connection import MAX_MESSAGE_BYTES
from tunnel.websocket.frames import close_payload, parse_close
from tunnel.wire.message_limits import NO_LIMIT_BYTES, carried_bytes
from tunnel.wire.proxy_messages import BINARY, CLOSE, PING, PONG, TEXT

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
"""For the dial and the service's answer, where the request has no `timeout`."""
CLOSING_SECONDS = 10.0
"""How long a service may take to answer a close."""
PINGS_UNANSWERED = 16
"""Pings of the gateway whose pongs are passed on at most; a peer may answer only the last of several."""


class ServiceWebSocket(ServiceExchange):
    """A `proxy_request` for a WebSocket."""

    prefix = "failed to connect to service WebSocket: "

    def __init__(self, request_id: str, request: GatewayRequest, shared: Shared) -> None:
        super().__init__(request_id, request, shared)
        told = self._limit_bytes < NO_LIMIT_BYTES
        self._codec = websocket.Connection(
            max_message_bytes=carried_bytes(self._limit_bytes) if told else MAX_MESSAGE_BYTES
        )
        self._assembling = Holding(shared.account)  # the service's message that is not complete yet
        self._key = websocket.new_key()
        self._offered: list[bytes] = []
        """The client's subprotocols."""
        self._upgraded = False
        self._refused = False
        """The service answered with something other than 101, which is being passed on."""
        self._left = False
        """The gateway is done with it and is told nothing more."""
        self._pings = 0
        """Of the gateway, and not answered by the service yet."""

    @override
    def _prepare(self, destination: Destination) -> RequestHead:
        subprotocols = self._request.subprotocols()
        self._offered = [name.strip() for name in subprotocols.split(b",") if name.strip()]
        head = self._request.head(str(destination), 0, websocket.handshake_headers(self._key, subprotocols))
        timeout = self._request.timeout
        self._within(timeout / 1000 if timeout > 0 else HANDSHAKE_SECONDS, self._too_late)
        return head

    # --- told by the carrier

    def message(self, kind: int, payload: bytes) -> None:
        """A message of the client, or its close, ping or pong; before the 101 it waits."""
        codec = self._codec
        try:
            if kind == TEXT:
                self._put(codec.send_message(payload.decode()))
            elif kind == BINARY:
                self._put(codec.send_message(payload))
            elif kind == PING:
                self._pings = min(self._pings + 1, PINGS_UNANSWERED)
                self._put(codec.send_ping(payload))
            elif kind == PONG:
                self._put(codec.send_pong(payload))
            elif kind == CLOSE:
                self._send_close(payload)
        except UnicodeDecodeError:
            self._close_both(1007, "text of the gateway is not UTF-8")
        except ValueError as error:
            self._close_both(1011, f"control message of the gateway: {error}")

    def gateway_left(self) -> None:
        """The gateway is done with it: what it sent before still goes to the service, then a close with 1000."""
        if not self._upgraded:
            self.cancel()
            return
        self._left = True
        self._send_close(close_payload(1000, ""))

    @override
    def cancel(self) -> None:
        if self._upgraded:
            self._close_both(1001, CANCELLED)
        else:
            super().cancel()

    @override
    def break_off(self, why: str) -> None:
        log.warning("exchange to %s ends: %s", self._target, why, extra={"fields": self.fields})
        self._close_both(1011, why)

    # --- told by the service's connection

    @override
    def head(self, head: ResponseHead, /) -> None:
        if head.status == 101:
            try:
                websocket.check_accept(self._key, head.headers, self._offered)
            except BadAnswerError as error:
                self._handshake_failed(502, None, str(error))
            else:
                self._upgrade(head)
        elif head.status < 200:
            pass
        elif self._streamed:
            self._refused = True
            self._say(self._shared.wire.header(self.request_id, head.status, head.headers))
        else:
            self._handshake_failed(head.status, head.headers, f"bad handshake (status: {head.status})")

    @override
    def data(self, data: bytes, /) -> None:
        """Frames, or the body of a refusal."""
        if self._refused:
            self._say_body(data)
            return
        for event in self._codec.receive_data(data):
            self._take_event(event)
        if self._told:
            return
        self._assembling.set(self._codec.buffered_bytes)
        account = self._shared.account
        if self._assembling.size_bytes and account.held_bytes > account.hard_mark_bytes:
            self._close_both(1013, "the agent holds too much to take a message whole")
            return
        self._put(self._codec.data_to_send())
        self._pause_if_full()

    @override
    def end(self) -> None:
        """The refusal is complete, or the service ended its direction."""
        if self._refused:
            self._finish(self._shared.wire.end(self.request_id))
            return
        self._end_with(None, "the service ended the connection without a close frame")

    @override
    def failed(self, error: TunnelError, /) -> None:
        if self._upgraded:
            self._end_with(None, str(error))
        elif self._refused:
            self._fail(f"unexpected EOF: {error}")
        else:
            self._handshake_failed(502, None, str(error))

    # --- inside

    def _upgrade(self, head: ResponseHead) -> None:
        wire = self._shared.wire
        if self._streamed:
            self._say(wire.header(self.request_id, 101, head.headers))
            self._say(wire.end(self.request_id))
        else:
            self._say(wire.response(self.request_id, head, b""))
        if self._told:
            return  # the gateway does not accept a head of this size
        self._upgraded = True
        if self._codec.state is websocket.State.OPEN:
            self._stop_waiting()
        if (exchange := self._exchange) is not None:
            self._send(lambda: self._backlog.open(exchange))
        self._pause_if_full()

    def _handshake_failed(self, status: int, headers: Headers | None, why: str) -> None:
        """Say the status first where the gateway streams answers, then the reason."""
        if self._streamed and not self._told:
            self._say(self._shared.wire.header(self.request_id, status, headers))
        self._fail(f"{self.prefix}{why}")

    def _too_late(self) -> None:
        if self._refused:
            self._fail(f"{self.prefix}{TOO_LATE}")
            return
        self._handshake_failed(502, None, TOO_LATE)

    def _take_event(self, event: websocket.Event) -> None:
        wire, request_id = self._shared.wire, self.request_id
        match event:
            case websocket.Message(str() as text):
                self._report(wire.websocket_message(request_id, TEXT, text.encode()))
            case websocket.Message(bytes() as data):
                self._report(wire.websocket_message(request_id, BINARY, data))
            case websocket.Pong() if self._pings:
                self._pings -= 1
                self._report(wire.websocket_message(request_id, PONG, event.payload))
            case websocket.Closed(1005):
                self._end_with(b"", "closed by the service")
            case websocket.Closed():
                self._end_with(close_payload(event.code, event.reason), f"closed by the service: {event.code}")
            case websocket.Failed(1009):
                why = f"the service sent a {event.reason}, more than the gateway accepts"
                log.warning("exchange to %s ends: %s", self._target, why, extra={"fields": self.fields})
                self._end_with(close_payload(1009, "message too large for the gateway"), why)
            case websocket.Failed():
                why = f"the service broke RFC 6455: {event.reason}"
                self._end_with(close_payload(event.code, event.reason), why)

    def _report(self, text: str) -> None:
        if not self._left:
            self._say(text)

    def _put(self, frames: bytes) -> None:
        self._send(lambda: self._backlog.put(frames))

    @override
    def _fail(self, why: str) -> None:
        if self._upgraded:
            self._finish(self._shared.wire.websocket_over(self.request_id, why))
        else:
            super()._fail(why)

    @override
    def _too_large(self, why: str) -> None:
        if self._upgraded:
            self._close_both(1009, why, "message too large for the gateway")
        else:
            super()._too_large(why)

    def _send_close(self, payload: bytes) -> None:
        """Send the service a close behind what waits, and give it some time to answer."""
        if self._codec.state is not websocket.State.OPEN:
            return
        try:
            # A code that must not be on the wire becomes an empty close.
            code, reason = parse_close(payload) or (1005, "")
        except UnicodeDecodeError:
            code, reason = int.from_bytes(payload[:2]), ""
        self._put(self._codec.close(None) if code == 1005 else self._codec.close(code, reason))
        if not self._told:
            self._within(CLOSING_SECONDS, self._close_unanswered)

    def _close_unanswered(self) -> None:
        if self._upgraded:
            self._end_with(None, "the service did not answer the close")
        else:
            self._too_late()

    def _close_both(self, code: int, why: str, reason: str = "") -> None:
        """Close the WebSocket towards the service and the gateway, for a reason of our own."""
        if not self._upgraded:
            self._fail(f"{self.prefix}{why}")
            return
        owed = self._codec.close(code)
        self._end_service(owed)
        wire, request_id = self._shared.wire, self.request_id
        self._finish(
            wire.websocket_message(request_id, CLOSE, close_payload(code, reason)), wire.websocket_over(request_id, why)
        )

    def _end_with(self, payload: bytes | None, why: str) -> None:
        """The service is done: pass on the payload of its close frame, if it sent one."""
        self._end_service(self._codec.data_to_send())
        wire, request_id = self._shared.wire, self.request_id
        close = [] if payload is None else [wire.websocket_message(request_id, CLOSE, payload)]
        self._finish(*([] if self._left else [*close, wire.websocket_over(request_id, why)]))

    @override
    def _finish(self, *last: str) -> None:
        super()._finish(*last)
        self._assembling.close()

    def _end_service(self, last: bytes) -> None:
        """Send the service the last frames, and close its connection."""
        self._backlog.discard()
        if self._exchange is not None and not self._stream.closing:
            if last:
                self._exchange.send_data(last)
            self._close_stream()
