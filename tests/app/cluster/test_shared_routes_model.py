"""Whatever agents register wherever, and whatever the engine does: in the end all nodes have what the bucket has."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.cluster import awaited
from app.cluster.host_routes import HostRoutes
from app.cluster.keys import host_of
from app.learned import ClaimError, NotSharedError
from tests.app.cluster.sharing import Nodes
from tests.app.learned.claims import claim
from tests.fakes.examples import examples

NODES = st.integers(0, 2)
HOSTS = st.sampled_from(["x.both.test", "y.both.test", "*.both.test"])
PATHS = st.sampled_from(["/", "/api"])
CLUSTERS = st.sampled_from(["a", "b"])


class Machine(RuleBasedStateMachine):
    """The truth is the bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(awaited, "MIRROR_SECONDS", 0.0)
        self.n = Nodes(3)

    def do(self, call: Coroutine[Any, Any, object]) -> None:
        async def run() -> None:
            with suppress(ClaimError, NotSharedError):
                await call

        asyncio.run(run())

    @rule(which=NODES, host=HOSTS, path=PATHS, cluster=CLUSTERS)
    def register(self, which: int, host: str, path: str, cluster: str) -> None:
        self.do(self.n[which].register(claim(host, path, cluster)))

    @rule(which=NODES, host=HOSTS, cluster=CLUSTERS)
    def unregister(self, which: int, host: str, cluster: str) -> None:
        self.do(self.n[which].shared.unregister(host, [cluster], "agent"))

    @rule(which=NODES, hosts=st.sets(HOSTS), cluster=CLUSTERS)
    def sync(self, which: int, hosts: set[str], cluster: str) -> None:
        wanted = [claim(host, "/", cluster) for host in sorted(hosts)]
        self.do(self.n[which].shared.sync(cluster, wanted, ["*.both.test"], "agent"))

    @rule(is_away=st.booleans())
    def engine(self, is_away: bool) -> None:
        self.n.shelf.away = is_away

    @rule(which=NODES)
    def lag(self, which: int) -> None:
        self.n[which].bucket.hold()

    @rule(which=NODES)
    def catch_up(self, which: int) -> None:
        self.n[which].bucket.deliver()
        self.do(self.n[which].shared.catch_up())

    @rule()
    def lose_an_answer(self) -> None:
        self.n.shelf.lose_answers = 1

    @rule()
    def make_anew(self) -> None:
        self.n.shelf.make_anew()

    @rule(hours=st.sampled_from([1, 25]))
    def pass_time(self, hours: int) -> None:
        self.n.now += hours * 3600

    @invariant()
    def a_host_belongs_to_one_cluster(self) -> None:
        for node in self.n.nodes:
            for host in node.copy.hosts():
                assert len({one.claim.target.cluster for one in node.copy.registered(host)}) == 1

    def teardown(self) -> None:
        shelf = self.n.shelf
        shelf.away, shelf.lose_answers = False, 0
        for node in self.n.nodes:
            node.bucket.deliver()
        for _ in range(2):
            self.n.now += 60
            self.do(self.n.catch_up())
        self.patched.undo()
        there = [
            one
            for entry in shelf.entries.values() if entry.value is not None
            for one in HostRoutes.read(host_of(entry.key), entry.value).learned(self.n.now)
        ]  # fmt: skip
        for node in self.n.nodes:
            assert set(there) == {one for one in node.copy if one.expires_at > self.n.now}
            assert (node.shared._owed, node.shared._awaited._waiting, node.shared._turns._turns) == ({}, {}, {})


Machine.TestCase.settings = settings(examples(60), stateful_step_count=30)
TestSharedRoutes = Machine.TestCase
