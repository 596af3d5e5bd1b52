"""How a client's connection goes on and ends: its deadlines, what follows an answer, and the ways to close it.

When a state is late, and what happens then, is in `connection_states.py`.

Invariant: its call is told `finished`, `broken_off` or `left` once, whatever ends the connection.
"""

import asyncio
from math import inf

from tunnel.override import override

from ..rules import problems
from . import connection_states as states
from .connection_states import (
    ANSWERING,
    BODY,
    CLOSED,
    CLOSING,
    DROPPING,
    HEAD,
    LINGERING,
    OPEN,
    ROWS,
    TRAILERS,
    WAITING,
    Late,
    State,
)  # fmt: skip
from .lines import HeadError
from .port import Reception
from .reading import Reading
from .sockets import cut_off


class Ending(Reading):
    """See the module. A subclass is told of the transport's events."""

    __slots__ = ("_untaken",)

    def __init__(self, reception: Reception, loop: asyncio.AbstractEventLoop, peer: str, local: str) -> None:
        super().__init__(reception, loop, peer, local)
        self._untaken: tuple[float, int] | None = None  # when we looked, and its size; the buffer is full since

    # --- deadlines

    def due(self, now: float, /) -> float:
        """Hold the deadline of the state. Returns when to be asked again."""
        state = self.state
        row = ROWS[state]
        if state is CLOSED or state is OPEN:
            return inf
        if state is ANSWERING and self._may_have_left and not self._started:
            if now < self._since + states.HALF_CLOSED_SECONDS:
                return self._since + states.HALF_CLOSED_SECONDS
            self.abort_for("it ended its input, and got no answer in time")
            return inf
        if self._takes_nothing(now):
            self.abort_for("it takes nothing of its answer")
            return inf
        seconds = row.seconds
        if state is WAITING:
            if self._rest:  # its turn comes
                return now + states.LOOK_SECONDS
            seconds = self._reception.keep_alive_seconds if self.requests else states.HEAD_SECONDS
        if seconds is None:
            return now + min(states.LOOK_SECONDS, self._reception.keep_alive_seconds)
        if now < self._since + seconds:
            return self._since + seconds
        is_fast = state is BODY and self._progress_bytes >= states.LEAST_BODY_BYTES
        if is_fast or (state in (BODY, TRAILERS) and (self._paused or not self._may_tell)):
            self._progress_bytes = 0
            self._since = now
            if self._body is not None:
                self._body.forgive()
            return now + seconds
        return self._late(row.late)

    def _takes_nothing(self, now: float) -> bool:
        """Whether the client has hardly read for `LOOK_SECONDS`, and its call leaves that to us."""
        call, transport = self._call, self._transport
        if not self.is_full or call is None or call.limits_client or transport is None:
            return False
        untaken_bytes = transport.get_write_buffer_size()
        if self._untaken is not None:
            looked_at, before = self._untaken
            if now < looked_at + states.LOOK_SECONDS:
                return False
            if untaken_bytes > before - states.LEAST_ANSWER_BYTES:
                return True
        self._untaken = now, untaken_bytes
        return False

    def _late(self, late: Late) -> float:
        if late is Late.REFUSE:
            self.turn_away(HeadError(f"no end within {states.HEAD_SECONDS:g} s", problems.HEAD_TIMEOUT))
        elif late is Late.SPOIL:
            self._spoil(HeadError("the body comes too slowly", problems.REQUEST_TIMEOUT))
        elif late is Late.CLOSE:
            self._close()
        elif late is Late.ABORT and self._transport is not None:
            cut_off(self._transport)
        return self._time() + (ROWS[self.state].seconds or states.LOOK_SECONDS)

    # --- after an answer, or without one

    @override
    def _answered(self) -> None:
        if self._body is None and self._keep_alive:
            self.state = WAITING
            self._since = self._time()
            if self._rest or self._ended_input or self._is_draining:
                self._wait()
        elif self._body is not None and self._keep_alive:
            self._enter(DROPPING)
            self._wants_body = self._paused = False
            self._wake_reader()
        elif (self._rest or self._lingers or self._body is not None) and not (self._ended_input or self._is_brief):
            self._linger()
        else:
            self._close()

    @override
    def _wait(self) -> None:
        """For the next request, which may be there already."""
        self.state = WAITING
        self._since = self._time()
        self._may_have_left = False  # it was sent an answer
        if self._rest or self._ended_input:
            self._wake_reader()
        elif self._is_draining:
            self._close()

    @override
    def _linger(self) -> None:
        """Read and drop what still comes, so that the client gets the answer and no reset."""
        self._body = None
        self._rest = b""
        self._dropped_bytes = 0
        self._enter(LINGERING)
        self._keep()
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()

    def turn_away(self, error: HeadError) -> None:
        """Refuse its request, unless the head has come."""
        if self.state is WAITING or self.state is HEAD:
            self._refuse(error, self._buffer.beginning if self._buffer is not None else b"")

    # --- the ends

    @override
    def _close(self) -> None:
        if self.state is CLOSING or self.state is CLOSED:
            return
        self._buffer = self._body = None
        self._rest = b""
        self._enter(CLOSING)
        self._keep()
        if self._transport is not None:
            self._transport.close()

    def _end_flood(self) -> None:
        """The client sends on and on after its answer, of which it has had the time to take all."""
        transport = self._transport
        if self.scheme == "https" and transport is not None and not transport.get_write_buffer_size():
            self.abort()  # `close` waits for its close_notify, and uvloop reads for it as fast as it can
        else:
            self._close()

    @override
    def _failed(self) -> None:
        self._buffer = self._body = None
        self._rest = b""
        if self.state is not CLOSING and self.state is not CLOSED:
            self._enter(CLOSING)
        self._keep()

    @override
    def _leave(self, why: str = "") -> None:
        """Its client is gone: tell the call."""
        call, self._call = self._call, None
        if call is not None:
            self._forget_answer()
            call.left(why)

    def abort_for(self, why: str) -> None:
        """Abort the connection, and tell its call so."""
        self._failed()
        if self._transport is not None:
            cut_off(self._transport)
        self._leave(why)

    # --- inside

    @override
    def _end_input(self) -> None:
        if not self._rest:
            self._is_usual = self._keep_alive = False
        if self._may_have_left and not self._started:
            self._since = self._time()
            self._reception.deadlines.put(self, self._since + states.HALF_CLOSED_SECONDS)

    @override
    def _enter(self, state: State) -> None:
        """A state with a deadline of its own, but WAITING, begins."""
        self.state = state
        self._since = now = self._time()
        seconds = ROWS[state].seconds
        if seconds is not None:
            self._reception.deadlines.put(self, now + seconds)
