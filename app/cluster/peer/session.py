"""The yamux session of one peer link, on the transport that was upgraded for it, at either end.

Feeds the session and tells its user what came; sends what there is, once per turn of the loop, in batches that follow
the pace of the path. One timer per link: a ping each second, and a peer of which nothing is heard for `DEAD_SECONDS` is
given up. Message borders do not exist. No task; nothing per stream but the stream.

Invariants: `closed` is told once, whatever ends the link, and after it every stream is lost, a few in each turn; what
comes is read in slices, so a peer cannot hold up the loop; what waits to be sent is bounded per stream, and counted in
the account.
"""

import asyncio
import logging
from typing import Final, Protocol

from tunnel.account import Account
from tunnel.errors import LinkLostError
from tunnel.gateway.pause import PAUSE_SECONDS
from tunnel.gateway.yamux import Streams, YamuxStream
from tunnel.nobody import NO_OWNER
from tunnel.override import override
from tunnel.sockets import hold_little
from tunnel.yamux import (
    Batch,
    DataReceived,
    Event,
    GoAwayReceived,
    Limits,
    Pace,
    Parts,
    ProtocolError,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

from .reasons import error_of_reset

logger = logging.getLogger("gateway")

PING_SECONDS: Final = 1.0
DEAD_SECONDS: Final = 3.0
"""Nothing was heard for so long, though a ping is answered at once."""
_TICK_SECONDS: Final = 0.5
_LEAVING_SECONDS: Final = 2.0
"""For what was written at the end of the link to leave."""
_DOOMED_SECONDS: Final = 10.0
"""For the last bytes of a broken stream to leave, before it is reset."""
_SLICE_BYTES: Final = 64 * 1024
"""Parsed in one turn: 700 small requests, about 5 ms."""
_BATCHES_PER_TURN: Final = 16
"""A megabyte, about a millisecond."""

LIMITS: Final = Limits(max_streams=262_144, max_unacknowledged_opens=2048, accept_backlog=4096)
"""A node's streams to one other: each WebSocket is one. Opens are accepted in the turn in which they come."""


class PeerUser(Protocol):
    """What a session tells. It must not raise."""

    def stream_opened(self, stream: YamuxStream, /) -> None:
        """The peer opened a stream: give it an owner, or reset it."""

    def ticked(self, now: float, /) -> None:
        """Twice a second."""

    def stopping(self) -> None:
        """The peer takes no new streams."""

    def closed(self, reason: str, /) -> None:
        """The link is over; its streams are lost after this."""


class PeerSession(Streams, asyncio.Protocol):
    """See the module. `node` is the id of the node at the other end."""

    def __init__(
        self, role: Role, node: str, *, account: Account, loop: asyncio.AbstractEventLoop, limits: Limits = LIMITS
    ) -> None:
        super().__init__(Session(role, limits, memory=account), wake=self._wake, clock=loop.time, account=account)
        self.node = node
        self.address = ""
        """Of the far end."""
        self.user: PeerUser | None = None
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._pace = Pace()
        self._joins = False
        """Each write is a TLS record of its own: join first."""
        self._paused = False
        self._flushing = False
        self._waiting: bytearray | None = None
        """What came and is not parsed yet; the transport is paused meanwhile."""
        self._doomed: dict[YamuxStream, tuple[float, int]] = {}
        """To be reset once their bytes have left, or at this time, with this code."""
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._pinged_at = self._ticked_at = 0.0
        self._leave_by: float | None = None
        self._leaving = False
        self.reason = ""
        """Why it is over."""
        self._gone: asyncio.Future[None] | None = None

    def start(self, transport: asyncio.Transport, user: PeerUser, early: bytes = b"") -> None:
        """Take over an upgraded connection; `early` is what came after its head."""
        self._transport = transport
        self.user = user
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple | list) and peer else ""
        self._joins = transport.get_extra_info("sslcontext") is not None
        transport.set_protocol(self)
        hold_little(transport)
        self._heard_at = self._ticked_at = self._pinged_at = self._loop.time()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)
        self.session.ping(self._pinged_at)
        self._wake()
        if early:
            self.data_received(early)

    @property
    def is_open(self) -> bool:
        """It carries streams."""
        return self._transport is not None and not self._lost

    @property
    def is_gone(self) -> bool:
        """It has no connection, not yet or no longer."""
        return self._transport is None

    @property
    def heard_seconds(self) -> float:
        """How long ago something was last received."""
        return max(0.0, self._loop.time() - self._heard_at)

    @property
    def stream_count(self) -> int:
        """How many streams are live."""
        return len(self._streams)

    def doom(self, stream: YamuxStream, code: int = 0) -> None:
        """Reset a stream after what was written has left: an answer that came before a break-off is whole.

        Its owner is not called again.
        """
        if self.session.buffered(stream.stream_id):
            stream.owner = NO_OWNER
            self._doomed[stream] = self._loop.time() + _DOOMED_SECONDS, code
        else:
            self.reset(stream, code)

    def leave(self) -> None:
        """Ask the peer to open no streams any more, and to keep none that is idle. What runs goes on. Idempotent.

        A stream that comes all the same is for the user to answer: a reset would not say that nothing was passed on.
        """
        if not self._leaving and not self._lost:
            self._leaving = True
            self.session.go_away(refuse=False)
            self._wake()

    def close(self, reason: str) -> None:
        """End the link: all its streams are lost, and reset while the peer may still hear us. Idempotent."""
        self._end(reason)

    async def gone(self) -> None:
        """Wait until its connection is gone; after `close` that takes `_LEAVING_SECONDS` and a tick at the most."""
        if self._transport is not None:
            if self._gone is None:
                self._gone = self._loop.create_future()
            await asyncio.shield(self._gone)

    # --- told by the transport

    @override
    def data_received(self, data: bytes) -> None:
        self._heard_at = now = self._loop.time()
        if self._waiting is not None:
            self._waiting += data
        elif len(data) > _SLICE_BYTES and self._transport is not None:
            self._transport.pause_reading()
            self._waiting = bytearray(data)
            self._read_slice()
        else:
            self._read(data, now)

    def pause_writing(self) -> None:
        """The transport is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has drained."""
        self._paused = False
        self._pace.drained(self._loop.time())
        self._wake()

    def eof_received(self) -> None:
        """The peer is gone: a link has no half-closed state."""
        self._end("the node closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._transport = None
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._end(f"connection lost: {exc}" if exc else "connection lost")

    # --- reading

    def _read_slice(self) -> None:
        waiting, transport = self._waiting, self._transport
        if waiting is None or transport is None:
            return
        data = bytes(waiting[:_SLICE_BYTES])
        del waiting[:_SLICE_BYTES]
        if waiting:
            self._loop.call_soon(self._read_slice)
        else:
            self._waiting = None
            if not transport.is_closing():
                transport.resume_reading()
        self._read(data, self._loop.time())

    def _read(self, data: bytes, now: float) -> None:
        if self._lost:
            return
        try:
            events = self.session.receive_data(data, now)
        except ProtocolError as error:
            logger.warning("peer link with node %s: the node broke yamux: %s", self.node, error)
            self._end(f"yamux: {error}")
            return
        for event in events:
            self._obey(event)
        if self._outbox:
            self._wake()

    def _obey(self, event: Event) -> None:
        """Handle an event. Data is one only until its stream has an owner."""
        match event:
            case StreamOpened():
                self._opened(event.stream_id)
            case DataReceived():
                stream = self._streams.get(event.stream_id)
                if stream is not None and (taken := stream.deliver(event.data)):
                    self.credit(event.stream_id, taken)
            case StreamEnded():
                self._ended(event.stream_id)
            case StreamReset():
                self._was_reset(event.stream_id, error_of_reset(event.code, self.node))
            case GoAwayReceived():
                self.going_away = True
                if self.user is not None:
                    self.user.stopping()
                if event.code:
                    self._end(f"the node ended its session with code {event.code}")
            case _:
                pass

    def _opened(self, stream_id: int) -> None:
        if self.user is None or self._lost:
            self.session.reset_stream(stream_id)
            return
        self.session.accept_stream(stream_id)
        self.user.stream_opened(self._keep(stream_id))

    # --- sending

    def _wake(self) -> None:
        if not self._flushing and self._transport is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        try:
            self._send()
        except Exception:
            logger.exception("peer link with node %s: sending failed", self.node)
            self._abort("sending failed")

    def _send(self) -> None:
        outbox, transport = self._outbox, self._transport
        if transport is None:
            return
        for _ in range(_BATCHES_PER_TURN):
            batch = self._next_batch(transport)
            if not batch:
                break
            self._write(transport, batch)
            if outbox.buffered or self.unsent.size_bytes:
                self._sent()
        else:
            self._wake()
        if self._doomed:
            self._reset_doomed()
        if self._lost and not self.is_ending and not outbox:
            transport.close()

    def _next_batch(self, transport: asyncio.Transport) -> Batch:
        """What may leave now; b"" if nothing."""
        outbox, pace = self._outbox, self._pace
        if self._paused or transport.is_closing():
            return b""
        if outbox.others or outbox.packed_bytes > pace.most_bytes:
            return self.session.next_batch(pace.batch_bytes, pace.frame_bytes)
        return outbox.take_packed()  # nothing else is queued: the usual case, and the cheap one

    def _write(self, transport: asyncio.Transport, batch: Batch) -> None:
        if type(batch) is Parts and not self._joins:
            transport.writelines(batch.pieces)
        else:
            transport.write(bytes(batch))
        if self._paused:
            self._pace.blocked(len(batch), self._loop.time())
        else:
            self._pace.taken(len(batch))

    def _reset_doomed(self) -> None:
        now = self._loop.time()
        for stream, (deadline, code) in list(self._doomed.items()):
            if not self.session.buffered(stream.stream_id) or now > deadline:
                del self._doomed[stream]
                self.reset(stream, code)

    # --- its life

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)
        if self._leave_by is not None:
            if now > self._leave_by and self._transport is not None:
                self._transport.abort()
            return
        stood_still = now - self._ticked_at > PAUSE_SECONDS
        self._ticked_at = now
        if stood_still or self._waiting:
            self._heard_at = now  # what the peer sent meanwhile has not been read yet
        if now - self._heard_at > DEAD_SECONDS:
            self._abort(f"nothing was heard of the node for {now - self._heard_at:.1f} s")
            return
        if stood_still or now - self._pinged_at >= PING_SECONDS:
            self._pinged_at = now
            self.session.ping(now)
            self._wake()
        self.unsent.set(self.session.buffered_bytes)
        self._give_withheld()
        if self._doomed:
            self._reset_doomed()
        if self.user is not None:
            self.user.ticked(now)

    def _abort(self, reason: str) -> None:
        self._end(reason)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, reason: str) -> None:
        if self._lost:
            return
        self.reason = reason
        self._lost = self.going_away = True
        self._leave_by = self._loop.time() + _LEAVING_SECONDS
        self._doomed.clear()
        user, self.user = self.user, None
        if user is not None:
            user.closed(reason)  # before owners of streams look for another way
        self._lose_streams(LinkLostError(f"the link to node {self.node} ended: {reason}"))
        self._wake()

    def __repr__(self) -> str:
        state = f"over: {self.reason}" if self._lost else "open"
        return f"<PeerSession with {self.node}, {state}, {self.session!r}>"
