"""What a WebSocket connection tells its caller. Plain values without a reference to the connection."""

from dataclasses import dataclass


@dataclass(slots=True)
class Message:
    """A whole message: `str` for text, `bytes` for binary."""

    data: str | bytes


@dataclass(slots=True)
class Piece:
    """A part of a binary message, as it came, never empty. Only of a `PieceReader`."""

    data: bytes


@dataclass(slots=True)
class Ping:
    """A ping. Its pong is in `Connection.data_to_send`."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """A pong, solicited or not."""

    payload: bytes


@dataclass(slots=True)
class Closed:
    """The peer's close frame; 1005 if it had no code. The last event of a connection."""

    code: int
    reason: str


@dataclass(slots=True)
class Failed:
    """The peer broke the rules. We owe a close frame with this code unless ours was sent. The last event."""

    code: int
    reason: str


Event = Message | Piece | Ping | Pong | Closed | Failed
