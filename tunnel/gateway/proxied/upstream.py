"""What a door opens exchanges with: a carrier and a target, and the checks before an exchange starts."""

from dataclasses import dataclass
from typing import Protocol

from tunnel.errors import LinkBusyError, LinkLostError, ServiceUnreachableError
from tunnel.gateway.carrier import LinkSide
from tunnel.gateway.proxied.carrying import WebSocketCarrier
from tunnel.gateway.proxied.exchange import ProxiedExchange
from tunnel.gateway.proxied.http import ProxiedHttp
from tunnel.gateway.proxied.request import proxy_request
from tunnel.gateway.proxied.websocket import ProxiedWebSocket
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, Sink, Target, Upstream

_QUEUED_BYTES = 64 * 1024 * 1024
"""Waiting to leave for one agent; above it the agent gets no new exchange. Six of the largest messages, or 256 uploads
at their mark."""


class OpeningCarrier(WebSocketCarrier, Protocol):
    """One link, as what opens exchanges sees it."""

    link: LinkSide
    upgrade_allowance: float
    """See `Upstream.upgrade_allowance`."""
    streams_responses: bool
    """Whether the agent sends answers piece by piece."""
    interval_seconds: float
    """The minimum time between two messages of one WebSocket to the agent."""

    @property
    def queued_bytes(self) -> int:
        """Everything that waits to leave for this agent."""

    def began(self, exchange: ProxiedExchange) -> None:
        """An exchange was started."""


@dataclass(frozen=True, slots=True)
class ProxiedUpstream(Upstream):
    """Carries exchanges to one target. Has no state."""

    carrier: OpeningCarrier
    target: Target

    @property
    @override
    def passes_bytes(self) -> bool:
        return False  # messages, each with a head of its own

    @property
    @override
    def label(self) -> str:
        return self.carrier.link.name

    @property
    @override
    def node(self) -> str:
        return ""

    @property
    @override
    def agent_id(self) -> str | None:
        return self.carrier.link.agent_id

    @property
    @override
    def dialect(self) -> str:
        return self.carrier.dialect

    @property
    @override
    def upgrade_allowance(self) -> float:
        return self.carrier.upgrade_allowance

    @override
    def open(self, head: RequestHead, sink: Sink, fresh: bool = False, /) -> Exchange:
        """Start an exchange. Raises TunnelError; UnsendableHeadError for what the dialect cannot carry unchanged."""
        carrier, target = self.carrier, self.target
        if carrier.is_lost:
            raise LinkLostError(f"{carrier.name} is lost")
        if target.cluster != carrier.cluster:
            raise ServiceUnreachableError(f"{target} is not of cluster {carrier.cluster}")
        if (waiting := carrier.queued_bytes) > _QUEUED_BYTES:
            raise LinkBusyError(f"{waiting} bytes wait for an agent that does not read")
        request = proxy_request(head, target, carrier.dialect)
        request.supports_response_streaming = carrier.streams_responses
        exchange: ProxiedHttp | ProxiedWebSocket
        if head.upgrade:
            interval = carrier.interval_seconds
            exchange = ProxiedWebSocket(carrier, head, request, sink, interval_seconds=interval)
        else:
            exchange = ProxiedHttp(carrier, head, request, sink)
        carrier.began(exchange)
        return exchange
