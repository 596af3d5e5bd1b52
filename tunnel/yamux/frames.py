"""The yamux v0 frame header: twelve bytes, big endian.

    version u8 = 0 | type u8 | flags u16 | stream id u32 | length u32

Only a data frame has a body, of `length` bytes. In a window update `length` is the granted credit, in a ping an
opaque value that is sent back, in a go-away the reason.
"""

from struct import Struct
from typing import Final

HEADER: Final = Struct(">BBHII")
HEADER_BYTES: Final = 12
PLAIN_DATA: Final = Struct(">4xII")
"""The header of a data frame without flags: version, type and flags are zero."""

VERSION: Final = 0

DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
"""Opens a stream; on a ping: please answer."""
ACK: Final = 2
"""Accepts a stream; on a ping: the answer."""
FIN: Final = 4
RST: Final = 8

GO_AWAY_PROTOCOL_ERROR: Final = 1

MAX_LENGTH: Final = 0xFFFF_FFFF


def encode_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """The twelve bytes of a header. Raises struct.error for a value that does not fit its field."""
    return HEADER.pack(VERSION, kind, flags, stream_id, length)
