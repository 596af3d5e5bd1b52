"""Links that are only announced: what they are good for beside entries, and when they go."""

import pytest

from app.cluster.announced import KEEP_SECONDS, MOST_PER_NODE, Announced
from app.cluster.announcement import AnnouncedLink, Announcement
from app.cluster.presence import Way
from tests.app.cluster.one_directory import World


@pytest.fixture
def w() -> World:
    w = World()
    w.nodes("n1", "n2", "n3")
    return w


def nothing_is_left(w: World) -> bool:
    announced = w.directory.announced
    return (len(announced), announced._pools) == (0, {}) and not any(n.clusters for n in announced._nodes.values())


# --- what is chosen


def test_a_link_is_known_before_its_entry_and_wakes_who_waits(w: World):
    w.announce("n1", a=1)
    assert w.woken == ["c1"]
    assert w.chosen() == "a@n1"
    assert w.directory.has("c1")
    assert w.directory.serves("c1")
    assert list(w.directory.pools_of("n1")) == ["c1"]


def test_an_entry_comes_first_whoever_announces(w: World):
    w.put("n1", 5, "a")
    w.announce("n2", a=9)
    w.announce("n3", b=9)
    assert w.chosen() == "a@n1"
    assert w.chosen(sticky=lambda agent_id: int(agent_id == "b")) == "a@n1"


@pytest.mark.parametrize("state", ["silent", "lost_way", "draining"])
def test_an_entry_of_a_node_that_may_be_used_comes_first(w: World, state: str):
    w.put("n1", 5, "a")
    w.announce("n2", a=9)
    if state == "silent":
        del w.beating["n1"]
        w.run(3.5)
    elif state == "lost_way":
        w.presence.way("n1", Way.REFUSED)
    else:
        w.nodes("n1", draining=True)
    assert w.presence.peer("n1").state == state
    assert w.chosen() == "a@n1"


def test_a_link_of_this_node_comes_first(w: World):
    w.own("a", 5)
    w.announce("n1", b=1)
    assert w.chosen(local=["a"]) == "a@me"


def test_when_the_node_of_the_entry_has_lost_the_link(w: World):
    w.put("n1", 5, "a")
    w.announce("n2", a=1)
    (of_entry, _) = w.directory.claims("c1")
    w.directory.not_here(of_entry)
    assert w.chosen() == "a@n2"


def test_when_the_node_of_the_entry_is_gone(w: World):
    w.put("n1", 5, "a")
    w.announce("n2", a=1)
    w.beat("n1", bye=True)
    assert w.chosen() == "a@n2"


def test_when_the_entry_is_to_be_avoided_or_cannot_be_used(w: World):
    w.put("n1", 5, "a")
    w.announce("n2", a=1)
    of_entry, announced = w.directory.claims("c1")
    assert w.chosen(avoid=[of_entry]) == "a@n2"
    assert w.chosen(unusable=[of_entry]) == "a@n2"
    assert w.chosen(avoid=[of_entry, announced]) == "a@n1"
    assert w.chosen(avoid=[announced]) == "a@n1"
    assert w.chosen(unusable=[of_entry, announced]) is None


def test_the_newest_is_the_one_that_was_heard_of_last(w: World):
    w.announce("n2", a=9)
    w.announce("n1", a=1)
    assert w.chosen() == "a@n1"
    w.announce("n2", a=9)
    assert w.chosen() == "a@n1", "that is the same link"
    w.announce("n2", a=10)
    assert w.chosen() == "a@n2"


def test_publishers_and_agents_are_apart(w: World):
    w.announce("n1", publisher="p", p=1)
    assert w.chosen() is None
    assert w.chosen(("c1", "p")) == "p@n1"
    assert not w.directory.serves("c1")


# --- an older link of this node


@pytest.mark.parametrize("agent", ["a", ""])
@pytest.mark.parametrize("revision", [5, None])
def test_the_owner_of_an_older_link_asks_whether_it_lives(w: World, agent: str, revision: int | None):
    name = w.own("a", revision)
    w.own("b", 6)
    w.announce("n1", **{agent: 1})
    assert name in w.outranked
    assert len(w.outranked) == (1 if agent else 2)
    asked = len(w.outranked)
    w.announce("n1", **{agent: 1})
    assert len(w.outranked) == asked, "once"


def test_the_agent_of_a_node_that_leaves_has_a_link_elsewhere_by_an_announcement(w: World):
    link = w.directory.own.link(w.own("a", 5))
    assert link is not None
    w.announce("n1", b=1)
    assert not w.directory.is_elsewhere(link)
    w.announce("n1", a=2)
    assert w.directory.is_elsewhere(link)


# --- when they go


def test_an_entry_takes_their_place(w: World):
    w.announce("n1", a=1, b=2)
    w.put("n1", 5, "a")
    assert {claim.agent_id for claim in w.directory.announced.of_pool("c1")} == {"b"}
    w.put("n1", 6, "b", a=5)
    assert nothing_is_left(w)
    assert w.lost == []


def test_an_entry_of_before_leaves_the_others(w: World):
    """Its put was under way when b came."""
    w.put("n1", 5, "a")
    w.announce("n1", a=None, b=2)
    w.put("n1", 6, a=5)
    w.put("n1", 7)
    assert w.chosen() == "b@n1"


def test_a_link_that_went_is_not_announced_any_more(w: World):
    w.announce("n1", a=1, b=2)
    w.announce("n1", b=2, cluster="c2")
    w.announce("n1", b=2)
    assert {claim.agent_id for claim in w.directory.claims("c1")} == {"b"}
    w.announce("n1")
    assert w.chosen() is None
    assert w.lost == ["c1", "c1"]
    assert w.chosen("c2") == "b@n1"


def test_a_link_that_has_its_stamp_stays_until_the_entry_is_here(w: World):
    w.announce("n1", a=1)
    w.announce("n1", a=None, b=2)
    assert {claim.agent_id for claim in w.directory.claims("c1")} == {"a", "b"}
    w.announce("n2", c=None)
    assert len(w.directory.claims("c1")) == 2, "it is no news"


def test_not_here_forgets_it_until_there_is_another_link(w: World):
    w.announce("n1", a=1)
    (claim,) = w.directory.claims("c1")
    for _ in range(2):
        w.directory.not_here(claim)
    assert (w.chosen(), w.directory.has("c1"), w.lost) == (None, False, ["c1", "c1"])
    w.announce("n1", a=1)
    assert w.chosen() is None
    w.announce("n1", a=2)
    assert w.chosen() == "a@n1"
    w.directory.not_here(claim)
    assert w.chosen() == "a@n1", "that was about the older one"


def test_it_goes_with_its_node(w: World):
    w.announce("n1", a=1)
    w.beat("n1", bye=True)
    assert nothing_is_left(w)
    assert w.directory.announced._nodes == {}
    assert w.lost == ["c1"]


def test_nothing_is_taken_from_a_node_that_cannot_be_used(w: World):
    w.announce("n9", a=1)
    w.beat("n1", bye=True)
    w.announce("n1", a=1)
    assert w.directory.announced._nodes == {}
    assert w.presence.peer("n9") is None


def test_it_is_kept_for_a_while_without_an_entry(w: World):
    w.announce("n1", a=1, b=2)
    w.run(KEEP_SECONDS - 1)
    w.announce("n1", a=1, b=None)
    w.run(2)
    assert {claim.agent_id for claim in w.directory.claims("c1")} == {"a"}
    w.run(KEEP_SECONDS)
    assert nothing_is_left(w)


def test_while_this_node_is_cut_nothing_is_forgotten(w: World):
    w.announce("n1", a=1)
    w.presence.away(w.now)
    w.hears_itself = False
    w.run(600)
    assert w.chosen() == "a@n1"
    w.hears_itself = True
    w.presence.back(w.now)
    w.run(KEEP_SECONDS - 1)
    assert w.chosen() == "a@n1"
    w.run(3)
    assert w.chosen() is None


def test_what_comes_late_is_dropped(w: World):
    w.announce("n1", seq=500, a=1)
    w.announce("n1", seq=500)
    w.announce("n1", seq=499, b=1)
    assert {claim.agent_id for claim in w.directory.claims("c1")} == {"a"}
    w.announce("n1", seq=501)
    assert nothing_is_left(w)


def test_one_node_can_announce_so_many_and_no_more():
    announced = Announced()
    per_cluster = MOST_PER_NODE // 10
    for number in range(11):
        links = {f"a{agent}": AnnouncedLink(1) for agent in range(per_cluster)}
        announced.take(Announcement(node="n1", seq=number, cluster=f"c{number}", agents=links))
    assert len(announced) == MOST_PER_NODE
    assert "c10" not in announced
    announced.take(Announcement(node="n1", seq=99, cluster="c0"))
    announced.take(Announcement(node="n1", seq=100, cluster="c10", agents={"a": AnnouncedLink(1)}))
    assert len(announced) == MOST_PER_NODE - per_cluster + 1
    announced.take(Announcement(node="n2", seq=1, cluster="c10", agents={"a": AnnouncedLink(1)}))
    assert len(announced.of_pool("c10")) == 2


def test_it_shows_what_it_has(w: World):
    w.announce("n1", a=1, b=2)
    assert repr(w.directory.announced) == "<Announced 2 links of 1 nodes>"
