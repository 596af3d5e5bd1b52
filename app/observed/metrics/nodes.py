"""What is counted about other nodes: how far this one knows of them, and what they carry for each other.

All families are always there. Without `[cluster]` they have no samples: whoever has one node sees no zeros that mean
nothing, and an alert about nodes cannot fire.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from .families import Samples, counter, labelled
from .labels import HopEnd, WriteEnd

OWN_STATES = ("connected", "cut", "frozen")
NODE_STATES = ("live", "silent", "lost_way", "draining", "gone")
LINK_STATES = ("dialling", "up", "lost", "refused")


@dataclass(slots=True, frozen=True)
class BucketSnapshot:
    """This node's copy of one bucket."""

    revision: int
    lag: int
    synced: bool
    writes: int = 0
    """That were confirmed."""
    failed: Mapping[WriteEnd, int] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class NodesSnapshot:
    """All of it at one moment."""

    state: str
    """One of OWN_STATES."""
    is_connected: bool
    """To NATS."""
    losses: int = 0
    """Connections to NATS that ended."""
    freezes: int = 0
    buckets: Mapping[str, BucketSnapshot] = field(default_factory=dict)
    """By what they are for: `nodes`, `links`, `routes`."""
    nodes: Mapping[str, int] = field(default_factory=dict)
    """Other nodes by state."""
    links_out: Mapping[str, int] = field(default_factory=dict)
    """Peer links from this node, by state."""
    links_in: int = 0
    files_differ: int = 0
    """Nodes whose file routes are not those of this node."""
    exchanges_out: int = 0
    """Requests and WebSockets that were tried over agents of other nodes."""
    hops_out: Mapping[HopEnd, int] = field(default_factory=dict)
    """What other nodes answered to streams of this one."""
    hops_in: Mapping[HopEnd, int] = field(default_factory=dict)
    """What this node answered to streams of others."""
    bytes_to_agents: int = 0
    bytes_from_agents: int = 0
    """Of other nodes' clients, over this node's agents."""


def nodes_families(state: NodesSnapshot | None) -> Iterator[Metric]:
    """The families of other nodes."""
    here = [state] if state is not None else []

    def each(known: tuple[str, ...], counts: Mapping[str, int]) -> Samples:
        return [((name,), counts.get(name, 0)) for name in known] if here else ()

    is_in = [((name,), int(one.state == name)) for one in here for name in OWN_STATES]
    yield labelled("gateway_node_state", "1 for the state of this node among the others", ("state",), is_in)
    nodes = state.nodes if state is not None else {}
    yield labelled("gateway_nodes", "Other nodes", ("state",), each(NODE_STATES, nodes))
    out = state.links_out if state is not None else {}
    yield labelled("gateway_peer_links", "Peer links from this node to others", ("state",), each(LINK_STATES, out))
    came = [((), one.links_in) for one in here]
    yield labelled("gateway_peer_links_in", "Peer links of other nodes to this one", (), came)
    differ = [((), one.files_differ) for one in here]
    yield labelled("gateway_nodes_files_differ", "Nodes whose file routes are not those of this one", (), differ)
    freezes = [((), one.freezes) for one in here]
    yield counter("gateway_node_freezes", "Times that this node stood still for more than 2.5 s", (), freezes)
    yield from _engine(here)
    yield from _hops(state)


def _engine(here: list[NodesSnapshot]) -> Iterator[Metric]:
    connected = [((), int(one.is_connected)) for one in here]
    yield labelled("gateway_nats_connected", "1 while this node is connected to NATS", (), connected)
    lost = [((), one.losses) for one in here]
    yield counter("gateway_nats_losses", "Connections to NATS that ended", (), lost)
    buckets = [(name, bucket) for one in here for name, bucket in one.buckets.items()]
    revisions = [((name,), bucket.revision) for name, bucket in buckets]
    yield labelled("gateway_bucket_revision", "The newest write to a bucket that this node has", ("bucket",), revisions)
    lags = [((name,), bucket.lag) for name, bucket in buckets]
    yield labelled("gateway_bucket_lag", "Writes to a bucket on their way to this node", ("bucket",), lags)
    synced = [((name,), int(bucket.synced)) for name, bucket in buckets]
    yield labelled("gateway_bucket_synced", "1 while this node has all of a bucket", ("bucket",), synced)
    writes = [
        ((name, outcome), count)
        for name, bucket in buckets
        for outcome, count in [("ok", bucket.writes), *((end.value, bucket.failed.get(end, 0)) for end in WriteEnd)]
    ]
    yield counter("gateway_bucket_writes", "Writes of this node to a bucket", ("bucket", "outcome"), writes)


def _hops(state: NodesSnapshot | None) -> Iterator[Metric]:
    out: Samples = ()
    served: Samples = ()
    passed: Samples = ()
    if state is not None:
        out = [((end.value,), state.hops_out.get(end, 0)) for end in HopEnd]
        served = [((end.value,), state.hops_in.get(end, 0)) for end in HopEnd]
        passed = [(("to_agents",), state.bytes_to_agents), (("from_agents",), state.bytes_from_agents)]
    tried = [((), state.exchanges_out)] if state is not None else []
    yield counter("gateway_hop_exchanges", "Requests and WebSockets over agents of other nodes", (), tried)
    yield counter("gateway_hops", "Streams over agents of other nodes, by their answer", ("answer",), out)
    yield counter("gateway_hops_served", "Streams of other nodes over agents of this one, by our answer", ("answer",),
                   served)  # fmt: skip
    yield counter("gateway_hop_bytes", "Bytes of streams of other nodes", ("direction",), passed)
