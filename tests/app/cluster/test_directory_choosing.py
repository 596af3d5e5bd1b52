"""Which node an exchange goes to, and what the owner of an older link is told."""

import pytest

from app.cluster import links
from app.cluster.beats import Load
from app.cluster.bucket import Entry
from app.cluster.keys import link_key
from app.cluster.links import Claim, Linked, Stamp
from app.cluster.presence import Way
from tests.app.cluster.one_directory import CREATED, World


@pytest.fixture
def w() -> World:
    w = World()
    w.nodes("n1", "n2", "n3")
    return w


def test_nobody(w: World):
    assert w.chosen() is None
    assert w.directory.claims("c1") == []


def test_another_node(w: World):
    w.put("n1", 5, "a")
    assert w.chosen() == "a@n1"
    assert w.directory.claims("c1") == [Claim("n1", "a", Stamp(CREATED, 5), "yamux", "c1")]


def test_this_node_comes_first(w: World):
    w.own("a", 5)
    w.put("n1", 9, "b")
    assert w.chosen(local=["a"]) == "a@me"


def test_a_link_of_this_node_that_takes_nothing_is_not_chosen(w: World):
    w.own("a", 9)
    w.put("n1", 5, "b")
    assert w.chosen(local=[]) == "b@n1"


def test_the_newest_link_of_an_agent(w: World):
    w.put("n1", 5, "a")
    w.put("n2", 6, "a")
    assert w.chosen() == "a@n2"
    w.put("n3", 7, a=4)
    assert w.chosen() == "a@n2"


def test_a_newer_link_of_the_same_agent_elsewhere_comes_before_this_nodes_own(w: World):
    name = w.own("a", 5)
    w.put("n1", 6, "a")
    assert w.outranked == [name]
    assert w.chosen(local=["a"]) == "a@n1"


def test_a_link_that_has_answered_is_as_good_as_the_newer_one(w: World):
    name = w.own("a", 5)
    w.put("n1", 6, "a")
    w.directory.proved(name)
    assert w.chosen(local=["a"]) == "a@me"
    w.put("n2", 7, "a")
    assert w.outranked == [name, name]
    assert w.chosen(local=["a"]) == "a@n2"


def test_a_link_that_no_put_has_named_yet_is_the_newest(w: World):
    w.put("n1", 6, "a")
    w.own("a")
    assert w.chosen(local=["a"]) == "a@me"
    assert w.outranked == []


def test_a_link_whose_put_turns_out_to_be_older_is_outranked_then(w: World):
    w.put("n1", 6, "a")
    name = w.own("a", 5)
    assert w.outranked == [name]


def test_an_older_bucket_is_older(w: World):
    w.own("a", 1_000)
    entry = Entry(link_key("c1", "n1"), links.encoded({("", "a"): Linked()}), 1, "2026-02-01T00:00:01.000000000Z")
    w.directory.changed(entry, w.now)
    assert w.chosen(local=["a"]) == "a@n1"


def age(w: World, node: str) -> None:
    del w.beating[node]
    w.run(3.5)


MAKE = {
    "live": lambda w, node: None,
    "silent": age,
    "lost_way": lambda w, node: w.presence.way(node, Way.REFUSED),
    "draining": lambda w, node: w.nodes(node, draining=True),
    "gone": lambda w, node: w.beat(node, bye=True),
}


@pytest.mark.parametrize("agents", [("a", "b"), ("a", "a")], ids=["of two agents", "of one agent"])
@pytest.mark.parametrize("worse", range(1, 5))
@pytest.mark.parametrize("better", range(4))
def test_live_before_silent_before_lost_way_before_draining(w: World, better: int, worse: int, agents: tuple[str, str]):
    if better >= worse:
        return
    states = list(MAKE)
    w.put("n1", 5, agents[0])
    w.put("n2", 6, agents[1])
    for node, state in (("n1", states[better]), ("n2", states[worse])):
        MAKE[state](w, node)
        assert w.presence.peer(node).state == state
    assert w.chosen() == f"{agents[0]}@n1"


def test_a_node_that_said_goodbye_is_never_chosen(w: World):
    w.put("n1", 5, "a")
    w.beat("n1", bye=True)
    assert w.chosen() is None
    assert w.chosen(avoid=w.directory.claims("c1")) is None


def test_a_node_of_which_nobody_knows_where_it_is_is_not_chosen(w: World):
    w.put("n9", 5, "a")
    assert w.chosen() is None
    w.nodes("n9")
    assert w.chosen() == "a@n9"


def test_the_least_loaded_node_and_what_it_was_given_since_its_beat(w: World):
    w.put("n1", 5, "a")
    w.put("n2", 6, "b")
    w.nodes("n1", load=Load(exchanges=2, websockets=1))
    w.nodes("n2", load=Load(exchanges=1))
    assert [w.chosen() for _ in range(6)] == ["b@n2"] * 2 + ["b@n2", "a@n1", "b@n2", "a@n1"]
    w.nodes("n2", load=Load(exchanges=99))
    assert w.chosen() == "a@n1"


def test_a_client_sticks_to_its_agent_wherever_it_is(w: World):
    w.own("a", 5)
    w.put("n1", 6, "b")
    w.put("n2", 7, "c")
    for wanted, chosen in (("a", "a@me"), ("b", "b@n1"), ("c", "c@n2"), ("gone", "a@me")):
        assert w.chosen(local=["a"], sticky=lambda agent_id, wanted=wanted: int(agent_id == wanted)) == chosen
    w.nodes("n1", draining=True)
    assert w.chosen(local=["a"], sticky=lambda agent_id: int(agent_id == "b")) == "a@me"


def test_what_is_avoided_comes_last(w: World):
    w.put("n1", 6, "a")
    w.put("n2", 5, "a")
    newest = w.directory.choose("c1")
    assert newest is not None
    assert w.chosen(avoid=[newest]) == "a@n2"
    w.put("n2", 7)
    assert w.chosen(avoid=[newest]) == "a@n1"


def test_a_link_of_this_node_may_be_avoided(w: World):
    w.own("a", 5)
    w.put("n1", 6, "b")
    here = w.directory.choose("c1", local=["a"])
    assert here is not None
    assert w.chosen(local=["a"], avoid=[here]) == "b@n1"


def test_a_newer_link_without_a_name_takes_the_new_streams(w: World):
    name = w.own("a", 5)
    w.put("n1", 6, "b")
    w.put("n2", 7, "")
    assert w.outranked == [name]
    assert w.chosen(local=["a"]) == "@n2"
    w.directory.proved(name)
    assert w.chosen(local=["a"]) == "a@me"
    assert w.chosen() == "@n2"
    w.put("n2", 8, c=7)
    assert w.chosen() in ("b@n1", "c@n2")


def test_a_link_without_a_name_does_not_doubt_those_of_its_own_node(w: World):
    w.put("n2", 7, "", a=5)
    w.put("n1", 6, "b")
    assert w.chosen(sticky=lambda agent_id: int(agent_id == "a")) == "a@n2"
    assert w.chosen(sticky=lambda agent_id: int(agent_id == "b")) != "b@n1"


def test_a_link_of_this_node_that_is_named_late_is_compared_then(w: World):
    name = w.own(None, 5)
    w.put("n1", 6, "a")
    assert w.outranked == []
    w.directory.named(name, "a")
    assert w.outranked == [name]


def test_publishers_and_agents_are_apart(w: World):
    w.put("n1", 5, "a", publisher="a")
    assert w.chosen() is None
    assert w.chosen(("c1", "a")) == "a@n1"
    w.own("a", 4)
    assert w.outranked == []
