"""One live connection of one agent: the part that all dialects share. The rest is in the link's carrier.

Push-style and without I/O. The owner of the WebSocket feeds `text_received` and `bytes_received`, calls `tick` about
twice a second, and after each `wake` sends what `next_message` returns, until it returns None.

A link is `joining` (the dialect is not agreed yet), then `ready` (it carries exchanges), then `closed`, for good.
`on_closed` is called once, with the reason. The dialect is chosen once: by `speak`, or by the agent's answer to
`greet`, which asks for yamux. The link gets its carrier from outside and knows only the `Carrier` protocol.
"""

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import count

import msgspec

from tunnel.errors import LinkLostError, NoAgentError
from tunnel.gateway.carrier import BrokenRuleError, Carrier
from tunnel.gateway.figures import NO_FIGURES, Figures
from tunnel.gateway.pause import Pause
from tunnel.gateway.round_trips import RoundTrips
from tunnel.gateway.timing import Timing
from tunnel.port import Pool, Target, Upstream
from tunnel.wire import message_limits, messages
from tunnel.yamux import Batch, Pace

logger = logging.getLogger(__name__)

_numbers = count(1)

_STREAM_WINDOW_BYTES = 16 * 1024 * 1024
"""The receive window per stream that we ask of a yamux agent, for uploads. Our agent grows its windows up to it. The
existing one grants all of it at once, never more, and returns credit only at half a window: of 16 MiB it can be sure
of 8 MiB under way, which is 100 MB/s at a round trip of 80 ms."""

_HEARD_INTERVALS = 10
"""An agent that pings us is pinged less often: only to measure the round trip."""

_QUEUED_TEXTS = 256
"""Control messages waiting to be sent. An agent that leaves 256 of them unread has stopped reading."""


class LinkState(Enum):
    """Where a link is in its life."""

    JOINING = "joining"
    READY = "ready"
    CLOSED = "closed"


_JOINING, _READY, _CLOSED = LinkState.JOINING, LinkState.READY, LinkState.CLOSED
"""By names of the module: read on the path of every request."""


class Link:
    """One agent's connection. A `LinkSide` for its carrier."""

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
        publisher: str = "",
        timing: Timing | None = None,
    ) -> None:
        self.name = f"link-{next(_numbers)}"
        self.cluster = cluster
        self.agent_id = agent_id
        """None until an agent on `/ws` has sent its first heartbeat."""
        self.publisher = publisher
        """The agent's id if the link carries only what it has published."""
        self.pool: Pool = (cluster, publisher) if publisher else cluster
        """Of the registry: see `Target.pool`."""
        self.agent_version = ""
        self.address = ""
        self.since = 0.0
        """Where the agent dialled from, and when in the wall clock: told by the owner of the WebSocket."""
        self.token_hash = b""
        """Of the token that admitted the agent."""
        self.accepts_bytes = 0
        self.agent_limit_bytes = message_limits.NO_LIMIT_BYTES
        self.state = _JOINING
        self.available = False
        """Whether new exchanges may use this link. Kept, because every request asks; `reconsider` sets it."""
        self.suspect = False
        """A newer link of this cluster connected and we have heard nothing since: takes no new exchange."""
        self.close_code: int | None = None
        self.close_reason = ""
        self.wake = wake
        """Called when there may be something to send."""
        self.has_more = True
        """False: the message that `next_message` has just returned was the last. Only the carrier knows and says so."""
        self.pace = Pace()
        """Of what leaves; told by the owner of the WebSocket."""
        self.round_trips = RoundTrips()
        self._on_ready = on_ready
        self._on_identified = on_identified
        self._on_closed = on_closed
        self.clock = clock
        self._timing = timing or Timing()
        self._texts: deque[str] = deque()
        self.carrier: Carrier | None = None
        """What carries its exchanges, once the dialect is chosen."""
        self._speaker: Carrier | None = None  # the same, until the WebSocket is lost
        self.born = self._pinged_at = self.unavailable_since = clock()
        self._pause = Pause(self.born)
        self._heard_at = self.born
        self._leaves: tuple[float, str] | None = None  # it was retired, and is closed then at the latest, for this
        self._unknown_types: set[str] = set()
        self.on_publish: Callable[[messages.Envelope], None] | None = None
        """Takes `publish` messages, and says no where the agent may not send them."""
        self._yamux: Callable[[], Carrier] | None = None  # for an agent that accepts our hello
        self._otherwise: Callable[[], Carrier] | None = None

    # --- the WebSocket's side

    def text_received(self, text: str) -> None:
        """Take one text message. One that we cannot understand is logged and skipped, as the agent does."""
        self._heard()
        limit = self.carrier.message_limit_bytes if self.carrier is not None else messages.ENVELOPE_LIMIT_BYTES
        if len(text) > limit:
            logger.warning("%s: agent sent a message of %d characters, above %d", self.name, len(text), limit)
            self.close(1009, "message too large")
            return
        try:
            self._obey(messages.decode_envelope(text), text)
        except Exception as error:  # noqa: BLE001  (it ends at most this link)
            self._failed(error)

    def bytes_received(self, data: bytes) -> None:
        """Take one binary message; what it means is up to the dialect."""
        self._heard_at = self.clock()
        if self.suspect:
            self._heard()
        carrier = self.carrier
        if carrier is None or self.state is not _READY:
            logger.warning("%s: %d bytes before gateway_hello_ack skipped", self.name, len(data))
            return
        try:
            carrier.bytes_received(data)
        except Exception as error:  # noqa: BLE001  (likewise)
            self._failed(error)

    def next_message(self) -> str | Batch | None:
        """The next message to send: control messages first, then the carrier's; None when there is none."""
        if self._texts:
            self.has_more = True
            return self._texts.popleft()
        speaker = self._speaker
        if speaker is None:
            return None
        return speaker.next_message()  # after we closed the link, the resets of its streams

    def tick(self) -> None:
        """Check keep-alive and deadlines; call about twice a second."""
        now = self.clock()
        paused = self._pause.ended(now)
        if paused:
            self._heard_at = now  # what the agent sent meanwhile has not been read yet
        if self._leaves is not None and (not self.active or now >= self._leaves[0]):
            self.close(1012, self._leaves[1])
        if self.state is _JOINING:
            if not paused and now - self.born > self._timing.joining:
                self.close(1008, "registration timed out")
            return
        if self.state is _CLOSED or self.carrier is None:
            return
        due = self.carrier.tick(now) or paused
        silent = now - self._heard_at
        interval, patience = self._timing.ping_interval, self.carrier.patience or self._timing.ping_timeout
        if silent >= interval + patience and self._pinged_at >= self._heard_at:
            self.close(1001, f"nothing received for {silent:.0f} s, and no answer to a ping")
        elif self._pause.is_unproved(now, self.carrier.answered_at):
            if not self._pause.extend(now, silent, interval + patience):
                self.close(1001, "no answer to a ping after the gateway itself stood still")
        elif due or now - self._pinged_at >= (interval if silent >= interval else interval * _HEARD_INTERVALS):
            self.probe()

    def lost(self, reason: str, *, forget: bool = False) -> None:
        """The WebSocket is gone. `forget`: let go of the carrier, too, which knows the link: both are freed at once."""
        self._end(reason)
        if forget:
            self.carrier = self._speaker = None

    # --- the registry's side

    def agent_accepts(self, told: msgspec.Raw) -> None:
        """Take the agent's `message_limit_bytes`, before the link has a carrier."""
        self.agent_limit_bytes = message_limits.limit_of(told)
        if why := message_limits.why_not(told):
            logger.warning("%s: message_limit_bytes of the agent ignored: %s", self.name, why)

    def greet(
        self,
        yamux: Callable[[], Carrier],
        otherwise: Callable[[], Carrier] | None = None,
        *,
        window_bytes: int = _STREAM_WINDOW_BYTES,
    ) -> None:
        """Ask for yamux; the link is ready once the agent agrees. Call once: a second hello would replace the session.

        `yamux` makes the carrier for an agent that agrees, `otherwise` the carrier for one that declines. The agent's
        receive windows are to reach `window_bytes`.
        """
        timing = self._timing
        config = messages.YamuxConfig(
            max_stream_window_size=window_bytes,
            keep_alive_interval_seconds=max(1, round(timing.ping_interval)),
            # An agent that lost us may stay silent on its next link for this long (tunnel/PROTOCOL.md, section 4).
            connection_timeout_seconds=max(5, round(timing.ping_timeout)),
        )
        self._yamux, self._otherwise = yamux, otherwise
        limit = message_limits.told(messages.ENVELOPE_LIMIT_BYTES)
        self.send_text("gateway_hello", messages.GatewayHello(True, config, limit))

    def speak(self, carrier: Carrier) -> None:
        """Use this dialect; exchanges may start."""
        if self.state is not _JOINING:
            raise RuntimeError(f"{self.name} is {self.state.value}")
        self.carrier = self._speaker = carrier
        self.state = _READY
        self.reconsider()
        self.probe()
        self._on_ready(self)

    @property
    def dialect(self) -> str:
        """`yamux`, `json` or `chunk`; empty until it is chosen."""
        return self.carrier.dialect if self.carrier is not None else ""

    def send_text(self, kind: str, payload: msgspec.Struct, request_id: str | None = None) -> None:
        """Queue one control message."""
        if self.state is _CLOSED:
            return
        if len(self._texts) >= _QUEUED_TEXTS:
            self.close(1008, "agent does not read")
            return
        text = messages.encode(kind, payload, request_id)
        if message_limits.size_of(text) > self.agent_limit_bytes:
            logger.warning("%s: %s left out: the agent accepts %d bytes", self.name, kind, self.agent_limit_bytes)
            return
        self._texts.append(text)
        self.wake()

    @property
    def is_backed_up(self) -> bool:
        """What is sent now has to wait for the transport: leave out what may be left out."""
        return bool(self._texts) or self.pace.is_blocked

    def probe(self) -> None:
        """Send a ping now; a live agent answers within a round trip."""
        if self.state is _READY and self.carrier is not None:
            self._pinged_at = self.clock()
            self.carrier.probe(self._pinged_at)
            self.wake()

    def doubt(self) -> None:
        """A newer link of this cluster connected: take no new exchange until something is received."""
        self.suspect = True
        self.reconsider()
        self.unavailable_since = self.clock()
        self.probe()

    def retire(self, grace_seconds: float, reason: str = "drained by the operator") -> None:
        """Take no new exchange. `tick` closes the link with 1012 once its exchanges have ended, or after the grace."""
        self._leaves = self.clock() + grace_seconds, reason
        if self.carrier is not None and not self.carrier.going_away:
            self._going_away()

    @property
    def heard_seconds(self) -> float:
        """How long ago something was last received."""
        return max(0.0, self.clock() - self._heard_at)

    def figures(self) -> Figures:
        """What its carrier knows of the traffic: see `Carrier.figures`."""
        return self.carrier.figures() if self.carrier is not None else NO_FIGURES

    def upstream(self, target: Target) -> Upstream:
        """The upstream to `target` through this link. Raises NoAgentError when the link carries nothing."""
        if self.state is not _READY or self.carrier is None:
            raise NoAgentError(f"{self.name} is {self.state.value}")
        return self.carrier.upstream(target)

    @property
    def active(self) -> int:
        """The number of running exchanges. Links are chosen by it."""
        return self.carrier.active if self.carrier is not None else 0

    def reconsider(self) -> None:
        """Find out anew whether new exchanges may use this link."""
        carrier = self.carrier
        self.available = carrier is not None and self.state is _READY and not self.suspect and not carrier.going_away

    @property
    def has_said_all(self) -> bool:
        """We closed it, and once `next_message` has none nothing more comes: the WebSocket may be closed."""
        return self.close_code is not None and (self.carrier is None or not self.carrier.is_ending)

    def close(self, code: int, reason: str) -> None:
        """Close the link: its exchanges fail now, then the WebSocket is closed with `code`."""
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._end(reason)

    # --- inside

    def _heard(self) -> None:
        self._heard_at = self.clock()
        if self.suspect:
            self.suspect = False
            self.reconsider()
            if self.state is _READY:
                self._on_ready(self)

    def _failed(self, error: Exception) -> None:
        """A message could not be understood, broke a rule, or met a bug of ours."""
        if isinstance(error, messages.MessageError):
            logger.warning("%s: message skipped: %s", self.name, error)
        elif isinstance(error, BrokenRuleError):
            logger.warning("%s: agent broke its protocol: %s", self.name, error)
            self.close(error.code, f"{self.dialect} protocol error")
        else:
            logger.error("%s failed", self.name, exc_info=error)
            self.close(1011, "internal error")

    def _obey(self, envelope: messages.Envelope, text: str) -> None:
        match envelope.type:
            case "heartbeat":
                self._heartbeat(messages.decode_payload(envelope, messages.Heartbeat))
            case "gateway_hello_ack":
                ack = messages.decode_payload(envelope, messages.GatewayHelloAck)
                if self.state is _JOINING:
                    self._agreed(use_yamux=ack.use_yamux)
            case "ping":
                if envelope.request_id is None or len(envelope.request_id) <= messages.NAME_LIMIT:
                    self.send_text("pong", messages.Notice(), envelope.request_id)
            case "going_away":
                self._going_away()
            case "error":
                self._reported(envelope)
            case "publish" if self.on_publish is not None:
                self.on_publish(envelope)
            case _ if self.carrier is not None and self.carrier.message_received(envelope, text):
                pass
            case "register" | "pong" | "heartbeat_ack" | "protocol_fallback" | "stream_refused":
                pass
            case other:
                self._unknown(other)

    def _going_away(self) -> None:
        if self.carrier is not None:
            self.carrier.retire()
            self.reconsider()
            self.unavailable_since = self.clock()

    def _reported(self, envelope: messages.Envelope) -> None:
        """Only logged, for the operator."""
        notice = messages.decode_payload(envelope, messages.Notice)
        logger.warning("%s: agent reports: %.300s", self.name, notice.error)

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
        if self.state is _CLOSED:
            return
        self.state, self.available = _CLOSED, False
        self._texts.clear()
        self._yamux = self._otherwise = self.on_publish = None
        if self.close_code is None:
            self._speaker = None
        self._on_closed(self, reason)
        whose = f" of agent {self.agent_id}" if self.agent_id else ""
        if self.carrier is not None:
            self.carrier.lost(LinkLostError(f"{self.name}{whose} ended: {reason}"))
        self.wake()

    def __repr__(self) -> str:
        return f"<Link {self.name} {self.cluster} agent={self.agent_id} {self.state.value}, {self.active} active>"
