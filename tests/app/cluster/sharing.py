"""Nodes that share learned routes: each has a real `LearnedRoutes` and a mirror of one bucket in memory."""

from app.cluster.routes import SharedRoutes
from app.cluster.wall_clock import WallClock
from app.learned import Claim, ClaimError, LearnedRoutes
from app.settings import Settings
from tests.app.learned.claims import GRANTS
from tests.fakes.bucket import Shelf


class Nodes:
    """The bucket, the clock that all go by, and the nodes by their numbers."""

    def __init__(self, count: int = 2) -> None:
        self.now = 1_000_000.0
        self.ahead: float | None = 0.0
        """Of the clock that all go by."""
        self.shelf = Shelf()
        self.nodes = [Node(self) for _ in range(count)]

    def __getitem__(self, number: int) -> "Node":
        return self.nodes[number]

    async def catch_up(self) -> None:
        for node in self.nodes:
            await node.shared.catch_up()


class Node:
    """One node. `copy`: what it starts from."""

    def __init__(self, nodes: Nodes, copy: LearnedRoutes | None = None, copy_of: str | None = None) -> None:
        if copy is None:
            copy = LearnedRoutes(Settings(grants=GRANTS), None, clock=lambda: nodes.now)
        self.copy = copy
        self.bucket = nodes.shelf.mirror()
        self.wall_clock = WallClock(lambda: nodes.ahead)
        self.shared = SharedRoutes(
            self.bucket, self.copy, clock=lambda: nodes.now, copy_of=copy_of, may_expire=self.wall_clock.is_right
        )  # fmt: skip
        self.copied: list[str] = []
        self.shared.on_copied = self.copied.append

    async def register(self, *claims: Claim) -> None:
        for one in claims:
            await self.shared.register(one, "agent x")

    async def refused(self, one: Claim) -> str | None:
        try:
            await self.shared.register(one, "agent x")
        except ClaimError as error:
            return error.fault.value
        return None

    @property
    def has(self) -> list[str]:
        """What it serves, served or not: host, path, cluster and service."""
        return [
            f"{one.claim.host}{one.claim.path} {one.claim.target.cluster}/{one.claim.target.service}"
            for one in self.copy
        ]  # fmt: skip
