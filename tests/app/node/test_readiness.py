"""Whether a node that has just started waits for its agents: whom it expects, how long, and what it says of it."""

import logging

import pytest

from app.node.readiness import Readiness
from tests.fakes.clock import Clock
from tests.fakes.loop import dialogue
from tests.tunnel.gateway.peer import Line
from tunnel.account import Account
from tunnel.gateway.registry import Registry


class Node:
    def __init__(self, wait_seconds: float = 15.0) -> None:
        self.clock = Clock()
        self.registry = Registry(clock=self.clock)
        self.readiness = Readiness(self.registry, self.clock())
        self.wait_seconds = wait_seconds

    def missing(self, *expected: str) -> int:
        return self.readiness.missing(expected, self.wait_seconds, self.clock())

    def dial(self, cluster: str) -> Line:
        line = Line(clock=self.clock, account=Account(), cluster=cluster, agent_id="a1", ready=True)
        line.link._on_closed = lambda link, reason: self.registry.remove(link)
        self.registry.add(line.link)
        return line


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gateway")
    return caplog


@dialogue
async def test_it_is_ready_once_each_expected_cluster_has_a_link(said: pytest.LogCaptureFixture):
    node = Node()
    assert node.missing("c1", "c2") == 2
    assert node.missing("c1", "c2") == 2
    first = node.dial("c1")
    assert node.missing("c1", "c2") == 1
    first.link.close(1001, "gone")  # c1 was back: it is not waited for again
    assert node.missing("c1", "c2") == 1
    node.dial("c2").link.close(1001, "gone")
    assert node.missing("c1", "c2") == 1
    node.dial("c2")
    assert node.missing("c1", "c2") == 0
    assert said.messages == [
        "not ready for at most 15 s: waiting for agents of c1, c2",
        "ready: all expected clusters have an agent",
    ]


@dialogue
async def test_the_wait_is_bounded_and_never_begins_again(said: pytest.LogCaptureFixture):
    node = Node()
    node.clock.now += 14.9
    assert node.missing("c1", "c2") == 2
    node.dial("c1")
    node.clock.now += 0.1
    assert node.missing("c1", "c2") == 0
    node.wait_seconds = 300.0
    assert node.missing("c1", "c2", "c3") == 0
    assert said.messages[1:] == ["ready after 15 s, without agents of c2"]


@dialogue
async def test_a_link_that_takes_nothing_yet_does_not_count():
    node = Node()
    line = Line(clock=node.clock, account=Account(), cluster="c1", agent_id="a1")
    node.registry.add(line.link)
    line.greet()
    assert node.missing("c1") == 1
    line.acknowledge_hello()
    line.run()
    assert node.missing("c1") == 0


@pytest.mark.parametrize(("wait_seconds", "expected"), [(0.0, ["c1"]), (15.0, [])])
@dialogue
async def test_without_a_wait_or_a_cluster_it_is_ready_at_once(
    wait_seconds: float, expected: list[str], said: pytest.LogCaptureFixture
):
    assert Node(wait_seconds).missing(*expected) == 0
    assert said.messages == []


@dialogue
async def test_a_line_of_the_log_names_a_few(said: pytest.LogCaptureFixture):
    Node().missing(*(f"c{number:02}" for number in range(25)))
    assert said.messages[0].endswith("c18, c19 and 5 more")


@dialogue
async def test_clusters_that_have_an_agent_on_another_node_are_asked_for_one_by_one_and_only_at_the_start():
    node = Node()
    asked: list[str] = []

    def elsewhere(cluster: str) -> bool:
        asked.append(cluster)
        return cluster == "c1"

    def missing() -> int:
        return node.readiness.missing(("c1", "c2"), 15.0, node.clock(), elsewhere=elsewhere)

    assert missing() == 1
    node.dial("c2")
    assert missing() == 0
    asked.clear()
    assert missing() == 0
    assert asked == []
