"""A connection on a peer's stream: `server/connection.py` with an answer byte, and without a client's deadlines.

The first request decides the answer to the peer: `through` once its exchange is open, a refusal if it cannot be opened.
Then nothing was passed on, and the peer may go elsewhere. A head that is not complete after `AHEAD_BYTES` gets
`through`, because the peer sends no more without it. A later request that is refused cannot use that answer any more:
what the dialect cannot carry is answered with 400 and the reason, all else resets the stream.

What breaks off is reset and never ended cleanly. An end of the peer's direction is only that: an answer goes on, a
request that is not whole is over. Deadlines are the peer's; `due` holds the last bounds, so that nothing is left for
ever.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from tunnel.errors import RequestRefusedError, ServiceBrokeOffError, TunnelError
from tunnel.http1 import UnsendableHeadError
from tunnel.override import override
from tunnel.port import Headers, Upstream

from ...node.stalls import Lag, Lags
from ...public.client_port import HttpListener
from .. import connection_states as states
from ..answering import STATUS_LINES
from ..connection import Connection
from ..connection_states import ANSWERING, CLOSED, CLOSING, LINGERING, OPEN, UPGRADING, WAITING
from ..heads import Head
from ..port import Channel, Peer, Reception
from .transport import StreamTransport

Answer = Callable[[TunnelError | None], None]
"""Writes the answer to the peer on its stream, once and before anything else: None: through; else refused, for this
reason. The end of the stream after a refusal is the door's."""

AHEAD_BYTES: Final = 32 * 1024
"""Of an unfinished head. A peer sends at most 64 KiB before the answer, and some of that before the head."""
IDLE_SECONDS: Final = 60.0
"""Between two requests. A peer keeps an idle stream for three."""
LAST_SECONDS: Final = 900.0
"""Without a byte of a request that is not whole, or with bytes that the peer does not take: its own deadlines are
minutes at the most."""
LEAVING_SECONDS: Final = 10.0
"""For the peer to end its direction after we ended ours."""


class Carried(Protocol):
    """A request on its way, as its connection sees it."""

    @property
    def held_bytes(self) -> int:
        """What it holds, here and in the link."""

    @property
    def unread_bytes(self) -> int:
        """Of these, bytes of the peer that it was given and has not passed on."""

    @property
    def lags_behind(self) -> bool:
        """The link does not take what the peer sends for it."""


class Frames(Channel, Peer, Protocol):
    """An open WebSocket, as its connection sees it."""

    def end_received(self) -> None:
        """The peer ended its direction."""


class BareConnection(Connection):
    """See the module. `upstream` carries its requests; `fresh`: the peer asked for a new connection to the service."""

    __slots__ = ("_answer", "_error", "_frames", "_mark", "_marked_at", "_stream", "carried", "fresh", "upstream")

    def __init__(
        self, door: Reception, loop: asyncio.AbstractEventLoop, upstream: Upstream, answer: Answer, *,
        peer: str, fresh: bool,
    ) -> None:  # fmt: skip
        super().__init__(door, loop, peer)
        self.upstream = upstream
        self.fresh = fresh
        self._answer: Answer | None = answer
        self._error: TunnelError | None = None  # of an answer that breaks off
        self._frames: Frames | None = None  # of an open WebSocket
        self._stream: StreamTransport | None = None
        self.carried: Carried | None = None
        """The request that is on its way."""
        self._mark: tuple[object, ...] = ()  # another one once something has moved
        self._marked_at = 0.0

    def serve(self, stream: StreamTransport, early: bytes) -> None:
        """Take what comes from now on."""
        self._stream = stream
        self.connection_made(stream)
        stream.begin(early)

    # --- the answer to the peer

    @property
    def is_asked(self) -> bool:
        """The peer waits for the answer."""
        return self._answer is not None

    def through(self) -> None:
        """The exchange is open; idempotent."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(None)

    def refuse(self, error: TunnelError | UnsendableHeadError) -> None:
        """The request gets no exchange, and nothing of it was passed on."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(RequestRefusedError(str(error)) if isinstance(error, UnsendableHeadError) else error)
            self._leave()
            self._close()
        elif isinstance(error, UnsendableHeadError):
            text = f"{error}\n".encode()
            length = (b"content-length", b"%d" % len(text))
            self.answer(400, [(b"content-type", b"text/plain; charset=utf-8"), length], text)
        else:
            self.end_with(error)

    # --- ends that are not in order

    def fail(self, error: TunnelError) -> None:
        """The answer breaks off: after what came of it before."""
        self._error = error
        if self.state is OPEN:
            self.end_with(error)
        else:
            self.break_off(str(error))

    @property
    def is_websocket(self) -> bool:
        """Whether it is an open WebSocket by now."""
        return self.state is OPEN

    def end_with(self, error: TunnelError) -> None:
        """Break the stream off now, and tell the peer why."""
        self._failed()
        if self._stream is not None:
            self._stream.break_off(error)
        self._leave(str(error))

    @override
    def _break(self, call: HttpListener, transport: asyncio.Transport) -> None:
        self.end_with(self._error or ServiceBrokeOffError("the answer broke off"))

    @override
    def _end_short(self) -> None:
        self.abort_for("the peer ended its direction within a request")

    # --- told by the transport

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answer is not None and self.unread_bytes >= AHEAD_BYTES:
            self.through()

    @override
    def eof_received(self) -> bool:
        """The peer sends no more; it does not say that it left: that is a reset."""
        state = self.state
        self._ended_input = True
        if state is OPEN and self._frames is not None:
            self._reception.deadlines.put(self, self._time() + LEAVING_SECONDS)
            self._frames.end_received()
        elif state is ANSWERING:
            self._end_input()
        elif state is CLOSING or state is LINGERING or (state is WAITING and not self._rest and self._answer is None):
            self._close()
        elif self._rest:
            self._wake_reader()
        else:
            self._end_short()
        return True

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._answer = self._frames = self._stream = self.carried = None

    # --- requests and answers

    @override
    def _upgrade(self, head: Head) -> None:
        """A handshake is a request until its 101: a refusal is an answer like any other."""
        self.state = ANSWERING
        self._begin_call(self._reception.take, head)

    def switch(self, fields: Headers, frames: Frames) -> None:
        """Send the 101; all other bytes are frames."""
        transport = self._transport
        if transport is None:
            return
        self._call = None
        self._forget_answer()
        transport.write(STATUS_LINES[101] + b"".join([b"%b: %b\r\n" % field for field in fields]) + b"\r\n")
        self.state = UPGRADING
        self._peer = self._frames = frames
        self.open(frames, frames)
        if self._ended_input:
            frames.end_received()

    @override
    def trailers(self, fields: Headers, /) -> None:
        self._takes_trailers = True  # the peer does, and keeps them from clients that do not
        super().trailers(fields)

    @override
    def _read_body(self) -> None:
        if self._body is not None:
            self._body.forgive()  # the peer bounds the framing of its clients' bodies
        super()._read_body()

    @override
    def pause_body(self) -> None:
        super().pause_body()
        if self._stream is not None:
            self._stream.pause_reading()

    @override
    def resume_body(self) -> None:
        super().resume_body()
        if self._stream is not None and not self._is_unread:
            self._stream.resume_reading()

    @override
    def _keep(self) -> None:
        super()._keep()
        self.settle()

    def settle(self) -> None:
        """Give the peer credit for what was passed on."""
        if self._stream is not None:
            self._stream.settle()

    # --- the last bounds

    @override
    def due(self, now: float, /) -> float:
        """Hold the last bound of the state; looks tell whether anything has moved."""
        seconds = self._last_seconds()
        if seconds == inf:
            return inf
        mark = (self.state, self.requests, self._progress_bytes, self.unsent_bytes)
        if mark != self._mark:
            self._mark, self._marked_at = mark, now
        late_at = self._marked_at + seconds
        if now < late_at or self._waits_for_the_link:
            return min(max(late_at, now + LEAVING_SECONDS), now + states.LOOK_SECONDS)
        if self.state is WAITING and self.requests:
            self._close()
        else:
            self.abort_for("nothing has moved for too long")
        return inf  # or what that has put

    def _last_seconds(self) -> float:
        state = self.state
        if state is CLOSED or (state is OPEN and not self._ended_input):
            return inf  # the peer asks its clients for signs of life, and links are pinged
        if self.unsent_bytes:
            return LAST_SECONDS
        if state is WAITING:
            return IDLE_SECONDS
        return LEAVING_SECONDS if state in (OPEN, CLOSING, LINGERING) else LAST_SECONDS

    @property
    def _waits_for_the_link(self) -> bool:
        """Nothing is expected of the peer: the agent is at work, and its link bounds that."""
        return not self.unsent_bytes and (self.state is ANSWERING or self._paused)

    # --- what is held

    @property
    def unread_bytes(self) -> int:
        """See `Reader`: for these the peer gets no credit yet."""
        carried = self.carried
        return super().held_bytes + (carried.unread_bytes if carried is not None else 0)

    @property
    @override
    def held_bytes(self) -> int:
        """Everything that this stream makes the process hold."""
        stream, carried = self._stream, self.carried
        held_bytes = stream.held_bytes if stream is not None else 0
        return held_bytes + carried.held_bytes if carried is not None else held_bytes

    @override
    def lags(self) -> Lags:
        """See `Waiting`: the peer stands for its client, the link for the service."""
        carried = self.carried
        peer = link = None
        if self.is_full:
            peer = Lag(None, self.unsent_bytes)
        elif carried is None:
            peer = Lag(None, self.unread_bytes)
        if carried is not None and carried.lags_behind:
            link = Lag(None, carried.held_bytes)
        return peer, link

    def __repr__(self) -> str:
        return f"<BareConnection to {self.upstream.label}, {self.state.value}, {self.requests} requests>"
