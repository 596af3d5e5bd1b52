"""Nodes are replaced one after the other under load, by those of a made-up next release, too, and no request fails.

Clients and one of the agents come through HAProxy, so both end up at any node; the other agent has a link to each node.
"""

import asyncio
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.clients import websocket
from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, free_port
from tests.system.nodes.conftest import MakeNodes
from tests.system.nodes.nodes import Nodes, host_of
from tests.system.nodes.traffic import Books
from tests.system.process import Processes, wait_until
from tests.system.test_rolling import DRAIN_SECONDS, HAPROXY, READY_WAIT_SECONDS

pytestmark = [pytest.mark.anyio, tunnel_only]

NEXT = ("tests.system.nodes.next_version",)
SETTINGS = {"drain_delay": DRAIN_SECONDS, "ready_wait": READY_WAIT_SECONDS, "shutdown_grace": 5.0}


def start_balancer(nodes: Nodes, folder: Path, processes: Processes) -> int:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed: no such program on PATH")
    port = free_port()
    servers = "".join(f"    server {name} {LOOPBACK}:{node.port}\n" for name, node in nodes.nodes.items())
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(address=LOOPBACK, port=port) + servers)
    processes.start("haproxy", ["haproxy", "-db", "-f", str(file)]).wait_port(port)
    return port


class Listener:
    """A WebSocket that is opened again whenever it is told to, until it is cancelled."""

    def __init__(self, cluster: str, port: int, key: str) -> None:
        self._cluster = cluster
        self._url = f"ws://{host_of(cluster)}:{port}/echo?id={key}"
        self.codes: list[int | None] = []
        self.is_open = asyncio.Event()

    async def run(self) -> None:
        while True:
            async with websocket(f"{self._url}-{len(self.codes)}", compression=None) as client:
                assert client.response is not None
                assert client.response.headers["X-Cluster"] == self._cluster
                await client.send("here")
                assert await client.recv() == "here"
                self.is_open.set()
                with suppress(ConnectionClosed):
                    await client.recv()
                self.is_open.clear()
                self.codes.append(client.close_code)


async def replace(nodes: Nodes, name: str, program: tuple[str, ...]) -> None:
    """The node goes, in order, and comes again with this program; its agents and its peers are back, too."""
    node = nodes.nodes[name]
    node.gateway.signal(signal.SIGTERM)
    assert await asyncio.to_thread(node.gateway.wait_end, 30) == 0
    node.program = program
    await asyncio.to_thread(node.start_gateway)
    await asyncio.to_thread(nodes.wait_answers, "c1", "c2", at=[name])
    seen = len(node.gateway.output())
    await asyncio.to_thread(
        wait_until, lambda: any("/get 200" in line for line in node.gateway.output()[seen:]), 20,
        f"HAProxy gives {name} requests",
    )  # fmt: skip


async def roll(nodes: Nodes, port: int, *, per_second: float, websockets: int, least: int) -> None:
    """Replace all nodes, and again, until so many requests were sent."""
    nodes.start_agent("a1", "c1", *(node.port for node in nodes.nodes.values()))
    nodes.start_agent("a2", "c2", port)
    nodes.wait_answers("c1", "c2")
    books = Books(nodes)
    listeners = [Listener(f"c{number % 2 + 1}", port, f"ws{number}") for number in range(websockets)]
    running = [asyncio.ensure_future(each.run()) for each in listeners]
    for each in listeners:
        await each.is_open.wait()
    rounds = 0
    async with books.traffic(per_second, ports={"haproxy": port}) as traffic:
        while not rounds or traffic.begun < least:
            for name in nodes.nodes:
                await replace(nodes, name, NEXT if rounds % 2 == 0 else ("app",))
            rounds += 1
    for each in listeners:
        await asyncio.wait_for(each.is_open.wait(), 20)
    for each in running:
        each.cancel()
    for each in await asyncio.gather(*running, return_exceptions=True):
        assert isinstance(each, asyncio.CancelledError), each
    codes = [code for each in listeners for code in each.codes]
    assert len(codes) >= websockets
    assert set(codes) == {1012}
    assert books.failed == []
    books.close(apart="ws")


@app_only("it stops at the first signal")
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_three_nodes_are_replaced_and_none_of_50000_requests_fails(
    make_nodes: MakeNodes, processes: Processes, tmp_path: Path
) -> None:
    nodes = make_nodes(settings=SETTINGS).start()
    port = start_balancer(nodes, tmp_path, processes)
    await roll(nodes, port, per_second=300, websockets=100, least=50_000)


async def test_a_node_of_the_next_release_beside_two_of_this_one(make_nodes: MakeNodes) -> None:
    """Each has an agent, and each reaches the agents of all."""
    nodes = make_nodes()
    nodes.nodes["b"].program = NEXT
    nodes.start()
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["b"].port)
    nodes.wait_answers("c1", "c2")
    books = Books(nodes)
    async with books.traffic(100) as traffic:
        await traffic.more(100)
    assert books.failed == []
    books.close()
    said = [line for node in nodes.nodes.values() for line in node.gateway.output() if " WARNING " in line]
    assert not [line for line in said if "bucket" in line or "version" in line]
