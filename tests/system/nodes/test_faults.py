"""Nodes frozen, cut off and restarted, NATS in every trouble, agents that move: never a wrong delivery, no POST twice.

Every service names its cluster, and every answer is checked; the services write down what reached them, and the books
of both sides are compared at the end (`traffic.py`). `test_life.py` has the core of it.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import pytest

from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN
from tests.system.nodes.conftest import MakeNodes
from tests.system.nodes.nodes import PUBLIC_PORT, SERVICE, Nodes
from tests.system.nodes.traffic import Books
from tests.system.process import wait_until
from tests.system.relay import Relay

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240), tunnel_only]

PER_SECOND = 50
BACK_SECONDS = 5.0
NODE_IS_CUT = "this node is cut"


def two_agents(nodes: Nodes) -> Books:
    """c1's has links to `a` and `b`, c2's one to `c`."""
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port, nodes.nodes["b"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["c"].port)
    nodes.wait_answers("c1", "c2")
    return Books(nodes)


async def test_a_node_is_frozen_for_ten_seconds(nodes: Nodes) -> None:
    books = two_agents(nodes)
    async with books.traffic(PER_SECOND, at=["b", "c"]) as traffic:
        await traffic.more(20)
        with books.trouble("node frozen") as trouble, nodes.frozen("a"):
            await asyncio.sleep(10)  # the fault itself
        await traffic.more(100)
        traffic.at = ("a", "b", "c")
        await traffic.more(100)
    assert books.back_after(trouble) < BACK_SECONDS
    assert books.back_after(trouble, clusters=["c2"]) == 0
    books.close()


@pytest.mark.parametrize(
    ("seconds", "lose_data"),
    [(1, False), (10, False), (60, False), (1, True), (10, True)],
    ids=["1 s", "10 s", "60 s", "1 s, data lost", "10 s, data lost"],
)
async def test_nats_is_away_and_no_request_fails(nodes: Nodes, seconds: int, lose_data: bool) -> None:
    """Nor is anybody forgotten: an agent that moves afterwards is found at once."""
    books = two_agents(nodes)
    async with books.traffic(PER_SECOND) as traffic:
        await traffic.more(20)
        await asyncio.to_thread(nodes.nats.kill, lose_data=lose_data)
        await asyncio.sleep(seconds)  # the fault itself
        await asyncio.to_thread(nodes.nats.start)
        await traffic.more(5 * PER_SECOND)
    assert books.failed == []
    nodes.agents["a2"].stop()
    nodes.start_agent("a2", "c2", nodes.nodes["b"].port)
    nodes.wait_answers("c1", "c2")
    books.close()


async def test_nats_is_away_at_the_start(make_nodes: MakeNodes) -> None:
    nodes = make_nodes()
    nodes.nats.kill()
    nodes.start()
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["b"].port)
    assert nodes.answers("a", "c1"), "a node serves its own agents without NATS"
    assert nodes.answers("b", "c2")
    assert not nodes.answers("c", "c1")
    nodes.nats.start()
    nodes.wait_answers("c1", "c2")


@pytest.mark.parametrize("nats", [False, True], ids=["peers only", "NATS too"])
async def test_a_node_is_cut_off_from_its_peers(nodes: Nodes, nats: bool) -> None:
    books = two_agents(nodes)
    async with books.traffic(PER_SECOND, at=["b", "c"]) as traffic:
        await traffic.more(20)
        with books.trouble("node cut off") as trouble:
            nodes.cut_from_peers("a")
            if nats:
                nodes.cut_from_nats("a")
            await traffic.more(10 * PER_SECOND)
            assert nodes.answers("a", "c1"), "it serves its own agents"
            nodes.heal()
        await traffic.more(2 * PER_SECOND)
    nodes.wait_answers("c1", "c2")
    assert books.back_after(trouble) < BACK_SECONDS
    assert books.back_after(trouble, clusters=["c2"]) == 0
    books.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("skewed", [False, True], ids=["one clock", "clocks 5 s apart"])
async def test_an_agent_that_moves_fifty_times(make_nodes: MakeNodes, skewed: bool) -> None:
    """In a minute, under 200 requests a second. Half of its old links are half open: nobody is told of their end."""
    nodes = make_nodes()
    if skewed:
        for number, node in enumerate(nodes.nodes.values()):
            node.program = ("tests.system.nodes.skewed", str(5 * (1 - number)))
    nodes.start()
    ports = [node.port for node in nodes.nodes.values()]
    nodes.start_agent("a2", "c2", ports[2])
    books = Books(nodes)
    with Relay(ports[0]) as relay:
        nodes.start_agent("a1", "c1", relay.port)
        nodes.wait_answers("c1", "c2")
        async with books.traffic(200) as traffic:
            with books.trouble("agent moves"):
                for move in range(1, 51):
                    links = relay.connections
                    relay.target = ports[move % 3]
                    if move % 2:
                        relay.strand(down=False)  # the gateway hears nothing more of it
                        nodes.agents["a1"].kill()
                        nodes.start_agent("a1", "c1", relay.port, wait=False)
                    else:
                        relay.drop()
                    await asyncio.to_thread(wait_until, lambda n=links: relay.connections > n, 10, "the agent's link")
                    await traffic.more(200)
            await traffic.more(1_000)
        nodes.wait_answers("c1", "c2")
    assert [one.key for one in books.failed if one.cluster == "c2"] == []
    assert len(books.failed) < len(books.ledger.requests) / 50
    books.close()


async def test_two_nodes_are_told_of_one_host_at_once(make_nodes: MakeNodes) -> None:
    """One of the two clusters gets it, and every node delivers there."""
    nodes = make_nodes()
    for node in nodes.nodes.values():
        node.hosts = ["*.learned.test"]
    nodes.start()
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["b"].port)
    nodes.wait_answers("c1", "c2")
    with ThreadPoolExecutor(2) as both:
        for number in range(10):
            host = f"h{number}.learned.test"
            claims = [both.submit(register, nodes.nodes[name].port, host, key) for name, key in ONE_HOST]
            statuses = [claim.result() for claim in claims]
            assert statuses.count(200) >= 1
            wait_until(lambda h=host: len(holders(nodes, h)) == 1, 5, "all nodes deliver to one cluster")
            assert None not in holders(nodes, host)


ONE_HOST = (("a", "c1"), ("b", "c2"))


def register(port: int, host: str, cluster: str) -> int:
    """What the existing agent sends for an Ingress."""
    body = {
        "hostname": host, "cluster_uuid": cluster, "namespace": NAMESPACE, "service_name": SERVICE,
        "service_port": PUBLIC_PORT, "path": "/", "path_type": "Prefix", "tls": False,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "Host": "localhost"}
    with closing(HTTPConnection(LOOPBACK, port, timeout=10)) as client:
        client.request("POST", "/api/v1/gateway/routes/register", json.dumps(body), headers)
        return client.getresponse().status


def holders(nodes: Nodes, host: str) -> set[str | None]:
    """The clusters that answer for this host, over all nodes."""
    found = set()
    for node in nodes.nodes.values():
        with closing(HTTPConnection(LOOPBACK, node.port, timeout=10)) as client:
            client.request("GET", "/who", headers={"Host": host})
            answer = client.getresponse()
            found.add(answer.headers.get("X-Cluster") if answer.status == 200 else None)
    return found
