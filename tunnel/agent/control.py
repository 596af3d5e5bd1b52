"""The JSON dialogue of one link (PROTOCOL.md, section 3): register, hello, heartbeat, pings, refused streams.

Text in, text out: never touches a socket and reads no clock. Invariants: `register` is sent once; a message that is not
understood is not answered; yamux is agreed at most once per link, and never in the other dialects; an unknown type is
noted once; at most `limit_bytes` of an unfinished message are held; nothing above `gateway_limit_bytes` is said.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tunnel.agent import reasons
from tunnel.agent.extension import Extension
from tunnel.agent.standing import Dial
from tunnel.wire import message_limits, messages

log = logging.getLogger(__name__)

_TYPES_NOTED_MAX = 64
"""More than any protocol has."""
_FEATURES = {
    "yamux": {"supports_yamux": True, "supports_websocket": True, "supports_stream_refused": True},
    "json": {
        "supports_yamux": False,
        "supports_response_streaming": True,
        "supports_websocket": True,
        "supports_message_order": True,
        "supports_websocket_ping": True,
        "ends_exchanges_with_link": True,
    },
    "chunk": {
        "supports_yamux": False,
        "supports_stream_chunks": True,
        "supports_response_streaming": True,
        "supports_websocket": True,
        "ends_exchanges_with_link": True,
    },
}
"""What an agent of each dialect says it can do; the gateway chooses the dialect by it (PROTOCOL.md, section 3)."""


class DialogueError(Exception):
    """The link cannot go on; `code` is what to close it with, the text is the reason."""

    def __init__(self, code: int, reason: str | reasons.Reason) -> None:
        super().__init__(reason.text if isinstance(reason, reasons.Reason) else reason)
        self.code = code
        self.reason = reason if isinstance(reason, reasons.Reason) else reasons.Reason(Dial.REFUSED, reason)


@dataclass(slots=True, frozen=True)
class Identity:
    """Who this agent says it is."""

    agent_id: str
    cluster: str
    hostname: str
    version: str


class Control:
    """The agent's side of the dialogue.

    `on_yamux` is told what the hello asks for; `on_message` takes a message of another type, or returns False;
    `on_ping` gets a call that sends the pong. `extension` sees what is left, and the answer to `register` before
    a hello is acknowledged.
    """

    def __init__(
        self,
        identity: Identity,
        send: Callable[[str], None],
        on_yamux: Callable[[messages.YamuxConfig], None],
        *,
        dialect: str,
        on_message: Callable[[messages.Envelope, bytes], bool],
        on_ping: Callable[[Callable[[], None]], None],
        extension: Extension | None = None,
    ) -> None:
        self._identity = identity
        self._send = send
        self._on_yamux = on_yamux
        self._dialect = dialect
        self._on_message = on_message
        self._on_ping = on_ping
        self._extension = extension
        self._early_hello: messages.Envelope | None = None  # that came before the answer to `register`
        self.limit_bytes = messages.ENVELOPE_LIMIT_BYTES
        """The longest message that the gateway may send; the link sets it for its dialect."""
        self.gateway_limit_bytes = message_limits.NO_LIMIT_BYTES
        """The longest message that the gateway accepts, as far as it has told."""
        self._request_id = f"register-{uuid.uuid4().hex}"
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._noted: set[str] = set()
        self._cluster_id = ""
        self.registered = False
        self.agreed = False
        """Whether binary messages are yamux now."""
        self._takers: dict[str, Callable[[messages.Envelope], None]] = {
            "register_success": self._registered,
            "register_in_progress": self._nothing,
            "gateway_hello": self._hello,
            "heartbeat_ack": self._nothing,
            "error": self._error,
            "ping": self._ping,
            "pong": self._nothing,
        }

    def __repr__(self) -> str:
        return f"<Control {'registered' if self.registered else 'registering'}{' yamux' if self.agreed else ''}>"

    @property
    def missing(self) -> str:
        """What the gateway still has to say before the link serves; empty when it does."""
        if not self.registered:
            return "register_success"
        return "" if self.agreed or self._dialect != "yamux" else "gateway_hello"

    @property
    def cluster(self) -> str:
        """The cluster that the gateway took this agent for; empty before that."""
        return self._cluster_id

    @property
    def in_message(self) -> bool:
        """Whether the message is unfinished: continuation frames belong to it."""
        return bool(self._fragments)

    def register(self) -> None:
        """Say who we are."""
        who = self._identity
        features = _FEATURES[self._dialect]
        if self._extension is not None:
            features = {**features, self._extension.feature: True}
        payload = messages.Register(
            agent_id=who.agent_id,
            name=who.cluster,
            cluster_id=who.cluster,
            agent_version=who.version,
            hostname=who.hostname,
            features=features,
            message_limit_bytes=message_limits.told(self.limit_bytes),
        )
        self.say("register", payload, self._request_id)

    def heartbeat(self) -> None:
        """Say that we are here."""
        self.say("heartbeat", messages.Heartbeat(self._identity.agent_id, self._cluster_id, "healthy"))

    def going_away(self) -> None:
        """Ask for no new exchanges, in the dialects that have no message of their own for it."""
        self.say("going_away", messages.Notice())

    def stream_refused(self, stream_id: int, reason: str, kind: str) -> None:
        """Say why a stream got no connection; `kind` is one of `tunnel.wire.refusals`."""
        self.say("stream_refused", messages.StreamRefused(stream_id, reason, kind))

    def say(self, kind: str, payload: msgspec.Struct, request_id: str | None = None) -> bool:
        """Send a message. False: it was left out, for the gateway does not accept one that is so long."""
        text = messages.encode(kind, payload, request_id)
        if message_limits.size_of(text) > self.gateway_limit_bytes:
            self.note(f"{kind} left out: the gateway accepts {self.gateway_limit_bytes} bytes")
            return False
        self._send(text)
        return True

    def receive(self, fragment: bytes, *, last: bool) -> None:
        """Take a text message, or a fragment of one. Raises DialogueError."""
        self._fragments_bytes += len(fragment)
        if self._fragments_bytes > self.limit_bytes:
            raise DialogueError(1009, f"a message is longer than {self.limit_bytes} bytes")
        self._fragments.append(fragment)
        if not last:
            return
        text = b"".join(self._fragments)
        self._fragments, self._fragments_bytes = [], 0
        try:
            envelope = messages.decode_envelope(text)
            take = self._takers.get(envelope.type)
            if take is not None:
                take(envelope)
            elif not self._on_message(envelope, text) and not self._extended(envelope):
                self.note(f"message of type {envelope.type[:40]!r}")
        except messages.MessageError as error:
            log.warning("message of the gateway dropped: %s", error)

    def note(self, what: str) -> None:
        """Log, once, something that is ignored."""
        if what not in self._noted and len(self._noted) < _TYPES_NOTED_MAX:
            self._noted.add(what)
            log.debug("ignored: %s", what)

    def _registered(self, envelope: messages.Envelope) -> None:
        if self.registered or envelope.request_id != self._request_id:
            return
        success = messages.decode_payload(envelope, messages.RegisterSuccess)
        if self._extension is not None:
            self._extension.registered(success)
        self._cluster_id = success.cluster_id
        self._gateway_accepts(success.message_limit_bytes)
        self.registered = True
        if self._early_hello is not None:
            self._hello(self._early_hello)

    def _hello(self, envelope: messages.Envelope) -> None:
        if self._extension is not None and not self.registered:
            self._early_hello = envelope
            return
        hello = messages.decode_payload(envelope, messages.GatewayHello)
        if self.agreed:
            self.note("second gateway_hello")
            return
        if self._dialect != "yamux":
            self.say("gateway_hello_ack", messages.GatewayHelloAck(use_yamux=False))
            return
        if not hello.use_yamux:
            raise DialogueError(1000, "the gateway does not offer yamux, the dialect that this agent was told to speak")
        self._gateway_accepts(hello.message_limit_bytes)
        self.say("gateway_hello_ack", messages.GatewayHelloAck(use_yamux=True))
        self.agreed = True
        self._on_yamux(hello.yamux_config)

    def _gateway_accepts(self, told: msgspec.Raw) -> None:
        """Take the gateway's word; what it does not say, or says wrongly, changes nothing."""
        if why := message_limits.why_not(told):
            log.warning("message_limit_bytes of the gateway ignored: %s", why)
        limit = message_limits.limit_of(told)
        if limit < message_limits.NO_LIMIT_BYTES:
            self.gateway_limit_bytes = limit

    def _error(self, envelope: messages.Envelope) -> None:
        notice = messages.decode_payload(envelope, messages.Notice)
        if not self.registered:
            raise DialogueError(1000, reasons.of_registration(notice.error))
        if self._extended(envelope):
            return
        log.warning("the gateway reports: %r", notice.error[:200])

    def _ping(self, envelope: messages.Envelope) -> None:
        def answer() -> None:
            self.say("pong", messages.Notice(), envelope.request_id)

        self._on_ping(answer)

    def _extended(self, envelope: messages.Envelope) -> bool:
        return self._extension is not None and self._extension.received(envelope)

    def _nothing(self, envelope: messages.Envelope) -> None:
        """Nothing to do."""
