"""The yamux session of one link. Only this module feeds it, drains it and maps its ids to streams.

Invariants: a failing stream ends only that stream; an error of the session ends the link (`bytes_received` raises
BrokenRuleError, and the link closes). Credit is returned only for what a stream's owner acknowledged.
"""

import logging

from tunnel.account import Account
from tunnel.errors import StreamRefusedError, TunnelError
from tunnel.gateway.carrier import BrokenRuleError, Carrier, LinkSide
from tunnel.gateway.figures import Figures
from tunnel.gateway.refusals import shown, unreachable
from tunnel.gateway.yamux.streams import Streams
from tunnel.gateway.yamux.upstream import YamuxUpstream
from tunnel.override import override
from tunnel.port import Target
from tunnel.wire import messages
from tunnel.yamux import (
    Batch,
    Event,
    GoAwayReceived,
    Limits,
    PongReceived,
    ProtocolError,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

logger = logging.getLogger(__name__)


class YamuxCarrier(Streams, Carrier):
    """The yamux session of one link, on the gateway's side (even ids)."""

    dialect = "yamux"
    message_limit_bytes = messages.ENVELOPE_LIMIT_BYTES
    patience = None
    answered_at: float | None = None

    def __init__(self, link: LinkSide, *, account: Account, limits: Limits | None = None) -> None:
        session = Session(Role.SERVER, limits or Limits(), memory=account)
        super().__init__(session, wake=link.wake, clock=link.clock, account=account)
        self.link = link
        self._pace = link.pace
        self._upstreams: dict[Target, YamuxUpstream] = {}
        self._unused: set[YamuxUpstream] = set()  # at the last check; the next one drops them
        self._pace.keep_to(link.agent_limit_bytes)
        self._expired_at = link.clock()
        self.answered_at = self._expired_at
        self.active = 0  # running exchanges, without idle pooled connections

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
    def ask_to_move(self) -> None:
        self.session.go_away(refuse=False)  # hashicorp's yamux takes no notice
        self.wake()

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
        self._upstreams.clear()
        self._lose_streams(error)

    # --- inside

    def _expire(self, now: float) -> None:
        """Close what is idle for too long, give up slow TLS handshakes, return withheld credit, drop idle upstreams."""
        self._give_withheld()
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
                self._ended(event.stream_id)
            case StreamReset():
                self._was_reset(event.stream_id, StreamRefusedError("the agent reset the stream"))
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
        stream = self._streams.get(refused.stream_id)
        if stream is None:
            return
        target = stream.target
        logger.warning(
            "%s: agent refused stream %d to %s: %s",
            self.link.name, refused.stream_id, target, shown(refused.reason), extra={"about": str(target)},
        )  # fmt: skip
        self.abandon(stream, unreachable(refused.reason, refused.kind))

    def __repr__(self) -> str:
        return f"<YamuxCarrier {self.active} active, {self.session!r}>"
