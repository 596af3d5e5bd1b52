"""What a directory keeps and forgets, and whom it wakes."""

import pytest

from app.cluster.bucket import Entry
from app.cluster.directory import KEEP_SECONDS
from app.cluster.keys import link_key
from app.cluster.presence import Way
from tests.app.cluster.one_directory import CREATED, World


@pytest.fixture
def w() -> World:
    w = World()
    w.nodes("n1", "n2", "n3")
    return w


# --- NOT_HERE


def test_not_here_forgets_exactly_this_link(w: World):
    w.put("n1", 5, "a", "b")
    w.put("n2", 4, "a")
    (claim,) = [claim for claim in w.directory.claims("c1") if (claim.node, claim.agent_id) == ("n1", "a")]
    for _ in range(2):
        w.directory.not_here(claim)
    assert {f"{claim.agent_id}@{claim.node}" for claim in w.directory.claims("c1")} == {"b@n1", "a@n2"}
    w.put("n1", 7, "b", a=5)
    assert w.chosen(sticky=lambda agent_id: int(agent_id == "a")) == "a@n2"
    w.put("n1", 8, "a", b=7)
    assert w.chosen(sticky=lambda agent_id: int(agent_id == "a")) == "a@n1"
    assert w.directory._held["c1.n1"].missed == frozenset()


def test_not_here_of_a_link_that_was_replaced_meanwhile_changes_nothing(w: World):
    w.put("n1", 5, "a")
    (claim,) = w.directory.claims("c1")
    w.put("n1", 6, "a")
    w.directory.not_here(claim)
    assert w.chosen() == "a@n1"


def test_what_was_forgotten_goes_with_its_entry(w: World):
    w.put("n1", 5, "a")
    (claim,) = w.directory.claims("c1")
    w.directory.not_here(claim)
    w.put("n1", 6)
    assert (w.directory._held, w.directory._pools, w.directory._of_node) == ({}, {}, {})


# --- waking


def test_an_entry_wakes_who_waits_for_its_pool(w: World):
    w.put("n1", 5, "a")
    w.put("n1", 6, "b", a=5)
    w.put("n1", 7, "p", cluster="c2", publisher="p")
    w.put("n1", 8, a=5)
    assert w.woken == ["c1", "c1", ("c2", "p")]


def test_an_entry_of_a_node_that_cannot_be_used_wakes_with_the_node(w: World):
    w.put("n9", 5, "a", "b")
    assert w.woken == []
    w.nodes("n9")
    assert w.woken == ["c1", "c1"]
    w.nodes("n9")
    assert len(w.woken) == 2
    w.beat("n9", bye=True)
    w.nodes("n9")
    assert len(w.woken) == 4


def test_a_node_that_comes_back_outranks_again(w: World):
    name = w.own("a", 5)
    w.put("n9", 6, "a")
    assert w.outranked == []
    w.nodes("n9")
    assert w.outranked == [name]


def test_a_rival_on_a_node_that_is_gone_counts_for_nothing(w: World):
    name = w.own("a", 5)
    w.put("n1", 6, "a")
    w.beat("n1", bye=True)
    link = w.directory.own.link(name)
    assert link is not None
    assert not w.directory.is_outranked(link)
    assert w.chosen(local=["a"]) == "a@me"


def test_after_a_freeze_every_proof_is_void(w: World):
    name = w.own("a", 5)
    w.own("b", 5)
    w.put("n1", 6, "a")
    w.directory.proved(name)
    w.now += 10
    w.directory.tick(w.now, w.now - 9.75)
    assert w.outranked == [name, name]
    assert w.chosen(local=["a"]) == "a@n1"


# --- a bucket made anew, and cleaning up


def lost(w: World, *nodes: str) -> None:
    """The bucket is listed, and has nothing of these nodes."""
    w.directory.anew()
    for node in nodes:
        w.directory.changed(Entry(link_key("c1", node), None, 0, CREATED), w.now)


def test_entries_of_a_lost_bucket_are_kept_until_their_node_has_put_them_again(w: World):
    w.put("n1", 5, "a")
    w.put("n2", 6, "b")
    lost(w, "n1", "n2")
    assert len(w.directory.claims("c1")) == 2
    w.put("n1", 1, a=5)
    w.run(KEEP_SECONDS - 1)
    assert len(w.directory.claims("c1")) == 2
    w.run(1)
    assert w.chosen() == "a@n1"
    assert len(w.directory.claims("c1")) == 1


def test_this_node_puts_its_own_links_again_then(w: World):
    w.own("a", 5)
    w.directory.anew()
    due = w.directory.own.take()
    assert due is not None
    assert due.key == "c1.me"


def test_a_node_may_put_less_again_than_it_had(w: World):
    w.put("n1", 5, "a")
    lost(w, "n1")
    w.put("n1", 1)
    assert w.directory.claims("c1") == []


def test_while_this_node_is_cut_nothing_is_forgotten(w: World):
    w.put("n1", 5, "a")
    lost(w, "n1")
    w.presence.away(w.now)
    w.hears_itself = False
    w.beating = {}
    w.run(600)
    assert w.chosen() == "a@n1"


def test_what_gone_nodes_left_is_named_with_its_revisions(w: World):
    w.put("n1", 5, "a")
    w.put("n1", 6, "a", cluster="c2")
    w.put("n2", 7, "a")
    w.nodes("n1")
    assert list(w.directory.left_over()) == []
    w.beat("n1", bye=True)
    of_node = w.presence.peer("n1").revision
    assert sorted(w.directory.left_over()) == [("links", "c1.n1", 5), ("links", "c2.n1", 6), ("nodes", "n1", of_node)]


def test_a_node_that_is_gone_by_its_way_alone_is_not_cleared_up(w: World):
    """Others may still reach it."""
    w.put("n1", 5, "a")
    del w.beating["n1"]
    w.run(3.5)
    w.presence.way("n1", Way.LOST)
    assert w.presence.peer("n1").state == "gone"
    assert list(w.directory.left_over()) == []
    w.run(60)
    assert [bucket for bucket, _, _ in w.directory.left_over()] == ["links", "nodes"]


def test_what_a_node_that_never_beats_left_goes_within_about_a_minute(w: World):
    """It was killed while NATS was away, and its key in `nodes` is gone."""
    w.nodes("n1")
    w.put("dead", 5, "a")
    assert w.presence.peer("dead").state == "silent"
    w.run(59)
    assert list(w.directory.left_over()) == []
    w.run(2)
    assert w.presence.is_keeper
    assert list(w.directory.left_over()) == [("links", "c1.dead", 5)]
    w.put("dead", 6)
    w.run(0.25)
    assert w.presence.peer("dead") is None
    assert list(w.directory.left_over()) == []


def test_nothing_stays_of_a_node_whose_keys_are_deleted(w: World):
    w.put("n1", 5, "a")
    w.beating = {}
    w.beat("n1", bye=True)
    w.put("n1", 6)
    w.presence.changed(Entry("n1", None, 999, CREATED), w.now, is_listed=False)
    w.run(0.25)
    assert w.presence.peer("n1") is None
    assert w.directory._usable == {"n2", "n3"}


@pytest.mark.parametrize("key", ["", "c1", "C1.n1", "c1.N1", "=FF.n1", "c1.n1.x"])
def test_a_key_of_a_stranger(w: World, key: str):
    w.directory.changed(Entry(key, b"{}", 5, CREATED), w.now)
    assert w.directory._held == {}


def test_a_value_that_cannot_be_read_claims_nothing(w: World):
    w.put("n1", 5, "a")
    for revision, value in enumerate((b"nonsense", b'{"v":2}'), 6):
        w.directory.changed(Entry(link_key("c1", "n1"), value, revision, CREATED), w.now)
        assert w.chosen() is None
    w.put("n1", 8, "a")
    assert w.chosen() == "a@n1"


def test_it_shows_what_it_has(w: World):
    w.put("n1", 5, "a", "b")
    assert repr(w.directory) == "<Directory of me: 2 links of 1 other nodes>"


def test_a_cluster_with_many_agents_on_two_nodes_costs_each_of_them_one_comparison():
    w = World()
    w.nodes("n1")
    agents = [f"a{number}" for number in range(300)]
    for number, agent in enumerate(agents):
        w.own(agent, number)
    looked = []
    rivals = w.directory.own.of_pool
    w.directory.own.of_pool = lambda pool: looked.append(pool) or rivals(pool)  # type: ignore[method-assign, func-returns-value]
    w.put("n1", 1_000, *agents)
    assert len(w.outranked) == 300
    assert looked == []
    w.put("n1", 1_001, "")
    assert looked == ["c1"]
