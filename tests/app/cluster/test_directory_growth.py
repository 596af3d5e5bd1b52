"""What choosing and changes cost: calls are counted, not seconds."""

import pytest

from app.cluster.bucket import Entry
from app.cluster.own_links import OwnLinks
from tests.app.cluster.one_directory import CREATED, World
from tests.fakes.growth import FACTOR, calls_of, grows_linearly


def full(clusters: int) -> World:
    w = World()
    w.nodes("n1", "n2", "n3")
    revision = 0
    for number in range(clusters):
        for node in ("n1", "n2", "n3"):
            revision += 1
            w.put(node, revision, "a", cluster=f"c{number}")
        w.directory.own.came(f"l{number}", f"c{number}", "b", "yamux")
    return w


@pytest.mark.parametrize("what", ["choose", "change", "remove", "not here", "tick", "stranger", "announced"])
def test_what_a_call_costs_does_not_depend_on_the_number_of_clusters(what: str):
    def cost(clusters: int) -> int:
        w = full(clusters)
        (claim,) = [claim for claim in w.directory.claims("c7") if claim.node == "n1"]
        calls = {
            "choose": lambda: w.directory.choose("c7", local=["b"], sticky=lambda agent_id: 0),
            "change": lambda: w.put("n1", 999_999, "a", cluster="c7"),
            "remove": lambda: w.put("n1", 999_999, cluster="c7"),
            "not here": lambda: w.directory.not_here(claim),
            "tick": lambda: w.directory.tick(w.now, w.now),
            "announced": lambda: w.announce("n1", cluster="c7", b=1),
            "stranger": lambda: w.directory.changed(Entry("c7.n1", b"?", 999_999, CREATED), w.now),
        }
        return calls_of(calls[what])

    assert cost(50) == cost(50 * FACTOR)


def test_choosing_costs_the_claims_of_its_pool():
    def cost(nodes: int) -> int:
        w = World()
        for number in range(nodes):
            w.nodes(f"n{number}")
            w.put(f"n{number}", number + 1, f"a{number}")
        return calls_of(lambda: w.directory.choose("c1", sticky=lambda agent_id: 0))

    assert grows_linearly(cost(25), cost(25 * FACTOR))


def test_an_entry_costs_its_agents():
    def cost(agents: int) -> int:
        w = World()
        w.nodes("n1")
        names = [f"a{number}" for number in range(agents)]
        return calls_of(lambda: w.put("n1", 1, *names))

    assert grows_linearly(cost(25), cost(25 * FACTOR))


def test_a_node_that_goes_costs_nothing_and_one_that_comes_its_own_links():
    def cost(clusters: int) -> int:
        w = full(clusters)
        return calls_of(lambda: w.beat("n1", bye=True))

    assert cost(50) == cost(50 * FACTOR)


def test_a_link_of_a_large_cluster_costs_no_look_at_the_others():
    def cost(count: int) -> int:
        own = OwnLinks("me")
        for number in range(count):
            own.came(f"l{number}", "c1", None, "yamux")

        def change() -> None:
            for number in range(count):
                own.named(f"l{number}", f"a{number}")
            for number in range(count):
                own.went(f"l{number}")

        return calls_of(change)

    assert grows_linearly(cost(100), cost(100 * FACTOR))
