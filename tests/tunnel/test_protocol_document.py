"""tunnel/PROTOCOL.md: its examples are what our own types read, and it leaves no message out."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tunnel.wire import messages, proxy_messages, publishing

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "tunnel" / "PROTOCOL.md").read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", TEXT, re.DOTALL)]

PAYLOADS: dict[str, type[msgspec.Struct]] = {
    "register": messages.Register,
    "register_success": messages.RegisterSuccess,
    "heartbeat": messages.Heartbeat,
    "heartbeat_ack": messages.HeartbeatAck,
    "ping": messages.Notice,
    "pong": messages.Notice,
    "error": messages.Notice,
    "going_away": messages.Notice,
    "gateway_hello": messages.GatewayHello,
    "gateway_hello_ack": messages.GatewayHelloAck,
    "stream_refused": messages.StreamRefused,
    "publish": publishing.Publish,
    "published": publishing.Published,
    "unpublished": publishing.Unpublished,
    "requests": publishing.Requests,
    "proxy_request": proxy_messages.ProxyRequest,
    "proxy_request_chunk": proxy_messages.BodyChunk,
    "proxy_response_header": proxy_messages.ResponseHeader,
    "proxy_response_chunk": proxy_messages.BodyChunk,
    "proxy_response_abort": proxy_messages.Failure,
    "proxy_response": proxy_messages.Response,
    "proxy_error": proxy_messages.Failure,
    "proxy_websocket_data": proxy_messages.WebSocketData,
    "proxy_websocket_close": proxy_messages.WebSocketClose,
    "backpressure": proxy_messages.Backpressure,
}
FLAT: dict[str, type[msgspec.Struct]] = {
    "proxy_stream_chunk": proxy_messages.StreamChunk,
    "proxy_stream_close": proxy_messages.StreamClose,
}
WITHOUT_FIELDS = {"proxy_request_stream_end", "proxy_cancel", "proxy_response_end", "protocol_fallback"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])
def test_an_example_is_what_our_types_read(example: dict[str, Any]):
    envelope = messages.decode_envelope(json.dumps(example))
    kind = PAYLOADS.get(envelope.type)
    if kind is not None:
        read = messages.decode_payload(envelope, kind)
        fields = {name for name in example["payload"] if name in read.__struct_fields__}
        assert fields == set(example["payload"]), "a field that no type of ours has"
        for name, value in example["payload"].items():
            field = getattr(read, name)
            said = msgspec.json.decode(field) if isinstance(field, msgspec.Raw) else msgspec.to_builtins(field)
            assert said == value
    elif envelope.type in FLAT:
        flat = msgspec.convert(example, FLAT[envelope.type])
        assert {"type", *flat.__struct_fields__} >= set(example)
    else:
        assert envelope.type in WITHOUT_FIELDS


def test_every_type_of_ours_has_an_example():
    assert {example["type"] for example in EXAMPLES} == {*PAYLOADS, *FLAT, *WITHOUT_FIELDS}


def test_data_of_the_examples_is_a_websocket_message():
    for example in EXAMPLES:
        if example["type"] in ("proxy_websocket_data", "proxy_stream_chunk"):
            data = example.get("data") or example["payload"]["data"]
            assert proxy_messages.decode_websocket_message(proxy_messages.decode_data(data)) == (1, b"hello")


def test_the_codes_of_publish_are_all_there():
    section = TEXT.partition("## 7. Publishing")[2]
    for code in publishing.Code:
        assert f"| `{code}` |" in section


def test_every_type_in_the_sources_is_in_the_document():
    """Every message type that a source names, in quotes: with its underscore a type is hard to mistake."""
    named: set[str] = set()
    for folder in ("tunnel/gateway", "tunnel/wire", "tunnel/agent"):
        for file in (ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r'"((?:proxy|ws|gateway|heartbeat|register|stream)_[a-z_]+)"', file.read_text()))
    types = {name for name in named if not name.endswith(("_timeout", "_name", "_id", "_url", "_port"))}
    assert [name for name in sorted(types) if f"`{name}`" not in TEXT and f'"{name}"' not in TEXT] == []
