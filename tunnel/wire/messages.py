"""The JSON control messages between agent and gateway: one envelope per WebSocket text message.

An envelope is `{"type", "request_id"?, "payload", "timestamp"}` (tunnel/PROTOCOL.md, sections 2 and 3). Decoding is
lenient where the existing agent is (unknown keys, null or missing payloads) and otherwise names what is wrong.
Encoding is strict where that agent is: ids are strings, the payload is an object, the timestamp has a zone. The agent
silently drops a message that breaks these rules. Heartbeats carry credentials: only the fields below are read, and
none is logged.
"""

from datetime import UTC, datetime
from typing import TypeVar

import msgspec

NAME_LIMIT = 128
"""Characters of an agent id, a request id and the like: these are logged and sent back."""

ENVELOPE_LIMIT_BYTES = 1024 * 1024
"""The longest control message accepted on a yamux link. A heartbeat of the existing agent has about 2 KiB."""

REPLACED = "replaced by a newer connection of the same agent"
"""The reason of the close (1012) of a link whose agent has a newer one."""


class MessageError(ValueError):
    """A control message that cannot be understood. The text names the rule, never the content."""


class Envelope(msgspec.Struct, frozen=True):
    """What every message has. `payload` is decoded once the type is known."""

    type: str
    request_id: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Register(msgspec.Struct, omit_defaults=True):
    """agent -> gateway, `register`: who the agent is and what it supports."""

    agent_id: str = ""
    name: str = ""
    cluster_id: str = ""
    agent_version: str = ""
    hostname: str = ""
    features: dict[str, bool] = {}
    metadata: dict[str, str] = {}
    message_limit_bytes: msgspec.Raw = msgspec.Raw()
    """The largest message that the agent accepts on this link: see `message_limits`."""


class RegisterSuccess(msgspec.Struct, omit_defaults=True):
    """gateway -> agent, `register_success`, with the same top-level `request_id`."""

    cluster_id: str
    cluster_uuid: str = ""
    name: str = ""
    status: str = "active"
    gateway_ws_url: str = ""
    message_limit_bytes: msgspec.Raw = msgspec.Raw()
    """The largest message that the gateway accepts on this link, unless it becomes yamux."""
    publishes: bool = False
    """The agent may `publish` (`publishing.py`), as it asked; an older gateway says nothing."""


class Heartbeat(msgspec.Struct):
    """agent -> gateway, `heartbeat`: the fields that we need. The rest may be secret and is not decoded."""

    agent_id: str = ""
    cluster_id: str = ""
    status: str = ""


class HeartbeatAck(msgspec.Struct):
    """gateway -> agent, `heartbeat_ack`."""

    status: str = "ok"


class YamuxConfig(msgspec.Struct):
    """What the gateway asks of the agent's yamux session."""

    max_stream_window_size: int = 262_144
    keep_alive_interval_seconds: int = 30
    connection_timeout_seconds: int = 30


class GatewayHello(msgspec.Struct):
    """gateway -> agent, `gateway_hello`: asks for yamux in binary messages. Once per connection."""

    use_yamux: bool = False
    yamux_config: YamuxConfig = msgspec.field(default_factory=YamuxConfig)
    message_limit_bytes: msgspec.Raw = msgspec.Raw(b"null")
    """The largest message that the gateway accepts if the agent agrees."""


class GatewayHelloAck(msgspec.Struct):
    """agent -> gateway, `gateway_hello_ack`: if `use_yamux`, binary messages are yamux from now on."""

    use_yamux: bool = False


class Notice(msgspec.Struct, omit_defaults=True):
    """Either way: `error` ({"error"}), `register_in_progress` ({"message"}), `ping`/`pong` ({"timestamp"})."""

    error: str = ""
    message: str = ""
    timestamp: str = ""


class StreamRefused(msgspec.Struct):
    """our agent -> gateway, `stream_refused`: why a yamux stream got no connection. Sent before the stream's end."""

    stream_id: int
    reason: str = ""
    """For the operator's log, never for clients."""
    kind: str = ""
    """One of `tunnel.wire.refusals`."""


Payload = TypeVar("Payload", bound=msgspec.Struct)

_envelopes = msgspec.json.Decoder(Envelope)
_encoder = msgspec.json.Encoder()


def decode_envelope(text: str | bytes) -> Envelope:
    """Decode the envelope of a message. Raises MessageError."""
    try:
        return _envelopes.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not an envelope: {error}"
        raise MessageError(msg) from None


def decode_payload(envelope: Envelope, kind: type[Payload]) -> Payload:
    """Decode the payload as `kind`; null counts as {}. Raises MessageError."""
    raw = bytes(envelope.payload)
    try:
        return msgspec.json.decode(b"{}" if raw == b"null" else raw, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"bad {envelope.type} payload: {error}"
        raise MessageError(msg) from None


def encode(kind: str, payload: msgspec.Struct, request_id: str | None = None) -> str:
    """Encode one message, with the time in UTC and its zone."""
    envelope: dict[str, object] = {"type": kind}
    if request_id is not None:
        envelope["request_id"] = request_id
    envelope["payload"] = payload
    envelope["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _encoder.encode(envelope).decode()
