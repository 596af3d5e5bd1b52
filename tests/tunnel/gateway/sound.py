"""What holds for every message that our gateway sends to an existing agent, whatever the recording.

The rules are the protocol's own (tunnel/PROTOCOL.md): a message that breaks one of them is
dropped by that agent in silence, is taken for a request of the Kubernetes API, or kills its process.
"""

import base64
import re
from datetime import datetime
from typing import Any

SENT_TO_AN_AGENT = {
    "register_success", "heartbeat_ack", "gateway_hello", "ping", "pong",
    "proxy_request", "proxy_request_chunk", "proxy_request_stream_end", "proxy_cancel",
    "proxy_websocket_data", "proxy_websocket_close",
}  # fmt: skip
"""And nothing else: no `proxy_stream_data` (it kills), no `proxy_websocket_start`, no JSON tunnel, no `error`."""

WITH_AN_ID = {kind for kind in SENT_TO_AN_AGENT if kind.startswith("proxy_")} | {"register_success"}

REQUEST_KEYS = {
    "method", "path", "query", "headers", "service_name", "namespace", "service_port", "scheme", "body",
    "body_encoding", "streaming", "supports_response_streaming", "is_websocket", "timeout", "cluster_uuid",
}  # fmt: skip
"""And nothing else: no `body_binary`, no `deadline`, no `use_zero_copy`."""

NO_HEADERS = {
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade",
    "proxy-authenticate", "proxy-authorization", "content-length", "expect",
    "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept",
}  # fmt: skip

MESSAGE_TYPES = {1, 2, 8}
"""Text, binary, close: pings and pongs stay with us."""

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
WITH_A_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def check(message: dict[str, Any]) -> None:
    """One message, as it left."""
    kind = message["type"]
    assert kind in SENT_TO_AN_AGENT, message
    assert set(message) <= {"type", "request_id", "payload", "timestamp"}
    assert isinstance(message["payload"], dict)
    assert WITH_A_ZONE.fullmatch(message["timestamp"]), message["timestamp"]
    assert datetime.fromisoformat(message["timestamp"]).utcoffset() is not None
    if "request_id" in message or kind in WITH_AN_ID:
        assert isinstance(message["request_id"], str)
        assert message["request_id"]
    payload = message["payload"]
    match kind:
        case "proxy_request":
            _check_request(payload)
        case "proxy_request_chunk":
            assert decoded(payload["data"])
        case "proxy_websocket_data":
            assert payload["request_id"] == payload["stream_id"] == message["request_id"]
            assert decoded(payload["data"])[0] in MESSAGE_TYPES
        case "proxy_websocket_close":
            assert payload["request_id"] == payload["stream_id"] == message["request_id"]


def decoded(data: str) -> bytes:
    """Base64 of the standard alphabet with padding, and nothing else."""
    return base64.b64decode(data, validate=True)


def _check_request(payload: dict[str, Any]) -> None:
    assert set(payload) <= REQUEST_KEYS
    assert LABEL.fullmatch(payload["service_name"])
    assert LABEL.fullmatch(payload["namespace"])
    assert type(payload["service_port"]) is int
    assert 0 < payload["service_port"] < 65_536
    assert payload["path"].startswith("/")
    assert ".." not in payload["path"]
    assert "://" not in payload["path"]
    assert ";" not in payload.get("query", "")
    assert payload["supports_response_streaming"] is True
    assert payload["scheme"] in {"http", "https"}
    # Of a buffered body it would cost the length that the service gets; a streamed one is chunked there anyway.
    allowed = {"content-length"} if payload.get("streaming") else set()
    for name, values in payload["headers"].items():
        assert name.lower() not in NO_HEADERS - allowed, name
        assert isinstance(values, list)
        assert all(isinstance(value, str) for value in values)
    assert payload["headers"]["Host"]
    if payload.get("is_websocket"):
        assert not {"timeout", "streaming", "body", "body_encoding"} & set(payload)
        return
    # Alone, even this one makes that agent open a WebSocket; an upload to one blocks it for good (5.3, 8.1).
    assert "sec-websocket-protocol" not in {name.lower() for name in payload["headers"]}
    assert type(payload["timeout"]) is int
    assert payload["timeout"] > 60_000  # milliseconds, and longer than any deadline of a door
    assert not (payload.get("streaming") and "body" in payload)
    if "body" in payload:
        assert payload["body_encoding"] == "base64"
        decoded(payload["body"])
