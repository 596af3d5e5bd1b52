"""What the process holds for others, the bounds of it, and which limits were hit."""

from typing import Final, Literal

import msgspec

from ...node.gateway import Gateway
from .resources import Answer, Asked, Node, answer

_STATES: Final = ("normal", "relieving", "full")
_LIMITS: Final = (
    "max_connections", "max_links_per_cluster", "max_links_per_token", "max_syncs_per_minute", "max_waiting_requests",
    "max_websockets_per_cluster", "max_window_bytes", "held_bytes_limit", "held_bytes_hard_limit", "spool_bytes_limit",
)  # fmt: skip
"""Settings of the process."""
_POLICY_LIMITS: Final = (
    "messages_per_second", "bytes_per_second", "max_message_bytes", "max_body_bytes", "max_websockets",
    "max_websockets_per_client", "max_requests_per_client", "upgrade_timeout", "response_head_timeout", "idle_timeout",
    "http_write_timeout", "websocket_write_timeout",
)  # fmt: skip
"""Defaults of the routes."""


class AccountItem(msgspec.Struct, frozen=True, kw_only=True):
    """The account."""

    held_bytes: int
    high_mark_bytes: int
    hard_mark_bytes: int
    state: Literal["normal", "relieving", "full"]
    """`relieving`: exchanges that stall are ended. `full`: new ones are refused."""
    spooled_bytes: int
    spool_limit_bytes: int
    connections: int
    connections_limit: int | None
    """null: there is none, or another server has the connections."""
    requests_waiting: int
    limits: dict[str, int | float | None]
    """Setting -> value; null: unlimited."""
    limits_hit: dict[str, int]
    """Limit -> how often, since the start."""


async def account(node: Node, _: Asked) -> Answer:
    """The account."""
    return answer(account_of(node.gateway))


def account_of(gateway: Gateway) -> AccountItem:
    """The account of this gateway now."""
    settings, held, disk = gateway.settings, gateway.account, gateway.proxied.disk
    limits = {name: getattr(settings, name) for name in _LIMITS}
    limits |= {name: getattr(settings.policy, name) for name in _POLICY_LIMITS}
    return AccountItem(
        held_bytes=held.held_bytes,
        high_mark_bytes=held.high_mark_bytes,
        hard_mark_bytes=held.hard_mark_bytes,
        state=_STATES[gateway.relief.state],
        spooled_bytes=disk.used_bytes,
        spool_limit_bytes=disk.limit_bytes,
        connections=len(gateway.connections),
        connections_limit=gateway.metrics.connections_limit or None,
        requests_waiting=gateway.registry.waiting_room.waiting,
        limits=limits,
        limits_hit={limit.value: count for limit, count in gateway.metrics.limits_hit.items()},
    )
