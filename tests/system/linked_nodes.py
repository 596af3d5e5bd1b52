"""Nodes as far as the others know of their links: what `app/cluster/node.py` wires of it, without a gateway.

The registry of such a node is `links`: the test says which link comes and goes. What another node would answer to a
stream is asked by a plain call.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from app.cluster.announcer import Announcer
from app.cluster.beats import Beat, Load
from app.cluster.bucket import Entry
from app.cluster.connection_watch import ConnectionWatch
from app.cluster.directory import Directory
from app.cluster.engine import Engine
from app.cluster.keys import announcements, new_node_id
from app.cluster.links import UNNAMED, Claim
from app.cluster.mirror import Mirror
from app.cluster.node import BUCKETS, TICK_SECONDS
from app.cluster.presence import OwnState, Presence
from app.cluster.telling import Beating, Putting
from app.settings import ClusterSettings
from tests.system.nodes_of_nats import eventually
from tunnel.version import VERSION


class LinkedNode:
    """One of them. `announces`: as a node does; without, as one that only writes entries."""

    def __init__(self, settings: ClusterSettings, *, announces: bool = True) -> None:
        self.id = new_node_id()
        self.announces = announces
        self.engine = Engine(settings, name=self.id, pause=lambda: 0.05)
        prefix = settings.bucket_prefix
        self.mirrors = {name: Mirror(f"{prefix}_{name}", replicas=settings.replicas) for name in BUCKETS}
        self.presence = Presence(self.id, time.monotonic())
        self.directory = Directory(self.presence)
        self.announcer = Announcer(announcements(prefix), self.directory)
        self.putting = Putting(self.mirrors["links"], self.directory.own)
        self.beating = Beating(self.mirrors["nodes"], self.presence, self._beat)
        self.mirrors["nodes"].on_change = self._beat_came
        self.mirrors["links"].on_change = self._claim_came
        self.mirrors["links"].on_anew = self._links_anew
        self.directory.on_own_change = self._own_changed
        for mirror in self.mirrors.values():
            self.engine.attach(mirror)
        if announces:
            self.engine.attach(self.announcer)
        self.engine.attach(ConnectionWatch(self.presence, time.monotonic, on_back=self.putting.due))
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._names = 0

    def start(self) -> None:
        self.engine.start()
        self.beating.start()
        self.putting.start()
        self._due = time.monotonic()
        self._tick()

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for part in (self.beating, self.putting, self.engine):
            await part.aclose()

    # --- links

    def came(self, cluster: str, agent_id: str) -> str:
        """The name of the new link."""
        self._names += 1
        name = f"link-{self._names}"
        self.directory.own.came(name, cluster, agent_id, "yamux")
        self.links_due()
        return name

    def went(self, name: str) -> None:
        self.directory.own.went(name)
        self.links_due()

    def links_due(self) -> None:
        self.putting.due()
        if self.announces:
            self.announcer.due()

    def takes(self, claim: Claim) -> bool:
        """What it would answer to a stream that comes by this claim."""
        return any(claim.agent_id in (UNNAMED, link.agent_id) for link in self.directory.own.of_pool(claim.pool))

    def find(self, cluster: str, others: "Sequence[LinkedNode]") -> "LinkedNode | None":
        """The node that takes a stream for this cluster; each one that does not is forgotten for it, as in life."""
        nodes = {node.id: node for node in others}
        while (claim := self.directory.choose(cluster)) is not None:
            if nodes[claim.node].takes(claim):
                return nodes[claim.node]
            self.directory.not_here(claim)
        return None

    # --- what the node wires

    def _beat(self, seq: int) -> Beat:
        return Beat(
            name="gateway-0", peer_url=f"http://{self.id}:8081", build=VERSION, started=time.time(), seq=seq,
            load=Load(10_000, 1_000, 100_000), routes_revision=self.mirrors["routes"].revision,
        )  # fmt: skip

    def _beat_came(self, entry: Entry) -> None:
        self.presence.changed(entry, time.monotonic(), is_listed=not self.mirrors["nodes"].synced)

    def _claim_came(self, entry: Entry) -> None:
        self.directory.changed(entry, time.monotonic())
        self.putting.due()

    def _links_anew(self) -> None:
        self.directory.anew()
        self.putting.due()

    def _own_changed(self, state: OwnState) -> None:
        for mirror in self.mirrors.values():
            if state is OwnState.CONNECTED:
                mirror.thaw()
            else:
                mirror.freeze()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        now, due = time.monotonic(), self._due
        self._due = now + TICK_SECONDS
        self.directory.tick(now, due)


@asynccontextmanager
async def linked_nodes(*settings: ClusterSettings, announce: bool = True) -> AsyncIterator[list[LinkedNode]]:
    """Started, and each knows that the others live."""
    made = [LinkedNode(each, announces=announce) for each in settings]
    for node in made:
        node.start()
    try:
        await eventually(lambda: all(_knows(node, len(made) - 1) for node in made), 30)
        yield made
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.gather(*(node.aclose() for node in made))


def _knows(node: LinkedNode, others: int) -> bool:
    known = [peer for peer in node.presence if peer.rank == 0]
    return len(known) == others and not node.presence.is_cut and all(mirror.synced for mirror in node.mirrors.values())


class Stream(msgspec.Struct):
    """A bucket, as its server describes it."""

    class State(msgspec.Struct):
        messages: int
        bytes: int

    class Cluster(msgspec.Struct, frozen=True):
        leader: str | None = None

    state: State
    cluster: Cluster = Cluster()


async def stream(node: LinkedNode, bucket: str = "links") -> Stream:
    """What the engine says of a bucket."""
    connection = node.engine.connection
    assert connection is not None
    answer = await connection.request(f"$JS.API.STREAM.INFO.KV_{node.mirrors[bucket].name}")
    return msgspec.json.decode(answer, type=Stream)


async def leader(node: LinkedNode, bucket: str = "links") -> str:
    """The name of the server that orders the writes to a bucket."""
    name = (await stream(node, bucket)).cluster.leader
    assert name is not None
    return name
