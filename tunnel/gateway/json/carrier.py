"""The `json` dialect on one link: the existing agent's own messages for WebSockets, and the care that it needs.

The existing agent hands each message to a goroutine of its own, does not report its service's close or pongs, and lets
a close frame overtake the data before it (tunnel/PROTOCOL.md section 5, "WebSockets" and "Limits"). So we space the
messages of a WebSocket, pause before and after a close, and neither forward nor answer pings; the door's idle limit
then ends a WebSocket whose service is gone. An agent that does better says so. A `backpressure` means that a message
was lost, so that WebSocket is closed.

Invariants: `proxy_stream_data` and the `chunk` dialect's messages are never sent. The first one crashes that agent.
"""

from tunnel.errors import TunnelError
from tunnel.gateway.carrier import LinkSide
from tunnel.gateway.proxied.carrier import ProxiedCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.proxy_stream import ProxyStream
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.proxied.websocket import ProxiedWebSocket
from tunnel.override import override
from tunnel.wire import messages
from tunnel.wire.messages import Envelope, MessageError
from tunnel.wire.proxy_messages import (
    CLOSE,
    Backpressure,
    WebSocketClose,
    WebSocketData,
    decode_data,
    encode_data,
    encode_websocket_message,
)

MESSAGE_INTERVAL_SECONDS = 0.002
"""Between two messages of one WebSocket. With less, the existing agent reordered them (at 2 ms: none of 180)."""

UPGRADE_ALLOWANCE_SECONDS = 5.0
"""The existing agent dials the service for up to 10 s. With the default `upgrade_timeout` this makes 15 s."""

CLOSE_PAUSE_SECONDS = 0.4
"""Before a close frame and after it. Without the pause, the last message was lost in 3 of 12 tries."""


class _Parting:
    """A WebSocket that its client closed: the close frame, then the clean-up message, each after a pause."""

    __slots__ = ("close", "stream")

    def __init__(self, stream: ProxyStream, close: str) -> None:
        self.stream = stream
        self.close: str | None = close


class JsonCarrier(ProxiedCarrier):
    """One link that speaks `json`."""

    dialect = "json"
    upgrade_allowance = UPGRADE_ALLOWANCE_SECONDS
    types = frozenset(("proxy_websocket_data", "ws_data", "proxy_websocket_close", "ws_close", "backpressure"))
    data_types = frozenset(("proxy_websocket_data", "ws_data"))

    def __init__(
        self,
        link: LinkSide,
        *,
        shared: Proxied,
        orderly: bool = False,
        pings: bool = False,
        forgetful: bool = False,
    ) -> None:
        """`orderly`: the agent keeps the order of messages, so they are not spaced.

        `pings`: it passes on pings and pongs.
        """
        self.forwards_pings = pings
        self.interval_seconds = 0.0 if orderly else MESSAGE_INTERVAL_SECONDS
        self._pause = 0.0 if orderly else CLOSE_PAUSE_SECONDS
        self._partings: list[_Parting] = []
        super().__init__(link, shared=shared, forgetful=forgetful)

    # --- the agent's messages

    @override
    def dialect_message_received(self, exchange: ProxiedExchange, envelope: Envelope, text: str | bytes) -> None:
        if not isinstance(exchange, ProxiedWebSocket):
            raise MessageError(f"{envelope.type} for an exchange that is no WebSocket")
        match envelope.type:
            case "backpressure":
                reason = messages.decode_payload(envelope, Backpressure).reason
                why = f"the agent lost a message ({reason[:100]!r})"
                exchange.close_door(1011, "a message was lost on the way", why)
            case "proxy_websocket_close" | "ws_close":
                exchange.service_ended("")
            case _:
                exchange.message_received(decode_data(messages.decode_payload(envelope, WebSocketData).data))

    # --- messages to the agent

    @override
    def send_message(self, stream: ProxyStream, encoded: bytes) -> bool:
        return stream.send(_data_text(stream.request_id, encoded))

    @override
    def close_service(self, stream: ProxyStream, payload: bytes) -> bool:
        """Send the close in steps. The agent does not answer it, so the door need not wait."""
        close = _data_text(stream.request_id, encode_websocket_message(CLOSE, payload))
        stream.keep_lane()
        self._partings.append(_Parting(stream, close))
        self._part(self.clock())
        return True

    @override
    def break_off(self, stream: ProxyStream, payload: bytes) -> None:
        self.close_service(stream, payload)

    @override
    def end_websocket(self, stream: ProxyStream, reason: str, *, in_handshake: bool) -> None:
        self.tell(self.closing_text(stream.request_id))
        super().end_websocket(stream, reason, in_handshake=in_handshake)

    @override
    def closing_text(self, request_id: str, reason: str = "") -> str:
        close = WebSocketClose(request_id=request_id, stream_id=request_id)
        return messages.encode("proxy_websocket_close", close, request_id)

    # --- the link's side

    @override
    def tick(self, now: float, /) -> bool:
        self._part(now)
        return super().tick(now)

    @override
    def lost(self, error: TunnelError, /) -> None:
        if not self.is_lost:
            super().lost(error)
            partings, self._partings = self._partings, []
            for parting in partings:
                self.tell(self.closing_text(parting.stream.request_id))

    def _part(self, now: float) -> None:
        """Take the steps that are due."""
        under_way: list[_Parting] = []
        for parting in self._partings:
            lane = parting.stream.lane
            due = lane.empty and now - lane.last_sent >= self._pause
            if due and parting.close is None:
                self.tell(self.closing_text(parting.stream.request_id))
                continue
            if parting.close is not None and (due or not self._pause):
                parting.stream.send(parting.close)
                parting.close = None
            under_way.append(parting)
        self._partings = under_way


def _data_text(request_id: str, encoded: bytes) -> str:
    data = WebSocketData(data=encode_data(encoded), request_id=request_id, stream_id=request_id)
    return messages.encode("proxy_websocket_data", data, request_id)
