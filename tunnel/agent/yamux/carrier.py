"""The carrier of the yamux dialect: the session of one link, and the splices of its streams.

Feeds the session and tells each splice what came; gathers what the session wants to send and hands it on, once per
loop turn, in batches whose size follows the pace of the link and what the gateway accepts. Invariants: one flush is
scheduled at most; a splice leaves the carrier once, when both its ends are over; a splice that fails resets its own
stream only, a session that fails ends the link.
"""

import asyncio
import logging
from collections.abc import Callable

from tunnel.account import Account
from tunnel.agent.carrier import CONTROL_WAITING_BYTES, Carrier, Wiring
from tunnel.agent.log import Quota
from tunnel.agent.service.services import Destination, Services
from tunnel.agent.traffic import Running, Traffic
from tunnel.agent.yamux.splice import Splice
from tunnel.override import override
from tunnel.wire import messages
from tunnel.yamux import (
    DataReceived,
    Event,
    GoAwayReceived,
    Limits,
    Pace,
    PongReceived,
    ProtocolError,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)

log = logging.getLogger(__name__)

DOOMED_SECONDS = 10.0
"""How long the last bytes of a broken stream may wait for the gateway's credit before the stream is reset."""

_LAST_BATCH_SHARE = 2
"""A batch of less than half of what it might be had room for another frame, and so left nothing behind: do not ask."""
WINDOW_MAX_BYTES = 16 * 1024 * 1024
"""The most that a gateway may ask for: 1 Gbit/s over 130 ms."""


class SpliceCarrier(Carrier):
    """All streams of one link. `asked` is what the gateway's hello wants of the session."""

    def __init__(
        self,
        wiring: Wiring,
        asked: messages.YamuxConfig,
        *,
        services: Services,
        account: Account,
        quota: Quota,
        traffic: Traffic,
        dial_seconds: float,
    ) -> None:
        self._wiring = wiring
        self._send_bytes = wiring.send_bytes
        self._services = services
        self._account = account
        self._quota = quota
        self._traffic = traffic
        self._dial_seconds = dial_seconds
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        """The clock of the session."""
        smallest = Limits().initial_window
        limits = Limits(max_window=min(max(smallest, asked.max_stream_window_size), WINDOW_MAX_BYTES))
        self._session = Session(Role.CLIENT, limits, memory=account)
        self._outbox = self._session.outbox
        self._pace = Pace()
        self._pace.keep_to(wiring.gateway_limit_bytes())
        self._splices: dict[int, Splice] = {}
        self._doomed: dict[int, float] = {}  # to be reset once their bytes have left, or at this time
        self.flushing = False
        """A flush is scheduled."""
        self._paused = False
        self._draining = False
        self._lost = False

    def __repr__(self) -> str:
        return f"<SpliceCarrier {len(self._splices)} open{' draining' if self._draining else ''}>"

    # --- told by the link

    @property
    @override
    def message_limit_bytes(self) -> int:
        return messages.ENVELOPE_LIMIT_BYTES

    @property
    @override
    def round_trip_seconds(self) -> float | None:
        return self._session.rtt

    @override
    def running(self) -> Running:
        carried = [splice.carried_bytes for splice in self._splices.values()]
        return Running(len(carried), sum(up for up, _ in carried), sum(down for _, down in carried))

    @override
    def message_received(self, envelope: messages.Envelope, text: bytes, /) -> bool:
        return False

    @override
    def ping_received(self, answer: Callable[[], None], /) -> None:
        answer()

    @override
    def may_send_control(self, waiting_bytes: int, /) -> bool:
        return waiting_bytes < CONTROL_WAITING_BYTES

    @override
    def bytes_received(self, data: bytes, now: float, /) -> None:
        """Tell the splices; borders of messages mean nothing."""
        try:
            events = self._session.receive_data(data, now)
        except ProtocolError as error:
            self._wiring.failed(f"yamux: {error}")
            return
        for event in events:
            if self._lost:
                return
            self._take_event(event)
        if self._outbox.drained:
            self._tell_writable()
        if not self.flushing and (self._outbox or self._doomed):
            self.schedule_flush()

    @override
    def probe(self, now: float, /) -> bool:
        """Ping the gateway's session, whose round trip time steers the windows."""
        self._session.ping(now)
        self.schedule_flush()
        return True

    @override
    def pause(self) -> None:
        self._paused = True

    @override
    def resume(self) -> None:
        self._paused = False
        self._pace.drained(self.now())
        self.schedule_flush()

    @override
    def drain(self) -> None:
        """The session refuses new streams from now on."""
        self._draining = True
        self._session.go_away(0)
        self.schedule_flush()

    @override
    def lost(self, reason: str, /) -> None:
        self._lost = True
        for splice in list(self._splices.values()):
            splice.lost(reason)
        self._splices.clear()
        self._doomed.clear()

    @override
    def flush(self) -> None:
        pace = self._pace
        more = True
        while more and not self._paused:
            limit = pace.batch_bytes
            batch = self._session.next_batch(limit, pace.frame_bytes)
            size = len(batch)
            if size:
                self._send_bytes(batch)
            more = size * _LAST_BATCH_SHARE > limit
            if more:
                self._pace_after(size)
        if self._doomed:
            self._reset_doomed()
        if self._outbox.drained:
            self._tell_writable()

    def _pace_after(self, size_bytes: int) -> None:
        """A batch was sent that filled half of what it might, or more."""
        if self._paused:
            self._pace.blocked(size_bytes, self.now())
        else:
            self._pace.taken(size_bytes)

    def schedule_flush(self) -> None:
        """One flush in the next loop turn, whoever asks and how often."""
        if not self.flushing and not self._lost:
            self.flushing = True
            self._loop.call_soon(self._flush)

    # --- inside

    def _take_event(self, event: Event) -> None:
        match event:
            case DataReceived():
                self._tell(event.stream_id, Splice.deliver, event.data)
            case StreamOpened():
                self._open(event.stream_id)
            case StreamEnded():
                self._tell(event.stream_id, Splice.end_from_gateway)
            case StreamReset():
                self._tell(event.stream_id, Splice.lost, "reset by the gateway")
            case GoAwayReceived(code) if code:
                self._wiring.failed(f"the gateway ended its yamux session with code {code}")
            case GoAwayReceived():
                self._wiring.asked_to_move()
            case PongReceived():
                pass

    def _reset_doomed(self) -> None:
        now = self._loop.time()
        for stream_id, deadline in list(self._doomed.items()):
            if not self._session.buffered(stream_id) or now > deadline:
                del self._doomed[stream_id]
                self._session.reset_stream(stream_id)
                self.schedule_flush()

    def _flush(self) -> None:
        self.flushing = False
        if self._lost:
            return
        try:
            self.flush()
        except Exception:
            log.exception("sending failed")
            self._wiring.failed("sending failed")
            return
        if not self._splices and not self._doomed and not self._session.wants_to_send:
            self._wiring.idle()

    def _open(self, stream_id: int) -> None:
        self._session.accept_stream(stream_id)
        splice = self._splices[stream_id] = Splice(
            stream_id,
            self._session,
            self,
            services=self._services,
            account=self._account,
            dial_seconds=self._dial_seconds,
        )
        # From the next message on, without an event for each frame; what came with the opening is among the events.
        self._session.deliver_to(stream_id, splice)

    def _tell(self, stream_id: int, what: Callable[..., None], *arguments: object) -> None:
        splice = self._splices.get(stream_id)
        if splice is None:
            return
        try:
            what(splice, *arguments)
        except Exception:  # noqa: BLE001 (it is logged there)
            self.stream_failed(stream_id)

    def _tell_writable(self) -> None:
        for stream_id in self._session.take_writable():
            self._tell(stream_id, Splice.writable)

    # --- told by the splices

    def stream_failed(self, stream_id: int) -> None:
        """Its splice raised: log it, and reset that stream only."""
        splice = self._splices.get(stream_id)
        log.exception("stream %d of %r failed", stream_id, splice)  # noqa: LOG004 (an exception is being handled)
        self._session.reset_stream(stream_id)
        if splice is not None:
            splice.lost("failed")

    def reset_stream(self, stream_id: int) -> None:
        """Abandon one stream, after what its service had sent: an answer that came before a break-off is whole."""
        if self._session.buffered(stream_id):
            self._doomed[stream_id] = self._loop.time() + DOOMED_SECONDS
        else:
            self._session.reset_stream(stream_id)
        self.schedule_flush()

    def stream_refused(self, stream_id: int, target: str, reason: str, kind: str) -> None:
        """Log it, and tell the gateway why: at once, so before the stream's end, which waits for a flush."""
        self._traffic.refuse(kind)
        left_out = self._quota.take(self._loop.time(), target)
        if left_out is not None:
            log.warning("refused stream %d to %s: %s", stream_id, target, reason, extra={"suppressed": left_out})
        self._wiring.stream_refused(stream_id, reason, kind)

    def stream_opened(self, stream_id: int, target: str, destination: Destination | None, /) -> None:
        """Log it."""
        log.debug("stream %d open: %s at %s", stream_id, target, destination)

    def stream_closed(self, stream_id: int, summary: str) -> None:
        """Both ends of a stream are over."""
        log.debug("stream %d closed: %s", stream_id, summary)
        splice = self._splices.pop(stream_id, None)
        if splice is not None:
            self._traffic.ended(*splice.carried_bytes)
        self._session.deliver_to(stream_id, _NOBODY)  # what still comes: nobody takes it, and it is not acknowledged
        self.schedule_flush()


class _Nobody:
    """Takes the data of a stream that is over."""

    def deliver(self, data: bytes, /) -> None: ...


_NOBODY = _Nobody()
