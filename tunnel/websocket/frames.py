"""One RFC 6455 frame: reads and writes its head, masks its payload, and reads and writes the payload of a close.

It has no state. What a frame means, and whether it is allowed now, is up to the connection. Section numbers are
RFC 6455's. Every integer is in network order (section 5.2).
"""

import os
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import chain, repeat
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled wheel: the same, slower
    from websockets.utils import apply_mask

__all__ = [
    "CONTROL_LIMIT_BYTES",
    "HEAD_LIMIT_BYTES",
    "Opcode",
    "apply_mask",
    "close_payload",
    "encode_frame",
    "encode_in_parts",
    "is_valid_code",
    "parse_close",
    "parse_head",
]

HEAD_LIMIT_BYTES = 14
"""The longest head: two bytes, a 64-bit length, a mask."""

CONTROL_LIMIT_BYTES = 125
"""The longest payload of a control frame (section 5.5)."""

NO_CODE = 1005
"""Means a close frame without a code; never on the wire (section 7.4.1)."""

_FIN = 0x80
_MASKED = 0x80
_SHORT = Struct("!BB")
_MEDIUM = Struct("!BBH")
_LONG = Struct("!BBQ")
_MASK = Struct("4s")
_UINT16 = Struct("!H")
_UINT64 = Struct("!Q")


_POOL_BYTES = 1024


def _masks_of_a_pool(size: int) -> Iterator[tuple[bytes]]:
    return _MASK.iter_unpack(os.urandom(size))


_masks: Iterator[tuple[bytes]] = chain.from_iterable(map(_masks_of_a_pool, repeat(_POOL_BYTES)))
"""An endless supply of random masks, each used once; the system is asked for 256 at a time."""


class Opcode(IntEnum):
    """What a frame carries (section 11.8)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def parse_head(data: bytes, at: int) -> tuple[int, int, int, int] | None:
    """Read the head at `at`: its first two bytes, the length of the payload, and where the head ends.

    The mask, if there is one, is the last four bytes of the head. None: the head is not complete.
    """
    left = len(data) - at
    if left < 2:
        return None
    first, second = data[at], data[at + 1]
    length = second & 0x7F
    end = at + 2
    if length == 126:
        end += 2
        if left < 4:
            return None
        (length,) = _UINT16.unpack_from(data, at + 2)
    elif length == 127:
        end += 8
        if left < 10:
            return None
        (length,) = _UINT64.unpack_from(data, at + 2)
    if second & _MASKED:
        end += 4
        if at + left < end:
            return None
    return first, second, length, end


_pack_short, _pack_medium, _pack_long = _SHORT.pack, _MEDIUM.pack, _LONG.pack


def encode_frame(opcode: int, payload: bytes, masked: bool, fin: bool = True) -> bytes:
    """Encode one frame with the shortest form of its length, and a new mask if masked (section 5.3)."""
    length = len(payload)
    first = opcode | _FIN if fin else opcode
    if not masked:
        if length < 126:
            return _pack_short(first, length) + payload
        if length < 65536:
            return _pack_medium(first, 126, length) + payload
        return _pack_long(first, 127, length) + payload
    if length < 126:
        head = _pack_short(first, _MASKED | length)
    elif length < 65536:
        head = _pack_medium(first, _MASKED | 126, length)
    else:
        head = _pack_long(first, _MASKED | 127, length)
    (mask,) = next(_masks)
    return b"".join((head, mask, apply_mask(payload, mask)))


def encode_in_parts(
    opcode: int, pieces: Sequence[bytes | memoryview], size_bytes: int, masked: bool
) -> list[bytes | memoryview]:
    """Encode one frame like `encode_frame`, without joining: its head, then its payload, each piece masked by itself.

    `size_bytes` is that of all pieces together. What is not masked is not copied.
    """
    first, form = opcode | _FIN, _MASKED if masked else 0
    if size_bytes < 126:
        head = _pack_short(first, form | size_bytes)
    elif size_bytes < 65536:
        head = _pack_medium(first, form | 126, size_bytes)
    else:
        head = _pack_long(first, form | 127, size_bytes)
    if not masked:
        return [head, *pieces]
    (mask,) = next(_masks)
    parts: list[bytes | memoryview] = [head + mask]
    for piece in pieces:
        parts.append(apply_mask(piece, mask))
        turn = len(piece) & 3
        if turn:
            mask = mask[turn:] + mask[:turn]
    return parts


def is_valid_code(code: int) -> bool:
    """Whether a close frame may have `code`: the registered ones, 3000-3999 and 4000-4999 (section 7.4)."""
    return 3000 <= code < 5000 or (1000 <= code <= 1014 and code not in {1004, 1005, 1006})


def close_payload(code: int | None, reason: str) -> bytes:
    """Encode the payload of a close frame. A reason that is too long is cut between characters.

    Raises ValueError for a code that must not be sent, and for a reason without a code.
    """
    if code is None:
        if reason:
            raise ValueError("a close frame without a code has no place for a reason")
        return b""
    if not is_valid_code(code):
        msg = f"close code {code} must not be sent"
        raise ValueError(msg)
    text = reason.encode()
    limit = CONTROL_LIMIT_BYTES - 2
    if len(text) > limit:
        text = text[:limit].decode(errors="ignore").encode()
    return _UINT16.pack(code) + text


def parse_close(payload: bytes) -> tuple[int, str] | None:
    """Read the payload of a close frame: code (1005 if empty) and reason. None: one byte, or a forbidden code.

    Raises UnicodeDecodeError for a reason that is not UTF-8 (section 5.5.1).
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        return None
    (code,) = _UINT16.unpack_from(payload)
    return (code, payload[2:].decode()) if is_valid_code(code) else None
