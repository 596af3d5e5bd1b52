"""The input of a connection: its requests, one at a time.

What arrives is read by the state of the connection (`connection_states.py`). Each head that is complete becomes a call
of the `Reception`; its body is read in `body_reading.py`. What follows waits unread.

Invariants: no byte is passed on before its head was understood; a head that is expensive to read (hundreds of fields),
and the next of several requests that came together, are read when it is their turn in the backlog (`backlog.py`).
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Self, TypeVar

from tunnel.override import override

from ..public.client_port import HttpListener
from .bodies import ChunkedReader, LengthReader
from .body_reading import BodyReading
from .connection_states import ANSWERING, BODY, HEAD, LINGERING, WAITING
from .heads import (
    END,
    HEAD_BYTES,
    USUAL_BYTES,
    Head,
    HeadBuffer,
    UnusualHeadError,
    asked_for,
    read_head,
    skip_empty_lines,
)  # fmt: skip
from .lines import HeadError
from .port import Reception
from .sockets import is_reset

logger = logging.getLogger("gateway")

Asked = TypeVar("Asked", Head, HeadError)

_AT_ONCE_BYTES = 8 * 1024
"""A piece this long that ends like a head is read as one, without a search for its end."""
_CR = 0x0D
_UNIT_BYTES = 512
"""Of a head: each takes a unit of the backlog's, and the request as such takes one."""
_DROPPED_UNITS = 4
"""Of the backlog's, for one more read of what is dropped: over TLS its 256 KiB are decrypted, in 0.3 ms."""


class Reading(BodyReading):
    """See the module. A subclass holds the deadlines, and is told of the transport's events."""

    __slots__ = ("local", "peer", "scheme")

    def __init__(self, reception: Reception, loop: asyncio.AbstractEventLoop, peer: str = "", local: str = "") -> None:
        super().__init__(reception, loop)
        self.peer = peer
        """The client's address."""
        self.local = local
        """The address that it came to."""
        self.scheme = "http"

    # --- what a subclass says

    @abstractmethod
    def _upgrade(self, head: Head) -> None:
        """The head is the handshake of a WebSocket."""

    # --- heads

    def _read_head(self, data: bytes, at: int, in_turn: bool) -> None:
        """A head begins at this place of `data`, which is all that is there."""
        try:
            if not at and len(data) <= _AT_ONCE_BYTES and data[-4:] == END and data[0] != _CR:
                try:
                    head = read_head(data[:-2], in_turn)
                except (HeadError, UnusualHeadError):
                    if data.find(END) == len(data) - 4:
                        raise
                else:
                    self._begin(head)
                    return
            end = data.find(END, at)
            if at <= end <= at + HEAD_BYTES - len(END) and data[at] != _CR:
                if end - at > USUAL_BYTES - len(END) and not in_turn:
                    self._put_off(data)
                    return
                head = read_head(data[at : end + 2], in_turn)
                end += len(END)
                self._rest, self._rest_at = (data, end) if end < len(data) else (b"", 0)
                self._begin(head)
                return
        except HeadError as error:
            self._refuse(error, data[at:])
            return
        except UnusualHeadError:
            self._put_off(data)
            return
        self._enter(HEAD)
        self._buffer = HeadBuffer()
        self._read_on(data[at:], in_turn)

    def _read_on(self, data: bytes, in_turn: bool = False) -> None:
        """More of a head that was not whole in its first piece, and what follows it. In its turn nothing is put off."""
        buffer = self._buffer
        if buffer is None:
            return
        try:
            found = buffer.add(data)
            if found is None:
                self._keep()
                return
            self._buffer = None
            whole = skip_empty_lines(found)
            end = whole.find(END) + len(END)
            if end > USUAL_BYTES and not in_turn:
                self._put_off(found)
                return
            try:
                head = read_head(whole[: end - 2], in_turn)
            except UnusualHeadError:
                self._put_off(found)
                return
        except HeadError as error:
            self._refuse(error, buffer.beginning)
            return
        self._rest, self._rest_at = whole[end:], 0
        self._begin(head)
        self._keep()

    def _put_off(self, data: bytes) -> None:
        """The head that `data` begins with is expensive: read it when it is our turn."""
        self.state = WAITING
        self._since = self._time()
        self._rest, self._rest_at = data, 0
        self._wake_reader()
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
            self._may_tell = self._paused = self._crumbles = False
            self._wants_body = True
            self._progress_bytes = self._dropped_bytes = 0
            self._enter(BODY)
        else:
            self.state = ANSWERING
        self._is_starting = True
        self._begin_call(self._reception.take, head)
        self._is_starting = False
        if self._body is not None:
            self._read_body_in_turn()
        if self._rest:
            self._keep()

    def _begin_call(self, take: Callable[[Asked, Self], HttpListener], asked: Asked) -> None:
        call = None
        try:
            call = self._call = take(asked, self)
            call.begin()
        except Exception:  # a bug: it ends only this connection
            logger.exception("a request failed")
            if self._call is call:
                self.abort()
            if call is not None:
                call.broke()

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
        self._keep()
        self._begin_call(self._reception.refuse, error)

    # --- what waits

    @override
    def _next(self) -> int:
        """Do a step of what waits. Returns its cost, in the backlog's units."""
        self._next_turn = None
        if self.state is WAITING and self._rest:
            data, at = self._rest, self._rest_at
            self._rest, self._rest_at = b"", 0
            self._read_head(data, at, True)
            self._keep()
            if self._ended_input and self.state is HEAD:
                self._end_short()
            elif self._ended_input and self.state is ANSWERING:
                self._end_input()
            return 1 + (len(data) - at - len(self._rest) + self._rest_at) // _UNIT_BYTES
        if self.state is WAITING and self._ended_input:
            self._close()
        elif self.state is LINGERING:
            self._read_again()
            return _DROPPED_UNITS
        elif self._crumbles and self._transport is not None and is_reset(self._transport):
            self._end_short()
        elif self._body is not None:
            self._read_body()
            self._keep()
        return 1
