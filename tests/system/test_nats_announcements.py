"""Links that are announced over a real NATS server, before an entry names them, and while none can be written."""

from pathlib import Path

import pytest

from app.settings import ClusterSettings
from tests.system.linked_nodes import LinkedNode, leader, linked_nodes
from tests.system.nats_cluster import NatsCluster
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import eventually
from tests.system.process import Processes

pytestmark = pytest.mark.anyio


def entries(node: LinkedNode, cluster: str) -> set[tuple[str, str]]:
    """Node and agent of each claim that an entry makes."""
    return {(claim.node, claim.agent_id) for claim in node.directory.claims(cluster) if claim.stamp.created}


async def test_a_link_is_known_before_its_entry_and_by_its_entry_then(tmp_path: Path, processes: Processes):
    server = NatsServer(tmp_path / "nats", processes).start()
    settings = ClusterSettings((server.url,))
    async with linked_nodes(settings, settings, settings) as made:
        one, two, three = made
        await two.putting.aclose()  # it writes nothing
        first = one.came("c1", "a")
        await eventually(lambda: entries(three, "c1") == {(one.id, "a")})
        two.came("c1", "a")
        one.went(first)
        await eventually(lambda: three.find("c1", made) is two)
        assert entries(three, "c1") == set()
        assert len(three.directory.announced) == 1
        two.putting.start()
        await eventually(lambda: entries(three, "c1") == {(two.id, "a")})
        assert len(three.directory.announced) == 0
        assert three.find("c1", made) is two
        gone = two.came("c2", "b")
        await eventually(lambda: three.find("c2", made) is two)
        two.went(gone)
        await eventually(lambda: three.find("c2", made) is None)
        assert one.engine.forbidden == two.engine.forbidden == []


async def test_a_stranger_on_the_subject_is_told_of(
    tmp_path: Path, processes: Processes, caplog: pytest.LogCaptureFixture
):
    server = NatsServer(tmp_path / "nats", processes).start()
    settings = ClusterSettings((server.url,))
    async with linked_nodes(settings) as (node,):
        connection = node.engine.connection
        assert connection is not None
        for message in (b"hello", b"hello again"):
            await connection.publish("tunnel.links", message)
        await eventually(lambda: node.announcer.heard == 2)
    assert [record.getMessage()[:29] for record in caplog.records] == ["subject tunnel.links: a messa"]


@pytest.mark.slow
async def test_three_servers_the_leader_killed_and_a_link_that_moves(tmp_path: Path, processes: Processes):
    """For some seconds nobody can write who has the link."""
    servers = NatsCluster(tmp_path, processes).start()
    settings = [ClusterSettings(servers.urls(first=number), replicas=3) for number in range(3)]
    async with linked_nodes(*settings) as made:
        old = made[0].came("c1", "a")
        await eventually(lambda: all(entries(node, "c1") for node in made[1:]))
        lost = await leader(made[0])
        servers.servers[lost].kill()
        url = servers.servers[lost].url
        for node in made:
            await eventually(
                lambda node=node: node.engine.state.name == "connected" and node.engine.state.server != url
            )
        made[0].went(old)
        made[1].came("c1", "a")
        took = await eventually(lambda: made[2].find("c1", made) is made[1])
        assert entries(made[2], "c1") == set(), "the bucket has another leader already: nothing was shown"
        assert took < 1
        await eventually(lambda: entries(made[2], "c1") == {(made[1].id, "a")}, 30)
        assert len(made[2].directory.announced) == 0
        assert made[2].find("c1", made) is made[1]
