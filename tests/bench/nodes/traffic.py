"""What nodes say over NATS, counted by the server: `python -m tests.bench nodes-traffic`, two minutes.

Beats, heartbeats of the watches and pings in quiet seconds, by the number of nodes; then links that come and go. The
nodes are in this process and have no gateways: what they say is what a node says.
"""

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import uvloop

from app.settings import ClusterSettings
from tests.bench.table import Table
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.linked_nodes import LinkedNode, linked_nodes
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import eventually

COUNTS = (2, 4, 8)
SECONDS = 10.0
CHANGES = 1_000


@dataclass(frozen=True)
class Counts:
    """As seen by the server: in is what nodes send."""

    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int

    def since(self, before: "Counts") -> "Counts":
        return Counts(
            self.messages_in - before.messages_in, self.bytes_in - before.bytes_in,
            self.messages_out - before.messages_out, self.bytes_out - before.bytes_out,
        )  # fmt: skip

    def cells(self, share: float) -> list[str]:
        """For each of so many."""
        return [
            f"{self.messages_in / share:.1f}", f"{self.messages_out / share:.1f}",
            f"{self.bytes_in / share:,.0f}", f"{self.bytes_out / share:,.0f}",
        ]  # fmt: skip


class Monitored(NatsServer):
    """A server that counts, and says so."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.monitor = free_port()
        super().__init__(folder, stack.processes, f'http: "{LOOPBACK}:{self.monitor}"\n')

    async def counts(self) -> Counts:
        found = await asyncio.to_thread(self._read)
        return Counts(found["in_msgs"], found["in_bytes"], found["out_msgs"], found["out_bytes"])

    def _read(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.monitor}/varz") as answer:
            return json.load(answer)


async def changes(node: LinkedNode, others: list[LinkedNode]) -> None:
    """So many links come, one after the other, and are known everywhere."""
    for number in range(CHANGES):
        node.came(f"cluster-{number}", "agent-1")
        await asyncio.sleep(0.002)  # each by itself: what comes together is one write
    await eventually(lambda: all(len(other.mirrors["links"]) == CHANGES for other in others), 60)
    await eventually(lambda: node.directory.own.is_told)


async def measure(server: Monitored, count: int) -> tuple[Counts, Counts]:
    """In `SECONDS` of quiet, and for `CHANGES` links without what those seconds cost."""
    settings = ClusterSettings((server.url,), bucket_prefix=f"t{count}")
    async with linked_nodes(*[settings] * count) as made:
        before = await server.counts()
        await asyncio.sleep(SECONDS)
        quiet = (await server.counts()).since(before)
        loop = asyncio.get_running_loop()
        before, began = await server.counts(), loop.time()
        await changes(made[0], made)
        busy, took = (await server.counts()).since(before), loop.time() - began
        share = took / SECONDS
        meanwhile = [
            round(value * share) for value in (quiet.messages_in, quiet.bytes_in, quiet.messages_out, quiet.bytes_out)
        ]
        return quiet, busy.since(Counts(*meanwhile))


def run(stack: Stack) -> list[Table]:
    server = Monitored(stack, stack.folder / "nats")
    server.start()
    seconds, each = [], []
    for count in COUNTS:
        quiet, busy = uvloop.run(measure(server, count))
        seconds.append([f"{count} nodes", *quiet.cells(SECONDS * count)])
        each.append([f"{count} nodes", *busy.cells(CHANGES)])
    head = ["", "messages to NATS", "messages from NATS", "bytes to NATS", "bytes from NATS"]
    note = "the server counts the subject and the payload of a message as its bytes"
    return [
        Table("What a node says and hears over NATS in a quiet second", head, seconds, note),
        Table("What one link that comes costs, on all nodes together", head, each),
    ]
