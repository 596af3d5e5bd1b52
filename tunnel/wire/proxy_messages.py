"""The JSON messages that carry exchanges in the `json` and `chunk` dialects, as both of our ends write and read them.

Only their shapes; tunnel/PROTOCOL.md, sections 5 and 6, says what they mean. Each is the payload of an envelope
(`messages.py`), except where the chunk dialect has its fields beside `type`. Bytes are base64, standard alphabet with
padding. An absent field has its default; unknown fields are ignored.
"""

import binascii
from base64 import b64decode, b64encode
from typing import Any

import msgspec

from tunnel.wire.messages import MessageError

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
"""The first byte of an encoded WebSocket message: RFC 6455's opcodes."""

MESSAGE_TYPES = frozenset((TEXT, BINARY, CLOSE, PING, PONG))


class ProxyRequest(msgspec.Struct, omit_defaults=True):
    """gateway -> agent, `proxy_request`: one HTTP request, or a WebSocket handshake.

    `path` is percent-decoded, `query` raw and without `?`. Never with `timeout` or `deadline` on a WebSocket.
    """

    method: str
    path: str
    query: str = ""
    headers: dict[str, list[str]] = {}
    service_name: str = ""
    namespace: str = ""
    service_port: int = 0
    scheme: str = ""
    body: str = ""
    body_encoding: str = ""
    """`base64`, or absent: then `body` is text."""
    streaming: bool = False
    """The body follows as `proxy_request_chunk`s and one `proxy_request_stream_end`."""
    supports_response_streaming: bool = False
    """Answer with header, chunks and end; else with one `proxy_response`."""
    is_websocket: bool = False
    timeout: int = 0
    """Milliseconds."""
    cluster_uuid: str = ""


class BodyChunk(msgspec.Struct):
    """gateway -> agent, `proxy_request_chunk` {`data`}; agent -> gateway, `proxy_response_chunk`."""

    data: str
    encoding: str = "base64"
    size: int = 0
    """Bytes of the decoded data."""


class ResponseHeader(msgspec.Struct):
    """agent -> gateway, `proxy_response_header`. `headers` may be null; a value may be a bare string."""

    status: int
    headers: dict[str, list[str] | str] | None = None


class Response(msgspec.Struct, omit_defaults=True):
    """agent -> gateway, `proxy_response`: a whole answer."""

    status: int
    headers: dict[str, list[str] | str] | None = None
    body: str = ""
    encoding: str = ""
    """`base64`, `gzip` (base64 of gzip, transport only), or absent: text."""


class Failure(msgspec.Struct, omit_defaults=True):
    """agent -> gateway, `proxy_error` and `proxy_response_abort`; the text is for logs, never for clients."""

    error: str = ""
    request_id: str = ""


class Nothing(msgspec.Struct):
    """The empty payload: `proxy_request_stream_end`, `proxy_cancel`, `proxy_response_end`."""


class WebSocketData(msgspec.Struct, omit_defaults=True):
    """Either way, `proxy_websocket_data` (alias `ws_data`): one message, `[1 byte type][payload]`."""

    data: str
    request_id: str = ""
    stream_id: str = ""
    message_type: int = 0


class WebSocketClose(msgspec.Struct, omit_defaults=True):
    """Either way, `proxy_websocket_close` (alias `ws_close`): clean up; the service sees 1000."""

    request_id: str = ""
    stream_id: str = ""


class Backpressure(msgspec.Struct, omit_defaults=True):
    """agent -> gateway, `backpressure`: one frame of this WebSocket was lost."""

    request_id: str = ""
    reason: str = ""


class StreamChunk(msgspec.Struct, omit_defaults=True):
    """Either way, `proxy_stream_chunk` of the chunk dialect."""

    data: str = ""
    direction: str = ""
    """`to_agent` or `from_agent`."""
    request_id: str = ""


class StreamClose(msgspec.Struct, omit_defaults=True):
    """Either way, `proxy_stream_close` of the chunk dialect."""

    reason: str = ""
    request_id: str = ""


def encode_data(data: bytes) -> str:
    """Base64 as this wire has it."""
    return b64encode(data).decode("ascii")


def decode_data(text: str) -> bytes:
    """Undo `encode_data`. Raises MessageError for anything that is not base64 with padding."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError("data is not base64") from None


def encode_websocket_message(message_type: int, payload: bytes) -> bytes:
    """`[1 byte type][payload]`. Raises ValueError for a type that the wire has not."""
    if message_type not in MESSAGE_TYPES:
        msg = f"{message_type} is no WebSocket message type; valid: {sorted(MESSAGE_TYPES)}"
        raise ValueError(msg)
    return bytes((message_type,)) + payload


def decode_websocket_message(encoded: bytes) -> tuple[int, bytes]:
    """The type and payload. Raises MessageError where there is no valid type."""
    if not encoded or encoded[0] not in MESSAGE_TYPES:
        raise MessageError("no valid message type in front of the data")
    return encoded[0], encoded[1:]


def header_items(headers: dict[str, list[str] | str] | None) -> list[tuple[str, str]]:
    """Names and values, one pair for each value, in the message's order; null counts as none."""
    items: list[tuple[str, str]] = []
    for name, values in (headers or {}).items():
        items.extend((name, value) for value in ([values] if isinstance(values, str) else values))
    return items


def flat(kind: str, request_id: str, payload: msgspec.Struct) -> dict[str, Any]:
    """A message whose fields stand beside its type, as the chunk dialect sends them."""
    return {"type": kind, "request_id": request_id, **msgspec.to_builtins(payload)}
