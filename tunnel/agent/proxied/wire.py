"""The messages that this agent sends about its exchanges, encoded (PROTOCOL.md, sections 5 and 6).

Pure: text out. The two dialects differ only in the messages and the end of a WebSocket: the chunk dialect has their
fields beside `type`. Both report a service's close: a message of type 8 with its code and reason, then the end of the
WebSocket.
"""

import msgspec

from tunnel.override import override
from tunnel.port import Headers, ResponseHead
from tunnel.wire import messages
from tunnel.wire.proxy_messages import (
    BodyChunk,
    Failure,
    Response,
    ResponseHeader,
    StreamChunk,
    StreamClose,
    WebSocketClose,
    WebSocketData,
    encode_data,
    encode_websocket_message,
    flat,
)

CHUNK_BYTES = 32 * 1024
"""The most of a body in one message."""
_REASON_CHARS = 1000
"""Of a reason, so that every gateway accepts a message with it."""


class End(msgspec.Struct):
    """agent -> gateway, `proxy_response_end`."""


class Wire:
    """The `json` dialect."""

    dialect = "json"

    def header(self, request_id: str, status: int, headers: Headers | None) -> str:
        """The answer's head; `headers` is None where the service gave no answer."""
        payload = ResponseHeader(status, None if headers is None else fields_of(headers))
        return messages.encode("proxy_response_header", payload, request_id)

    def chunks(self, request_id: str, data: bytes, chunk_bytes: int = CHUNK_BYTES) -> list[str]:
        """A piece of the body, in messages with at most `chunk_bytes` of it."""
        pieces = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
        return [
            messages.encode("proxy_response_chunk", BodyChunk(encode_data(piece), size=len(piece)), request_id)
            for piece in pieces
        ]

    def end(self, request_id: str) -> str:
        """The answer is complete."""
        return messages.encode("proxy_response_end", End(), request_id)

    def abort(self, request_id: str, why: str) -> str:
        """The exchange failed, before or within its answer."""
        return messages.encode("proxy_response_abort", Failure(why[:_REASON_CHARS]), request_id)

    def error(self, request_id: str, why: str) -> str:
        """The exchange failed, for a gateway that takes answers whole."""
        return messages.encode("proxy_error", Failure(why[:_REASON_CHARS]), request_id)

    def response(self, request_id: str, head: ResponseHead, body: bytes) -> str:
        """A whole answer."""
        payload = Response(head.status, fields_of(head.headers), encode_data(body), "base64" if body else "")
        return messages.encode("proxy_response", payload, request_id)

    def websocket_message(self, request_id: str, kind: int, payload: bytes) -> str:
        """A WebSocket's message, or its close, ping or pong."""
        data = encode_data(encode_websocket_message(kind, payload))
        return messages.encode("proxy_websocket_data", WebSocketData(data, request_id, request_id, kind), request_id)

    def websocket_over(self, request_id: str, why: str) -> str:  # noqa: ARG002 (this dialect has no place for it)
        """A WebSocket is over; nothing more comes."""
        return messages.encode("proxy_websocket_close", WebSocketClose(request_id, request_id), request_id)


class ChunkWire(Wire):
    """The `chunk` dialect."""

    dialect = "chunk"

    @override
    def websocket_message(self, request_id: str, kind: int, payload: bytes) -> str:
        data = encode_data(encode_websocket_message(kind, payload))
        return _encode_flat("proxy_stream_chunk", request_id, StreamChunk(data, "from_agent"))

    @override
    def websocket_over(self, request_id: str, why: str) -> str:
        return _encode_flat("proxy_stream_close", request_id, StreamClose(why[:_REASON_CHARS]))


def fields_of(headers: Headers) -> dict[str, list[str] | str]:
    """Fields as gateways expect them: names as Go writes them, each with its values in their order."""
    fields: dict[str, list[str] | str] = {}
    for name, value in headers:
        text = "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
        values = fields.setdefault(text, [])
        if isinstance(values, list):
            values.append(_text_of(value))
    return fields


def _text_of(value: bytes) -> str:
    """A field's value: decoded from UTF-8, or byte by byte where it is not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _encode_flat(kind: str, request_id: str, payload: msgspec.Struct) -> str:
    return msgspec.json.encode(flat(kind, request_id, payload)).decode()
