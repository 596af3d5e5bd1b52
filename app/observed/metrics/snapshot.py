"""What the gateway's state looks like at one moment: asked for at scrape time, never kept up on the data path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tunnel.gateway.link import Link, State


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The gauges of one moment."""

    links: Iterable[tuple[str, str]] = ()
    """(cluster, state) of each link; states are those of `link_state`."""
    clusters: Iterable[str] = ()
    """All that are configured: one without a link must show as 0, or no alert could see it."""
    streams: int = 0
    """Exchanges that the links carry."""
    held_bytes: int = 0
    held_bytes_limits: Mapping[str, int] = field(default_factory=dict)
    """Mark -> bytes: `high` and `hard`."""
    spooled_bytes: int = 0
    spooled_bytes_limit: int = 0
    learned_routes: int = 0
    draining: bool = False


class Source(Protocol):
    """Whoever knows the state: the gateway."""

    def snapshot(self) -> Snapshot:
        """The state now; called once per scrape, on the event loop."""


def link_state(link: Link) -> str:
    """`joining`, `ready`, `doubted` (a newer link of its cluster came, it takes nothing new) or `leaving`."""
    if link.state is State.JOINING:
        return "joining"
    if link.available:
        return "ready"
    return "doubted" if link.suspect and link.state is State.READY else "leaving"
