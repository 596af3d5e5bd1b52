"""How many nodes carry how much: `python -m tests.bench nodes-capacity`, at once. It computes, and measures nothing.

The unit costs are those that the commands beside them printed (`docs/capacity.md` has this table, too). Measure them on
your own machine, write them here, and read the tables again.
"""

from dataclasses import dataclass, replace

from tests.bench.table import Table

NODES = (4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Costs:
    """Of one of each: microseconds of CPU, KiB or bytes of memory, messages and bytes over NATS."""

    websocket_kib: float = 6.4  # idle; at the node of the client, TLS ended before it
    owner_websocket_kib: float = 2.5  # nodes-websockets; more, at the owner of the agent's link
    idle_websocket_us: float = 0.8  # idle; in a second
    message_us: float = 39.0  # nodes-hop; half of an echo that comes when nothing else does, at the node of the client
    owner_message_us: float = 32.0
    busy_message_us: float = 8.0  # nodes-hop; half of one of the many that come together
    busy_owner_message_us: float = 4.5
    handshake_us: float = 300.0  # nodes-hop; a WebSocket that is opened and closed, at the node of the client
    owner_handshake_us: float = 130.0
    link_us: float = 424.0  # nodes-storm
    heard_link_us: float = 57.0
    link_kib: float = 34.0
    claim_bytes: float = 903.0  # nodes-memory
    listed_us: float = 13.9  # nodes-listing
    quiet_messages: float = 6.0  # nodes-traffic; from NATS to a node in a second, and one more for each node
    beat_bytes: float = 184.0
    quiet_bytes: float = 395.0


@dataclass(frozen=True)
class Load:
    """What is to be carried."""

    clusters: int = 10_000
    agents_each: int = 2
    links_each: int = 1
    """Of one agent: the nodes that it keeps a link to."""
    websockets: int = 1_000_000
    messages_per_second: float = 1 / 60
    """Of one WebSocket, both ways together."""
    tls_kib: float = 0.0
    """More for each WebSocket, where the gateway itself ends TLS."""


@dataclass(frozen=True)
class Node:
    """What one of so many nodes carries, and pays."""

    nodes: int
    far: float
    """The part of its clients whose agent is on another node."""
    websockets: float
    memory_mib: float
    cores: float
    """If messages come one by one."""
    busy_cores: float
    """If they come so many at once that they share the work; what a node that is busy uses."""
    nats_messages: float
    """To it, in a second."""
    nats_kib: float
    join_seconds: float
    """Of CPU, to know all links."""
    storm_seconds: float
    """Of CPU, for its share of a node that is lost: links and WebSockets that come to it."""


def node(nodes: int, load: Load = Load(), costs: Costs = Costs()) -> Node:
    """One of so many."""
    agents = load.clusters * load.agents_each
    claims = agents * min(load.links_each, nodes)
    far = max(0.0, 1 - load.links_each / nodes)
    websockets = load.websockets / nodes
    memory_kib = (
        websockets * (costs.websocket_kib + load.tls_kib + far * costs.owner_websocket_kib)
        + claims * costs.claim_bytes / 1024
        + claims / nodes * costs.link_kib
    )
    rate = load.messages_per_second
    each_us = costs.idle_websocket_us + rate * (costs.message_us + far * costs.owner_message_us)
    busy_us = costs.idle_websocket_us + rate * (costs.busy_message_us + far * costs.busy_owner_message_us)
    lost_links = claims / nodes
    lost_websockets = websockets * (1 + far)  # its own clients, and those of others whose agent it had
    storm_us = (
        lost_links * (costs.link_us / (nodes - 1) + 2 * costs.heard_link_us)
        + lost_websockets * (costs.handshake_us + far * costs.owner_handshake_us) / (nodes - 1)
    )  # fmt: skip
    return Node(
        nodes, far, websockets, memory_kib / 1024, websockets * each_us / 1e6, websockets * busy_us / 1e6,
        costs.quiet_messages + nodes,
        (costs.quiet_bytes + costs.beat_bytes * nodes) / 1024, claims * costs.listed_us / 1e6, storm_us / 1e6,
    )  # fmt: skip


def table(title: str, load: Load) -> Table:
    """A row for each number of nodes."""
    head = [
        "nodes", "WebSockets each", "over a hop", "memory, GiB", "cores", "from NATS: messages/s", "KiB/s",
        "start: CPU, s", "a node lost: CPU, s",
    ]  # fmt: skip
    rows = []
    for count in NODES:
        one = node(count, load)
        rows.append([
            f"{count}", f"{one.websockets:,.0f}", f"{one.far:.0%}", f"{one.memory_mib / 1024:.1f}",
            f"{one.busy_cores:.2f} to {one.cores:.2f}", f"{one.nats_messages:.0f}", f"{one.nats_kib:.1f}",
            f"{one.join_seconds:.2f}", f"{one.storm_seconds:.1f}",
        ])  # fmt: skip
    return Table(title, head, rows)


QUIET = Load()
LOADS = {
    "A message a minute": QUIET,
    "A message each second": replace(QUIET, messages_per_second=1.0),
    "A message a minute, TLS at the gateway": replace(QUIET, tls_kib=65.0),
    "A message a minute, each agent with links to three nodes": replace(QUIET, links_each=3),
}


def run() -> list[Table]:
    return [table(title, load) for title, load in LOADS.items()]


def markdown(shown: Table) -> str:
    """As a page has it."""
    rows = [shown.head, ["---"] * len(shown.head), *shown.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
