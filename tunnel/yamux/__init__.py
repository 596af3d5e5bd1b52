"""Yamux v0, hashicorp's stream multiplexer, sans-I/O, in both roles.

Nothing in this package does I/O, reads a clock, logs, or imports anything but the standard library.
"""

from tunnel.yamux.batch import BATCH_BYTES, Batch, Parts
from tunnel.yamux.errors import (
    CreditOverflow,
    DuplicateStream,
    FloodError,
    GoneAway,
    InvalidStreamId,
    InvalidType,
    InvalidVersion,
    LocalError,
    ProtocolError,
    StreamClosed,
    StreamIdsExhausted,
    TooManyStreams,
    UnexpectedFlag,
    WindowExceeded,
    YamuxError,
)
from tunnel.yamux.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PongReceived,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from tunnel.yamux.ids import Role
from tunnel.yamux.limits import Limits
from tunnel.yamux.pace import Pace
from tunnel.yamux.session import Session

__all__ = [
    "BATCH_BYTES",
    "Batch",
    "CreditOverflow",
    "DataReceived",
    "DuplicateStream",
    "Event",
    "FloodError",
    "GoAwayReceived",
    "GoneAway",
    "InvalidStreamId",
    "InvalidType",
    "InvalidVersion",
    "Limits",
    "LocalError",
    "Pace",
    "Parts",
    "PongReceived",
    "ProtocolError",
    "Role",
    "Session",
    "StreamClosed",
    "StreamEnded",
    "StreamIdsExhausted",
    "StreamOpened",
    "StreamReset",
    "TooManyStreams",
    "UnexpectedFlag",
    "WindowExceeded",
    "YamuxError",
]
