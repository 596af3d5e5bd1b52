"""The gateway's state at one moment, read at scrape time. The data path does not keep it up to date."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tunnel.gateway.link import Link, LinkState

from .nodes import NodesSnapshot


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The gauges of one moment."""

    links: Iterable[tuple[str, str]] = ()
    """(cluster, state) of each link, with the states of `link_state`."""
    clusters: Iterable[str] = ()
    """Every routed cluster: one without a link must show as 0, so that an alert can see it."""
    known_clusters: Collection[str] | None = None
    """Every cluster that a route, a token or a link names; the series of any other end. None: none ends."""
    connections: int = 0
    """Open ones of clients and agents, where the door is our own."""
    streams: int = 0
    """Exchanges that the links carry."""
    held_bytes: int = 0
    held_bytes_limits: Mapping[str, int] = field(default_factory=dict)
    """Mark -> bytes: `high` and `hard`."""
    held_bytes_state: int = 0
    """0: below the high mark. 1: whoever stalls is ended. 2: new exchanges are refused."""
    spooled_bytes: int = 0
    spooled_bytes_limit: int = 0
    learned_routes: int = 0
    published_routes: int = 0
    publishes_refused: Mapping[str, int] = field(default_factory=dict)
    """Why -> how many routes were not published."""
    is_state_kept: bool | None = None
    """Whether the file of the learned routes has them. None: there is no `state_dir`."""
    state_files_set_aside: Mapping[str, int] = field(default_factory=dict)
    """What was wrong -> files that were renamed because of it."""
    draining: bool = False
    waiting: int = 0
    """Requests that wait for a link."""
    waits: Mapping[str, int] = field(default_factory=dict)
    """How the waits that ended did -> how many."""
    nodes: NodesSnapshot | None = None
    """What this node knows of others. None: there is no `[cluster]`."""


class Source(Protocol):
    """What knows the state: the gateway."""

    def snapshot(self) -> Snapshot:
        """The state now. Called once per scrape, on the event loop."""


def link_state(link: Link) -> Literal["joining", "ready", "doubted", "leaving"]:
    """`joining`, `ready`, `doubted` (a newer link of its cluster came; no new exchanges) or `leaving`."""
    if link.state is LinkState.JOINING:
        return "joining"
    if link.available:
        return "ready"
    return "doubted" if link.suspect and link.state is LinkState.READY else "leaving"
