"""What a node puts into the bucket `links`, against one in memory."""

import logging

import pytest

from app.cluster.bucket import BucketError, Entry
from app.cluster.links import Stamp, claims_of
from app.cluster.own_links import OwnLinks, Write
from tests.fakes.bucket import Bucket, Shelf
from tests.fakes.growth import FACTOR, calls_of

NODE = "node1"


def write(bucket: Bucket, due: Write) -> None:
    """As the bucket's own methods do, without a loop."""
    bucket._write(due.key, due.value, None)


class World:
    """One node's links and its mirror."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.bucket = self.shelf.mirror()
        self.own = OwnLinks(NODE)
        self.bucket.on_change = self.own.seen
        self.bucket.on_anew = self.own.anew

    def flush(self) -> int:
        """Do what is due, until nothing is or the engine is away. Returns how many writes that were."""
        count = 0
        while (due := self.own.take()) is not None:
            count += 1
            try:
                write(self.bucket, due)
            except BucketError:
                self.own.failed(due)
                return count
            self.own.ended(due)
        return count

    def stamps(self, cluster: str = "c1") -> dict[str, Stamp]:
        """What another node reads, by agent."""
        entry = self.bucket.get(f"{cluster}.{NODE}")
        if entry is None:
            return {}
        return {claim.agent_id: claim.stamp for claim in claims_of(entry, cluster, NODE)}

    def known(self) -> dict[str, Stamp | None]:
        """What this node knows."""
        return {link.agent_id: link.stamp for link in self.own}

    def at(self, revision: int) -> Stamp:
        return Stamp(self.shelf.created, revision)


@pytest.fixture
def w() -> World:
    return World()


def test_a_link_that_comes_takes_the_stamp_of_its_put(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    assert w.known() == {"a": None}
    assert w.flush() == 1
    assert w.stamps() == w.known() == {"a": w.at(1)}


def test_later_puts_carry_the_stamp_on(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.own.came("l2", "c1", "b", "json")
    w.flush()
    w.own.came("l3", "c2", "a", "json")
    w.flush()
    assert w.stamps() == {"a": w.at(1), "b": w.at(2)}
    assert w.stamps("c2") == {"a": w.at(3)}


def test_an_agents_new_link_is_put_again_without_a_stamp(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.own.came("l2", "c1", "b", "yamux")
    w.flush()
    w.own.came("l3", "c1", "a", "yamux")
    w.own.went("l1")
    w.flush()
    assert w.stamps() == w.known() == {"a": w.at(2), "b": w.at(1)}


def test_an_old_links_end_does_not_take_its_successor_away(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.own.came("l2", "c1", "a", "yamux")
    w.flush()
    for _ in range(2):
        w.own.went("l1")
    w.flush()
    assert w.stamps() == {"a": w.at(2)}
    assert [claim.agent_id for claim in w.own.claims("c1")] == ["a"]


def test_an_older_link_that_is_left_has_its_old_stamp(w: World):
    for name in ("l1", "l2"):
        w.own.came(name, "c1", "a", "yamux")
        w.flush()
    w.own.went("l2")
    w.flush()
    assert w.stamps() == {"a": w.at(1)}


def test_the_key_goes_with_the_last_link(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.own.went("l1")
    assert w.flush() == 1
    assert w.bucket.get(f"c1.{NODE}") is None
    assert repr(w.own) == "<OwnLinks 0 links, 0 writes due, 0 under way>"
    assert w.own._keys == w.own._pools == {}


def test_a_link_that_is_named_late_keeps_its_stamp(w: World):
    w.own.came("l1", "c1", None, "yamux")
    w.flush()
    assert w.stamps() == {"": w.at(1)}
    w.own.named("l1", "a")
    w.flush()
    assert w.stamps() == w.known() == {"a": w.at(1)}


def test_the_newest_of_several_links_without_a_name_is_put(w: World):
    w.own.came("l1", "c1", None, "yamux")
    w.flush()
    w.own.came("l2", "c1", None, "yamux")
    w.flush()
    w.own.named("l1", "a")
    w.flush()
    assert w.stamps() == {"a": w.at(1), "": w.at(2)}
    w.own.named("l2", "a")
    w.own.went("l1")
    w.flush()
    assert w.stamps() == {"a": w.at(2)}


def test_a_publisher_and_an_agent_of_the_same_name_are_two(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.own.came("l2", "c1", "a", "yamux", publisher="a")
    w.flush()
    entry = w.bucket.get(f"c1.{NODE}")
    assert entry is not None
    assert {claim.pool for claim in claims_of(entry, "c1", NODE)} == {"c1", ("c1", "a")}
    assert len(w.own.claims("c1")) == len(w.own.claims(("c1", "a"))) == 1
    w.own.went("l1")
    w.flush()
    entry = w.bucket.get(f"c1.{NODE}")
    assert entry is not None
    assert {claim.pool for claim in claims_of(entry, "c1", NODE)} == {("c1", "a")}


def test_what_changes_during_a_write_goes_together_into_the_next(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    first = w.own.take()
    assert first is not None
    for number in range(2, 10):
        w.own.came(f"l{number}", "c1", f"b{number}", "yamux")
    w.own.came("l99", "c1", "a", "yamux")
    assert w.own.take() is None
    write(w.bucket, first)
    w.own.ended(first)
    assert w.own.link("l1").stamp == w.at(1)  # it was this link that the put named
    assert w.own.link("l99").stamp is None
    assert w.flush() == 1
    assert w.stamps()["a"] == w.at(2)


def test_a_write_that_was_not_done_is_due_again(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.shelf.away = True
    assert w.flush() == 1
    assert w.known() == {"a": None}
    w.shelf.away = False
    assert w.flush() == 1
    assert w.stamps() == w.known() == {"a": w.at(1)}


def test_a_write_without_an_answer_counts_as_the_mirror_shows_it(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.shelf.lose_answers = 1
    w.flush()
    w.bucket.deliver()  # before the next try: that one carries the stamp
    w.flush()
    assert w.stamps() == w.known() == {"a": w.at(1)}


def test_a_write_without_an_answer_that_is_shown_after_the_next_one(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.bucket.hold()
    w.shelf.lose_answers = 1
    w.flush()
    w.flush()
    w.bucket.deliver()
    assert w.stamps() == w.known() == {"a": w.at(2)}


def test_the_last_of_two_equal_puts_counts(w: World):
    """The first was without an answer, and is shown when the second is under way."""
    w.own.came("l1", "c1", "a", "yamux")
    first = w.own.take()
    assert first is not None
    w.own.failed(first)
    second = w.own.take()
    assert second == first
    for revision in (5, 6):
        w.own.seen(Entry(first.key, first.value, revision, w.shelf.created))
    w.own.ended(first)
    assert w.known() == {"a": w.at(6)}
    assert w.own.take() is None


def test_a_bucket_that_lost_writes_gets_everything_again(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.own.came("l2", "c2", "b", "yamux")
    w.flush()
    w.own.anew()
    assert w.flush() == 2
    assert w.stamps() == {"a": w.at(1)}


def test_a_delete_without_an_answer_is_repeated(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.own.went("l1")
    w.shelf.away = True
    w.flush()
    w.shelf.away = False
    w.flush()
    assert w.stamps() == {}
    assert w.own._keys == {}


def test_a_bucket_made_anew_gets_everything_with_the_old_stamps(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.own.came("l2", "c2", "b", "yamux")
    w.flush()
    old = {"a": w.at(1)}
    w.shelf.make_anew()
    w.own.came("l3", "c2", "c", "yamux")
    assert w.flush() == 2
    assert w.stamps() == old
    stamps = w.stamps("c2")
    assert stamps["c"].created == w.shelf.created
    assert stamps["b"] < stamps["c"]
    assert {**old, **stamps} == w.known()


def test_a_bucket_made_anew_during_a_write(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    due = w.own.take()
    assert due is not None
    write(w.bucket, due)
    w.shelf.make_anew()
    w.own.ended(due)
    w.flush()
    assert w.stamps() == w.known() == {"a": Stamp("2026-01-01T00:00:01.000000000Z", 1)}


@pytest.mark.parametrize("value", [None, b"{}"])
def test_a_key_that_somebody_else_changed_is_put_again(w: World, value: bytes | None):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.shelf.write(f"c1.{NODE}", value, expected=None)
    assert w.flush() == 1
    assert w.stamps() == {"a": w.at(1)}


def test_a_key_that_somebody_else_deleted_during_a_write_is_put_again(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    due = w.own.take()
    assert due is not None
    write(w.bucket, due)
    w.shelf.write(due.key, None, expected=None)
    w.own.ended(due)
    assert w.flush() == 1
    assert w.stamps() == {"a": w.at(1)}


def test_a_key_of_ours_without_a_link_is_deleted(w: World):
    w.shelf.write(f"c9.{NODE}", b"{}", expected=None)
    assert w.flush() == 1
    assert w.bucket.get(f"c9.{NODE}") is None
    assert w.own._keys == {}


def test_a_cluster_with_a_name_too_long_for_a_key_stays_on_this_node(w: World, caplog: pytest.LogCaptureFixture):
    w.own.came("l1", "ü" * 200, "a", "yamux")
    assert w.flush() == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert len(w.own.claims("ü" * 200)) == 1
    w.own.went("l1")
    assert w.own._keys == {}


def test_links_cost_the_same_however_many_clusters_there_are():
    def cost(clusters: int) -> int:
        w = World()
        for number in range(clusters):
            w.own.came(f"l{number}", f"c{number}", "a", "yamux")
        w.flush()

        def change() -> None:
            w.own.came("new", "c1", "a", "yamux")
            w.own.went("l1")
            due = w.own.take()
            assert due is not None
            w.own.ended(due)

        return calls_of(change)

    assert cost(100) == cost(100 * FACTOR)


# --- announcements


def said(w: World) -> list[tuple[str, dict[str, int | None], dict[str, int | None]]]:
    """All that is due: cluster, agents and publishers, by when they came."""
    found = []
    while (one := w.own.take_announcement()) is not None:
        assert one.node == NODE
        agents, publishers = ({who: link.came for who, link in of.items()} for of in (one.agents, one.publishers))
        found.append((one.cluster, agents, publishers))
    return found


def test_what_changes_is_announced_once_for_each_cluster(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.own.came("l2", "c1", None, "json")
    w.own.came("l3", "c2", "p", "yamux", publisher="p")
    assert said(w) == [("c1", {"a": 1, "": 2}, {}), ("c2", {}, {"p": 3})]
    assert said(w) == []
    w.own.named("l2", "b")
    w.own.named("l2", "b")
    w.own.went("l3")
    w.own.went("l3")
    assert said(w) == [("c1", {"a": 1, "b": 2}, {}), ("c2", {}, {})]


def test_a_link_that_has_a_stamp_is_announced_without_its_number(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.own.came("l2", "c1", "b", "yamux")
    assert said(w) == [("c1", {"a": None, "b": 2}, {})]
    w.own.came("l3", "c1", "a", "yamux")
    assert said(w) == [("c1", {"a": 3, "b": 2}, {})]


def test_the_numbers_of_announcements_grow(w: World):
    numbers = []
    for cluster in ("c1", "c2", "c1"):
        w.own.came(f"l{len(numbers)}", cluster, "a", "yamux")
        announcement = w.own.take_announcement()
        assert announcement is not None
        numbers.append(announcement.seq)
    assert numbers == [1, 2, 3]


def test_what_no_put_has_named_is_announced_again(w: World):
    w.own.came("l1", "c1", "a", "yamux")
    w.flush()
    w.own.came("l2", "c2", "a", "yamux")
    w.own.came("l3", "c3", "a", "yamux")
    under_way = w.own.take()
    assert under_way is not None
    said(w)
    w.own.announce_again()
    assert sorted(said(w)) == [("c2", {"a": 2}, {}), ("c3", {"a": 3}, {})]
    w.own.failed(under_way)
    w.flush()
    w.own.announce_again()
    assert said(w) == []


def test_the_newest_link_of_an_agent_is_the_one_that_came_last_whenever_it_was_named():
    own = OwnLinks("me")
    own.came("first", "c1", None, "yamux")
    own.came("second", "c1", "a", "yamux")
    own.named("first", "a")
    assert [link.name for link in own.of_pool("c1")] == ["second"]
    own.went("second")
    assert [link.name for link in own.of_pool("c1")] == ["first"]
    own.went("first")
    assert (own.of_pool("c1"), own._same, own._pools) == ((), {}, {})
