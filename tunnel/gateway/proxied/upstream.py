"""What a door opens exchanges with: a carrier and a target; and what is checked before one is started."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnel.errors import LinkBusyError, LinkLostError, ServiceUnreachableError
from tunnel.gateway.proxied.http import HttpExchange
from tunnel.gateway.proxied.request import proxy_request
from tunnel.gateway.proxied.websocket import WebSocketExchange
from tunnel.override import override
from tunnel.port import Exchange, RequestHead, Sink, Target, Upstream

if TYPE_CHECKING:
    from tunnel.gateway.proxied.carrier import ProxiedCarrier

_QUEUED_BYTES = 64 * 1024 * 1024
"""Waiting for one agent; beyond it takes no new exchange. Six of the largest messages, or 256 uploads at their mark."""


@dataclass(frozen=True, slots=True)
class ProxiedUpstream(Upstream):
    """Carries exchanges to one target; has no state."""

    carrier: "ProxiedCarrier"
    target: Target

    @property
    @override
    def label(self) -> str:
        return self.carrier.link.name

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
    def open(self, head: RequestHead, sink: Sink, /, *, fresh: bool = False) -> Exchange:
        """Start an exchange. Raises TunnelError, and BadRequestError for what the dialect cannot carry unchanged."""
        carrier, target = self.carrier, self.target
        if carrier.is_lost:
            raise LinkLostError(f"{carrier.name} is lost")
        if target.cluster != carrier.cluster:
            raise ServiceUnreachableError(f"{target} is not of cluster {carrier.cluster}")
        if (waiting := carrier.connection.outbox.queued_bytes) > _QUEUED_BYTES:
            raise LinkBusyError(f"{waiting} bytes wait for an agent that does not read")
        request = proxy_request(head, target, carrier.dialect)
        request.supports_response_streaming = carrier.streams_responses
        exchange: HttpExchange | WebSocketExchange
        if head.upgrade:
            interval = carrier.interval_seconds
            exchange = WebSocketExchange(carrier, head, request, sink, interval_seconds=interval)
        else:
            exchange = HttpExchange(carrier, head, request, sink)
        carrier.began(exchange)
        return exchange
