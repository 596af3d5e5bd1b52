"""What a WebSocket connection tells its caller. Plain values; nothing refers to the connection."""

from dataclasses import dataclass


@dataclass(slots=True)
class Message:
    """A whole message: `str` for text, `bytes` for binary."""

    data: str | bytes


@dataclass(slots=True)
class Ping:
    """A ping; its pong is owed, and in `Connection.data_to_send`."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """A pong, asked for or not."""

    payload: bytes


@dataclass(slots=True)
class Closed:
    """The peer's close frame; 1005 when it had no code. The last event of a connection."""

    code: int
    reason: str


@dataclass(slots=True)
class Failed:
    """The peer broke the rules; a close frame with this code is owed, unless ours is out. The last event."""

    code: int
    reason: str


Event = Message | Ping | Pong | Closed | Failed
