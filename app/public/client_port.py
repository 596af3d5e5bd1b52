"""What the public side needs from a client, whichever door the client came in through.

`HttpClient` is the client of one HTTP call. `Handshake` is the client of a WebSocket until it is accepted or refused.
Both are awaited. `WebSocketClient` is the client's end of an open WebSocket: it knows the server's wire or its ASGI
calls, and no policy. It makes plain calls to its `WebSocketListener`: `message` for each whole message, except while
paused; `client_writable` when its buffer has drained; `client_left` once, at the end.
"""

from collections.abc import Awaitable
from typing import Protocol

from tunnel.account import Account
from tunnel.port import Headers

Message = str | bytes
"""Text or binary, whole."""


class HttpClient(Protocol):
    """The client of one HTTP call. Its methods raise OSError once the client has left."""

    def start(self, status: int, headers: Headers, /) -> Awaitable[None]:
        """Send the answer's head. Field names must be in lower case."""

    def send(self, body: bytes, /, *, more: bool) -> Awaitable[None]:
        """Send a part of the answer's body; returns once the server has taken it. `more` is False for the last part."""

    def answer(self, status: int, headers: Headers, body: bytes, /) -> Awaitable[None]:
        """Send a whole answer of the gateway's own, without its body if the request was a HEAD."""

    def receive(self) -> Awaitable[tuple[bytes, bool] | None]:
        """The next part of the request's body, and whether more follows. None: the client has left."""

    def abort(self) -> bool:
        """Abort the connection and drop unsent bytes. False: this server cannot."""


class Handshake(Protocol):
    """A client's WebSocket until it is accepted or refused. Its methods raise OSError once the client has left."""

    def begin(self) -> Awaitable[bool]:
        """Wait for the server to hand over the handshake. False: the client has left."""

    def accept(self, subprotocol: str | None, headers: Headers, /) -> Awaitable[None]:
        """Answer 101."""

    def refuse(self, status: int, headers: Headers, body: bytes, /) -> Awaitable[None]:
        """Answer with this response if the server can, else with the server's own 403."""

    def open(self, max_message_bytes: int, account: Account, /) -> "WebSocketClient":
        """The client's end of the WebSocket. Call it once, right after `accept`."""


class WebSocketClient(Protocol):
    """The client's end of one WebSocket."""

    __slots__ = ()

    def start(self, listener: "WebSocketListener", /) -> None:
        """Start to call `listener`."""

    async def leave(self) -> None:
        """Make no more calls to the listener."""

    @property
    def held_bytes(self) -> int:
        """Bytes received from the client and not yet passed to the listener."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the server still has to write, if known. While it falls, the client is reading."""

    def send(self, message: Message, /) -> bool:
        """Queue a message; the next `flush` writes it. False: flush before the next message."""

    def send_now(self, message: Message, /) -> bool:
        """`send` and `flush` in one call."""

    def flush(self) -> bool:
        """Write all queued messages. False: send nothing more before `client_writable`."""

    def close(self, code: int, reason: str, /) -> bool:
        """Send a close frame after the queued messages (1005: without a code). False: wait for `client_writable`."""

    def abort(self) -> None:
        """Abort the connection and drop unsent bytes, if the server can."""

    def pause_reading(self) -> None:
        """Pass on no message until `resume_reading`; idempotent."""

    def resume_reading(self) -> None:
        """Pass on messages again, but not before this call has returned; idempotent."""


class WebSocketListener(Protocol):
    """The calls that a `WebSocketClient` makes; a `Conversation` takes them."""

    def message(self, data: Message, /) -> None:
        """A whole message."""

    def client_holds(self) -> None:
        """The client's end holds a part of what the client sent, after it held nothing."""

    def client_writable(self) -> None:
        """All data is drained, after `flush` or `close` returned False."""

    def client_left(self, code: int, reason: str, /) -> None:
        """The client closed (1005: it gave no code) or vanished (1006); idempotent."""
