"""What a conversation and its client's side say to each other: plain calls, no task and no await on the way.

A `Client` is the client's end of one WebSocket, after the accept: it knows the server's wire or its ASGI calls, and no
policy. It tells its conversation of whole messages (`message`), of the room it has again (`client_writable`), and
once of its end (`client_left`); while paused, of no message.
"""

from typing import Protocol

Message = str | bytes
"""Text or binary, whole."""


class Client(Protocol):
    """The client's end of one WebSocket."""

    @property
    def held_bytes(self) -> int:
        """What came of the client and was not told yet."""

    @property
    def unsent_bytes(self) -> int:
        """What the server still has to write, where it can be known: a client takes something while this falls."""

    def send(self, message: Message, /) -> bool:
        """Take a message; it leaves with the next `flush`. False: flush before the next one."""

    def send_now(self, message: Message, /) -> bool:
        """`send` and `flush` in one."""

    def flush(self) -> bool:
        """Write what was given. False: nothing more before `client_writable`."""

    def close(self, code: int, reason: str, /) -> bool:
        """Close in order, after what was given (1005: without a code). False: said once `client_writable` comes."""

    def abort(self) -> None:
        """Cut the connection at once, unsent bytes and all, where the server can."""

    def pause_reading(self) -> None:
        """Tell no message until `resume_reading`; idempotent."""

    def resume_reading(self) -> None:
        """Go on; tells nothing before it has returned. Idempotent."""


class Talk(Protocol):
    """What a client's end tells."""

    def message(self, data: Message, /) -> None:
        """A whole message."""

    def client_writable(self) -> None:
        """After `flush` or `close` returned False: all of it was taken."""

    def client_left(self, code: int, reason: str, /) -> None:
        """The client closed, with 1005 where it gave no code, or is gone (1006); idempotent."""
