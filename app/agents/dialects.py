"""Which dialect an agent is spoken with, and how its link comes to speak it (design, section 4).

The operator's word on the token goes first, then the best of what the agent says it can. `chunk` is never tried on
an agent that did not ask for it: messages that look alike make the existing agent crash.
"""

from collections.abc import Mapping

from tunnel.gateway.chunk import ChunkCarrier
from tunnel.gateway.json import JsonCarrier
from tunnel.gateway.link import Link
from tunnel.gateway.yamux import YamuxCarrier
from tunnel.yamux import Limits

from ..node.gateway import Gateway
from ..settings import Grant

YAMUX, JSON, CHUNK = "yamux", "json", "chunk"


def dialect_of(grant: Grant, features: Mapping[str, bool]) -> str:
    """What to speak with an agent of this token and these features (`register`), or flags (`/ws`)."""
    if grant.dialect != "auto":
        return grant.dialect
    if features.get("supports_yamux"):
        return YAMUX
    return CHUNK if features.get("supports_stream_chunks") else JSON


def can_speak(dialect: str, features: Mapping[str, bool]) -> bool:
    """False for an agent whose features name another dialect alone: it would wait in vain for its messages."""
    chunks = bool(features.get("supports_stream_chunks"))
    only_yamux = bool(features.get("supports_yamux")) and not (chunks or features.get("supports_response_streaming"))
    return dialect == YAMUX or not (only_yamux or (dialect == JSON and chunks))


def settle(gateway: Gateway, link: Link, dialect: str, features: Mapping[str, bool]) -> None:
    """Let the link speak it: at once, or, with yamux, when the agent agrees (json with one that declines)."""
    forgetful = bool(features.get("ends_exchanges_with_link"))

    def yamux() -> YamuxCarrier:
        limits = Limits(max_window=gateway.settings.max_window_bytes)
        return YamuxCarrier(link, account=gateway.account, limits=limits)

    def json() -> JsonCarrier:
        return JsonCarrier(
            link,
            shared=gateway.proxied,
            orderly=bool(features.get("supports_message_order")),
            pings=bool(features.get("supports_websocket_ping")),
            forgetful=forgetful,
        )

    def chunk() -> ChunkCarrier:
        return ChunkCarrier(
            link,
            shared=gateway.proxied,
            streams_responses=bool(features.get("supports_response_streaming")),
            forgetful=forgetful,
        )

    match dialect:
        case "yamux":
            link.greet(yamux, otherwise=json)
        case "chunk":
            link.speak(chunk())
        case _:
            link.speak(json())
