"""Chooses the dialect for an agent's link, and makes the link's carrier (tunnel/PROTOCOL.md section 3).

The `dialect` of the agent's token comes first, then the best that the agent says it supports. `chunk` is used only
with agents that ask for it: messages that look like its own crash the existing agent.
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
    """The dialect for an agent with this token and these features (from `register`) or flags (from `/ws`)."""
    if grant.dialect != "auto":
        return grant.dialect
    if features.get("supports_yamux"):
        return YAMUX
    return CHUNK if features.get("supports_stream_chunks") else JSON


def can_speak(dialect: str, features: Mapping[str, bool]) -> bool:
    """False if the agent's features name only another dialect: it would wait forever for its messages."""
    chunks = bool(features.get("supports_stream_chunks"))
    only_yamux = bool(features.get("supports_yamux")) and not (chunks or features.get("supports_response_streaming"))
    return dialect == YAMUX or not (only_yamux or (dialect == JSON and chunks))


def give_carrier(gateway: Gateway, link: Link, dialect: str, features: Mapping[str, bool]) -> None:
    """Make the link use this dialect: yamux once the agent agrees (json if it declines), the others at once."""
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
            link.greet(yamux, otherwise=json, window_bytes=gateway.settings.max_window_bytes)
        case "chunk":
            link.speak(chunk())
        case _:
            link.speak(json())
