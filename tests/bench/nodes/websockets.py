"""Memory of a WebSocket whose agent is on another node: `python -m tests.bench nodes-websockets`, four minutes.

Beside one whose agent is on the client's own node, which `python -m tests.bench idle` measures for longer. They are
open and say nothing; half of them are opened after the garbage of the others' opening was collected.
"""

import asyncio

import uvloop

from tests.bench.figures import Way
from tests.bench.idle import SETTLE_SECONDS, raise_descriptor_limit, resident_kib
from tests.bench.nodes.hop import HERE, THERE, TwoNodes, ways
from tests.bench.table import Table
from tests.bench.ws_client import Client, close_all
from tests.system.harness import Stack
from tests.system.process import START_SECONDS, wait_until

COUNT = 6_000
WARM = 200


async def measure(way: Way) -> tuple[float, float]:
    """KiB of each at the front and at the back."""
    await close_all(await way.open(WARM))
    pids = (way.front[0], way.back[0])
    before = [resident_kib(pid) for pid in pids]
    clients: list[Client] = []
    for _ in range(2):
        clients += await way.open(COUNT // 2)
        await asyncio.sleep(SETTLE_SECONDS)
    front, back = ((resident_kib(pid) - was) / COUNT for pid, was in zip(pids, before, strict=True))
    if lost := sum(client.lost.done() for client in clients):
        raise AssertionError(f"{lost} of {COUNT} idle WebSockets were lost")
    await close_all(clients)
    return front, back


def run(first: Stack) -> list[Table]:
    raise_descriptor_limit()
    rows = []
    for name, what in ((HERE, ("the node", "the agent")), (THERE, ("the asking node", "the owner"))):
        folder = first.folder / name.replace(" ", "-")
        folder.mkdir()
        stack = TwoNodes(folder, first.processes, {"log_level": "warning"})
        http = stack.add_program("plain", "tests.services.plain")
        websocket = stack.add_program("bench-ws", "tests.bench.ws_service")
        stack.start()
        wait_until(stack._serves, START_SECONDS, "the first node knows the agent")
        found = uvloop.run(measure(ways(stack, http, websocket)[name]))
        rows += [[f"{name}: {who}", f"{kib:.1f}"] for who, kib in zip(what, found, strict=True)]
    return [Table(f"Memory of an idle WebSocket, of {COUNT:,}", ["", "KiB each"], rows)]
