"""The input of a connection: the heads and bodies of its requests, one request at a time.

What arrives is read by the state of the connection (`connection_states.py`). Each head that is complete becomes a call
of the `Reception`; the body is told when the call asks for it and as fast as it takes it. What follows waits unread.

Invariants: no byte is read twice, and none is passed on before its head was understood; what waits is counted in the
account, and nothing more is read from the transport above `WAITING_BYTES` of it; many small chunks, and many requests
that came together, are read in as many turns of the event loop.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable

from tunnel.account import Holding
from tunnel.override import override

from ..public.client_port import HttpListener
from . import connection_states as states
from .answering import Answering
from .bodies import BodyReader, ChunkedReader, LengthReader
from .connection_states import ANSWERING, BODY, DROPPING, HEAD, TRAILERS, WAITING, State
from .heads import END, HEAD_BYTES, Head, HeadBuffer, asked_for, read_head, skip_empty_lines
from .lines import HeadError
from .port import Reception

logger = logging.getLogger("gateway")

_AT_ONCE_BYTES = 8 * 1024
"""A piece this long that ends like a head is read as one, without a search for its end."""
_CR = 0x0D


class Reading(Answering):
    """See the module. A subclass holds the deadlines, and knows the transport's end."""

    __slots__ = (
        "_body", "_buffer", "_dropped_bytes", "_ended_input", "_held", "_is_draining", "_is_starting", "_is_unread",
        "_lingers", "_may_have_left", "_may_tell", "_next_turn", "_paused", "_progress_bytes", "_reception", "_rest",
        "_rest_at", "_since", "_time", "_wants_body", "local", "peer", "requests", "scheme", "state",
    )  # fmt: skip

    def __init__(self, reception: Reception, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._reception = reception
        self._time: Callable[[], float] = loop.time
        self.state: State = WAITING
        self._since = 0.0  # when the state began, or the request came
        self.requests = 0
        """Read so far."""
        self._buffer: HeadBuffer | None = None  # of an unfinished head
        self._body: BodyReader | None = None
        self._may_tell = False  # the call has asked for the body
        self._paused = False  # by the call
        self._wants_body = True  # the call still does
        self._progress_bytes = 0  # of the body, since `_since`
        self._dropped_bytes = 0
        self._rest = b""  # not read yet, from `_rest_at` on
        self._rest_at = 0
        self._held: Holding | None = None  # of `_rest`
        self._is_unread = False  # nothing is read from the transport
        self._is_starting = False
        self._lingers = False  # the last request was refused, and the rest of it may still come
        self._is_draining = False
        self._ended_input = False  # the client half-closed
        self._may_have_left = False  # it did, and was sent nothing since
        self._next_turn: asyncio.Handle | None = None
        self.peer = "unknown"
        """The client's address."""
        self.local = ""
        """The address that it came to."""
        self.scheme = "http"

    # --- what a subclass says

    @abstractmethod
    def _enter(self, state: State) -> None:
        """A state with a deadline of its own, but WAITING, begins."""

    @abstractmethod
    def _leave(self, why: str = "") -> None:
        """Its client is gone: tell the call."""

    @abstractmethod
    def _end_input(self) -> None:
        """The client half-closed, and its request is complete: it waits for the answer, for a while."""

    @abstractmethod
    def _wait(self) -> None:
        """For the next request, which may be there already."""

    @abstractmethod
    def _linger(self) -> None:
        """Read and drop what still comes, so that the client gets the answer and no reset."""

    @abstractmethod
    def _upgrade(self, head: Head) -> None:
        """The head is the handshake of a WebSocket."""

    # --- heads

    def _read_head(self, data: bytes, at: int) -> None:
        """A head begins at this place of `data`, which is all that is there."""
        try:
            if not at and len(data) <= _AT_ONCE_BYTES and data[-4:] == END and data[0] != _CR:
                try:
                    head = read_head(data[:-2])
                except HeadError:
                    if data.find(END) == len(data) - 4:
                        raise
                else:
                    self._begin(head)
                    return
            end = data.find(END, at)
            if at <= end <= at + HEAD_BYTES - len(END) and data[at] != _CR:
                head = read_head(data[at : end + 2])
                end += len(END)
                self._rest, self._rest_at = (data, end) if end < len(data) else (b"", 0)
                self._begin(head)
                return
        except HeadError as error:
            self._refuse(error, data[at:])
            return
        self._enter(HEAD)
        self._buffer = HeadBuffer()
        self._read_on(data[at:])

    def _read_on(self, data: bytes) -> None:
        """More of a head that was not whole in its first piece, and what follows it."""
        buffer = self._buffer
        if buffer is None:
            return
        try:
            found = buffer.add(data)
            if found is None:
                self._keep()
                return
            self._buffer = None
            found = skip_empty_lines(found)
            end = found.find(END) + len(END)
            head = read_head(found[: end - 2])
        except HeadError as error:
            self._refuse(error, buffer.beginning)
            return
        self._rest, self._rest_at = found[end:], 0
        self._begin(head)
        self._keep()

    def _begin(self, head: Head) -> None:
        """The head is complete: its call begins."""
        framing = head.fields.framing
        self.requests += 1
        self._since = self._time()
        is_old = self._is_old = head.is_old
        is_head_request = self._is_head_request = head.method == "HEAD"
        keep_alive = not framing.closes and (framing.keeps_alive or not is_old) and not self._is_draining
        self._keep_alive = keep_alive
        has_body = framing.length > 0 or framing.chunked
        self._is_usual = keep_alive and not (is_old or is_head_request or has_body)
        self._takes_trailers = framing.takes_trailers
        if framing.upgrades:
            self._upgrade(head)
            return
        if has_body:
            self._body = ChunkedReader() if framing.chunked else LengthReader(framing.length)
            self._expects = framing.expects and not is_old and not self._rest
            self._may_tell = self._paused = False
            self._wants_body = True
            self._progress_bytes = self._dropped_bytes = 0
            self._enter(BODY)
        else:
            self.state = ANSWERING
        call = None
        self._is_starting = True
        try:
            call = self._call = self._reception.take(head, self)
            call.begin()
        except Exception:  # a bug: it ends only this connection
            logger.exception("a request failed")
            self._broke(call)
        self._is_starting = False
        if self._body is not None:
            self._read_body()
        if self._rest:
            self._keep()

    def _broke(self, call: HttpListener | None) -> None:
        if call is not None:
            call.broke()
        if self._call is call:
            self.abort()

    def _refuse(self, error: HeadError, data: bytes) -> None:
        """Answer what is not a request: `data`, at least its first line. The connection ends with it."""
        self.state = ANSWERING
        self._buffer = None
        asked = asked_for(data)
        if asked is not None:
            error.method, error.path = asked
        self._is_usual = self._keep_alive = self._is_old = False
        self._is_head_request = error.method == "HEAD"
        self._lingers = True
        call = self._call = self._reception.refuse(error, self)
        call.begin()

    # --- bodies

    @override
    def read_body(self) -> None:
        if self._body is None or self._may_tell:
            return
        self._may_tell = True
        if not self._rest and not self._ended_input:
            self._continue()
        elif not self._is_starting:
            self._wake_reader()

    @override
    def pause_body(self) -> None:
        self._paused = True

    @override
    def resume_body(self) -> None:
        self._paused = False
        if self._body is not None:
            self._wake_reader()

    def _read_body(self) -> None:
        """Read of the body what is there and may be told."""
        body, call = self._body, self._call
        if body is None or self._paused or (call is not None and not self._may_tell and self._wants_body):
            return
        data = self._rest[self._rest_at :] if self._rest_at else self._rest
        if not data and not self._ended_input:
            return
        self._rest_at = 0
        try:
            payload = body.feed(data)
        except HeadError as error:
            self._rest = b""
            self._spoil(error)
            return
        self._rest = body.rest
        self._progress_bytes += len(payload)
        complete = body.complete
        if complete:
            self._body = None
            if self.state is DROPPING:
                self._wait()
            else:
                self.state = ANSWERING
                self._since = self._time()
                self._is_usual = self._keep_alive and not (self._is_old or self._is_head_request)
                if self._ended_input:
                    self._end_input()
        elif self._ended_input and not body.more:
            self._end_short()
            return
        elif body.in_trailers and self.state is BODY:
            self._enter(TRAILERS)
        elif self.state is DROPPING:
            self._drop(len(payload))
        if (payload or complete) and call is not None and self._wants_body:
            self._wants_body = call.body(payload, last=complete)
        if body.more:
            self._wake_reader()

    def _spoil(self, error: HeadError) -> None:
        """The body is wrong, or too slow: nothing more of it is read."""
        call = self._call
        self._body = None
        self._is_usual = self._keep_alive = False
        self._lingers = True
        if self.state is DROPPING or call is None:
            self._close()
            return
        self.state = ANSWERING
        call.spoil(error.problem, str(error))

    def _end_short(self) -> None:
        """The client ended its direction within a request: it has left."""
        self._leave()
        self._close()

    def _drop(self, size_bytes: int) -> None:
        self._dropped_bytes += size_bytes
        if self._dropped_bytes > states.DROPPED_BYTES:
            self._linger()

    @override
    def _is_early(self) -> bool:
        body = self._body
        return body is not None and not (isinstance(body, LengthReader) and body.left <= states.DROPPED_BYTES)

    # --- what waits

    def _next(self) -> None:
        self._next_turn = None
        if self.state is WAITING and self._rest:
            data, at = self._rest, self._rest_at
            self._rest, self._rest_at = b"", 0
            self._read_head(data, at)
            self._keep()
            if self._ended_input and self.state is HEAD:
                self._end_short()
            elif self._ended_input and self.state is ANSWERING:
                self._end_input()
        elif self.state is WAITING and self._ended_input:
            self._close()
        elif self._body is not None:
            self._read_body()
            self._keep()

    def _wake_reader(self) -> None:
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._next)

    def _keep(self) -> None:
        """Count what waits, and read no more while there is too much."""
        size_bytes = len(self._rest)
        if self._buffer is not None:
            size_bytes = self._buffer.size_bytes  # nothing waits behind an unfinished head, and it has its own bound
        held = self._held
        if held is None:
            if not size_bytes:
                if self._is_unread:
                    self._read_again()
                return
            held = self._held = Holding(self._reception.account)
        held.set(size_bytes)
        if size_bytes > states.WAITING_BYTES and self._buffer is None:
            if not self._is_unread and self._transport is not None:
                self._is_unread = True
                self._transport.pause_reading()
        elif self._is_unread:
            self._read_again()

    def _read_again(self) -> None:
        self._is_unread = False
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
