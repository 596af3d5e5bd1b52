"""The `Carrier` of dialects that carry exchanges as JSON messages: finds whose a message is, and keeps the link's turn.

Does not know how WebSockets ride: `JsonCarrier` and `ChunkCarrier` say that. A message for an id that nobody waits
for is ignored and counted: agents go on with what was given up. A message that cannot be understood ends its own
exchange, where it has one. The agent's answers may come on another of its cluster's links than the request left on.

Invariants: the reader (`message_received`, `bytes_received`) never waits and never calls a sink, except to fail one;
an exchange belongs to one carrier at a time; after `lost` nothing is held but what is complete and waits for its
client.
"""

import asyncio
import logging
from collections import deque

from tunnel.errors import LinkLostError, TunnelError
from tunnel.gateway.carrier import LinkSide
from tunnel.gateway.proxied.answer import parse_frame
from tunnel.gateway.proxied.closed import ClosedStreams
from tunnel.gateway.proxied.connection import AgentConnection
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.incoming import ANSWER_TYPES, deliver_answer, id_of
from tunnel.gateway.proxied.outbox import HIGH_BYTES, Lane
from tunnel.gateway.proxied.shared import Proxied
from tunnel.gateway.proxied.upstream import ProxiedUpstream
from tunnel.gateway.proxied.websocket import WebSocketExchange
from tunnel.port import Target
from tunnel.wire import messages
from tunnel.wire.messages import Envelope, MessageError

logger = logging.getLogger(__name__)

_UPLOAD_PATIENCE_SECONDS = 75.0
"""An upload to a slow service holds up that agent's only read loop, its pongs included; and an agent that never
answered a ping is heard with its heartbeats, every 30 s."""

_WARNINGS = 16
"""Of one link, each different: what an agent does wrong without harm is not to fill the log."""


class ProxiedCarrier:
    """What `json` and `chunk` have in common."""

    dialect = "proxied"
    forwards_pings = False
    """Whether pings reach the service, and pongs the door."""
    interval_seconds = 0.0
    """Between two messages of one WebSocket to the agent."""
    types: frozenset[str] = frozenset()
    """Of the dialect's own messages for exchanges, besides the answers'."""
    data_types: frozenset[str] = frozenset()
    """Those of them that only an open WebSocket brings."""
    going_away = False
    upgrade_allowance = 0.0
    """See `Upstream`."""

    def __init__(
        self, link: LinkSide, *, shared: Proxied, streams_responses: bool = True, forgetful: bool = False
    ) -> None:
        self.link = link
        self.name = link.name
        self.cluster = link.cluster
        self.forgetful = forgetful
        """The agent ends its exchanges with its link: no answer comes on another one."""
        self.clock = link.clock
        self.shared = shared
        self.connection = AgentConnection(shared, link.wake)
        self.active = 0
        self.uploads = 0
        """Streamed ones, until they are answered: the agent may still be held up by their service."""
        self.ignored = 0
        """Messages for exchanges that nobody waits for."""
        self.is_lost = False
        self._wake = link.wake
        self.streams_responses = streams_responses
        self._exchanges: dict[str, ProxiedExchange] = {}
        self.closed = ClosedStreams()
        self._farewell: deque[str] = deque()  # where the agent may hear us after all
        self._warned: set[str] = set()
        self._ping = Lane()
        self._ponged = False
        self._timer: asyncio.TimerHandle | None = None
        self._successors: list[ProxiedCarrier] = []  # once lost: one of them may be the same agent's
        for text in shared.link_came(self):
            self.connection.send_control(text)

    # --- what the dialects say

    def obey(self, exchange: ProxiedExchange, envelope: Envelope, text: str | bytes) -> None:
        """A message of one of the dialect's `types`, for an exchange. Raises MessageError."""
        raise NotImplementedError

    def send_message(self, exchange: WebSocketExchange, encoded: bytes) -> bool:
        """Queue one encoded WebSocket message; False: above the mark."""
        raise NotImplementedError

    def close_service(self, exchange: WebSocketExchange, payload: bytes) -> bool:
        """The door closed with this payload. True: that settles it; False: the agent's answer is waited for."""
        raise NotImplementedError

    def close_stream(self, exchange: WebSocketExchange, reason: str) -> None:
        """Tell the agent that a WebSocket is over, and why where the dialect can."""
        raise NotImplementedError

    def closing_text(self, request_id: str, reason: str = "") -> str:
        """The message that ends whatever an agent still has under this id."""
        raise NotImplementedError

    # --- the door's side

    def upstream(self, target: Target, /) -> ProxiedUpstream:
        """The upstream to a target; equal to any other for it."""
        return ProxiedUpstream(self, target)

    def began(self, exchange: ProxiedExchange) -> None:
        """An exchange was started."""
        self._exchanges[exchange.request_id] = self.shared.exchanges[exchange.request_id] = exchange
        self.active += 1

    # --- the link's side

    @property
    def message_limit_bytes(self) -> int:
        """The largest WebSocket message as base64, and its envelope."""
        return self.shared.max_message_bytes * 4 // 3 + 64 * 1024

    @property
    def patience(self) -> float | None:
        """Longer while the agent may have a reason to be silent."""
        return _UPLOAD_PATIENCE_SECONDS if self.uploads or not self._ponged else None

    def message_received(self, envelope: Envelope, text: str | bytes, /) -> bool:
        """See `Carrier`. Raises MessageError."""
        if envelope.type == "pong":
            self._ponged = True
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
                self.obey(exchange, envelope, text)
        except MessageError as error:
            exchange.rule_broken(str(error))
        return True

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

    def next_message(self) -> str | None:
        """See `Carrier`."""
        if self._farewell:
            return self._farewell.popleft()
        now = self.clock()
        outbox = self.connection.outbox
        text = outbox.next(now)
        if text is None and self._timer is None and (due := outbox.due()) is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._paced)
        return text

    def probe(self, now: float, /) -> None:  # noqa: ARG002
        """Ask for a pong, unless a ping still waits to leave."""
        if self._ping.empty and not self.is_lost:
            self.connection.outbox.put_first(self._ping, messages.encode("ping", messages.Notice()))

    def tick(self, now: float, /) -> bool:
        """See `Carrier`."""
        if self.connection.window.tick(now):
            self._wake()
        return False

    def lost(self, error: TunnelError, /) -> None:
        """See `Carrier`. What is owed to the agent is said to its next link, too."""
        if self.is_lost:
            return
        self.is_lost = True
        self._successors = self.shared.link_went(self)
        for exchange in list(self._exchanges.values()):
            exchange.link_lost(error)
        self.connection.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the exchanges' side

    def tell(self, text: str) -> None:
        """A small message for the agent; where the link is lost, for its next one."""
        if not self.is_lost:
            self.connection.send_control(text)
            return
        self._farewell.append(text)
        for carrier in self._successors:
            if not carrier.is_lost:
                carrier.tell(text)
        self.shared.owe(self.cluster, self.dialect, text)

    def delivered(self, exchange: ProxiedExchange) -> None:
        """The exchange's sink hears nothing more."""
        if exchange.request_id in self._exchanges:
            self.active -= 1

    def forget(self, exchange: ProxiedExchange) -> None:
        """The exchange is over."""
        del self._exchanges[exchange.request_id]
        self.shared.exchanges.pop(exchange.request_id, None)
        self.connection.forget(exchange.request_id)

    def disown(self, exchange: ProxiedExchange) -> None:
        """The exchange goes on at another carrier."""
        del self._exchanges[exchange.request_id]
        self.connection.release(exchange.request_id)
        self.active -= 1

    def warn_once(self, text: str) -> None:
        """Log what an agent may do a thousand times."""
        if text not in self._warned and len(self._warned) < _WARNINGS:
            self._warned.add(text)
            logger.warning("%s: %s", self.name, text)

    def upload_ended(self) -> None:
        """A streamed upload is over."""
        self.uploads -= 1
        if not self.uploads:
            self.connection.window.reset()
            self._wake()

    # --- inside

    def _find(self, request_id: str) -> ProxiedExchange | None:
        """Whose a message is; an exchange of another link of this cluster is taken over, where it can be."""
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
        exchange.fail(LinkLostError(f"the agent of {exchange.carrier.name} goes on at {self.name}"))
        return None

    def _adopt(self, exchange: ProxiedExchange) -> None:
        """Its agent answers here."""
        exchange.carrier.disown(exchange)
        exchange.carrier = self
        self._exchanges[exchange.request_id] = exchange
        self.connection.adopt(exchange.stream)
        self.active += 1
        exchange.adopted()

    def _ignore(self, request_id: str, kind: str) -> None:
        """Nobody waits for it. A WebSocket that the agent still has for nobody, it is told to close."""
        self.ignored += 1
        logger.debug("%s: %s for %.60r ignored: nobody waits for it", self.name, kind, request_id)
        reads = self.connection.outbox.queued_bytes <= HIGH_BYTES
        if (
            reads
            and request_id not in self._exchanges
            and self.closed.is_left_over(request_id, kind, is_data=kind in self.data_types)
        ):
            self.closed.remember(request_id, in_handshake=False)
            self.tell(self.closing_text(request_id, "unknown here"))

    def _paced(self) -> None:
        self._timer = None
        self._wake()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.active} active, {self.connection!r}>"
