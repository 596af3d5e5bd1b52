"""Whatever agents publish wherever, and whatever the engine does: in the end all nodes serve the same agents' hosts."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.cluster import awaited, published_host
from app.cluster.keys import published_host_of
from app.published import LINGER_SECONDS
from tests.app.cluster.publishing import Nodes
from tests.app.published.world import HOLDERS
from tests.fakes.examples import examples

NODES = st.integers(0, 2)
AGENTS = st.sampled_from(sorted(HOLDERS))
HOSTS = st.sets(st.sampled_from(["1.both.test", "2.both.test", "x.a.test", "x.b.test"]))
MACHINES = st.sampled_from(["", "m"])


class Machine(RuleBasedStateMachine):
    """The truth is the bucket, and which links live."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(awaited, "MIRROR_SECONDS", 0.0)
        self.n = Nodes(3)
        self.linked: set[tuple[int, str]] = set()

    @rule(which=NODES, agent=AGENTS, hosts=HOSTS, machine=MACHINES)
    def publish(self, which: int, agent: str, hosts: set[str], machine: str) -> None:
        self.linked.add((which, agent))
        asyncio.run(self.n[which].published(agent, *sorted(hosts), seed=machine))

    @rule(which=NODES, agent=AGENTS)
    def lose(self, which: int, agent: str) -> None:
        self.linked.discard((which, agent))
        self.n[which].lose(agent)
        self.n[which].reconnect(agent)

    @rule(is_away=st.booleans())
    def engine(self, is_away: bool) -> None:
        self.n.shelf.away = is_away

    @rule(which=NODES)
    def lag(self, which: int) -> None:
        self.n[which].bucket.hold()

    @rule(which=NODES)
    def catch_up(self, which: int) -> None:
        self.n[which].bucket.deliver()
        asyncio.run(self.n[which].shared.catch_up())

    @rule()
    def lose_an_answer(self) -> None:
        self.n.shelf.lose_answers = 1

    @rule()
    def make_anew(self) -> None:
        self.n.shelf.make_anew()

    @rule(which=NODES, other=NODES)
    def miss(self, which: int, other: int) -> None:
        if which != other:
            self.n[which].miss(self.n[other])

    @rule(which=NODES)
    def meet(self, which: int) -> None:
        self.n[which].meet(*self.n.nodes)

    @rule(seconds=st.sampled_from([1.0, 31.0, LINGER_SECONDS]))
    def pass_time(self, seconds: float) -> None:
        for node in self.n.nodes:
            node.now += seconds
            node.set.tick(node.now)

    @invariant()
    def each_set_is_whole(self) -> None:
        for node in self.n.nodes:
            held = {host: holding for holding in node.set._holdings.values() for host in holding.hosts}
            assert held == node.set._hosts
            assert node.set.count == len(list(node.set))
            assert sum(node.set._per_token.values()) == sum(node.set._per_cluster.values()) == node.set.count

    def teardown(self) -> None:
        shelf = self.n.shelf
        shelf.away, shelf.lose_answers = False, 0
        for node in self.n.nodes:
            node.meet(*self.n.nodes)
            node.bucket.deliver()
        for _ in range(4):
            asyncio.run(self.n.passes(LINGER_SECONDS + 1))
        self.patched.undo()
        there = {
            published_host_of(entry.key): published_host.read(published_host_of(entry.key), entry.value).holder
            for entry in shelf.entries.values() if entry.value is not None
        }  # fmt: skip
        for node in self.n.nodes:
            assert {host: node.set.registered(host)[0].holder.agent_id for host in node.set.hosts()} == {
                host: holder.agent_id for host, holder in there.items()
            }
            shared = node.shared
            assert (shared._due, shared._moved, shared._adrift, shared._turns._turns) == ({}, {}, {}, {})
        names = {node.name: number for number, node in enumerate(self.n.nodes)}
        for holder in there.values():
            assert (names[holder.node], holder.agent_id) in self.linked, "who has no link any more has no host"


Machine.TestCase.settings = settings(examples(60), stateful_step_count=30)
TestSharedPublications = Machine.TestCase
