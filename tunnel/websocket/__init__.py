"""RFC 6455 over a byte stream, sans-I/O: the opening handshake, frame borders, and whole messages.

It never reads, waits, logs or looks at a clock: bytes in, events out; calls in, bytes out.
"""

from tunnel.websocket.connection import Connection, Role, State
from tunnel.websocket.events import Closed, Event, Failed, Message, Piece, Ping, Pong
from tunnel.websocket.frames import Opcode, encode_in_parts
from tunnel.websocket.handshake import (
    HandshakeError,
    accept_for,
    check_accept,
    handshake_headers,
    new_key,
)
from tunnel.websocket.pieces import HEAD_BYTES, LONG_BYTES, PieceReader
from tunnel.websocket.scanner import (
    LOOK,
    NO_MESSAGE,
    FrameScanner,
    Scanned,
    WholeMessages,
    marked_ping,
    whole_messages,
)

__all__ = [
    "HEAD_BYTES",
    "LONG_BYTES",
    "LOOK",
    "NO_MESSAGE",
    "Closed",
    "Connection",
    "Event",
    "Failed",
    "FrameScanner",
    "HandshakeError",
    "Message",
    "Opcode",
    "Piece",
    "PieceReader",
    "Ping",
    "Pong",
    "Role",
    "Scanned",
    "State",
    "WholeMessages",
    "accept_for",
    "check_accept",
    "encode_in_parts",
    "handshake_headers",
    "marked_ping",
    "new_key",
    "whole_messages",
]
