"""One live connection of one agent, as the gateway sees it: what every dialect has; the rest is its carrier's.

Push-style and without I/O: whoever holds the WebSocket feeds `text_received` and `bytes_received`, calls `tick` about
twice a second, and, each time `wake` was called, sends what `next_message` gives, one message per loop turn, until it
gives None. The reader never waits for a stream, the writer is the only one that sends.

A link goes through `joining` (the handshake is done, the dialect not agreed on), `ready` (carries exchanges) and
`closed` (for good). What ends it is told once, to `on_closed`. The dialect is settled once: by `speak`, or by the
agent's answer to `greet`, which asks for yamux. Carriers come from outside; a link knows none of them.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count

import msgspec

from tunnel.errors import LinkLostError, NoAgentError, TunnelError
from tunnel.gateway.carrier import BrokenRuleError, Carrier
from tunnel.port import Target, Upstream
from tunnel.wire import messages

logger = logging.getLogger(__name__)

_numbers = count(1)

_STREAM_WINDOW_BYTES = 1024 * 1024
"""Asked of a yamux agent as its receive window per stream, for uploads: 1 MiB carries 10 MB/s over 100 ms of round
trip. The existing agent promises all of it at once and never grows it."""

_QUEUED_TEXTS = 256
"""Control messages waiting to leave. An agent that reads none of 256 acknowledgements reads nothing any more."""


class State(Enum):
    """Where a link is in its life."""

    JOINING = "joining"
    READY = "ready"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Timing:
    """When a silent link is given up, in seconds."""

    ping_interval: float = 5.0
    """Between yamux pings; also what the agent is asked to use."""
    ping_timeout: float = 6.0
    """Nothing at all received for so long after a ping: dead. 5 + 6, and 3 s of grace: the clients of a frozen agent
    are told within 15 s."""
    joining: float = 75.0
    """Until ready. The existing agent may be silent for 30 s after a reconnect with open streams, and heartbeats
    every 30 s."""


class Link:
    """One agent's connection. See the module."""

    def __init__(
        self,
        *,
        cluster: str,
        wake: Callable[[], None],
        on_ready: Callable[["Link"], None],
        on_identified: Callable[["Link"], None],
        on_closed: Callable[["Link", str], None],
        clock: Callable[[], float],
        agent_id: str | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.name = f"link-{next(_numbers)}"
        self.cluster = cluster
        self.agent_id = agent_id
        """None until an agent on `/ws` sent its first heartbeat."""
        self.agent_version = ""
        self.token_hash = b""
        """Of the token that it was admitted with."""
        self.state = State.JOINING
        self.suspect = False
        """A newer link of this cluster came, and nothing was received since: takes no new exchange."""
        self.close_code: int | None = None
        self.close_reason = ""
        self.wake = wake
        """There may be something to send."""
        self._on_ready = on_ready
        self._on_identified = on_identified
        self._on_closed = on_closed
        self.clock = clock
        self._timing = timing or Timing()
        self._texts: deque[str] = deque()
        self._carrier: Carrier | None = None  # once the dialect is settled
        self.born = self._last_tick = self._pinged_at = self.unavailable_since = clock()
        self._unanswered_since: float | None = None  # the first ping after which nothing at all was received
        self._unknown_types: set[str] = set()
        self._yamux: Callable[[], Carrier] | None = None  # what is made of the agent's answer to our hello
        self._otherwise: Callable[[], Carrier] | None = None

    # --- the WebSocket's side

    def text_received(self, text: str) -> None:
        """One control message of the agent. What cannot be understood is logged and skipped, as the agent does."""
        self._heard()
        limit = self._carrier.message_limit_bytes if self._carrier is not None else messages.ENVELOPE_LIMIT_BYTES
        if len(text) > limit:
            logger.warning("%s: agent sent a message of %d characters, above %d", self.name, len(text), limit)
            self.close(1009, "message too large")
            return
        try:
            self._obey(messages.decode_envelope(text), text)
        except messages.MessageError as error:
            logger.warning("%s: message skipped: %s", self.name, error)
        except BrokenRuleError as error:
            self._rule_broken(error)

    def bytes_received(self, data: bytes) -> None:
        """A binary message: the dialect's."""
        self._heard()
        if self.state is not State.READY or self._carrier is None:
            logger.warning("%s: %d bytes before gateway_hello_ack skipped", self.name, len(data))
            return
        try:
            self._carrier.bytes_received(data)
        except messages.MessageError as error:
            logger.warning("%s: message skipped: %s", self.name, error)
        except BrokenRuleError as error:
            self._rule_broken(error)

    def next_message(self) -> str | bytes | None:
        """What to send next: control texts first, then the carrier's; None when there is nothing."""
        if self._texts:
            return self._texts.popleft()
        if self._carrier is None or (self.state is State.CLOSED and self.close_code is None):
            return None
        return self._carrier.next_message()  # once closed by us: the resets of its streams

    def tick(self) -> None:
        """Keep-alive and deadlines; about twice a second."""
        now = self.clock()
        late = now - self._last_tick > 2.0
        self._last_tick = now
        if late:
            # This process stood still (or its machine slept): what the agent sent meanwhile has not been read yet.
            self._unanswered_since = None
        if self.state is State.JOINING:
            if now - self.born > self._timing.joining:
                self.close(1008, "registration timed out")
            return
        if self.state is State.CLOSED or self._carrier is None:
            return
        due = self._carrier.tick(now)
        patience = self._carrier.patience or self._timing.ping_timeout
        if self._unanswered_since is not None and now - self._unanswered_since > patience:
            self.close(1001, f"nothing received for {now - self._unanswered_since:.0f} s after a ping")
        elif due or now - self._pinged_at >= self._timing.ping_interval:
            self.probe()

    def lost(self, reason: str) -> None:
        """The WebSocket is gone."""
        self._end(reason)

    # --- the registry's side

    def greet(self, yamux: Callable[[], Carrier], otherwise: Callable[[], Carrier] | None = None) -> None:
        """Ask for yamux; ready once the agent agrees. Once per connection: a second hello would replace its session.

        `yamux` makes the carrier for an agent that agrees, `otherwise` the one for an agent that declines.
        """
        timing = self._timing
        config = messages.YamuxConfig(
            max_stream_window_size=_STREAM_WINDOW_BYTES,
            keep_alive_interval_seconds=max(1, round(timing.ping_interval)),
            # Until it does, an agent that lost us may stay silent on its next link (agent-protocol.md section 9).
            connection_timeout_seconds=max(5, round(timing.ping_timeout)),
        )
        self._yamux, self._otherwise = yamux, otherwise
        self.send_text("gateway_hello", messages.GatewayHello(use_yamux=True, yamux_config=config))

    def speak(self, carrier: Carrier) -> None:
        """The dialect is settled: exchanges may come."""
        if self.state is not State.JOINING:
            raise RuntimeError(f"{self.name} is {self.state.value}")
        self._carrier = carrier
        self.state = State.READY
        self.probe()
        self._on_ready(self)

    @property
    def dialect(self) -> str:
        """`yamux`, `json` or `chunk`; empty until it is settled."""
        return self._carrier.dialect if self._carrier is not None else ""

    def send_text(self, kind: str, payload: msgspec.Struct, request_id: str | None = None) -> None:
        """Queue one control message."""
        if self.state is State.CLOSED:
            return
        if len(self._texts) >= _QUEUED_TEXTS:
            self.close(1008, "agent does not read")
            return
        self._texts.append(messages.encode(kind, payload, request_id))
        self.wake()

    def probe(self) -> None:
        """Send a ping now: whoever is alive answers within a round trip."""
        if self.state is State.READY and self._carrier is not None:
            self._pinged_at = self.clock()
            if self._unanswered_since is None:
                self._unanswered_since = self._pinged_at
            self._carrier.probe(self._pinged_at)
            self.wake()

    def doubt(self) -> None:
        """A newer connection of this cluster came: no new exchange until something is received."""
        self.suspect = True
        self.unavailable_since = self.clock()
        self.probe()

    def upstream(self, target: Target) -> Upstream:
        """The upstream to `target` through this link. Raises NoAgentError when it does not carry any more."""
        if self.state is not State.READY or self._carrier is None:
            raise NoAgentError(f"{self.name} is {self.state.value}")
        return self._carrier.upstream(target)

    @property
    def active(self) -> int:
        """Exchanges under way: the load by which links are chosen."""
        return self._carrier.active if self._carrier is not None else 0

    @property
    def available(self) -> bool:
        """Whether new exchanges may use this link."""
        carrier = self._carrier
        return carrier is not None and self.state is State.READY and not self.suspect and not carrier.going_away

    def close(self, code: int, reason: str) -> None:
        """End the link from our side: exchanges fail now, the WebSocket is closed with `code` after that."""
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._end(reason)

    # --- inside

    def _heard(self) -> None:
        self._unanswered_since = None
        if self.suspect:
            self.suspect = False
            if self.state is State.READY:
                self._on_ready(self)

    def _rule_broken(self, error: BrokenRuleError) -> None:
        logger.warning("%s: agent broke its protocol: %s", self.name, error)
        self.close(error.code, f"{self.dialect} protocol error")

    def _obey(self, envelope: messages.Envelope, text: str) -> None:
        match envelope.type:
            case "heartbeat":
                self._heartbeat(messages.decode_payload(envelope, messages.Heartbeat))
            case "gateway_hello_ack":
                ack = messages.decode_payload(envelope, messages.GatewayHelloAck)
                if self.state is State.JOINING:
                    self._agreed(use_yamux=ack.use_yamux)
            case "ping":
                if envelope.request_id is None or len(envelope.request_id) <= messages.NAME_LIMIT:
                    self.send_text("pong", messages.Notice(), envelope.request_id)
            case "going_away":
                self._going_away()
            case "stream_refused" | "error":
                self._reported(envelope)
            case _ if self._carrier is not None and self._carrier.message_received(envelope, text):
                pass
            case "register" | "pong" | "heartbeat_ack" | "protocol_fallback":
                pass
            case other:
                self._unknown(other)

    def _going_away(self) -> None:
        if self._carrier is not None:
            self._carrier.going_away = True
            self.unavailable_since = self.clock()

    def _reported(self, envelope: messages.Envelope) -> None:
        """For the operator's log, and nothing else."""
        if envelope.type == "error":
            notice = messages.decode_payload(envelope, messages.Notice)
            logger.warning("%s: agent reports: %.300s", self.name, notice.error)
        else:
            refused = messages.decode_payload(envelope, messages.StreamRefused)
            logger.warning("%s: agent refused stream %d: %.300s", self.name, refused.stream_id, refused.reason)

    def _unknown(self, kind: str) -> None:
        if kind not in self._unknown_types and len(self._unknown_types) < 16:
            self._unknown_types.add(kind)
            logger.info("%s: unknown message type %.60r skipped", self.name, kind)

    def _agreed(self, *, use_yamux: bool) -> None:
        carrier = self._yamux if use_yamux else self._otherwise
        if carrier is not None:
            self.speak(carrier())

    def _heartbeat(self, beat: messages.Heartbeat) -> None:
        self.send_text("heartbeat_ack", messages.HeartbeatAck())
        if self.agent_id is None and beat.agent_id:
            self.agent_id = beat.agent_id[: messages.NAME_LIMIT]
            self._on_identified(self)

    def _end(self, reason: str) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._texts.clear()
        self._on_closed(self, reason)
        error: TunnelError = LinkLostError(f"{self.name} of agent {self.agent_id} ended: {reason}")
        if self._carrier is not None:
            self._carrier.lost(error)
        self.wake()

    def __repr__(self) -> str:
        return f"<Link {self.name} {self.cluster} agent={self.agent_id} {self.state.value}, {self.active} active>"
