"""How large a WebSocket message each end of a link accepts, as the two ends tell each other (tunnel/PROTOCOL.md,
section 3, "Message limits").

Pure: reads the member `message_limit_bytes`, and does the arithmetic of envelopes. A value that cannot be one is
ignored, so a mistake of the other end never costs a link; `why_not` says what is wrong with it.
"""

from typing import TypeGuard

import msgspec

NO_LIMIT_BYTES = (1 << 63) - 1
"""The limit of an end that has not told one."""

LEAST_LIMIT_BYTES = 16 * 1024
"""The smallest limit that counts: a chunk of a body and the message around it need some room."""

ENVELOPE_BYTES = 4096
"""More than an envelope needs around its data: a request id stands in it three times, with 128 characters, escaped."""

_SHOWN_BYTES = 40


def limit_of(raw: msgspec.Raw) -> int:
    """The limit that the other end tells; `NO_LIMIT_BYTES` if it tells none, or none that counts."""
    value = _value_of(raw)
    return value if _counts(value) else NO_LIMIT_BYTES


def why_not(raw: msgspec.Raw) -> str:
    """What is wrong with the limit that the other end tells, for the log; empty if nothing is, or it tells none."""
    value = _value_of(raw)
    if value is None or _counts(value):
        return ""
    shown = bytes(raw)[:_SHOWN_BYTES].decode(errors="replace")
    return f"{shown!r} is not a whole number from {LEAST_LIMIT_BYTES} to 2^63 - 1"


def told(limit_bytes: int) -> msgspec.Raw:
    """The member's value."""
    return msgspec.Raw(b"%d" % limit_bytes)


def enveloped_bytes(message_bytes: int) -> int:
    """The largest envelope for this many bytes in base64: what a link must accept for them."""
    return (message_bytes + 2) // 3 * 4 + 64 * 1024


def carried_bytes(limit_bytes: int) -> int:
    """How many bytes of a body, or of a WebSocket message, surely fit into an envelope of `limit_bytes`."""
    return max(0, (limit_bytes - ENVELOPE_BYTES) // 4 * 3 - 1)  # 1: the type of a WebSocket message


def size_of(text: str) -> int:
    """The bytes of a text message."""
    return len(text) if text.isascii() else len(text.encode())


def _counts(value: object) -> TypeGuard[int]:
    return type(value) is int and LEAST_LIMIT_BYTES <= value <= NO_LIMIT_BYTES


def _value_of(raw: msgspec.Raw) -> object:
    """The decoded member; None if there is none. Digits that no decoder takes are text."""
    encoded = bytes(raw)
    if not encoded:
        return None
    try:
        return msgspec.json.decode(encoded)
    except msgspec.DecodeError:
        return encoded
