"""The `chunk` dialect on one link: WebSockets as the requirement has them, in its parts 3 to 7.

Messages ride in `proxy_stream_chunk`, both ways, with their fields beside the type; `proxy_stream_close` ends a stream.
Close codes, pings and pongs cross. What an agent sends may have its fields in `payload` instead.

Invariants: these messages go only to agents of this dialect: the existing one does not know them. Each WebSocket that
the agent has heard of gets exactly one `proxy_stream_close`, behind all its data.
"""

import msgspec

from tunnel.gateway.proxied.carrier import ProxiedCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.websocket import WebSocketExchange
from tunnel.wire import messages
from tunnel.wire.messages import Envelope, MessageError
from tunnel.wire.proxy_messages import CLOSE, StreamChunk, StreamClose, decode_data, encode_websocket_message, flat


class ChunkCarrier(ProxiedCarrier):
    """One link that speaks `chunk`."""

    dialect = "chunk"
    forwards_pings = True
    types = frozenset(("proxy_stream_chunk", "proxy_stream_close"))
    data_types = frozenset(("proxy_stream_chunk",))

    # --- the agent's messages

    def obey(self, exchange: ProxiedExchange, envelope: Envelope, text: str | bytes) -> None:
        """See `ProxiedCarrier`."""
        if not isinstance(exchange, WebSocketExchange):
            raise MessageError(f"{envelope.type} for an exchange that is no WebSocket")
        if envelope.type == "proxy_stream_close":
            exchange.service_ended(_fields(envelope, text, StreamClose).reason)
            return
        chunk = _fields(envelope, text, StreamChunk)
        if chunk.direction not in ("", "from_agent"):
            self.warn_once(f"proxy_stream_chunk of direction {chunk.direction[:30]!r} ignored")
            return
        exchange.message_received(decode_data(chunk.data))

    # --- messages to the agent

    def send_message(self, exchange: WebSocketExchange, encoded: bytes) -> bool:
        """See `ProxiedCarrier`."""
        return self.connection.send_stream_chunk(exchange.request_id, encoded)

    def close_service(self, exchange: WebSocketExchange, payload: bytes) -> bool:
        """The agent answers with the service's close, or with the end of the stream."""
        self.send_message(exchange, encode_websocket_message(CLOSE, payload))
        return False

    def close_stream(self, exchange: WebSocketExchange, reason: str) -> None:
        """See `ProxiedCarrier`."""
        if self.is_lost:
            self.tell(self.closing_text(exchange.request_id, "link lost"))
        else:
            self.connection.close_proxy_stream(exchange.request_id, reason)

    def closing_text(self, request_id: str, reason: str = "") -> str:
        """See `ProxiedCarrier`."""
        return msgspec.json.encode(flat("proxy_stream_close", request_id, StreamClose(reason=reason))).decode()


def _fields(envelope: Envelope, text: str | bytes, kind: type[messages.Payload]) -> messages.Payload:
    """The fields of a message: in its payload, else beside its type. Raises MessageError."""
    payload = bytes(envelope.payload)
    if payload not in (b"{}", b"null"):
        return messages.decode_payload(envelope, kind)
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"bad {envelope.type}: {error}") from None
