"""What stands between RFC 6455 on a door's side and `[1 byte type][payload]` on an agent's: the handshake's answer,
messages, and closes that may be on a wire. Pure functions.
"""

from tunnel import websocket
from tunnel.gateway.proxied.answer import AnswerHead, checked_headers
from tunnel.http1.fields import read_fields
from tunnel.port import Headers
from tunnel.websocket.frames import CONTROL_LIMIT_BYTES, close_payload, parse_close
from tunnel.wire.proxy_messages import BINARY, TEXT

VANISHED = 1011
"""What a client is told when a service is gone without a word (design, section 6, rule 5)."""


def encoded_message(data: bytes | str) -> bytes:
    """A message as the agent takes it."""
    return bytes((TEXT,)) + data.encode() if isinstance(data, str) else bytes((BINARY,)) + data


def switching_fields(head: AnswerHead, key: bytes) -> Headers:
    """The 101's fields for the door, with the handshake between it and us. Raises BadAnswerError."""
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
    """A close payload that may be on the wire: a service that vanished, or said what must not be said, is 1011."""
    try:
        parsed = parse_close(payload)
    except UnicodeDecodeError:
        parsed = None
    if parsed is None or len(payload) > CONTROL_LIMIT_BYTES:
        return close_payload(VANISHED, "service vanished")
    return payload
