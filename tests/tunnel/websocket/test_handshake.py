"""The opening handshake against the RFC's own example, and every way a 101 can be wrong."""

import base64

import pytest

from tunnel.errors import BadAnswerError
from tunnel.websocket import HandshakeError, accept_for, check_accept, handshake_headers, new_key

# RFC 6455 section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = [
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Accept", ACCEPT),
]


def with_field(name: bytes, *values: bytes) -> list[tuple[bytes, bytes]]:
    kept = [(n, v) for n, v in GOOD if n != name]
    return kept + [(name, value) for value in values]


def test_the_accept_of_the_rfcs_key():
    assert accept_for(KEY) == ACCEPT


def test_keys_are_sixteen_fresh_bytes():
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}


def test_the_request_fields():
    assert handshake_headers(KEY, None) == [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Key", KEY),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    assert handshake_headers(KEY, b"chat, superchat")[-1] == (b"Sec-WebSocket-Protocol", b"chat, superchat")


@pytest.mark.parametrize(
    "headers",
    [
        GOOD,
        [(name.lower(), value) for name, value in GOOD],
        [*GOOD, (b"Server", b"x"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")],
        with_field(b"Upgrade", b"WebSocket"),
        with_field(b"Connection", b"keep-alive, Upgrade"),
        with_field(b"Connection", b"keep-alive", b"UPGRADE"),
        with_field(b"Sec-WebSocket-Accept", b" " + ACCEPT + b" "),
        [*GOOD, (b"Sec-WebSocket-Extensions", b"")],
    ],
)
def test_good_answers(headers: list[tuple[bytes, bytes]]):
    assert check_accept(KEY, headers, [b"chat"]) is None


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        (with_field(b"Upgrade"), "Upgrade"),
        (with_field(b"Upgrade", b"h2c"), "Upgrade"),
        (with_field(b"Upgrade", b"websocket", b"h2c"), "Upgrade"),
        (with_field(b"Connection"), "Connection"),
        (with_field(b"Connection", b"close"), "Connection"),
        (with_field(b"Connection", b"not-upgrade"), "Connection"),
        (with_field(b"Sec-WebSocket-Accept"), "Accept"),
        (with_field(b"Sec-WebSocket-Accept", ACCEPT.lower()), "Accept"),
        (with_field(b"Sec-WebSocket-Accept", ACCEPT, ACCEPT), "Accept"),
        ([*GOOD, (b"Sec-WebSocket-Extensions", b"permessage-deflate")], "Extensions"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"other")], "Protocol"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"CHAT")], "Protocol"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"")], "Protocol"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"chat, superchat")], "Protocol"),
        ([*GOOD, (b"Sec-WebSocket-Protocol", b"chat"), (b"Sec-WebSocket-Protocol", b"chat")], "Protocol"),
    ],
)
def test_bad_answers(headers: list[tuple[bytes, bytes]], field: str):
    with pytest.raises(HandshakeError, match=field) as caught:
        check_accept(KEY, headers, [b"chat", b"superchat"])
    assert isinstance(caught.value, BadAnswerError)


def test_the_chosen_subprotocol():
    headers = [*GOOD, (b"sec-websocket-protocol", b"superchat")]
    assert check_accept(KEY, headers, [b"chat", b"superchat"]) == b"superchat"
    with pytest.raises(HandshakeError, match="Protocol"):
        check_accept(KEY, headers, [])
