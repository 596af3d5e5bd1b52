"""An agent that moves while NATS has no leader: `python -m tests.bench nodes-leader`, two minutes.

Three NATS servers keep each bucket three times. The agent moves 50 times between two nodes, and a third node asks all
the time which of them has it. At the tenth move the leader of the bucket `links` is killed. Once with nodes that only
write entries, once with nodes that announce links, too.
"""

import asyncio
from dataclasses import dataclass

import uvloop

from app.settings import ClusterSettings
from tests.bench.table import Table
from tests.system.harness import Stack
from tests.system.linked_nodes import LinkedNode, leader, linked_nodes
from tests.system.nats_cluster import NatsCluster
from tests.system.nodes_of_nats import eventually

MOVES = 50
KILLED_AT = 10
PAUSE_SECONDS = 0.4
LOOK_SECONDS = 0.005


@dataclass
class Gaps:
    """How long the third node did not find the agent."""

    longest: float = 0.0
    total: float = 0.0
    moves: int = 0
    """After which it was not found for more than half a second."""


async def watch(asking: LinkedNode, nodes: list[LinkedNode], owner: list[LinkedNode]) -> Gaps:
    """Until it is cancelled; `owner` is the one that has the agent now."""
    gaps, loop = Gaps(), asyncio.get_running_loop()
    lost_at: float | None = None
    try:
        while True:
            now = loop.time()
            found = asking.find("c1", nodes)
            if found is not None and found is not owner[0]:
                raise AssertionError("a node took a stream for an agent that it does not have")
            if found is None and lost_at is None:
                lost_at = now
            elif found is not None and lost_at is not None:
                gap, lost_at = now - lost_at, None
                gaps.longest, gaps.total = max(gaps.longest, gap), gaps.total + gap
                gaps.moves += gap > 0.5
            await asyncio.sleep(LOOK_SECONDS)
    except asyncio.CancelledError:
        return gaps


async def measure(servers: NatsCluster, *, announce: bool) -> Gaps:
    settings = [ClusterSettings(servers.urls(first=number), replicas=3) for number in range(3)]
    async with linked_nodes(*settings, announce=announce) as made:
        movers, asking = made[:2], made[2]
        owner = [movers[0]]
        name = movers[0].came("c1", "a")
        await eventually(lambda: asking.find("c1", made) is movers[0])
        watching = asyncio.ensure_future(watch(asking, made, owner))
        for number in range(1, MOVES + 1):
            if number == KILLED_AT:
                servers.kill(await leader(asking))
            owner[0].went(name)
            owner[0] = movers[number % 2]
            name = owner[0].came("c1", "a")
            await asyncio.sleep(PAUSE_SECONDS)
        await eventually(lambda: asking.find("c1", made) is owner[0], 60)
        await asyncio.sleep(2 * LOOK_SECONDS)
        watching.cancel()
        return await watching


def run(stack: Stack) -> list[Table]:
    rows = []
    for title, announce in (("entries only", False), ("entries and announcements", True)):
        folder = stack.folder / ("with" if announce else "without")
        folder.mkdir()
        servers = NatsCluster(folder, stack.processes).start()
        gaps = uvloop.run(measure(servers, announce=announce))
        rows.append([title, f"{gaps.longest:.2f}", f"{gaps.total:.2f}", str(gaps.moves)])
        servers.close()
    head = ["", "longest, s", "in all, s", "moves of more than 0.5 s"]
    return [Table(f"An agent that is not found: {MOVES} moves, the leader killed at move {KILLED_AT}", head, rows)]
