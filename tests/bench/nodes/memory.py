"""Memory of what a node knows of the others: `python -m tests.bench nodes-memory`, seconds.

Every allocation is counted, so the figures are the same on every machine with the same Python.
"""

import gc
import time
import tracemalloc
from collections.abc import Callable

from app.cluster import beats, links
from app.cluster.announcement import AnnouncedLink, Announcement
from app.cluster.beats import Beat
from app.cluster.bucket import Entry
from app.cluster.directory import Directory
from app.cluster.keys import link_key, new_node_id
from app.cluster.links import Linked
from app.cluster.mirror import Mirror
from app.cluster.presence import Presence
from tests.bench.table import Table

CLUSTERS = 10_000
NODES = 3
CREATED = "2026-01-01T00:00:01.000000000Z"


def grown_bytes(work: Callable[[], object]) -> int:
    """What is held after `work` and was not before."""
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    work()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return after - before


class World:
    """One node, which hears of `NODES` others that beat."""

    def __init__(self) -> None:
        self.mirror = Mirror("tunnel_links")
        self.presence = Presence("me", time.monotonic())
        self.directory = Directory(self.presence)
        self.nodes = [new_node_id() for _ in range(NODES)]
        for node in self.nodes:
            beat = beats.encoded(Beat(name=node, peer_url=f"http://{node}:8081", seq=1))
            self.presence.changed(Entry(node, beat, 1, CREATED), 0.0, is_listed=False)

    def entries(self) -> None:
        """All entries come, each with one agent, as the watch brings them."""
        self.mirror.on_change = lambda entry: self.directory.changed(entry, 0.0)
        value = links.encoded({("", "agent-1"): Linked(None, "yamux")})
        for revision, (cluster, node) in enumerate(self._keys(), 1):
            self.mirror._apply(Entry(link_key(cluster, node), bytes(bytearray(value)), revision, CREATED), is_own=False)

    def announcements(self) -> None:
        """All links are announced, and none of them has an entry."""
        for seq, (cluster, node) in enumerate(self._keys(), 1):
            agents = {"agent-1": AnnouncedLink(1, "yamux")}
            self.directory.heard(Announcement(node=node, seq=seq, cluster=cluster, agents=agents))

    def own_links(self) -> None:
        """As many links of this node as there are clusters."""
        for number in range(CLUSTERS):
            self.directory.own.came(f"link-{number}", f"cluster-{number}", f"agent-{number}", "yamux")

    def _keys(self) -> list[tuple[str, str]]:
        return [(f"cluster-{number}", node) for number in range(CLUSTERS) for node in self.nodes]


def run() -> list[Table]:
    rows = []
    for what, count, work in (
        ("a claim of another node, with its mirrored entry", CLUSTERS * NODES, World.entries),
        ("a link that is only announced", CLUSTERS * NODES, World.announcements),
        ("a link of the node's own, as the directory knows it", CLUSTERS, World.own_links),
    ):
        tracemalloc.start()
        world = World()
        size = grown_bytes(lambda world=world, work=work: work(world))
        tracemalloc.stop()
        rows.append([what, f"{count:,}", f"{size / count:,.0f}", f"{size / 2**20:.1f}"])
    title = f"Memory of what a node knows: {CLUSTERS:,} clusters with an agent on each of {NODES} other nodes"
    return [Table(title, ["", "how many", "bytes each", "MiB"], rows)]
