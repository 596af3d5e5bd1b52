"""Nodes that restart for months, and whether anything grows: `python -m tests.bench nodes-restarts`, two minutes.

200 times a node starts, gets a link of each of 1,000 clusters, and ends: every other time in order,
else as if killed, so that another node has to clear its keys. Markers of deletes are dropped when they are older than
five restarts, where a node waits for 30 minutes: this is a node that restarts every six minutes. After each 50 the
stream is measured, and a new node that lists it.
"""

import asyncio

import uvloop

from app.cluster.beats import Beat, encoded
from app.settings import ClusterSettings
from tests.bench.nodes.listing import Join, join
from tests.bench.table import Table
from tests.system.harness import Stack
from tests.system.linked_nodes import LinkedNode, linked_nodes, stream
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import eventually

RESTARTS = 200
MEASURED_EACH = 50
CLUSTERS = 1_000
KEPT_RESTARTS = 5
AT_ONCE = 200
MOST_TIMES = 1.5
"""Of what there was after the first ones, in messages and bytes."""


async def restart(settings: ClusterSettings, stays: LinkedNode, *, in_order: bool) -> None:
    """One life of a node."""
    node = LinkedNode(settings, announces=False)
    node.start()
    await eventually(lambda: node.mirrors["links"].synced, 60)
    names = [node.came(f"cluster-{number}", "agent-1") for number in range(CLUSTERS)]
    await eventually(lambda: node.directory.own.is_told, 60)
    if in_order:
        for name in names:
            node.went(name)
        await eventually(lambda: node.directory.own.is_told, 60)
    await node.beating.aclose()
    bye = Beat(name=node.id, peer_url=f"http://{node.id}", seq=node.beating.seq + 1, bye=True)
    await node.mirrors["nodes"].put(node.id, encoded(bye))  # of one that is killed, 60 s of silence say it
    await node.aclose()
    await eventually(lambda: any(True for _ in stays.directory.left_over()), 60)
    while left := list(stays.directory.left_over()):
        for begin in range(0, len(left), AT_ONCE):
            some = left[begin : begin + AT_ONCE]
            await asyncio.gather(*(stays.mirrors[bucket].delete(key, revision) for bucket, key, revision in some))


async def measure(settings: ClusterSettings) -> list[tuple[int, int, int, Join]]:
    found = []
    loop = asyncio.get_running_loop()
    async with linked_nodes(settings) as (stays,):
        for number in range(CLUSTERS):
            stays.came(f"cluster-{number}", "agent-2")
        await eventually(lambda: stays.directory.own.is_told, 60)
        began = [loop.time()]
        for number in range(1, RESTARTS + 1):
            await restart(settings, stays, in_order=number % 2 == 0)
            began.append(loop.time())
            if number % KEPT_RESTARTS == 0:
                await stays.mirrors["links"].purge_markers(loop.time() - began[-1 - KEPT_RESTARTS])
            if number % MEASURED_EACH == 0 or number == KEPT_RESTARTS * 2:
                state = (await stream(stays)).state
                found.append((number, state.messages, state.bytes, await join(settings)))
    return found


def run(stack: Stack) -> list[Table]:
    server = NatsServer(stack.folder / "nats", stack.processes).start()
    found = uvloop.run(measure(ClusterSettings((server.url,))))
    rows = [
        [f"{number}", f"{messages:,}", f"{size_bytes / 1024:,.0f}", f"{one.seconds * 1e3:.0f}",
         f"{one.cpu_seconds * 1e3:.0f}"]
        for number, messages, size_bytes, one in found
    ]  # fmt: skip
    times = max(max(each[1] for each in found) / found[0][1], max(each[2] for each in found) / found[0][2])
    note = f"{'met' if times <= MOST_TIMES else 'NOT MET'}: at most {times:.2f} times the first row (must {MOST_TIMES})"
    head = ["restarts", "messages", "KiB", "a node that joins: known after, ms", "its CPU, ms"]
    return [Table(f"The bucket `links` of {CLUSTERS:,} clusters, while nodes restart", head, rows, note)]
