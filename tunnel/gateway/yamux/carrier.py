"""The yamux session of one link. Only this module feeds it, drains it and maps its ids to streams.

Invariants: a failing stream ends only that stream; an error of the session ends the link (`bytes_received` raises
BrokenRuleError, and the link closes). Credit is returned only for what a stream's owner acknowledged.
"""

import logging
from collections.abc import Callable, Iterator

from tunnel.account import Account, Holding
from tunnel.errors import LinkBusyError, LinkLostError, StreamRefusedError, TunnelError
from tunnel.gateway.carrier import BrokenRuleError, Carrier, LinkSide
from tunnel.gateway.figures import Figures
from tunnel.gateway.refusals import shown, unreachable
from tunnel.gateway.yamux.stream import YamuxStream
from tunnel.gateway.yamux.upstream import YamuxUpstream
from tunnel.override import override
from tunnel.port import Target
from tunnel.slices import let_go, work_off
from tunnel.wire import messages
from tunnel.yamux import (
    Batch,
    Event,
    GoAwayReceived,
    Limits,
    LocalError,
    PongReceived,
    ProtocolError,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

logger = logging.getLogger(__name__)

_LOSSES_PER_TURN = 8
"""When a link is lost, with what each means for its client: 100 to 200 us for a WebSocket."""
_RESETS_PER_STEP = 16


class YamuxCarrier(Carrier):
    """The yamux session of one link, on the gateway's side (even ids)."""

    dialect = "yamux"
    message_limit_bytes = messages.ENVELOPE_LIMIT_BYTES
    patience = None
    answered_at: float | None = None

    def __init__(self, link: LinkSide, *, account: Account, limits: Limits | None = None) -> None:
        self.session = Session(Role.SERVER, limits or Limits(), memory=account)
        self._outbox = self.session.outbox
        self.link = link
        self.wake = link.wake
        self.clock = link.clock
        self._pace = link.pace
        self.account = account
        self.unsent = Holding(account)
        """What waits in the session's send buffers, as of the last count."""
        self._streams: dict[int, YamuxStream] = {}
        self._upstreams: dict[Target, YamuxUpstream] = {}
        self._unused: set[YamuxUpstream] = set()  # at the last check; the next one drops them
        self._pace.keep_to(link.agent_limit_bytes)
        self._expired_at = link.clock()
        self._lost = False
        self.answered_at = self._expired_at
        self._withheld: set[YamuxStream] = set()
        self.active = 0  # running exchanges, without idle pooled connections
        self.going_away = False
        self.is_ending = False

    # --- the link's side

    @override
    def bytes_received(self, data: bytes, /) -> None:
        clock = self.clock
        try:
            events = self.session.receive_data(data, clock())
        except ProtocolError as error:
            raise BrokenRuleError(f"yamux: {error}") from None
        for event in events:
            self._obey(event)
        outbox = self._outbox
        if outbox.others and outbox:  # who packs a frame wakes the link himself
            self.wake()

    @override
    def next_message(self) -> Batch | None:
        outbox, pace = self._outbox, self._pace
        if outbox.others or outbox.packed_bytes > pace.most_bytes:
            data = self.session.next_batch(pace.batch_bytes, pace.frame_bytes)
        else:
            data = outbox.take_packed()  # nothing else is queued: the usual case, and the cheap one
        if not data:
            return None
        self.link.has_more = outbox.others
        if outbox.buffered or self.unsent.size_bytes:
            self._sent()
            self.link.has_more = bool(outbox)  # a stream that has room again may have written
        return data

    @override
    def message_received(self, envelope: messages.Envelope, text: str | bytes, /) -> bool:
        if envelope.type != "stream_refused":
            return False
        self._refused(messages.decode_payload(envelope, messages.StreamRefused))
        return True

    @override
    def figures(self) -> Figures:
        session = self.session
        streams, window_bytes, stalled = session.totals()
        return Figures(streams, window_bytes, stalled, session.buffered_bytes, session.rtt)

    @override
    def retire(self) -> None:
        self.going_away = True
        for upstream in self._upstreams.values():
            upstream.pool.close()  # these streams carry nothing

    @override
    def upstream(self, target: Target, /) -> YamuxUpstream:
        upstream = self._upstreams.get(target)
        if upstream is None:
            upstream = self._upstreams[target] = YamuxUpstream(self, target)
        return upstream

    @override
    def probe(self, now: float, /) -> None:
        """Send a yamux ping, which also measures the round trip."""
        self.session.ping(now)

    @override
    def tick(self, now: float, /) -> bool:
        """Expire what is idle, about once a second."""
        self.unsent.set(self.session.buffered_bytes)
        if now - self._expired_at >= 1.0:
            self._expired_at = now
            self._expire(now)
        return False

    @override
    def lost(self, error: TunnelError, /) -> None:
        """Tell the owner of every stream, and hold nothing any more.

        Resets are left to be sent in case the agent still hears us: otherwise it may wait for those streams, in
        silence, on its next link (tunnel/PROTOCOL.md, section 4).
        """
        streams, self._streams = list(self._streams.values()), {}
        self._upstreams.clear()
        self._withheld.clear()
        self._lost = self.is_ending = True
        self.unsent.close()
        work_off(self._lose_all(streams, error), _LOSSES_PER_TURN)

    def _lose_all(self, streams: list[YamuxStream], error: TunnelError) -> Iterator[None]:
        """All resets first, many a step, because they may still reach the agent; then one owner a step."""
        for number, stream in enumerate(streams, 1):
            self.session.reset_stream(stream.stream_id)
            if number % _RESETS_PER_STEP == 0:
                yield
        left = let_go(streams)
        del streams  # all together, they would be freed in one step
        for stream in left:
            self._lose(stream, error)  # one that was reset meanwhile has no owner any more
            yield
        self.is_ending = False
        self.wake()

    # --- the streams' side

    def open_stream(self) -> YamuxStream:
        """Open a stream. Raises LinkLostError after a go-away, LinkBusyError when there is no room."""
        if self.going_away or self._lost:
            raise LinkLostError("the agent is going away")
        try:
            stream_id = self.session.open_stream()
        except LocalError as error:
            raise LinkBusyError(f"no stream could be opened: {error}") from None
        stream = self._streams[stream_id] = YamuxStream(self, stream_id)
        self.session.deliver_to(stream_id, stream)
        return stream

    def end(self, stream: YamuxStream) -> None:
        """Queue the FIN of a stream."""
        self.session.end_stream(stream.stream_id)
        self._drop_if_over(stream)
        self.wake()

    def reset(self, stream: YamuxStream) -> None:
        """Abort a stream; its owner is not called again."""
        self._streams.pop(stream.stream_id, None)
        stream.forget()
        self.session.reset_stream(stream.stream_id)
        self.unsent.set(self.session.buffered_bytes)
        self.wake()

    def withhold(self, stream: YamuxStream) -> None:
        """Look after a stream that withholds credit: it gets it back once there is room again."""
        self._withheld.add(stream)

    def credit(self, stream_id: int, size: int) -> None:
        """Give credit back to the agent."""
        clock = self.clock
        if self.session.acknowledge(stream_id, size, clock()):
            self.wake()

    # --- inside

    def _expire(self, now: float) -> None:
        """Close what is idle for too long, give up slow TLS handshakes, return withheld credit, drop idle upstreams."""
        if self._withheld and not self.account.above_high_mark:
            withheld, self._withheld = self._withheld, set()
            for stream in withheld:
                stream.acknowledge(0)
        unused: set[YamuxUpstream] = set()
        for target, upstream in list(self._upstreams.items()):
            upstream.expire(now)
            if upstream.idle:
                if upstream in self._unused:
                    del self._upstreams[target]
                else:
                    unused.add(upstream)
        self._unused = unused

    def _obey(self, event: Event) -> None:
        """Handle an event. Data is none: the session gives it to its stream."""
        match event:
            case StreamEnded():
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    stream.end_received = True
                    self._tell(stream, stream.owner.end_received)
                    self._drop_if_over(stream)
            case StreamReset():
                stream = self._streams.pop(event.stream_id, None)
                if stream is not None:
                    self.unsent.set(self.session.buffered_bytes)
                    self._lose(stream, StreamRefusedError("the agent reset the stream"))
            case StreamOpened():
                self.session.reset_stream(event.stream_id)  # agents must not open streams
            case GoAwayReceived():
                self.retire()  # the agent waits for its streams to end
                self.link.reconsider()
                if event.code != 0:  # hashicorp ends its session with any code but 0
                    raise BrokenRuleError(f"the agent ended its session with code {event.code}")
            case PongReceived():
                self.answered_at = self.clock() - event.rtt
                self.link.round_trips.answered(event.rtt)
            case _:
                pass

    def _refused(self, refused: messages.StreamRefused) -> None:
        """The agent says why a stream gets no connection, before it ends the stream: its exchange fails with that.

        An id that is not (or no longer) open says nothing. One of another stream of this link costs that stream, which
        the agent could reset just as well.
        """
        stream = self._streams.pop(refused.stream_id, None)
        if stream is None:
            return
        target = stream.target
        logger.warning(
            "%s: agent refused stream %d to %s: %s",
            self.link.name, refused.stream_id, target, shown(refused.reason), extra={"about": str(target)},
        )  # fmt: skip
        self.session.reset_stream(refused.stream_id)
        self.unsent.set(self.session.buffered_bytes)
        self._lose(stream, unreachable(refused.reason, refused.kind))
        self.wake()

    def _tell(self, stream: YamuxStream, callback: Callable[[], None]) -> None:
        """Call an owner. If it fails, that costs its stream, never the link."""
        try:
            callback()
        except Exception:
            logger.exception("stream %d failed in its owner", stream.stream_id)
            stream.give_up()

    def _lose(self, stream: YamuxStream, error: TunnelError) -> None:
        try:
            stream.lost(error)
        except Exception:
            logger.exception("stream %d failed in its owner", stream.stream_id)

    def _sent(self) -> None:
        """A batch was sent: count what is still buffered, and tell streams that have room again."""
        self.unsent.set(self.session.buffered_bytes)
        for stream_id in self.session.take_writable():
            stream = self._streams.get(stream_id)
            if stream is not None:
                self._tell(stream, stream.owner.stream_writable)

    def _drop_if_over(self, stream: YamuxStream) -> None:
        # What its owner still holds stays counted until the owner acknowledges it, or the stream is gone.
        if stream.end_sent and stream.end_received:
            self._streams.pop(stream.stream_id, None)

    def __repr__(self) -> str:
        return f"<YamuxCarrier {self.active} active, {self.session!r}>"
