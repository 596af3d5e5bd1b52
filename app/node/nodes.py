"""The nodes of this gateway, as the operator sees them from one of them: plain values, made when somebody asks.

`Nodes` is what the rest of the program knows of other nodes for this purpose; `app/cluster/view.py` is its only
implementation. A gateway without `[cluster]` has none: then there is one node, and it says so.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from ..observed.metrics import NodesSnapshot

OwnState = Literal["alone", "connected", "cut", "frozen"]
"""Of this node. `alone`: it has no `[cluster]`."""
OtherState = Literal["live", "silent", "lost_way", "draining", "gone"]
"""Of another one, as this node knows it."""
LinkOut = Literal["dialling", "up", "lost", "refused"]
"""The peer link from this node to another."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    node: str | None
    """Its id, which is new with each start. null: this node, which has no `[cluster]`."""
    name: str | None
    """For people: `node_name`. null: it has not said it yet."""
    is_self: bool
    """It is the node that answers."""
    state: OwnState | OtherState
    about: str
    """What the state means, and what to do: in sentences."""
    heard_seconds_ago: float | None
    """Since its last beat came. null: this node."""
    draining: bool
    peer_url: str | None
    """Where the others dial it."""
    link_out: LinkOut | None
    """The peer link to it. null: this node, one that is gone, or one of which nobody knows where it is."""
    link_out_problem: str | None
    """Why that link was lost or refused."""
    link_in: bool
    """It has a peer link to this node."""
    build: str | None
    """Its version, as it says."""
    started_at: str | None
    """By its own clock."""
    links: int | None
    """Of agents, to it."""
    exchanges: int | None
    """Of its clients, WebSockets included, as of its last beat."""
    websockets: int | None
    files: str | None
    """A short hash of the routes in its file. Nodes that serve the same file routes have the same."""
    files_differ: bool
    """They are not those of this node."""
    routes_revision: int | None
    """Up to where it knows the routes that agents registered."""


class BucketView(msgspec.Struct, frozen=True, kw_only=True):
    """This node's copy of one bucket of NATS."""

    bucket: str
    entries: int
    revision: int
    """The newest write that it has."""
    lag: int
    """Writes that NATS had for this node and that had not come yet."""
    synced: bool
    """It has everything as of now. false: it is being listed, or NATS is away."""
    frozen: bool
    """It forgets nothing for now."""
    problem: str | None
    """What is wrong with the bucket."""


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """This node's connection to NATS."""

    state: Literal["connecting", "connected", "away", "stopped"]
    since: str
    server: str | None
    """null: it is not connected."""
    why: str | None
    """Why NATS is away."""
    losses: int
    """Connections that ended, since the start."""
    forbidden: list[str]
    """What NATS did not allow this node's user, such as `publish $KV.tunnel_links.a`."""


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """What this node knows of all nodes and of what is between them."""

    node: str
    """The id of this one."""
    state: OwnState
    about: str
    engine: EngineView
    buckets: list[BucketView]


class Nodes(Protocol):
    """Other nodes, for the operator."""

    def cluster(self) -> ClusterView:
        """What is between the nodes, now."""

    def nodes(self) -> Sequence[NodeView]:
        """This node first, then the others by id."""

    def snapshot(self) -> NodesSnapshot:
        """The same in numbers, for the metrics."""

    @property
    def trouble(self) -> str | None:
        """Why this node may be wrong about the others, in a few words and without any name. None: it is not."""

    def warnings(self) -> list[str]:
        """What to look at: a sentence each."""


def alone(*, build: str, started_at: str, links: int, exchanges: int, websockets: int, draining: bool) -> NodeView:
    """The one node of a gateway without `[cluster]`."""
    return NodeView(
        node=None,
        name=None,
        is_self=True,
        state="alone",
        about="This gateway is one node: it has no [cluster].",
        heard_seconds_ago=None,
        draining=draining,
        peer_url=None,
        link_out=None,
        link_out_problem=None,
        link_in=False,
        build=build,
        started_at=started_at,
        links=links,
        exchanges=exchanges,
        websockets=websockets,
        files=None,
        files_differ=False,
        routes_revision=None,
    )
