"""What the public side needs from a client, whichever door the client came in through.

`HttpClient` is the client of one HTTP call; it makes plain calls to its `HttpListener`. `Handshake` is the client of a
WebSocket until it is accepted or refused; it makes plain calls to its `HandshakeListener`. `WebSocketClient` is the
client's end of an open one that carries messages: it knows the server's wire or its ASGI calls, and no policy. It makes
plain calls to its `WebSocketListener`: `message` for each whole message, except while paused; `client_writable` when
its buffer has drained; `client_left` once, at the end. `SplicedClient` is the client's end of one that is spliced: it
passes bytes.
"""

from collections.abc import Callable
from typing import Protocol

from tunnel.account import Account
from tunnel.port import Headers

from ..rules.problems import Problem

Message = str | bytes
"""Text or binary, whole."""


class HttpClient(Protocol):
    """The client of one HTTP call. Plain calls; it tells its call (`HttpCall`) what follows:

    `body` for each part of the request's body once `read_body` was called; `sending` and `sent` around what its server
    does not take at once; then exactly one of `finished`, `broken_off` and `left`. It tells nothing before the call
    that asked for it has returned.
    """

    __slots__ = ()

    def start(self, status: int, fields: Headers, /) -> None:
        """Send the answer's head, joined with what follows in the same turn where the server lets us."""

    def retract(self) -> bool:
        """Take back the head and what followed it. False: some of it was sent."""

    def send(self, data: bytes, /) -> None:
        """Send a part of the answer's body."""

    def pass_on(self, data: bytes, /) -> bool:
        """Like `send`, for a long part, which is worth a write of its own, now.

        True: the client's server took it at once, and `sent` is not told. `sending` may be told within this call.
        """

    def end(self) -> None:
        """The answer is complete."""

    def whole(self, status: int, fields: Headers, block: bytes, body: bytes, /) -> bool:
        """Send a whole answer of the service, not of a HEAD. `block`: `fields` as lines, each with its CR LF.

        True: the client's server took all of it at once. The call is finished, and is told nothing more. Else `sending`
        may be told within this call.
        """

    def answer(self, status: int, fields: Headers, body: bytes, /) -> None:
        """Send a whole answer of our own, without its body where the request was a HEAD."""

    def interim(self, status: int, fields: Headers, /) -> None:
        """Send an interim answer, if the client and its server take it (RFC 9110 section 15.2)."""

    def trailers(self, fields: Headers, /) -> None:
        """Before `end`: the trailers of the answer, for a client and a server that take them."""

    def break_off(self, why: str, /) -> None:
        """After what was sent so far cut the connection, so that the client sees that the answer is incomplete."""

    def abort(self) -> None:
        """Cut the connection at once, unsent bytes and all, where the server can. The call is over."""

    def read_body(self) -> None:
        """Tell the parts of the request's body; idempotent."""

    def pause_body(self) -> None:
        """Tell no part until `resume_body`."""

    def resume_body(self) -> None:
        """Go on."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the client has not taken, as far as its server knows. While it falls, the client is reading."""

    def watch(self) -> None:
        """Notice a client that leaves; idempotent. Not asked for before an answer has been waited for."""


class HttpListener(Protocol):
    """What the client of an HTTP call tells; `HttpCall` is one."""

    __slots__ = ()

    limits_client: bool = False
    """It cuts a client off that takes nothing. False: the client's server has to."""

    def begin(self) -> None:
        """The client is ready for the first call to it."""

    def body(self, data: bytes, /, *, last: bool) -> bool:
        """A part of the request's body. False: no more of it is wanted."""

    def spoil(self, problem: Problem, why: str, /) -> None:
        """The request's body is wrong, or comes too slowly: refuse it so, or break the answer off."""

    def sending(self) -> None:
        """The client's server was given bytes that it has not taken yet."""

    def sent(self, size_bytes: int, /) -> None:
        """It took them: so many bytes of the answer's body."""

    def finished(self, size_bytes: int = 0, /) -> None:
        """It took the rest of the answer: so many bytes of its body."""

    def broken_off(self) -> None:
        """After `break_off`: the connection is being cut."""

    def left(self, why: str = "", /) -> None:
        """The client is gone; idempotent."""

    def broke(self) -> None:
        """A fault of ours, or of the server's, ended the call; idempotent."""


class Handshake(Protocol):
    """A client's WebSocket until it is accepted or refused. Plain calls; it tells its call (`WebSocketCall`) what
    follows, and nothing before the call that asked for it has returned:

    `begin`, once the server has handed over the handshake; then `accepted` or `refused`, once its server took the
    answer. In place of any of these `left`, `broke` or `abandoned`.
    """

    __slots__ = ()

    def accept(self, subprotocol: str | None, headers: Headers, /) -> None:
        """Answer 101."""

    def refuse(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Answer with this response if the server can, else with the server's own 403."""

    def open(self, max_message_bytes: int, account: Account, /) -> "WebSocketClient":
        """The client's end of the WebSocket. Call it once, from `accepted`."""

    @property
    def passes_bytes(self) -> bool:
        """Whether `splice` may be called in place of `open`."""

    def splice(self) -> "SplicedClient":
        """The client's end of a WebSocket whose bytes pass as they are. Call it once, from `accepted`.

        The handshake is over with it: do not call it any more.
        """

    def end(self) -> None:
        """The WebSocket that was opened is over."""


class HandshakeListener(Protocol):
    """What the client of a WebSocket tells until it is accepted or refused; `WebSocketCall` is one."""

    @property
    def is_over(self) -> bool:
        """Nothing more is asked."""

    def begin(self) -> None:
        """The client is ready for the first call to it."""

    def accepted(self) -> None:
        """The 101 is sent."""

    def refused(self) -> None:
        """The refusal is sent."""

    def left(self) -> None:
        """The client is gone; idempotent."""

    def broke(self) -> None:
        """A fault of ours, or of the server's, ended the call; idempotent."""

    def abandoned(self) -> None:
        """The server no longer serves this WebSocket; idempotent."""


class WebSocketClient(Protocol):
    """The client's end of one WebSocket."""

    __slots__ = ()

    def start(self, listener: "WebSocketListener", /) -> None:
        """Start to call `listener`."""

    def leave(self) -> None:
        """Make no more calls to the listener; idempotent."""

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


class SplicedClient(Protocol):
    """The client's end of one spliced WebSocket: RFC 6455 frames, cut anywhere."""

    __slots__ = ()

    def start(self, listener: "SplicedListener", /) -> None:
        """Start to call `listener`."""

    def leave(self) -> None:
        """Make no more calls to the listener; idempotent."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the server still has to write. While it falls, the client is reading."""

    def write(self, data: bytes, /) -> bool:
        """Take all of `data`. False: its buffer is above its mark, so wait for `client_writable`."""

    def pause_reading(self) -> None:
        """Pass on nothing until `resume_reading`; idempotent."""

    def resume_reading(self) -> None:
        """Pass on bytes again; idempotent."""

    def later(self, step: Callable[[], None], /) -> None:
        """Do more of the work that bytes brought, when it is this client's turn."""

    def hang_up(self) -> None:
        """Close the connection after what was written; idempotent."""

    def abort(self) -> None:
        """Cut the connection at once, unsent bytes and all."""


class SplicedListener(Protocol):
    """The calls that a `SplicedClient` makes; a `Splice` takes them."""

    def bytes_received(self, data: bytes, /) -> None:
        """Bytes from the client, never empty."""

    def client_writable(self) -> None:
        """All data is drained, after `write` returned False."""

    def ping_client(self) -> bool:
        """The client was silent for the whole interval: ask it for a sign of life. False: there is no place for it."""

    def client_silent(self) -> None:
        """Nothing came after a ping: the client is gone."""

    def server_stops(self) -> None:
        """The server stops, and the connection with it."""

    def client_left(self, code: int, reason: str, /) -> None:
        """The connection is gone (1006); idempotent."""

    def client_broke(self) -> None:
        """A fault of ours: nothing more comes of it; idempotent."""
