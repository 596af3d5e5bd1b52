"""What a node that starts pays to know all links: `python -m tests.bench nodes-listing`, seconds.

Without the collection of garbage, which a gateway puts off until it is quiet.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvloop

from app.cluster import links
from app.cluster.keys import link_key
from app.cluster.links import Linked
from app.settings import ClusterSettings
from tests.bench.table import Table
from tests.system.harness import Stack
from tests.system.linked_nodes import LinkedNode, linked_nodes
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import eventually

ENTRIES = 10_000
AT_ONCE = 500
ROUNDS = 3


@dataclass(frozen=True)
class Join:
    """Of one new node."""

    seconds: float
    """From its start until it knows every entry."""
    cpu_seconds: float
    """Of its process, in which nothing else happens but one other node's beats."""
    longest_turn_seconds: float


async def filled(node: LinkedNode, count: int) -> None:
    value = links.encoded({("", "agent-1"): Linked(None, "yamux")})
    for begin in range(0, count, AT_ONCE):
        keys = [link_key(f"cluster-{number}", "somebody") for number in range(begin, min(count, begin + AT_ONCE))]
        await asyncio.gather(*(node.mirrors["links"].put(key, value) for key in keys))


@asynccontextmanager
async def joined(settings: ClusterSettings) -> AsyncIterator[None]:
    """A node starts, and knows everything; it ends with the block."""
    gc.disable()
    node = LinkedNode(settings)
    try:
        node.start()
        await eventually(lambda: all(mirror.synced for mirror in node.mirrors.values()), 60)
        yield
    finally:
        gc.enable()
        await node.aclose()


async def longest_turn(settings: ClusterSettings) -> float:
    """Of the event loop, while a node joins."""
    longest = 0.0

    async def turns() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)

    watching = asyncio.ensure_future(turns())
    async with joined(settings):
        watching.cancel()
    await asyncio.wait([watching])
    return longest


async def join(settings: ClusterSettings) -> Join:
    gc.collect()
    began, used = time.perf_counter(), time.process_time()
    async with joined(settings):
        took, cpu = time.perf_counter() - began, time.process_time() - used
    return Join(took, cpu, await longest_turn(settings))


async def written_seconds(node: LinkedNode) -> float:
    """Until as many links, which all come at once, have their entries."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(ENTRIES):
        node.came(f"cluster-{number}", "agent-1")
    await eventually(lambda: node.directory.own.is_told, 120)
    return loop.time() - began


async def measure(settings: ClusterSettings) -> tuple[list[Join], float]:
    async with linked_nodes(settings) as (node,):
        await join(settings)
        empty = [await join(settings) for _ in range(ROUNDS)]
        await filled(node, ENTRIES)
        full = [await join(settings) for _ in range(ROUNDS)]
        seconds = await written_seconds(node)
    return [min(each, key=lambda one: one.cpu_seconds) for each in (empty, full)], seconds


def run(stack: Stack) -> list[Table]:
    server = NatsServer(stack.folder / "nats", stack.processes).start()
    (empty, full), seconds = uvloop.run(measure(ClusterSettings((server.url,))))
    rows = [
        [f"{count:,}", f"{one.seconds * 1e3:.0f}", f"{one.cpu_seconds * 1e3:.0f}",
         f"{(full.cpu_seconds - empty.cpu_seconds) / ENTRIES * 1e6:.1f}" if one is full else "",
         f"{one.longest_turn_seconds * 1e3:.1f}"]
        for count, one in ((0, empty), (ENTRIES, full))
    ]  # fmt: skip
    head = ["entries", "known after, ms", "CPU, ms", "CPU of an entry, us", "longest turn, ms"]
    note = f"{ENTRIES:,} links that come to one node at once have entries after {seconds:.1f} s, by one NATS server"
    return [Table(f"A node that joins; the best of {ROUNDS}", head, rows, note)]
