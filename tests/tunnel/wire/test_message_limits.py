"""The limits that the ends of a link tell each other: what counts, what does not, and what fits into an envelope."""

import msgspec
import pytest

from tunnel.wire import message_limits, messages
from tunnel.wire.message_limits import LEAST_LIMIT_BYTES, NO_LIMIT_BYTES
from tunnel.wire.proxy_messages import BodyChunk, StreamChunk, WebSocketData, encode_data, flat

WRONG = [
    "-1", "0", "-0", "1", str(LEAST_LIMIT_BYTES - 1), "-9223372036854775809", "1e9", "16777216.0", "1e400",
    "9223372036854775808", "9" * 30,
    "9" * 5000, "true", "false", '"16777216"', '""', '"many"', "[]", "[16777216]", "{}", '{"a": {"b": 1}}',
]  # fmt: skip
"""As JSON."""
RIGHT = [LEAST_LIMIT_BYTES, LEAST_LIMIT_BYTES + 1, 1_048_576, 16_777_216, 1 << 53, (1 << 63) - 1]
KINDS = [messages.Register, messages.RegisterSuccess, messages.GatewayHello]


def told(kind: type[messages.Payload], value: str | None) -> msgspec.Raw:
    """What a payload with this value says. It is always read."""
    member = f', "message_limit_bytes": {value}' if value is not None else ""
    text = f'{{"type": "x", "payload": {{"cluster_id": "c1"{member}}}}}'
    raw: msgspec.Raw = messages.decode_payload(messages.decode_envelope(text), kind).message_limit_bytes
    return raw


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", WRONG)
def test_a_limit_that_cannot_be_one_is_ignored(kind: type[messages.Payload], value: str):
    raw = told(kind, value)
    assert message_limits.limit_of(raw) == NO_LIMIT_BYTES
    assert message_limits.why_not(raw) == f"{value[:40]!r} is not a whole number from 16384 to 2^63 - 1"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", RIGHT)
def test_a_limit_counts(kind: type[messages.Payload], value: int):
    raw = told(kind, str(value))
    assert (message_limits.limit_of(raw), message_limits.why_not(raw)) == (value, "")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, "null"])
def test_none_is_told(kind: type[messages.Payload], value: str | None):
    raw = told(kind, value)
    assert (message_limits.limit_of(raw), message_limits.why_not(raw)) == (NO_LIMIT_BYTES, "")


def test_what_is_told_is_read():
    success = messages.RegisterSuccess("c1", message_limit_bytes=message_limits.told(20_000))
    envelope = messages.decode_envelope(messages.encode("register_success", success, "r-1"))
    raw = messages.decode_payload(envelope, messages.RegisterSuccess).message_limit_bytes
    assert message_limits.limit_of(raw) == 20_000
    assert b"message_limit_bytes" not in msgspec.json.encode(messages.RegisterSuccess("c1"))


@pytest.mark.parametrize("limit", [LEAST_LIMIT_BYTES, LEAST_LIMIT_BYTES + 1, 65_535, 65_536, 1_048_577, 16_777_216])
@pytest.mark.parametrize("request_id", ["r", "\x01" * messages.NAME_LIMIT, "\U0001f600" * messages.NAME_LIMIT])
def test_what_is_carried_fits(limit: int, request_id: str):
    size = message_limits.carried_bytes(limit)
    data = encode_data(bytes(size + 1))  # with the type of a WebSocket message
    chunk = msgspec.json.encode(flat("proxy_stream_chunk", request_id, StreamChunk(data, "from_agent"))).decode()
    for text in (
        messages.encode("proxy_websocket_data", WebSocketData(data, request_id, request_id, 2), request_id),
        messages.encode("proxy_response_chunk", BodyChunk(encode_data(bytes(size)), size=size), request_id),
        chunk,
    ):
        assert limit - 5 * message_limits.ENVELOPE_BYTES < message_limits.size_of(text) <= limit


def test_nothing_is_carried_by_less_than_an_envelope():
    assert [message_limits.carried_bytes(limit) for limit in (-5, 0, 4096, 4099)] == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10 * 1024 * 1024])
def test_an_envelope_carries_what_it_is_for(size: int):
    assert message_limits.carried_bytes(message_limits.enveloped_bytes(size)) >= size


@pytest.mark.parametrize(("text", "size"), [("", 0), ("abc", 3), ("\u00e9", 2), ("\U0001f600x", 5)])
def test_sizes_are_bytes(text: str, size: int):
    assert message_limits.size_of(text) == size
