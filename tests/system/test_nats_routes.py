"""Learned routes and links of agents over a real NATS server: two nodes, each with its mirror."""

import asyncio
import time
from pathlib import Path

import pytest

from app.cluster.directory import Directory
from app.cluster.presence import Presence
from app.cluster.routes import SharedRoutes
from app.learned import Claim, ClaimError, LearnedRoutes
from app.settings import ClusterSettings, Settings
from tests.app.learned.claims import GRANTS, claim
from tests.system.nats_server import NatsServer
from tests.system.nodes_of_nats import Node, eventually, nodes
from tests.system.process import Processes

pytestmark = pytest.mark.anyio

BOTH = "x.both.test"


@pytest.fixture
def server(tmp_path: Path, processes: Processes) -> NatsServer:
    return NatsServer(tmp_path / "nats", processes).start()


@pytest.fixture
def settings(server: NatsServer) -> ClusterSettings:
    return ClusterSettings((server.url,))


class Routes:
    """One node's."""

    def __init__(self, node: Node) -> None:
        self.copy = LearnedRoutes(Settings(grants=GRANTS), None, clock=time.time)
        self.shared = SharedRoutes(node.mirror, self.copy, clock=time.time)

    @property
    def has(self) -> list[tuple[str, str]]:
        return [(f"{one.claim.host}{one.claim.path}", one.claim.target.cluster) for one in self.copy]

    async def registered(self, one: Claim) -> bool:
        try:
            await self.shared.register(one, "agent x")
        except ClaimError:
            return False
        return True


async def test_two_nodes_that_give_hosts_to_two_clusters_at_once(settings: ClusterSettings):
    async with nodes(settings, settings) as made:
        one, two = [Routes(await node.synced()) for node in made]
        for routes in (one, two):
            await routes.shared.catch_up()
        asked = [
            (routes.registered(claim(f"h{number}.both.test", cluster=cluster)))
            for number in range(50)
            for routes, cluster in ((one, "a"), (two, "b"))
        ]
        granted = await asyncio.gather(*asked)
        assert [first + second for first, second in zip(granted[::2], granted[1::2], strict=True)] == [1] * 50
        await eventually(lambda: one.has == two.has and len(one.has) == 50, 5)


async def test_routes_over_a_restart_of_nats_and_the_loss_of_its_data(settings: ClusterSettings, server: NatsServer):
    async with nodes(settings, settings) as made:
        one, two = [Routes(await node.synced()) for node in made]
        for routes in (one, two):
            await routes.shared.catch_up()
        await one.registered(claim(BOTH))
        await eventually(lambda: two.has == [(f"{BOTH}/", "a")], 5)
        server.kill(lose_data=True)
        for node in made:
            await node.lost()
        assert await one.registered(claim(BOTH, "/api"))
        assert await two.registered(claim("y.both.test", cluster="b"))
        server.start()
        for node in made:
            await node.synced(after_losses=1)
        everything = [(f"{BOTH}/", "a"), (f"{BOTH}/api", "a"), ("y.both.test/", "b")]

        async def settled() -> None:
            while one.has != everything or two.has != everything:
                for routes in (one, two):
                    await routes.shared.catch_up()
                await asyncio.sleep(0.01)

        await asyncio.wait_for(settled(), 10)


async def test_links_over_the_loss_of_the_data(settings: ClusterSettings, server: NatsServer):
    async with nodes(settings, settings) as made:
        directories = []
        for node, name in zip(made, ("one", "two"), strict=True):
            directory = Directory(Presence(name, time.monotonic()))
            node.mirror.on_change = lambda entry, directory=directory: directory.changed(entry, time.monotonic())
            node.mirror.on_anew = directory.anew
            directories.append(directory)
            await node.synced()
        one, two = directories

        async def written() -> None:
            for node, directory in zip(made, directories, strict=True):
                while (due := directory.own.take()) is not None:
                    if due.value is None:
                        await node.mirror.delete(due.key)
                    else:
                        await node.mirror.put(due.key, due.value)
                    directory.own.ended(due)

        one.own.came("l1", "c1", "a", "yamux")
        await written()
        two.own.came("l2", "c1", "a", "yamux")
        await written()
        await eventually(lambda: len(one.claims("c1")) == len(two.claims("c1")) == 2, 5)
        before = sorted(one.claims("c1"), key=lambda one: one.stamp)
        assert [one.node for one in before] == ["one", "two"]
        server.restart(lose_data=True)
        for node in made:
            await node.synced(after_losses=1)
        assert sorted(one.claims("c1"), key=lambda one: one.stamp) == before
        one.own.came("l3", "c1", "b", "yamux")
        await written()
        await eventually(lambda: len(one.claims("c1")) == len(two.claims("c1")) == 3, 5)
        after = sorted(two.claims("c1"), key=lambda one: one.stamp)
        assert after[:2] == before
        assert after[2].agent_id == "b"


async def test_the_clock_of_nats_is_known_once_something_is_written(settings: ClusterSettings):
    """NATS runs on this machine, and goes by the same clock."""
    async with nodes(settings, settings) as made:
        one, two = [await node.synced() for node in made]
        assert one.mirror.ahead_seconds is two.mirror.ahead_seconds is None
        await one.mirror.put("k", b"1")
        await eventually(lambda: None not in (one.mirror.ahead_seconds, two.mirror.ahead_seconds), 5)
        for node in (one, two):
            assert -1.0 < (node.mirror.ahead_seconds or 0.0) < 10.0
