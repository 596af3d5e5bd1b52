"""The `json` dialect on one link: the existing agent's own way of carrying WebSockets, with what it takes to live with.

The existing agent hands each message to a goroutine of its own, reports neither its service's close nor its pongs, and
races a close frame with the data before it (agent-protocol.md section 8). So the messages of a WebSocket are spaced, a
close is spaced from what went before it, and pings stay here unanswered: the door's idle limit is then what ends a
WebSocket whose service has gone. An agent that does better says so. A `backpressure` means that a message was lost:
that WebSocket is closed.

Invariants: `proxy_stream_data` and the `chunk` dialect's messages are never sent: the first kills that agent.
"""

import logging

from tunnel.errors import TunnelError
from tunnel.gateway.carrier import LinkSide
from tunnel.gateway.proxied.carrier import ProxiedCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.outbox import Lane
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.proxied.websocket import WebSocketExchange
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

logger = logging.getLogger(__name__)

MESSAGE_INTERVAL_SECONDS = 0.002
"""Between two messages of one WebSocket: with less that agent changed their order (seen: none in 180 at 2 ms)."""

UPGRADE_ALLOWANCE_SECONDS = 5.0
"""The existing agent dials for up to 10 s (section 8.2): with the default `upgrade_timeout`, 15 s."""

CLOSE_PAUSE_SECONDS = 0.4
"""Before a close frame and after it: with none the last message was lost in 3 of 12 tries."""


class _Parting:
    """A WebSocket that its client closed: the close frame, then the clean-up, each after a pause."""

    __slots__ = ("close", "lane", "request_id")

    def __init__(self, request_id: str, lane: Lane, close: str) -> None:
        self.request_id = request_id
        self.lane = lane
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
        """`orderly`: the agent says that it keeps the order of messages; nothing is spaced then.

        `pings`: it says that it passes on pings and pongs.
        """
        self.forwards_pings = pings
        self.interval_seconds = 0.0 if orderly else MESSAGE_INTERVAL_SECONDS
        self._pause = 0.0 if orderly else CLOSE_PAUSE_SECONDS
        self._partings: list[_Parting] = []
        super().__init__(link, shared=shared, forgetful=forgetful)

    # --- the agent's messages

    def obey(self, exchange: ProxiedExchange, envelope: Envelope, text: str | bytes) -> None:  # noqa: ARG002
        """See `ProxiedCarrier`."""
        if not isinstance(exchange, WebSocketExchange):
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

    def send_message(self, exchange: WebSocketExchange, encoded: bytes) -> bool:
        """See `ProxiedCarrier`."""
        return self.connection.send(exchange.request_id, _data_text(exchange.request_id, encoded))

    def close_service(self, exchange: WebSocketExchange, payload: bytes) -> bool:
        """Part in steps; the agent says nothing to it, so the door need not wait."""
        close = _data_text(exchange.request_id, encode_websocket_message(CLOSE, payload))
        self.connection.keep_lane(exchange.request_id)
        self._partings.append(_Parting(exchange.request_id, exchange.stream.lane, close))
        self._part(self.clock())
        return True

    def close_stream(self, exchange: WebSocketExchange, reason: str) -> None:  # noqa: ARG002
        """See `ProxiedCarrier`."""
        self.tell(self.closing_text(exchange.request_id))

    def closing_text(self, request_id: str, reason: str = "") -> str:  # noqa: ARG002
        """See `ProxiedCarrier`."""
        close = WebSocketClose(request_id=request_id, stream_id=request_id)
        return messages.encode("proxy_websocket_close", close, request_id)

    # --- the link's side

    def tick(self, now: float, /) -> bool:
        """See `Carrier`."""
        self._part(now)
        return super().tick(now)

    def lost(self, error: TunnelError, /) -> None:
        """See `Carrier`."""
        if not self.is_lost:
            super().lost(error)
            partings, self._partings = self._partings, []
            for parting in partings:
                self.tell(self.closing_text(parting.request_id))

    def _part(self, now: float) -> None:
        """Take the steps that are due."""
        under_way: list[_Parting] = []
        for parting in self._partings:
            lane = parting.lane
            due = lane.empty and now - lane.last_sent >= self._pause
            if due and parting.close is None:
                self.tell(self.closing_text(parting.request_id))
                continue
            if parting.close is not None and (due or not self._pause):
                self.connection.outbox.put(lane, parting.close)
                parting.close = None
                self._wake()
            under_way.append(parting)
        self._partings = under_way


def _data_text(request_id: str, encoded: bytes) -> str:
    data = WebSocketData(data=encode_data(encoded), request_id=request_id, stream_id=request_id)
    return messages.encode("proxy_websocket_data", data, request_id)
