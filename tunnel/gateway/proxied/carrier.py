"""The `Carrier` of dialects that carry exchanges as messages: finds the exchange that a message is for.

Does not know how WebSockets are carried: `JsonCarrier` and `ChunkCarrier` do. A message with an id that nobody waits
for is ignored and counted, because agents go on with what was given up. A message that cannot be understood ends its
own exchange, if it has one. The agent's answer may come on another of its cluster's links than the request left on.

Invariants: the reader (`message_received`, `bytes_received`) never waits, and calls no sink except to fail it. An
exchange belongs to one carrier at a time. After `lost` nothing is held except complete answers that wait for their
clients.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator

from tunnel.errors import LinkLostError, TunnelError
from tunnel.gateway.carrier import Carrier, LinkSide
from tunnel.gateway.figures import Figures
from tunnel.gateway.proxied.answer import parse_frame
from tunnel.gateway.proxied.carrying import ExchangeCarrier
from tunnel.gateway.proxied.closed import ClosedStreams
from tunnel.gateway.proxied.connection import AgentConnection
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.incoming import ANSWER_TYPES, deliver_answer, id_of
from tunnel.gateway.proxied.lanes import HIGH_BYTES, Lane
from tunnel.gateway.proxied.proxy_stream import ProxyStream
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.proxied.upload_window import WINDOW_BYTES
from tunnel.gateway.proxied.upstream import OpeningCarrier, ProxiedUpstream
from tunnel.override import override
from tunnel.port import Target
from tunnel.slices import work_off
from tunnel.wire import messages
from tunnel.wire.messages import Envelope, MessageError

logger = logging.getLogger(__name__)

_UPLOAD_PATIENCE_SECONDS = 75.0
"""A slow service that takes an upload blocks that agent's only read loop, and with it the agent's pongs. An agent that
never answered a ping is heard with its heartbeats, every 30 s."""

_LOSSES_PER_TURN = 8
"""When a link is lost, with what each means for its client: 100 to 200 us for a WebSocket."""

_WARNINGS = 16
"""Different ones per link: harmless mistakes of an agent must not fill the log."""


class ProxiedCarrier(Carrier, OpeningCarrier):
    """What `json` and `chunk` have in common."""

    dialect = "proxied"
    forwards_pings = False
    interval_seconds = 0.0
    types: frozenset[str] = frozenset()
    """The dialect's own messages for exchanges, besides those about answers."""
    data_types: frozenset[str] = frozenset()
    """Those of `types` that only an open WebSocket sends."""
    going_away = False
    upgrade_allowance = 0.0
    answered_at = None

    def __init__(
        self, link: LinkSide, *, shared: Proxied, streams_responses: bool = True, forgetful: bool = False
    ) -> None:
        self.link = link
        self.name = link.name
        self.cluster = link.cluster
        self.forgetful = forgetful
        self.clock = link.clock
        self.shared = shared
        self.account = shared.account
        self.grace_seconds = shared.grace_seconds
        self.agent_limit_bytes = link.agent_limit_bytes
        self.connection = AgentConnection(shared, link.wake, self.agent_limit_bytes)
        self.active = 0
        self.uploads = 0
        """Streamed ones, until they are answered: their service may still block the agent."""
        self.ignored = 0
        """Messages for exchanges that nobody waits for."""
        self.is_lost = self.is_ending = False
        self._wake = link.wake
        self.streams_responses = streams_responses
        self._exchanges: dict[str, ProxiedExchange] = {}
        self._closed = ClosedStreams()
        self._farewell: deque[str] = deque()  # told after the loss, in case the agent still hears us
        self._warned: set[str] = set()
        self._ping = Lane()
        self._ponged = False
        self._pinged_at: float | None = None  # by the ping that has no answer yet
        self._timer: asyncio.TimerHandle | None = None
        self._successors: list[ExchangeCarrier] = []  # newer links, once ours is lost: one may be the same agent's
        for text in shared.link_came(self):
            self.connection.send_control(text)

    # --- what the dialects say, besides what `WebSocketCarrier` describes

    def dialect_message_received(self, exchange: ProxiedExchange, envelope: Envelope, text: str | bytes) -> None:
        """A message of one of the dialect's `types`, for an exchange. Raises MessageError."""
        raise NotImplementedError

    def closing_text(self, request_id: str, reason: str = "") -> str:
        """The message that ends whatever the agent has under this id."""
        raise NotImplementedError

    # --- the door's side

    @override
    def upstream(self, target: Target, /) -> ProxiedUpstream:
        return ProxiedUpstream(self, target)

    @property
    @override
    def queued_bytes(self) -> int:
        return self.connection.lanes.queued_bytes

    @override
    def figures(self) -> Figures:
        exchanges = self._exchanges.values()
        stalled = sum(1 for exchange in exchanges if exchange.stream.lane.full)
        return Figures(len(exchanges), WINDOW_BYTES, stalled, self.queued_bytes, self.link.round_trips.latest)

    @override
    def retire(self) -> None:
        self.going_away = True

    @override
    def ask_to_move(self) -> None: ...

    @override
    def began(self, exchange: ProxiedExchange) -> None:
        self._exchanges[exchange.request_id] = self.shared.exchanges[exchange.request_id] = exchange
        self.active += 1

    # --- the link's side

    @property
    @override
    def message_limit_bytes(self) -> int:
        """The largest WebSocket message in base64, and its envelope. Never less than the agent was told."""
        return max(self.max_message_bytes * 4 // 3 + 64 * 1024, self.link.accepts_bytes)

    @property
    @override
    def patience(self) -> float | None:
        """Longer while the agent may have a reason to be silent."""
        return _UPLOAD_PATIENCE_SECONDS if self.uploads or not self._ponged else None

    @override
    def message_received(self, envelope: Envelope, text: str | bytes, /) -> bool:
        if envelope.type == "pong":
            self._ponged = True
            if not envelope.request_id and self._pinged_at is not None:
                pinged_at, self._pinged_at = self._pinged_at, None
                self.link.round_trips.answered(self.clock() - pinged_at)
            if self.connection.window.pong_received(envelope.request_id, self.clock()):
                self._wake()
            return False
        if envelope.type not in ANSWER_TYPES and envelope.type not in self.types:
            return False
        request_id = id_of(envelope)
        exchange = self._find(request_id)
        if exchange is None:
            self._ignore(request_id, envelope.type)
            return True
        try:
            if not deliver_answer(exchange, envelope):
                self.dialect_message_received(exchange, envelope, text)
        except MessageError as error:
            exchange.rule_broken(str(error))
        return True

    @override
    def bytes_received(self, data: bytes, /) -> None:
        """A whole answer in one frame, or an envelope. Raises MessageError."""
        if data[:1] == b"{":
            envelope = messages.decode_envelope(data)
            if not self.message_received(envelope, data):
                logger.debug("%s: binary message of type %.60r skipped", self.name, envelope.type)
            return
        request_id, head, body = parse_frame(data)
        exchange = self._find(request_id)
        if exchange is None:
            self._ignore(request_id, "proxy_response")
        else:
            exchange.whole_received(head, body)

    @override
    def next_message(self) -> str | None:
        if self._farewell:
            return self._farewell.popleft()
        if self.is_lost:
            return None  # what waits belongs to exchanges that are about to be told
        now = self.clock()
        lanes = self.connection.lanes
        text = lanes.next(now)
        if text is None and self._timer is None and (due := lanes.due()) is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._paced)
        return text

    @override
    def probe(self, now: float, /) -> None:
        """Ask for a pong, unless an earlier ping has not left yet."""
        if self._ping.empty and not self.is_lost:
            if self._pinged_at is None:
                self._pinged_at = now
            self.connection.lanes.put_first(self._ping, messages.encode("ping", messages.Notice()))

    @override
    def tick(self, now: float, /) -> bool:
        if self.connection.window.tick(now):
            self._wake()
        return False

    @override
    def lost(self, error: TunnelError, /) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self._successors = self.shared.link_went(self)
        self.is_ending = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        work_off(self._lose_all(error), _LOSSES_PER_TURN)

    def _lose_all(self, error: TunnelError) -> Iterator[None]:
        """One exchange a step. One that another link took over meanwhile is not lost."""
        for request_id in list(self._exchanges):  # of the ids alone: pairs of ten thousand take 3 ms to make
            exchange = self._exchanges.get(request_id)
            if exchange is not None:
                try:
                    exchange.link_lost(error)
                except Exception:
                    logger.exception("exchange %s failed when its link was lost", request_id)
                yield
        self.connection.close()
        self.is_ending = False
        self._wake()

    # --- the exchanges' side

    @property
    @override
    def max_message_bytes(self) -> int:
        return self.shared.max_message_bytes

    @override
    def open_stream(
        self, request_id: str, drained: Callable[[], None], *, whole_bytes: int, interval_seconds: float
    ) -> ProxyStream:
        return self.connection.open_stream(
            request_id, drained, whole_bytes=whole_bytes, interval_seconds=interval_seconds
        )

    @override
    def tell(self, text: str) -> None:
        if not self.is_lost:
            self.connection.send_control(text)
            return
        self._farewell.append(text)
        for carrier in self._successors:
            if not carrier.is_lost:
                carrier.tell(text)
        self.shared.owe(self.cluster, self.dialect, text)

    @override
    def upload_began(self) -> None:
        self.uploads += 1

    @override
    def upload_ended(self) -> None:
        self.uploads -= 1
        if not self.uploads:
            self.connection.window.reopen()
            self._wake()

    @override
    def newer_link_came(self, moment: float) -> bool:
        return self.shared.came_since(self.cluster, self.dialect, moment)

    @override
    def hand_over(self, request_id: str) -> None:
        del self._exchanges[request_id]
        self.connection.release(request_id)
        self.active -= 1

    @override
    def answer_ended(self, request_id: str) -> None:
        self.shared.exchanges.pop(request_id, None)

    @override
    def delivered(self, request_id: str) -> None:
        if request_id in self._exchanges:
            self.active -= 1

    @override
    def close_exchange(self, request_id: str) -> None:
        self._exchanges.pop(request_id, None)
        self.shared.exchanges.pop(request_id, None)
        self.connection.close_stream(request_id)

    @override
    def end_websocket(self, stream: ProxyStream, reason: str, *, in_handshake: bool) -> None:
        self._closed.remember(stream.request_id, in_handshake=in_handshake)

    def warn_once(self, text: str) -> None:
        """Log something that an agent may do a thousand times."""
        if text not in self._warned and len(self._warned) < _WARNINGS:
            self._warned.add(text)
            logger.warning("%s: %s", self.name, text)

    # --- inside

    def _find(self, request_id: str) -> ProxiedExchange | None:
        """The exchange that a message is for. One of another link of this cluster is taken over, if it can be."""
        exchange = self._exchanges.get(request_id)
        if exchange is not None:
            return None if exchange.answer_ended else exchange
        exchange = self.shared.exchanges.get(request_id)
        if exchange is None:
            return None
        if (exchange.carrier.cluster, exchange.carrier.dialect) != (self.cluster, self.dialect):
            self.warn_once(f"message for an exchange of {exchange.carrier.name} ignored")
            return None
        if exchange.adoptable:
            self._adopt(exchange)
            return exchange
        exchange.fail(LinkLostError(f"the agent of {exchange.carrier.name} came back on {self.name}"))
        return None

    def _adopt(self, exchange: ProxiedExchange) -> None:
        """The exchange's agent answers here."""
        exchange.carrier.hand_over(exchange.request_id)
        self._exchanges[exchange.request_id] = exchange
        self.connection.adopt(exchange.stream)
        self.active += 1
        exchange.adopted(self)

    def _ignore(self, request_id: str, kind: str) -> None:
        """Nobody waits for this message. Tell the agent to close a WebSocket that we no longer know."""
        self.ignored += 1
        logger.debug("%s: %s for %.60r ignored: nobody waits for it", self.name, kind, request_id)
        reads = self.queued_bytes <= HIGH_BYTES
        if (
            reads
            and request_id not in self._exchanges
            and self._closed.is_left_over(request_id, kind, is_data=kind in self.data_types)
        ):
            self._closed.remember(request_id, in_handshake=False)
            self.tell(self.closing_text(request_id, "unknown here"))

    def _paced(self) -> None:
        self._timer = None
        self._wake()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.active} active, {self.connection!r}>"
