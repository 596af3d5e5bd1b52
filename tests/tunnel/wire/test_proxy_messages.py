"""The encodings of the json and chunk dialects: the requirement's part 4, and base64 as this wire has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.wire.messages import MessageError
from tunnel.wire.proxy_messages import (
    MESSAGE_TYPES,
    decode_data,
    decode_websocket_message,
    encode_data,
    encode_websocket_message,
    header_items,
)

CASES = [(1, b"hello", b"\x01hello"), (2, b"", b"\x02"), (8, b"\x0f\xa1bye", b"\x08\x0f\xa1bye"), (9, b"p", b"\x09p"),
         (10, b"\nnewline", b"\x0a\nnewline")]  # fmt: skip


@pytest.mark.parametrize(("kind", "payload", "encoded"), CASES)
def test_encode_websocket_message(kind: int, payload: bytes, encoded: bytes):
    assert encode_websocket_message(kind, payload) == encoded


@pytest.mark.parametrize(("kind", "payload", "encoded"), CASES)
def test_decode_websocket_message(kind: int, payload: bytes, encoded: bytes):
    assert decode_websocket_message(encoded) == (kind, payload)


@given(st.sampled_from(sorted(MESSAGE_TYPES)), st.binary(max_size=300))
def test_a_message_comes_back_as_it_was(kind: int, payload: bytes):
    wire = encode_data(encode_websocket_message(kind, payload))
    assert decode_websocket_message(decode_data(wire)) == (kind, payload)


@pytest.mark.parametrize("kind", [0, 3, 7, 11, 255])
def test_a_type_that_the_wire_has_not(kind: int):
    with pytest.raises(ValueError, match=f"{kind} is no WebSocket message type"):
        encode_websocket_message(kind, b"")
    with pytest.raises(MessageError, match="no valid message type"):
        decode_websocket_message(bytes((kind,)) + b"x")


def test_an_empty_message_has_no_type():
    with pytest.raises(MessageError, match="no valid message type"):
        decode_websocket_message(b"")


@pytest.mark.parametrize("text", ["aGk", "aGk=\n", "-_-_", "a", "\u20ac", "aGk= "])
def test_what_is_not_base64_with_padding(text: str):
    with pytest.raises(MessageError, match="not base64"):
        decode_data(text)


def test_header_items():
    assert header_items(None) == []
    assert header_items({"A": ["1", "2"], "B": "3", "C": []}) == [("A", "1"), ("A", "2"), ("B", "3")]
