"""Converts between RFC 6455 on a door's side and `[1 byte type][payload]` on an agent's: the handshake's answer,
messages, and close payloads that are allowed on the wire. Pure functions.
"""

from tunnel import websocket
from tunnel.gateway.proxied.answer import AnswerHead, checked_headers
from tunnel.http1.fields import read_fields
from tunnel.port import Headers
from tunnel.websocket.frames import CONTROL_LIMIT_BYTES, close_payload, parse_close
from tunnel.wire.proxy_messages import BINARY, TEXT

VANISHED = 1011
"""The close code for a client whose service vanished without a close frame: 1006 must not be sent (RFC 6455 section
7.4.1)."""


def encoded_message(data: bytes | str) -> bytes:
    """A message in the agent's encoding."""
    return bytes((TEXT,)) + data.encode() if isinstance(data, str) else bytes((BINARY,)) + data


def switching_fields(head: AnswerHead, key: bytes) -> Headers:
    """The fields of the door's 101, which completes the handshake between the door and us. Raises BadAnswerError."""
    fields: Headers = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", websocket.accept_for(key)),
    ]
    for name, value in read_fields(checked_headers(head.headers)).passed_on:
        lowered = name.lower()
        if lowered == b"sec-websocket-protocol" or not (
            lowered.startswith(b"sec-websocket-") or lowered == b"content-length"
        ):
            fields.append((name, value))
    return fields


def sound_close(payload: bytes) -> bytes:
    """A close payload that is allowed on the wire: 1011 instead of one that is malformed or must not be sent."""
    try:
        parsed = parse_close(payload)
    except UnicodeDecodeError:
        parsed = None
    if parsed is None or len(payload) > CONTROL_LIMIT_BYTES:
        return close_payload(VANISHED, "service vanished")
    return payload
