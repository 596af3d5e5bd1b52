"""One link: one WebSocket to one gateway, from its handshake to its end.

Text messages go to the JSON dialogue, and what it does not know to the exchanges of the json and chunk dialects;
binary ones go to the yamux session. Never dials the gateway and never decides what comes after its end. Invariants:
everything is a callback; there is one timer; the link's own messages leave at once, whatever the streams do; `ended`
resolves once, after every service connection of the link was aborted.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tunnel.account import Account
from tunnel.agent.control import Control, DialogueError, Identity
from tunnel.agent.liveness import Liveness
from tunnel.agent.log import Quota
from tunnel.agent.proxied import carrier
from tunnel.agent.service.services import Services
from tunnel.agent.yamux.carrier import SpliceCarrier, Wiring
from tunnel.wire import messages
from tunnel.yamux import Limits

log = logging.getLogger(__name__)

REGISTER_SECONDS = 10.0
"""Both the answer to `register` and the gateway's hello must have come by then."""
HEARTBEAT_SECONDS = 30.0
CLOSING_SECONDS = 1.0
"""How long the gateway may take to answer our close; then the connection is cut."""
CONTROL_WAITING_BYTES = 1024 * 1024
"""A full WebSocket with this much before our next message: the gateway asks for answers and does not read them."""

_REASON_BYTES = 120
"""A close frame has room for 123."""
_WINDOW_MAX_BYTES = 16 * 1024 * 1024
"""A gateway that asks for larger windows gets these: 1 Gbit/s over 130 ms."""


@dataclass(slots=True, frozen=True)
class Terms:
    """What all links of this process share."""

    identity: Identity
    services: Services
    account: Account
    quota: Quota
    ping_seconds: float
    dead_seconds: float
    dial_seconds: float
    dialect: str = "yamux"

    @property
    def message_limit_bytes(self) -> int:
        """The longest message that the gateway may send."""
        return messages.ENVELOPE_LIMIT_BYTES if self.dialect == "yamux" else carrier.MESSAGE_LIMIT_BYTES


class GatewayLink(WSListener):
    """The agent's end of one WebSocket."""

    def __init__(self, terms: Terms, on_ready: Callable[["GatewayLink"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._terms = terms
        self._on_ready = on_ready
        self.name = uuid.uuid4().hex[:8]
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """Resolves to why the link ended."""
        self.ready_at: float | None = None
        """When it began to serve: registered, and yamux agreed where it is spoken."""
        self._ready_by = now + REGISTER_SECONDS
        self._control = Control(
            terms.identity,
            self._send_text,
            self._start_yamux,
            dialect=terms.dialect,
            on_message=self._take_exchange,
            on_ping=self._answer_ping,
            limit_bytes=terms.message_limit_bytes,
        )
        self._liveness = Liveness(terms.ping_seconds, terms.dead_seconds, now)
        self._next_heartbeat = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._cut_timer: asyncio.TimerHandle | None = None
        self._transport: WSTransport | None = None
        self._table = self._new_table() if terms.dialect != "yamux" else None
        self._streams: SpliceCarrier | carrier.ExchangeCarrier | None = self._table
        self._draining = False
        self._closing = False
        self._write_paused = False
        self._reason = ""

    def __repr__(self) -> str:
        state = "ended" if self.ended.done() else "serving" if self.ready_at is not None else "registering"
        return f"<GatewayLink {self.name} {state} {self._streams!r}>"

    # From whoever keeps the link.

    def drain(self) -> None:
        """Take no new streams, and close once the running ones are over."""
        self._draining = True
        if self._streams is None or self.ready_at is None:
            self.close(1001, "stopping")
            return
        if self._table is not None:
            self._control.going_away()
        self._streams.drain()

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and end the link; what the session still has goes out first. Idempotent."""
        self._reason = self._reason or reason
        transport = self._transport
        if transport is None:
            self.abandon(reason)
            return
        if self._closing:
            return
        self._closing = True
        try:
            if self._streams is not None:
                self._streams.flush()
            transport.send_close(WSCloseCode(code), reason.encode()[:_REASON_BYTES])
        except Exception:
            log.exception("link %s: saying goodbye failed", self.name)
        if self._streams is not None:
            self._streams.lost("link closed")
        # The gateway's close is waited for: closing a socket that still receives would destroy what we sent last.
        self._cut_timer = self._loop.call_later(CLOSING_SECONDS, self._cut)

    def abandon(self, reason: str) -> None:
        """Nothing more will come of this link; idempotent."""
        self._reason = self._reason or reason
        for timer in (self._timer, self._cut_timer):
            if timer is not None:
                timer.cancel()
        if not self.ended.done():
            if self._streams is not None:
                self._streams.lost("link lost")
            self.ended.set_result(self._reason)

    # From picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The gateway accepted the handshake: register."""
        self._transport = transport
        if self.ended.done():  # whoever dialled has given up meanwhile
            self._cut()
            return
        self._control.register()
        self._look()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame; fragments of a message come one by one."""
        if self._closing:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            return
        self._liveness.heard_at = now = self._loop.time()
        kind = frame.msg_type
        if kind == WSMsgType.CONTINUATION:
            kind = WSMsgType.TEXT if self._control.in_message else WSMsgType.BINARY
        if kind == WSMsgType.BINARY:
            if self._streams is not None:
                self._streams.feed(frame.get_payload_as_bytes(), now)
            else:
                self._control.note("binary message before yamux was agreed")
        elif kind == WSMsgType.TEXT:
            self._take_text(frame.get_payload_as_bytes(), last=frame.fin)
        elif kind == WSMsgType.PING:
            if self._takes_control():
                transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2]) or "no code"
            self.close(1000, f"closed by the gateway: {code} {payload[2:].decode(errors='replace')!r}")
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (picows calls it so)
        """The connection is gone."""
        self.abandon("connection lost")

    def pause_writing(self) -> None:
        """The WebSocket's buffer is full."""
        self._write_paused = True
        if self._streams is not None:
            self._streams.pause()

    def resume_writing(self) -> None:
        """The WebSocket's buffer has drained."""
        self._write_paused = False
        if self._streams is not None:
            self._streams.resume()

    def _take_text(self, data: bytes, *, last: bool) -> None:
        try:
            self._control.receive(data, last=last)
        except DialogueError as error:
            self.close(error.code, str(error))
            return
        if self.ready_at is None and not self._control.missing:
            self.ready_at = self._next_heartbeat = self._loop.time()
            self._on_ready(self)
            self._look()

    def _new_table(self) -> carrier.ExchangeCarrier:
        """The exchanges of the json and chunk dialects."""
        wiring = carrier.Wiring(self._send_text, lambda: not self._write_paused, self._session_idle, self._control.note)
        terms = self._terms
        return carrier.ExchangeCarrier(
            wiring,
            dialect=terms.dialect,
            services=terms.services,
            account=terms.account,
            quota=terms.quota,
            dial_seconds=terms.dial_seconds,
        )

    def _take_exchange(self, envelope: messages.Envelope, text: bytes) -> bool:
        return self._table is not None and self._table.take(envelope, text)

    def _answer_ping(self, answer: Callable[[], None]) -> None:
        """Once the services have taken most of what the gateway sent before it."""
        if self._table is not None:
            self._table.pongs.asked(answer)
        else:
            answer()

    def _start_yamux(self, asked: messages.YamuxConfig) -> None:
        """The hello was acknowledged: binary messages are yamux from now on."""
        smallest = Limits().initial_window
        limits = Limits(max_window=min(max(smallest, asked.max_stream_window_size), _WINDOW_MAX_BYTES))
        wiring = Wiring(self._send_binary, self._control.stream_refused, self._session_failed, self._session_idle)
        terms = self._terms
        self._streams = SpliceCarrier(
            wiring,
            services=terms.services,
            account=terms.account,
            quota=terms.quota,
            limits=limits,
            dial_seconds=terms.dial_seconds,
        )
        if self._write_paused:
            self._streams.pause()
        self._liveness.ping_seconds = min(terms.ping_seconds, max(1.0, asked.keep_alive_interval_seconds))
        if self._draining:
            self._streams.drain()

    def _session_failed(self, reason: str) -> None:
        self.close(1002, reason)

    def _session_idle(self) -> None:
        if self._draining:
            self.close(1001, "stopping")

    # The one timer.

    def _look(self) -> None:
        """Do what is due, and look again when the next thing is."""
        if self._timer is not None:
            self._timer.cancel()
        if self._closing or self.ended.done():
            return
        now = self._loop.time()
        if self._liveness.is_dead(now):
            self._reason = f"nothing heard for {self._terms.dead_seconds:g} s after a ping"
            self._cut()
            return
        if self.ready_at is None and now >= self._ready_by:
            self.close(1000, f"no {self._control.missing} within {REGISTER_SECONDS:g} s")
            return
        try:
            self._send_what_is_due(now)
        except Exception:
            log.exception("link %s: sending failed", self.name)
            self._cut()
            return
        due = min(self._liveness.next_look(), self._next_heartbeat)
        self._timer = self._loop.call_at(due if self.ready_at is not None else min(due, self._ready_by), self._look)

    def _send_what_is_due(self, now: float) -> None:
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            self._control.heartbeat()
        if self._liveness.ping_due(now) and self._transport is not None:
            self._transport.send_ping()
            if self._streams is not None:
                self._streams.ping(now)

    def _cut(self) -> None:
        """End the connection without waiting for anybody."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # What leaves.

    def _takes_control(self) -> bool:
        """Whether a message of the link's own may leave; a gateway that never reads ends its link here."""
        transport = self._transport
        if transport is None:
            return False
        waiting_max = CONTROL_WAITING_BYTES
        if self._table is not None:
            waiting_max += carrier.MESSAGE_LIMIT_BYTES  # one message of an exchange, however long, leaves whole
        if not self._write_paused or transport.underlying_transport.get_write_buffer_size() < waiting_max:
            return True
        self._reason = self._reason or "the gateway asks for answers and does not read them"
        self._cut()
        return False

    def _send_text(self, text: str) -> None:
        if self._takes_control() and self._transport is not None:
            self._transport.send(WSMsgType.TEXT, text)

    def _send_binary(self, batch: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.BINARY, batch)
