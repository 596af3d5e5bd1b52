"""One link: one WebSocket to one gateway, from its handshake to its end.

Text messages go to the JSON dialogue, and those it does not know to the carrier; binary ones go to the carrier. Never
dials the gateway and never decides what comes after its end. Invariants: everything is a callback; there is one timer;
the link's own messages leave at once, whatever the exchanges do; `ended` resolves once, after every connection to a
service was reset.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tunnel.account import Account
from tunnel.agent import reasons
from tunnel.agent.carrier import Carrier, Wiring
from tunnel.agent.control import Control, DialogueError, Identity
from tunnel.agent.extension import Extension, Say
from tunnel.agent.liveness import Liveness
from tunnel.agent.log import Quota
from tunnel.agent.proxied.carrier import MessageCarrier
from tunnel.agent.service.services import Services
from tunnel.agent.traffic import Running, Traffic
from tunnel.agent.yamux.carrier import SpliceCarrier
from tunnel.agent.yamux.unagreed import Unagreed
from tunnel.sockets import hold_little
from tunnel.websocket import HEAD_BYTES, LONG_BYTES, Opcode, encode_in_parts
from tunnel.wire import messages
from tunnel.yamux import Batch, Parts

log = logging.getLogger(__name__)

REGISTER_SECONDS = 10.0
"""For the answer to `register` and the gateway's hello, together."""
HEARTBEAT_SECONDS = 30.0
PING_SECONDS = 1.0
DEAD_SECONDS = 4.5
"""Until the gateway asks for something else: a path that is cut is noticed within 5.5 s, and a cut of less than 4.5 s
costs nothing."""
CLOSING_SECONDS = 1.0
"""How long the gateway may take to answer our close before the connection is reset."""
_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_CLOSE, _PING, _PONG = WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG
"""By names of the module: looked at for every frame."""
_REASON_BYTES = 120
"""A close frame has room for 123."""


@dataclass(slots=True, frozen=True)
class Terms:
    """What all links of this process share."""

    identity: Identity
    services: Services
    account: Account
    quota: Quota
    ping_seconds: float
    """Between two pings, and the next for an answer: the gateway may ask for less."""
    dead_seconds: float
    dial_seconds: float
    dialect: str
    traffic: Traffic = field(default_factory=Traffic)


class GatewayLink(WSListener):
    """The agent's end of one WebSocket."""

    def __init__(
        self, terms: Terms, on_ready: Callable[["GatewayLink"], None], extension: Extension | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._terms = terms
        self._on_ready = on_ready
        self.name = uuid.uuid4().hex[:8]
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """Resolves to why the link ended."""
        self.asked_to_move = asyncio.Event()
        self.refusal: reasons.Reason | None = None
        """Why it ended, if the gateway refused it or closed it."""
        self.ready_at: float | None = None
        """When it began to serve: registered, and yamux agreed where that is the dialect."""
        self._ready_by = now + REGISTER_SECONDS
        self._control = Control(
            terms.identity,
            self._send_text,
            self._start_yamux,
            dialect=terms.dialect,
            on_message=self._message_received,
            on_ping=self._ping_received,
            extension=extension,
        )
        self.say: Say = self._control.say
        self._wiring = Wiring(
            send_text=self._send_text,
            send_bytes=self._send_bytes,
            idle=self._carrier_idle,
            failed=self._carrier_failed,
            note=self._control.note,
            going_away=self._control.going_away,
            stream_refused=self._control.stream_refused,
            asked_to_move=self.asked_to_move.set,
            gateway_limit_bytes=lambda: self._control.gateway_limit_bytes,
        )
        self._carrier = self._first_carrier()
        self._control.limit_bytes = self._carrier.message_limit_bytes
        self._liveness = Liveness(min(terms.ping_seconds, PING_SECONDS), min(terms.dead_seconds, DEAD_SECONDS), now)
        self._look_due = float("inf")
        self._next_heartbeat = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._closing_timer: asyncio.TimerHandle | None = None
        self._transport: WSTransport | None = None
        self._joins = False
        """Over TLS each write is a record of its own: join first."""
        self._draining = False
        self._closing = False
        self._write_paused = False
        self._reason = ""
        self._pinged_at: float | None = None  # by the WebSocket's own ping, until its pong
        self._round_trip_seconds: float | None = None

    def __repr__(self) -> str:
        state = "ended" if self.ended.done() else "serving" if self.ready_at is not None else "registering"
        return f"<GatewayLink {self.name} {state} {self._carrier!r}>"

    @property
    def message_limit_bytes(self) -> int:
        """The longest message that the gateway may send."""
        return self._carrier.message_limit_bytes

    @property
    def round_trip_seconds(self) -> float | None:
        """To the gateway and back, at the last measurement; None: not known yet."""
        measured = self._carrier.round_trip_seconds
        return self._round_trip_seconds if measured is None else measured

    def running(self) -> Running:
        """What the link carries now."""
        return self._carrier.running()

    # --- told by whoever keeps the link

    def drain(self) -> None:
        """Take no new exchanges, and close once the running ones are over."""
        self._draining = True
        if self.ready_at is None:
            self.close(1001, "stopping")
        else:
            self._carrier.drain()

    def path_changed(self) -> None:
        """The host has another address or route: ask for a sign of life, and do not wait long for it.

        Nobody can be asked before the gateway has accepted the handshake.
        """
        if self._transport is not None and not self.ended.done() and not self._closing:
            self._probe(self._loop.time())
            self._look()

    def close(self, code: int, reason: str) -> None:
        """Send what waits, then a close with `code`, and end the link. Idempotent."""
        self._reason = self._reason or reason
        transport = self._transport
        if transport is None:
            self.lost(reason)
            return
        if self._closing:
            return
        self._closing = True
        try:
            self._carrier.flush()
            transport.send_close(WSCloseCode(code), reason.encode()[:_REASON_BYTES])
        except Exception:
            log.exception("link %s: sending the close failed", self.name)
        self._carrier.lost("link closed")
        # Wait for the gateway's close: closing a socket that still receives would destroy what we sent last.
        self._closing_timer = self._loop.call_later(CLOSING_SECONDS, self._reset)

    def lost(self, reason: str) -> None:
        """The connection is gone, or was never made; idempotent."""
        self._reason = self._reason or reason
        for timer in (self._timer, self._closing_timer):
            if timer is not None:
                timer.cancel()
        if not self.ended.done():
            self._carrier.lost("link lost")
            self.ended.set_result(self._reason)

    # --- told by picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The gateway accepted the handshake: register."""
        self._transport = transport
        self._joins = transport.is_secure
        if self.ended.done():  # the keeper has given up meanwhile
            self._reset()
            return
        self._control.register()
        self._look()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame; fragments of a message come one by one."""
        kind = frame.msg_type
        if self._closing:
            if kind == _CLOSE:
                transport.disconnect()
            return
        self._liveness.heard_at = now = self._loop.time()
        if kind == _BINARY or (kind == _CONTINUATION and not self._control.in_message):
            if frame.payload_size <= LONG_BYTES:
                self._carrier.bytes_received(frame.get_payload_as_bytes(), now)
            else:
                self._take_long(frame, now)
        elif kind in (_TEXT, _CONTINUATION):
            self._take_text(frame.get_payload_as_bytes(), last=frame.fin)
        elif kind == _PING:
            if self._takes_control():
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind == _CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2])
            self._refused(reasons.of_close(code, payload[2:].decode(errors="replace")))
            self.close(1000, "closed by the gateway")
            transport.disconnect()
        elif kind == _PONG and self._pinged_at is not None:
            self._round_trip_seconds, self._pinged_at = now - self._pinged_at, None

    def _take_long(self, frame: WSFrame, now: float) -> None:
        """The head of a yamux frame by itself: the body after it is then passed on without another copy."""
        payload = frame.get_payload_as_memoryview()
        self._carrier.bytes_received(bytes(payload[:HEAD_BYTES]), now)
        self._carrier.bytes_received(bytes(payload[HEAD_BYTES:]), now)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (picows calls it so)
        """The connection is gone."""
        self.lost("connection lost")

    def pause_writing(self) -> None:
        """The WebSocket's buffer is full."""
        self._write_paused = True
        self._carrier.pause()

    def resume_writing(self) -> None:
        """The WebSocket's buffer has drained."""
        self._write_paused = False
        self._carrier.resume()

    def _take_text(self, data: bytes, *, last: bool) -> None:
        try:
            self._control.receive(data, last=last)
        except DialogueError as error:
            self._refused(error.reason)
            self.close(error.code, str(error))
            return
        if self.ready_at is None and not self._control.missing:
            self.ready_at = self._next_heartbeat = self._loop.time()
            self._on_ready(self)
            self._look()

    def _refused(self, reason: reasons.Reason) -> None:
        if not self._reason:
            self.refusal, self._reason = reason, reason.text

    # --- the carrier

    def _message_received(self, envelope: messages.Envelope, text: bytes) -> bool:
        return self._carrier.message_received(envelope, text)

    def _ping_received(self, answer: Callable[[], None]) -> None:
        self._carrier.ping_received(answer)

    def _first_carrier(self) -> Carrier:
        terms = self._terms
        if terms.dialect == "yamux":
            return Unagreed(self._wiring.note)
        return MessageCarrier(
            self._wiring,
            dialect=terms.dialect,
            services=terms.services,
            account=terms.account,
            quota=terms.quota,
            traffic=terms.traffic,
            dial_seconds=terms.dial_seconds,
        )

    def _start_yamux(self, asked: messages.YamuxConfig) -> None:
        """The hello was acknowledged: binary messages are yamux from now on."""
        terms = self._terms
        self._carrier = SpliceCarrier(
            self._wiring,
            asked,
            services=terms.services,
            account=terms.account,
            quota=terms.quota,
            traffic=terms.traffic,
            dial_seconds=terms.dial_seconds,
        )
        if self._write_paused:
            self._carrier.pause()
        if self._transport is not None:
            hold_little(self._transport.underlying_transport)
        self._carrier.probe(self._loop.time())
        interval = max(1.0, asked.keep_alive_interval_seconds)
        self._liveness.ping_seconds = min(terms.ping_seconds, interval)
        patience = max(DEAD_SECONDS, asked.connection_timeout_seconds - interval / 2)
        self._liveness.dead_seconds = min(terms.dead_seconds, patience)

    def _carrier_failed(self, reason: str) -> None:
        self.close(1002, reason)

    def _carrier_idle(self) -> None:
        if self._draining:
            self.close(1001, "stopping")

    # --- the one timer

    def _look(self) -> None:
        """Do what is due, and look again when the next thing is due."""
        if self._timer is not None:
            self._timer.cancel()
        if self._closing or self.ended.done():
            return
        now = self._loop.time()
        if self._liveness.stood_still(self._look_due, now, time.time()):
            log.info("link %s: this process or its machine stood still; the link is probed", self.name)
            self._probe(now)
        if self._liveness.is_dead(now):
            self._reason = f"nothing heard for {now - self._liveness.heard_at:.1f} s, and no answer to a ping"
            self._reset()
            return
        if self.ready_at is None and now >= self._ready_by:
            self.close(1000, f"no {self._control.missing} within {REGISTER_SECONDS:g} s")
            return
        try:
            self._send_what_is_due(now)
        except Exception:
            log.exception("link %s: sending failed", self.name)
            self._reset()
            return
        due = min(self._liveness.next_look(), self._next_heartbeat)
        self._look_due = due = due if self.ready_at is not None else min(due, self._ready_by)
        self._timer = self._loop.call_at(due, self._look)

    def _send_what_is_due(self, now: float) -> None:
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            self._control.heartbeat()
        if self._liveness.ping_due(now):
            self._ping(now)

    def _probe(self, now: float) -> None:
        if self._liveness.probe(now):
            self._ping(now)

    def _ping(self, now: float) -> None:
        if self._transport is not None and not self._carrier.probe(now):
            if self._pinged_at is None:
                self._pinged_at = now
            self._transport.send_ping()

    def _reset(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # --- what leaves

    def _takes_control(self) -> bool:
        """Whether a message of the link's own may leave; resets the link of a gateway that does not read."""
        transport = self._transport
        if transport is None:
            return False
        if not self._write_paused:
            return True
        if self._carrier.may_send_control(transport.underlying_transport.get_write_buffer_size()):
            return True
        self._reason = self._reason or "the gateway asks for answers and does not read them"
        self._reset()
        return False

    def _send_text(self, text: str) -> None:
        if self._takes_control() and self._transport is not None:
            self._transport.send(_TEXT, text)

    def _send_bytes(self, batch: Batch) -> None:
        transport = self._transport
        if transport is None:
            return
        if type(batch) is bytes:
            transport.send(_BINARY, batch)
        elif self._joins:
            transport.send(_BINARY, bytes(batch))
        elif isinstance(batch, Parts) and not (transport.is_close_frame_sent or transport.is_disconnected):
            # Masked part by part, which is the only copy. picows would need it in one piece, and copy that too.
            frame = encode_in_parts(Opcode.BINARY, batch.pieces, batch.size_bytes, masked=True)
            transport.underlying_transport.writelines(frame)
