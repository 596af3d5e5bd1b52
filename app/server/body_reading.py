"""The bodies of a connection's requests, and what waits unread behind them.

A body is told when its call asks for it, and as fast as it takes it. What is expensive to read (many small chunks) is
read step by step, from the backlog that all connections share (`backlog.py`), and nothing of it is read out of turn.

Invariants: no byte is read twice; what waits is counted in the account, and nothing more is read from the transport
above `WAITING_BYTES` of it.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable

from tunnel.account import Holding
from tunnel.override import override

from . import connection_states as states
from .answering import Answering
from .backlog import Due
from .bodies import BodyReader, LengthReader
from .connection_states import ANSWERING, BODY, DROPPING, TRAILERS, WAITING, State
from .heads import HeadBuffer
from .lines import HeadError
from .port import Reception

_SLICE_BYTES = 32 * 1024
"""Looked at in one step of a body in small chunks. The longest line of a body is shorter (`bodies.LINE_BYTES`)."""


class BodyReading(Answering):
    """See the module. A subclass reads the heads, and says what a step is."""

    __slots__ = (
        "_body", "_buffer", "_crumbles", "_dropped_bytes", "_ended_input", "_held", "_is_brief", "_is_draining",
        "_is_starting", "_is_unread", "_lingers", "_may_have_left", "_may_tell", "_next_turn", "_paused",
        "_progress_bytes", "_reception", "_rest", "_rest_at", "_since", "_time", "_wants_body", "requests", "state",
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
        self._crumbles = False  # its chunks are so small that a step reads only part of what is there
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
        self._is_brief = False  # it does not linger
        self._ended_input = False  # the client half-closed
        self._may_have_left = False  # it did, and was sent nothing since
        self._next_turn: asyncio.Handle | Due | None = None

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
    def _next(self) -> int:
        """Do a step of what waits. Returns its cost, in the backlog's units."""

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
        if self._rest_at >= len(self._rest) and not self._ended_input:
            return
        try:
            payload, more = self._feed(body)
        except HeadError as error:
            self._rest, self._rest_at = b"", 0
            self._spoil(error)
            return
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
        elif self._ended_input and not more:
            self._end_short()
            return
        elif body.in_trailers and self.state is BODY:
            self._enter(TRAILERS)
        elif self.state is DROPPING:
            self._drop(len(payload))
        if (payload or complete) and call is not None and self._wants_body:
            self._wants_body = call.body(payload, last=complete)
        if more and not complete:
            self._wake_reader()

    def _feed(self, body: BodyReader) -> tuple[bytes, bool]:
        """The payload of one step, and whether another step would bring more. Raises HeadError."""
        rest, at = self._rest, self._rest_at
        size = len(rest)
        end = at + _SLICE_BYTES
        if self._crumbles and end < size:
            payload = body.feed(rest[at:end])
            self._rest_at = end - len(body.rest)
            self._crumbles = body.more
            return payload, not body.complete
        payload = body.feed(rest[at:] if at else rest)
        self._rest, self._rest_at = body.rest, 0
        more = self._crumbles = body.more
        return payload, more

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
        self._close()
        self._leave()

    def _drop(self, size_bytes: int) -> None:
        self._dropped_bytes += size_bytes
        if self._dropped_bytes > states.DROPPED_BYTES:
            self._linger()

    @override
    def _is_early(self) -> bool:
        body = self._body
        return body is not None and not (isinstance(body, LengthReader) and body.left <= states.DROPPED_BYTES)

    # --- what waits

    def _read_body_in_turn(self) -> None:
        """Read what came of the body: at once, unless it is chunked and others wait for their turn."""
        if self._rest and type(self._body) is not LengthReader and self._reception.backlog:
            self._wake_reader()
        else:
            self._read_body()

    def _rest_a_turn(self) -> None:
        """Read nothing until it is our turn."""
        if self._transport is not None and self._next_turn is None:
            self._is_unread = True
            self._transport.pause_reading()
            self._wake_reader()

    def _wake_reader(self) -> None:
        if self._next_turn is not None:
            return
        if type(self._body) is LengthReader:
            self._next_turn = self._loop.call_soon(self._next)  # it costs little, and an upload waits for nobody
        else:
            self._next_turn = self._reception.backlog.call_soon(self._next)

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
