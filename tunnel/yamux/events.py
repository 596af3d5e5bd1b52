"""What `Session.receive_data` reports, in the order in which it came.

Plain records without behaviour. Not frozen: a frozen dataclass costs three times as much to build, and one
`DataReceived` is built for every piece of data.

Per stream: StreamOpened (the peer's streams only), DataReceived*, then StreamEnded, StreamReset or both in
this order; nothing after StreamReset, and no data after StreamEnded. A stream that we reset ends silently.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream: answer with `accept_stream` or `reset_stream`."""

    stream_id: int


@dataclass(slots=True)
class DataReceived:
    """Bytes of a stream, never empty; to be acknowledged once, when their consumer took them."""

    stream_id: int
    data: bytes


@dataclass(slots=True)
class StreamEnded:
    """The peer ended its direction (FIN); ours stays open until we end it."""

    stream_id: int


@dataclass(slots=True)
class StreamReset:
    """Both directions are gone: the peer reset or refused the stream, or went away before it could start."""

    stream_id: int


@dataclass(slots=True)
class PongReceived:
    """One of our pings came back after `rtt` seconds."""

    rtt: float


@dataclass(slots=True)
class GoAwayReceived:
    """The peer takes no new streams. Code 0: live ones go on. 1 (protocol error) or 2 (internal error), and
    any other: the peer has ended its session, nothing more is to be hoped for.
    """

    code: int


Event: TypeAlias = StreamOpened | DataReceived | StreamEnded | StreamReset | PongReceived | GoAwayReceived
