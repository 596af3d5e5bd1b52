"""The `chunk` dialect on one link: WebSockets in the original requirement's messages (tunnel/PROTOCOL.md section 6).

Messages travel in `proxy_stream_chunk`, both ways, with their fields beside the type; `proxy_stream_close` ends a
stream. Close codes, pings and pongs cross. An agent may put the fields into `payload` instead.

Invariants: these messages go only to agents of this dialect, because the existing agent does not know them. Each
WebSocket that the agent has heard of gets exactly one `proxy_stream_close`, after all its data.
"""

import msgspec

from tunnel.gateway.proxied.carrier import ProxiedCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.proxy_stream import ProxyStream
from tunnel.gateway.proxied.websocket import ProxiedWebSocket
from tunnel.override import override
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

    @override
    def dialect_message_received(self, exchange: ProxiedExchange, envelope: Envelope, text: str | bytes) -> None:
        if not isinstance(exchange, ProxiedWebSocket):
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

    @override
    def send_message(self, stream: ProxyStream, encoded: bytes) -> bool:
        return self.connection.send_stream_chunk(stream.request_id, encoded)

    @override
    def close_service(self, stream: ProxyStream, payload: bytes) -> bool:
        """The agent answers with the service's close, or with the end of the stream."""
        self.send_message(stream, encode_websocket_message(CLOSE, payload))
        return False

    @override
    def break_off(self, stream: ProxyStream, payload: bytes) -> None:
        stream.keep_lane()
        self.send_message(stream, encode_websocket_message(CLOSE, payload))
        stream.send(self.closing_text(stream.request_id, "closed"))

    @override
    def end_websocket(self, stream: ProxyStream, reason: str, *, in_handshake: bool) -> None:
        if self.is_lost:
            self.tell(self.closing_text(stream.request_id, "link lost"))
        else:
            self.connection.close_proxy_stream(stream.request_id, reason)
        super().end_websocket(stream, reason, in_handshake=in_handshake)

    @override
    def closing_text(self, request_id: str, reason: str = "") -> str:
        return msgspec.json.encode(flat("proxy_stream_close", request_id, StreamClose(reason=reason))).decode()


def _fields(envelope: Envelope, text: str | bytes, kind: type[messages.Payload]) -> messages.Payload:
    """The fields of a message: from its payload, else from beside its type. Raises MessageError."""
    payload = bytes(envelope.payload)
    if payload not in (b"{}", b"null"):
        return messages.decode_payload(envelope, kind)
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"bad {envelope.type}: {error}") from None
