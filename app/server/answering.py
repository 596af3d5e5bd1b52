"""The output of a connection: the answers to its requests, one after the other. It is the client of their calls.

A whole answer leaves in one write, at once. Otherwise the head waits until the end of the turn of the event loop for
what follows it, and leaves with that in one write. Framing follows the client (RFC 9112 section 6): a length where the
answer has one, else chunks, else, for HTTP/1.0, the end of the connection. A body that is longer or shorter than its
length is cut, and so is the connection: the client sees that it is incomplete.

Invariants: between two answers nothing of the last one is left; nothing is written once the transport is closing; a
call is told nothing before what it called has returned, and that it is over only once the connection goes on or ends:
a call that fails at its end holds up nothing.
"""

import asyncio
import http
from abc import abstractmethod
from typing import Final

from tunnel.override import override
from tunnel.port import Headers

from ..public.client_port import HttpClient, HttpListener
from .sockets import cut_off, unsent_bytes

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n%b\r\n"


def _reason(status: int) -> bytes:
    try:
        return http.HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""


STATUS_LINES: Final = {status: b"HTTP/1.1 %d %b\r\n" % (status, _reason(status)) for status in range(100, 600)}
"""With our own version, whatever the client's (RFC 9110 section 6.2)."""


class Answering(HttpClient):
    """See the module. A subclass reads the requests, and is told when an answer has ended."""

    __slots__ = (
        "_broken", "_call", "_chunked", "_chunks", "_ended", "_expects", "_head", "_is_head_request",
        "_is_old", "_is_usual", "_keep_alive", "_left", "_loop", "_started", "_takes_trailers", "_trailers",
        "_transport", "_turn", "_unsent_bytes", "is_full",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._call: HttpListener | None = None
        """Of the request that is being answered."""
        # Of the request.
        self._is_head_request = False
        self._is_old = False
        self._is_usual = False  # neither of these, the connection stays, and the request is complete
        self._keep_alive = True
        self._expects = False  # the client may wait for a 100 before it sends the body
        self._takes_trailers = False
        # Of the answer.
        self._head: tuple[int, Headers] | None = None  # given, and not written yet
        self._chunks: list[bytes] = []  # likewise
        self._trailers = b""
        self._chunked = False
        self._left: int | None = None  # of its length; None: it has none; a body that is not allowed has 0
        self._started = False
        self._ended = False
        self._broken = False
        self._turn: asyncio.Handle | None = None
        # Of the transport.
        self.is_full = False
        """Its buffer is above its mark."""
        self._unsent_bytes = 0  # of the body: given to it while it was full

    # --- what a subclass says

    @abstractmethod
    def _answered(self) -> None:
        """The answer is with the transport, and the call is over."""

    @abstractmethod
    def _is_early(self) -> bool:
        """Whether the request's body will not be read to its end after a whole answer now."""

    @abstractmethod
    def _close(self) -> None:
        """Close the connection after what was written."""

    @abstractmethod
    def _failed(self) -> None:
        """The connection is aborted."""

    # --- told by the call

    @override
    def start(self, status: int, fields: Headers, /) -> None:
        self._head = (status, fields)
        self._wake()

    @override
    def retract(self) -> bool:
        if self._head is None:
            return False
        self._forget_answer()
        return True

    @override
    def send(self, data: bytes, /) -> None:
        self._chunks.append(data)
        self._wake()

    @override
    def pass_on(self, data: bytes, /) -> bool:
        call, transport = self._call, self._transport
        waits = self._turn is not None or self.is_full or not self._started or self._is_head_request
        if waits or call is None or transport is None or self._left == 0:
            self.send(data)
            return False
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if self.is_full:
            self._unsent_bytes += len(data)
            call.sending()
        return not self.is_full

    @override
    def end(self) -> None:
        self._ended = True
        self._wake()

    @override
    def whole(self, status: int, fields: Headers, block: bytes, body: bytes, /) -> bool:
        transport = self._transport
        at_once = self._is_usual and not self.is_full
        if not at_once or transport is None:
            self.answer(status, fields, body)
            return False
        transport.write(b"%b%b\r\n%b" % (STATUS_LINES[status], block, body))
        if self.is_full:
            self._started = self._ended = True
            self._unsent_bytes = len(body)
            if self._call is not None:
                self._call.sending()
            return False
        self._call = None
        self._answered()
        return True

    @override
    def answer(self, status: int, fields: Headers, body: bytes, /) -> None:
        if self._is_early():
            self._keep_alive = False
        self._head = (status, fields)
        if body:
            self._chunks.append(body)
        self._ended = True
        self._wake()

    @override
    def interim(self, status: int, fields: Headers, /) -> None:
        if not self._is_old and not self._started and self._head is None and self._transport is not None:
            self._transport.write(STATUS_LINES[status] + _lines(fields) + b"\r\n")

    @override
    def trailers(self, fields: Headers, /) -> None:
        if self._takes_trailers:
            self._trailers = _lines(fields)

    @override
    def break_off(self, why: str, /) -> None:
        self._broken = True
        self._wake()

    @override
    def abort(self) -> None:
        self._call = None
        self._forget_answer()
        self._failed()
        if self._transport is not None:
            cut_off(self._transport)

    @property
    @override
    def unsent_bytes(self) -> int:
        return unsent_bytes(self._transport) if self._transport is not None else 0

    @override
    def watch(self) -> None: ...  # the socket is read all the time, but while what was read waits

    # --- told by the transport

    def pause_writing(self) -> None:
        """Its buffer is above its mark."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Its buffer has drained."""
        self.is_full = False
        if self._unsent_bytes or self._ended:
            size_bytes, self._unsent_bytes = self._unsent_bytes, 0
            self._tell(size_bytes)
        if self._chunks or self._head is not None or self._ended or self._broken:
            self._wake()

    # --- inside

    def _continue(self) -> None:
        """The body is asked for: let it come (RFC 9110 section 10.1.1)."""
        if self._expects and not self._started and self._transport is not None:
            self._expects = False
            self._transport.write(_CONTINUE)

    def _wake(self) -> None:
        if self._turn is None and not self.is_full:
            self._turn = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what was given in this turn, in one piece."""
        self._turn = None
        call, transport = self._call, self._transport
        waits = self.is_full
        if call is None or transport is None or waits:
            return
        pieces: list[bytes] = []
        if self._head is not None:
            pieces.append(self._encode_head(*self._head))
            self._head = None
            self._started = True
        size_bytes = self._add_body(pieces) if self._chunks or self._ended else 0
        data = b"".join(pieces)
        if data:
            transport.write(data)
        if self._broken:
            self._break(call, transport)
        elif self.is_full:
            self._unsent_bytes += size_bytes
            call.sending()
        elif data or self._ended:
            self._tell(size_bytes)

    def _tell(self, size_bytes: int) -> None:
        """The transport took so much of the body."""
        call = self._call
        if call is None:
            return
        if self._chunks or self._head is not None or not self._ended:
            call.sent(size_bytes)
            return
        self._call = None
        short = bool(self._left)
        self._forget_answer()
        if short and self._transport is not None:
            self.abort()  # less than was announced
        else:
            self._answered()
        call.finished(size_bytes)

    def _encode_head(self, status: int, fields: Headers) -> bytes:
        """The head of an answer, and its framing."""
        length = None
        for name, value in fields:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self._keep_alive = False
        if self._expects:  # the body follows, or the next request: nobody knows
            self._keep_alive = False
        self._chunked = False
        self._left = length
        block = _lines([field for field in fields if field[0] != b"connection"])
        if self._is_head_request or status < 200 or status in (204, 304):
            self._left = 0
        elif length is None and not self._is_old:
            self._chunked = True
            block += b"transfer-encoding: chunked\r\n"
        elif length is None:
            self._keep_alive = False
        if not self._keep_alive:
            block += b"connection: close\r\n"
        elif self._is_old:
            block += b"connection: keep-alive\r\n"
        return STATUS_LINES[status] + block + b"\r\n"

    def _add_body(self, pieces: list[bytes]) -> int:
        """Add the part of the body that was given, in its framing. Returns its size."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._chunked:
            if body:
                pieces.append(b"%x\r\n%b\r\n" % (len(body), body))
            if self._ended:
                pieces.append(_LAST_CHUNK % self._trailers)
            return len(body)
        if self._left is not None:
            body = body[: self._left]
            self._left -= len(body)
            if self._is_head_request:
                self._left = 0
        if body:
            pieces.append(body)
        return len(body)

    def _break(self, call: HttpListener, transport: asyncio.Transport) -> None:
        """Cut the connection so that the client sees that the answer is incomplete."""
        until_end = not self._chunked and self._left is None
        self._call = None
        self._forget_answer()
        if until_end:  # a FIN would look like its end
            self._failed()
            cut_off(transport)
        else:
            self._close()
        call.broken_off()

    def _forget_answer(self) -> None:
        self._head = None
        self._chunks = []
        self._trailers = b""
        self._chunked = self._started = self._ended = self._broken = False
        self._left = None
        self._unsent_bytes = 0


def _lines(fields: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])
