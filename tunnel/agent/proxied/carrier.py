"""The carrier of the json and chunk dialects: hands each message of the gateway to the exchange it names.

Knows nothing of the WebSocket. The link's reader never waits for a service: there is no flow control on this wire, and
what a service has not taken yet waits in that exchange's own bounded buffer. Invariants: at most `EXCHANGES_MAX`
exchanges; one that fails ends alone; ids are never longer than `NAME_LIMIT`; after `lost` no connection, task or timer
of the link is left once the loop has turned.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tunnel.account import Account
from tunnel.agent.carrier import CONTROL_WAITING_BYTES, Carrier, Wiring
from tunnel.agent.log import Quota
from tunnel.agent.proxied.exchange import ServiceExchange, Shared
from tunnel.agent.proxied.pongs import Pongs
from tunnel.agent.proxied.request import GatewayRequest
from tunnel.agent.proxied.send_queue import SendQueue
from tunnel.agent.proxied.service_request import ServiceRequest
from tunnel.agent.proxied.service_websocket import ServiceWebSocket
from tunnel.agent.proxied.wire import ChunkWire, Wire
from tunnel.agent.service.services import Services
from tunnel.agent.traffic import Running, Traffic
from tunnel.override import override
from tunnel.wire import messages
from tunnel.wire.messages import Envelope, MessageError
from tunnel.wire.proxy_messages import (
    StreamChunk,
    StreamClose,
    WebSocketClose,
    WebSocketData,
    decode_data,
    decode_websocket_message,
)

log = logging.getLogger(__name__)

MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024
"""The longest message of a gateway: a WebSocket message of 10 MiB has 13.4 MiB in base64."""
LINGER_SECONDS = 0.5
"""How long requests may still arrive after `going_away`: those on their way need half a round trip."""
EXCHANGES_MAX = 4096
"""Each may hold about 100 KiB when its service or the gateway is slow: 400 MiB. The account bounds that further."""

_TO_AGENT = ("to_agent", "")
_EMPTY = (b"{}", b"null", b"")

_Kind = TypeVar("_Kind", bound=ServiceExchange)


class _Chunk(msgspec.Struct):
    """gateway -> agent, `proxy_request_chunk` (PROTOCOL.md, section 5); some gateways call `data` `chunk`."""

    data: str = ""
    chunk: str = ""


class MessageCarrier(Carrier):
    """All exchanges of one link."""

    def __init__(
        self,
        wiring: Wiring,
        *,
        dialect: str,
        services: Services,
        account: Account,
        quota: Quota,
        traffic: Traffic,
        dial_seconds: float,
    ) -> None:
        self._wiring = wiring
        self._quota = quota
        self._traffic = traffic
        self._account = account
        self._exchanges: dict[str, ServiceExchange] = {}
        self._queue = SendQueue(wiring.send_text, account)
        self._wire = ChunkWire() if dialect == "chunk" else Wire()
        self._pongs = Pongs(self._lag)
        self._shared = Shared(
            services,
            account,
            self._wire,
            self._queue,
            dial_seconds,
            over=self._over,
            taken=self._pongs.taken,
            refused=self._refused,
            gateway_limit_bytes=wiring.gateway_limit_bytes,
        )
        self._draining = self._lingered = False
        self._lost = False
        self._loop = asyncio.get_running_loop()
        self._takers: dict[str, Callable[[Envelope, bytes], None]] = {
            "proxy_request": self._request,
            "proxy_request_chunk": self._request_chunk,
            "proxy_request_stream_end": self._request_end,
            "proxy_cancel": self._cancel,
        }
        if dialect == "chunk":
            self._takers |= {"proxy_stream_chunk": self._stream_chunk, "proxy_stream_close": self._stream_close}
        else:
            for name in ("proxy_websocket_data", "ws_data"):
                self._takers[name] = self._websocket_data
            for name in ("proxy_websocket_close", "ws_close"):
                self._takers[name] = self._websocket_close

    def __repr__(self) -> str:
        state = "open draining" if self._draining else "open"
        return f"<MessageCarrier {self._wire.dialect} {len(self._exchanges)} {state}>"

    # --- told by the link

    @property
    @override
    def message_limit_bytes(self) -> int:
        return MESSAGE_LIMIT_BYTES

    @property
    @override
    def round_trip_seconds(self) -> float | None:
        return None

    @override
    def running(self) -> Running:
        carried = [exchange.carried_bytes for exchange in self._exchanges.values()]
        return Running(len(carried), sum(up for up, _ in carried), sum(down for _, down in carried))

    @override
    def message_received(self, envelope: Envelope, text: bytes, /) -> bool:
        taker = self._takers.get(envelope.type)
        if taker is None:
            return False
        try:
            taker(envelope, text)
        except MessageError as error:
            self._garbled(envelope, error)
        except Exception:
            log.exception("%s failed", envelope.type[:40])
            self._tell(self._exchanges.get(envelope.request_id or ""), lambda one: one.crash())
        return True

    @override
    def bytes_received(self, data: bytes, now: float, /) -> None:
        self._wiring.note(f"binary message in the {self._wire.dialect} dialect")

    @override
    def ping_received(self, answer: Callable[[], None], /) -> None:
        """Answer once the services have taken most of what the gateway sent before it."""
        self._pongs.asked(answer)

    @override
    def may_send_control(self, waiting_bytes: int, /) -> bool:
        """A message of an exchange leaves whole, however long it is, and may stand before ours."""
        return waiting_bytes < CONTROL_WAITING_BYTES + MESSAGE_LIMIT_BYTES

    @override
    def probe(self, now: float, /) -> bool:
        """The WebSocket's own ping asks."""
        return False

    @override
    def flush(self) -> None:
        """Nothing to do: messages wait only while the WebSocket is full."""

    @override
    def pause(self) -> None:
        self._queue.pause()

    @override
    def resume(self) -> None:
        self._queue.resume()

    @override
    def drain(self) -> None:
        """Requests that are on their way are still taken."""
        if not self._draining:
            self._draining = True
            self._wiring.going_away()
            self._loop.call_later(LINGER_SECONDS, self._have_lingered)

    @override
    def lost(self, reason: str, /) -> None:
        self._lost = True
        self._pongs.lost()
        for exchange in list(self._exchanges.values()):
            exchange.lost()
        self._exchanges.clear()

    # --- the messages

    def _request(self, envelope: Envelope, text: bytes) -> None:  # noqa: ARG002 (all takers are called so)
        request_id = envelope.request_id
        if not request_id or len(request_id) > messages.NAME_LIMIT:
            self._wiring.note("proxy_request without a usable request_id")
            return
        if request_id in self._exchanges:
            self._wiring.note("proxy_request with the request_id of a running one")
            return
        request = messages.decode_payload(envelope, GatewayRequest)
        why = self._why_not()
        if why is not None:
            say = self._wire.abort if request.supports_response_streaming else self._wire.error
            self._wiring.send_text(say(request_id, why))
            return
        kind = ServiceWebSocket if request.for_websocket else ServiceRequest
        exchange = self._exchanges[request_id] = kind(request_id, request, self._shared)
        exchange.start()

    def _why_not(self) -> str | None:
        """Why no new request is taken; None when it is."""
        if len(self._exchanges) >= EXCHANGES_MAX:
            return f"control plane client unavailable: {EXCHANGES_MAX} exchanges are running"
        if self._account.above_high_mark:
            return "control plane client unavailable: the agent holds too much for slow services and gateways"
        return None

    def _request_chunk(self, envelope: Envelope, text: bytes) -> None:  # noqa: ARG002  (as its like)
        chunk = messages.decode_payload(envelope, _Chunk)
        data = decode_data(chunk.data or chunk.chunk)
        self._tell(self._found(envelope, envelope.request_id, ServiceRequest), lambda one: one.body_data(data))

    def _request_end(self, envelope: Envelope, text: bytes) -> None:  # noqa: ARG002  (as its like)
        self._tell(self._found(envelope, envelope.request_id, ServiceRequest), lambda one: one.body_end())

    def _cancel(self, envelope: Envelope, text: bytes) -> None:  # noqa: ARG002  (as its like)
        self._tell(
            self._found(envelope, envelope.request_id, ServiceRequest, ServiceWebSocket), lambda one: one.cancel()
        )

    def _websocket_data(self, envelope: Envelope, text: bytes) -> None:  # noqa: ARG002  (as its like)
        said = messages.decode_payload(envelope, WebSocketData)
        self._message(envelope, said.request_id or said.stream_id or envelope.request_id, said.data)

    def _websocket_close(self, envelope: Envelope, text: bytes) -> None:  # noqa: ARG002  (as its like)
        said = messages.decode_payload(envelope, WebSocketClose)
        request_id = said.request_id or said.stream_id or envelope.request_id
        self._tell(self._found(envelope, request_id, ServiceWebSocket), lambda one: one.gateway_left())

    def _stream_chunk(self, envelope: Envelope, text: bytes) -> None:
        said = messages.decode_payload(_flattened(envelope, text), StreamChunk)
        if said.direction in _TO_AGENT:
            self._message(envelope, said.request_id or envelope.request_id, said.data)
        else:
            self._wiring.note("proxy_stream_chunk that is not to_agent")

    def _stream_close(self, envelope: Envelope, text: bytes) -> None:
        said = messages.decode_payload(_flattened(envelope, text), StreamClose)
        request_id = said.request_id or envelope.request_id
        self._tell(self._found(envelope, request_id, ServiceWebSocket), lambda one: one.gateway_left())

    def _message(self, envelope: Envelope, request_id: str | None, data: str) -> None:
        exchange = self._found(envelope, request_id, ServiceWebSocket)
        if exchange is None:
            return
        try:
            kind, payload = decode_websocket_message(decode_data(data))
        except MessageError as error:
            why = f"{envelope.type}: {error}"
            self._tell(exchange, lambda one: one.break_off(why))
        else:
            self._tell(exchange, lambda one: one.message(kind, payload))

    # --- inside

    def _found(self, envelope: Envelope, request_id: str | None, *kinds: type[_Kind]) -> _Kind | None:
        exchange = self._exchanges.get(request_id or "")
        if isinstance(exchange, kinds) and exchange.running:
            return exchange
        self._wiring.note(f"{envelope.type} for none that is running")
        return None

    def _garbled(self, envelope: Envelope, error: MessageError) -> None:
        """End the exchange that the message names; answer one that was to begin an exchange."""
        request_id = envelope.request_id or ""
        log.warning("message of the gateway dropped: %s", error)
        if envelope.type == "proxy_request":
            self._wiring.send_text(self._wire.error(request_id, f"invalid request: {error}"))
        else:
            self._tell(self._exchanges.get(request_id), lambda one: one.break_off(str(error)))

    def _tell(self, exchange: _Kind | None, what: Callable[[_Kind], None]) -> None:
        if exchange is None:
            return
        try:
            what(exchange)
        except Exception:
            log.exception("%r failed", exchange)
            exchange.crash()

    def _over(self, exchange: ServiceExchange) -> None:
        if self._exchanges.get(exchange.request_id) is exchange:
            del self._exchanges[exchange.request_id]
        self._traffic.ended(*exchange.carried_bytes)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("exchange closed: %r", exchange, extra={"fields": exchange.fields})
        self._tell_idle()

    def _have_lingered(self) -> None:
        self._lingered = True
        self._tell_idle()

    def _tell_idle(self) -> None:
        if self._lingered and not self._exchanges and not self._lost:
            self._wiring.idle()

    def _lag(self) -> int:
        """The bytes that wait for the service that lags most."""
        return max((exchange.lag_bytes for exchange in self._exchanges.values()), default=0)

    def _refused(self, exchange: ServiceExchange, reason: str, kind: str) -> None:
        self._traffic.refuse(kind)
        left_out = self._quota.take(self._loop.time(), exchange.target)
        if left_out is not None:
            log.warning(
                "refused exchange to %s: %s",
                exchange.target,
                reason,
                extra={"suppressed": left_out, "fields": exchange.fields},
            )


def _flattened(envelope: Envelope, text: bytes) -> Envelope:
    """Messages of the chunk dialect have their fields beside `type`, or in a payload (PROTOCOL.md, section 6)."""
    flat = bytes(envelope.payload) in _EMPTY
    return Envelope(envelope.type, envelope.request_id, msgspec.Raw(text)) if flat else envelope
