"""What happens to the other nodes' clients when one node goes, in order or not, or loses NATS: the core.

`test_faults.py` has what takes longer. Each agent has a link to one node only, so its requests go over a hop elsewhere.
"""

import signal

import pytest

from tests.system.conftest import tunnel_only
from tests.system.nodes.conftest import MakeNodes
from tests.system.nodes.nodes import Nodes
from tests.system.nodes.traffic import Books

pytestmark = [pytest.mark.anyio, tunnel_only]

PER_SECOND = 50
KNOWN_SECONDS = 2.0
"""Where the directory knows another way already."""


async def test_a_killed_nodes_agents_are_reached_over_their_other_links(nodes: Nodes) -> None:
    """c1's agent has links to two nodes; c2's is on a third, and is not concerned."""
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port, nodes.nodes["b"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["c"].port)
    nodes.wait_answers("c1", "c2")
    books = Books(nodes)
    async with books.traffic(PER_SECOND, at=["b", "c"]) as traffic:
        await traffic.more(50)
        with books.trouble("node killed") as trouble:
            nodes.nodes["a"].gateway.kill()
            await traffic.more(150)
    assert books.back_after(trouble) < KNOWN_SECONDS
    assert books.back_after(trouble, clusters=["c2"]) == 0
    books.close()


async def test_a_drained_node_gives_its_agents_away_and_no_request_fails(make_nodes: MakeNodes) -> None:
    nodes = make_nodes(settings={"drain_delay": 0.5, "shutdown_grace": 5.0}).start()
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port, nodes.nodes["b"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["c"].port)
    nodes.wait_answers("c1", "c2")
    books = Books(nodes)
    async with books.traffic(PER_SECOND, at=["b", "c"]) as traffic:
        await traffic.more(50)
        nodes.nodes["a"].gateway.signal(signal.SIGTERM)
        await traffic.more(150)
    assert nodes.nodes["a"].gateway.wait_end() == 0
    assert books.failed == []
    books.close()


async def test_nodes_that_are_cut_from_nats_go_on_as_before(nodes: Nodes) -> None:
    """One of them, and then all: no request fails meanwhile, nor afterwards."""
    nodes.start_agent("a1", "c1", nodes.nodes["a"].port)
    nodes.start_agent("a2", "c2", nodes.nodes["b"].port)
    nodes.wait_answers("c1", "c2")
    books = Books(nodes)
    async with books.traffic(PER_SECOND) as traffic:
        await traffic.more(20)
        nodes.cut_from_nats("a")
        nodes.nodes["a"].gateway.wait_line("this node is cut")
        await traffic.more(100)
        nodes.cut_from_nats("b", "c")
        nodes.nodes["c"].gateway.wait_line("this node is cut")
        await traffic.more(100)
        nodes.heal()
        await traffic.more(100)
    assert books.failed == []
    books.close()
