"""Nodes as far as NATS sees them: an engine and a mirror each, in the process of the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.cluster.bucket import Entry
from app.cluster.engine import Engine
from app.cluster.mirror import Mirror
from app.settings import ClusterSettings

BUCKET = "tunnel_routes"


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> float:
    """Wait until it holds; the seconds that this took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.005)
    return loop.time() - began


class Node:
    """One node's engine, its mirror of one bucket, and what the mirror told."""

    def __init__(self, settings: ClusterSettings, name: str = "node") -> None:
        self.told: list[Entry] = []
        self.anew = 0
        self.mirror = Mirror(BUCKET, replicas=settings.replicas)
        self.mirror.on_change = self.told.append
        self.mirror.on_anew = self._is_anew
        self.engine = Engine(settings, name=name, pause=lambda: 0.05)
        self.engine.attach(self.mirror)

    def _is_anew(self) -> None:
        self.anew += 1

    @property
    def held(self) -> dict[str, bytes | None]:
        return {entry.key: entry.value for entry in self.mirror.items()}

    async def synced(self, *, after_losses: int = 0) -> "Node":
        await eventually(lambda: self.engine.losses >= after_losses and self.mirror.synced)
        return self

    async def lost(self) -> None:
        """Wait until it knows that NATS is away."""
        await eventually(lambda: self.engine.state.name == "away")


@asynccontextmanager
async def nodes(*settings: ClusterSettings) -> AsyncIterator[list[Node]]:
    """Started. None of them leaves a task behind."""
    before = asyncio.all_tasks()
    made = [Node(each, f"node-{number}") for number, each in enumerate(settings)]
    for node in made:
        node.engine.start()
    try:
        yield made
    finally:
        for node in made:
            async with asyncio.timeout(5):
                await node.engine.aclose()
        left = asyncio.all_tasks() - before
        assert left == set(), left
