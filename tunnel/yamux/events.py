"""What `Session.receive_data` reports, in the order in which it came.

Plain records without behaviour. They are not frozen, because a frozen dataclass costs three times as much to build,
and each piece of data builds a `DataReceived`.

Per stream: StreamOpened (only for the peer's streams), DataReceived*, then StreamEnded, StreamReset, or both in this
order. Nothing follows StreamReset, and no data follows StreamEnded. A stream that we reset ends without an event.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream: answer with `accept_stream` or `reset_stream`."""

    stream_id: int


@dataclass(slots=True)
class DataReceived:
    """Bytes of a stream, never empty. Acknowledge them once, when their consumer took them."""

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
    code: int = 0
    """Why, from a peer that says so (`Session.reset_stream`); from others it means nothing."""


@dataclass(slots=True)
class PongReceived:
    """One of our pings came back after `rtt` seconds."""

    rtt: float


@dataclass(slots=True)
class GoAwayReceived:
    """The peer takes no new streams. Code 0: live streams continue. Any other code, such as 1 (protocol error) or
    2 (internal error): the peer has ended its session.
    """

    code: int


Event: TypeAlias = StreamOpened | DataReceived | StreamEnded | StreamReset | PongReceived | GoAwayReceived
