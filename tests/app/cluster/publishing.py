"""Nodes whose agents publish: each has real `Publications` and a mirror of one bucket in memory."""

from app.cluster.presence import PeerState, Presence
from app.cluster.published import SharedPublications
from tests.app.published.world import World, wanted
from tests.fakes.bucket import Shelf


class Nodes:
    """The bucket, and the nodes by their numbers. All go by one clock."""

    def __init__(self, count: int = 2) -> None:
        self.shelf = Shelf()
        self.now = 1_000.0
        self.nodes = [Node(self, f"n{number}") for number in range(count)]
        for node in self.nodes:
            node.meet(*self.nodes)

    def __getitem__(self, number: int) -> "Node":
        return self.nodes[number]

    async def passes(self, seconds: float = 1.0) -> None:
        """Time passes, and each node catches up, until nothing is due."""
        self.now += seconds
        for node in self.nodes:
            node.now += seconds
            node.set.tick(node.now)
        for node in [*self.nodes, *self.nodes]:
            await node.shared.catch_up()

    def serves(self, host: str) -> list[list[str]]:
        """What each node serves there."""
        return [node.serves(host) for node in self.nodes]


class Node(World):
    """One node."""

    def __init__(self, nodes: Nodes, name: str, **settings: object) -> None:
        super().__init__(**settings)
        self.now = nodes.now
        self.name = name
        self.presence = Presence(name, self.now)
        self.presence.own = self.presence.own.__class__.CONNECTED
        self.bucket = nodes.shelf.mirror()
        self.shared = SharedPublications(self.bucket, self.set, self.presence, clock=lambda: self.now)
        for entry in list(self.bucket.items()):
            self.bucket.on_change(entry)
        self.lost: list[str] = []

    def meet(self, *others: "Node") -> None:
        for node in others:
            if node is not self:
                self.presence.met(node.name, self.now).state = PeerState.LIVE

    def miss(self, *others: "Node") -> None:
        for node in others:
            self.presence.met(node.name, self.now).state = PeerState.GONE

    async def published(self, agent: str, *hosts: str, seed: str = "") -> list[str]:
        """Publish and settle, as an agent's link does: the code of each host, empty for one that is in force."""
        for _ in range(3):
            codes = [one.code for one in self.publish(agent, *(wanted(host) for host in hosts), seed=seed)]
            taken = [host for host, code in zip(hosts, codes, strict=True) if not code]
            holding = next((self.set.own(host) for host in taken), None)
            if holding is not None:
                holding.lost = self.lost.append
            if await self.shared.settle(taken):
                break
        return codes
