"""What one node believes of itself and of others: every state meets every event."""

from itertools import product

import pytest

from app.cluster import beats
from app.cluster.beats import Beat, Load
from app.cluster.bucket import Entry
from app.cluster.presence import (
    _OWN,
    OWN_SENTENCES,
    RANKS,
    SENTENCES,
    Beats,
    OwnEvent,
    OwnState,
    Peer,
    PeerState,
    Presence,
    Way,
    state_of,
)

ME, OTHER = "node-b", "node-c"


class World:
    """A node that ticks four times a second, beats once, and hears what the test lets it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.presence = Presence(ME, self.now)
        self.told: list[tuple[str, PeerState]] = []
        self.told_of_me: list[OwnState] = []
        self.presence.on_change = lambda peer: self.told.append((peer.node, peer.state))
        self.presence.on_own_change = self.told_of_me.append
        self.seq = 0
        self.revision = 0
        self.hears_itself = True
        self.beating: set[str] = set()

    def put(self, node: str, *, listed: bool = False, seq: int = 0, **said: object) -> None:
        self.revision += 1
        value = beats.encoded(Beat(name=node, peer_url=f"http://{node}", seq=seq, **said))
        self.presence.changed(Entry(node, value, self.revision, "c"), self.now, is_listed=listed)

    def delete(self, node: str, revision: int = 99) -> None:
        self.presence.changed(Entry(node, None, revision, "c"), self.now, is_listed=False)

    def beat(self) -> None:
        self.seq += 1
        self.presence.sent(self.seq)
        if self.hears_itself:
            self.put(ME, seq=self.seq)

    def run(self, seconds: float) -> None:
        for step in range(int(seconds * 4)):
            if step % 4 == 0:
                self.beat()
                for node in self.beating:
                    self.put(node)
            self.now += 0.25
            self.presence.tick(self.now, self.now)

    @property
    def other(self) -> Peer:
        peer = self.presence.peer(OTHER)
        assert peer is not None
        return peer


@pytest.fixture
def w() -> World:
    w = World()
    w.run(1)
    return w


STATES = [
    # beats, ways, drains, cut, state
    ("come", "unknown up", (False,), (False, True), "live"),
    ("come", "lost refused", (False,), (False, True), "lost_way"),
    ("come", "unknown up lost refused", (True,), (False, True), "draining"),
    ("silent", "unknown up", (False,), (False, True), "silent"),
    ("silent", "unknown up", (True,), (False, True), "draining"),
    ("silent", "lost refused", (False, True), (False,), "gone"),
    ("silent", "lost refused", (False, True), (True,), "lost_way"),
    ("over", "unknown up lost refused", (False, True), (False, True), "gone"),
]


def test_the_state_of_a_node_follows_from_what_is_known():
    seen = {}
    for heard, ways, drains, cut, state in STATES:
        for way, drain, is_cut in product(ways.split(), drains, cut):
            seen[heard, way, drain, is_cut] = state
    assert len(seen) == len(Beats) * len(Way) * 2 * 2
    for (heard, way, drain, is_cut), state in seen.items():
        assert state_of(Beats(heard), Way(way), drains=drain, is_cut=is_cut) is PeerState(state), (heard, way, drain)


def test_every_state_of_this_node_meets_every_event():
    assert set(_OWN) == set(product(OwnState, OwnEvent))


def test_there_is_a_sentence_for_each_state():
    assert set(SENTENCES) == set(PeerState)
    assert set(OWN_SENTENCES) == set(OwnState)
    assert set(RANKS) == set(PeerState) - {PeerState.GONE}


# --- other nodes: (state before, event) -> state after


def make(w: World, state: str) -> None:
    """A peer in this state, with its way up unless the state says otherwise."""
    w.beating = {OTHER}
    w.put(OTHER, draining=state == "draining")
    w.presence.way(OTHER, Way.LOST if state == "lost_way" else Way.UP)
    w.beating = set()
    if state == "silent":
        w.run(3.5)
    if state == "gone":
        w.put(OTHER, bye=True)
    assert w.other.state == state


EVENTS = {
    "beat": lambda w: w.put(OTHER),
    "drains": lambda w: w.put(OTHER, draining=True),
    "bye": lambda w: w.put(OTHER, bye=True),
    "3 s": lambda w: w.run(3.5),
    "60 s": lambda w: w.run(61),
    "way up": lambda w: w.presence.way(OTHER, Way.UP),
    "way lost": lambda w: w.presence.way(OTHER, Way.LOST),
    "refused": lambda w: w.presence.way(OTHER, Way.REFUSED),
    "deleted": lambda w: w.delete(OTHER),
    "no word": lambda w: w.delete(OTHER, revision=0),
}
MOVES = """
            beat      drains    bye   3 s       60 s  way_up    way_lost  refused   deleted  no_word
live        live      draining  gone  silent    gone  live      lost_way  lost_way  gone     live
silent      live      draining  gone  silent    gone  silent    gone      gone      gone     silent
lost_way    lost_way  draining  gone  gone      gone  live      lost_way  lost_way  gone     lost_way
draining    live      draining  gone  draining  gone  draining  draining  draining  gone     draining
gone        live      draining  gone  gone      gone  gone      gone      gone      gone     gone
"""


def rows() -> list[tuple[str, str, str]]:
    head, *lines = MOVES.replace("3 s", "3_s").replace("60 s", "60_s").strip().splitlines()
    events = [name.replace("_", " ") for name in head.split()]
    return [
        (before, event, after)
        for before, *afters in (line.split() for line in lines)
        for event, after in zip(events, afters, strict=True)
    ]


@pytest.mark.parametrize(("before", "event", "after"), rows())
def test_each_event_in_each_state(w: World, before: str, event: str, after: str):
    make(w, before)
    w.told.clear()
    EVENTS[event](w)
    assert w.other.state == after
    assert (w.told[-1:] == [(OTHER, PeerState(after))]) == (before != after)


@pytest.mark.parametrize("event", ["3 s", "60 s", "no word"])
@pytest.mark.parametrize("state", ["live", "silent", "lost_way", "draining", "gone"])
def test_while_this_node_is_cut_nobody_is_forgotten(w: World, state: str, event: str):
    make(w, state)
    w.hears_itself = False
    w.presence.away(w.now)
    EVENTS[event](w)
    assert w.other.state == state


def test_while_this_node_is_cut_a_lost_way_ranks_last_and_forgets_nobody(w: World):
    make(w, "silent")
    w.presence.away(w.now)
    w.presence.way(OTHER, Way.LOST)
    assert w.other.state == "lost_way"
    assert w.other.rank == RANKS[PeerState.LOST_WAY]


def test_a_goodbye_counts_while_this_node_is_cut(w: World):
    make(w, "live")
    w.presence.away(w.now)
    w.put(OTHER, bye=True)
    assert w.other.state == "gone"


def test_after_the_echo_is_back_the_three_seconds_begin_anew(w: World):
    make(w, "live")
    w.hears_itself = False
    w.presence.away(w.now)
    w.run(600)
    w.presence.back(w.now)
    w.hears_itself = True
    w.run(2.75)
    assert (w.presence.own, w.other.state) == ("connected", "live")
    w.run(1)
    assert w.other.state == "silent"
    w.run(56)
    assert w.other.state == "silent"
    w.run(2)
    assert w.other.state == "gone"


# --- this node


def test_a_node_that_starts_is_cut_until_it_hears_itself():
    w = World()
    assert w.presence.own == "cut"
    w.hears_itself = False
    w.run(10)
    assert w.told_of_me == []
    w.hears_itself = True
    w.run(1)
    assert w.told_of_me == ["connected"]


def test_no_echo_for_two_and_a_half_seconds(w: World):
    w.hears_itself = False
    w.run(1.25)  # a second ago it heard its first
    assert w.told_of_me == ["connected"]
    w.run(0.25)
    assert w.told_of_me == ["connected", "cut"]


def test_an_echo_from_before_the_connection_was_lost_does_not_count(w: World):
    w.hears_itself = False
    w.run(1)
    w.presence.away(w.now)
    w.presence.back(w.now)
    w.put(ME, seq=w.seq)
    assert w.presence.is_cut
    w.hears_itself = True
    w.beat()
    assert not w.presence.is_cut


def test_a_node_that_was_frozen_hears_its_old_beats_in_one_burst(w: World):
    w.hears_itself = False
    w.beat()
    w.hears_itself = True
    w.now += 10
    w.presence.tick(w.now, w.now - 9.75)
    assert w.told_of_me[-1] == "frozen"
    w.put(ME, seq=w.seq)
    assert w.presence.own == "frozen"
    w.beat()
    assert w.presence.own == "connected"


def test_a_node_that_was_frozen_and_hears_nothing_is_cut(w: World):
    w.now += 10
    w.presence.tick(w.now, w.now - 9.75)
    w.hears_itself = False
    w.run(2)
    assert w.presence.own == "frozen"
    w.run(1)
    assert w.presence.own == "cut"


def test_a_node_that_was_frozen_takes_nobody_for_silent(w: World):
    make(w, "live")
    w.now += 100
    w.presence.tick(w.now, w.now - 99.75)
    assert w.other.state == "live"


@pytest.mark.parametrize("seq", [0, 9_999])
def test_a_beat_that_this_node_never_put_is_no_echo(seq: int):
    w = World()
    w.hears_itself = False
    w.beat()
    w.presence.back(w.now)
    w.beat()
    w.put(ME, seq=seq)
    assert w.presence.is_cut


def test_strangers_who_write_under_this_nodes_key_are_no_echo(w: World):
    w.presence.away(w.now)
    for value in (None, b"nonsense"):
        w.presence.changed(Entry(ME, value, 9, "c"), w.now, is_listed=False)
    assert w.presence.is_cut


# --- what a list of the bucket says


def test_what_is_left_of_a_node_in_the_bucket_does_not_make_it_live(w: World):
    w.put(OTHER, listed=True)
    assert w.other.state == "silent"
    w.presence.way(OTHER, Way.REFUSED)
    assert w.other.state == "gone"
    w.put(OTHER)
    assert w.other.state == "lost_way"


def test_a_node_that_is_listed_lives_with_its_next_beat(w: World):
    w.put(OTHER, listed=True)
    w.put(OTHER)
    assert w.other.state == "live"


def test_a_known_node_that_is_listed_again_has_beaten_meanwhile(w: World):
    w.put(OTHER)
    w.run(2)
    w.put(OTHER, listed=True)
    w.run(2)
    assert w.other.state == "live"


def test_a_bucket_made_anew_forgets_nobody(w: World):
    w.beating = {OTHER}
    w.run(2)
    w.delete(OTHER, revision=0)
    w.run(2)
    assert w.other.state == "live"
    assert {state for _, state in w.told} == {PeerState.LIVE}


# --- the rest


def test_load_counts_what_was_given_since_the_last_beat(w: World):
    w.put(OTHER, load=Load(links=9, exchanges=3, websockets=4))
    w.other.given += 5
    assert w.other.load == 12
    w.put(OTHER, load=Load(links=9, exchanges=6))
    assert w.other.load == 6


def test_a_node_of_which_only_links_are_known_is_not_used_and_is_over_after_a_minute(w: World):
    peer = w.presence.met(OTHER, w.now)
    assert w.presence.met(OTHER, w.now + 50) is peer
    assert peer.rank is None
    w.run(61)
    assert peer.state == "gone"


def test_a_node_of_a_later_release_lives_and_is_not_used(w: World):
    for _ in range(90):
        w.revision += 1
        w.presence.changed(Entry(OTHER, b'{"v":2}', w.revision, "c"), w.now, is_listed=False)
        w.run(1)
    assert (w.other.state, w.other.beats, w.other.rank) == ("live", "come", None)


@pytest.mark.parametrize("key", ["", "UPPER", "a.b", "x" * 64])
def test_a_key_that_is_no_node(w: World, key: str):
    w.put(key)
    assert list(w.presence) == []


def test_a_value_of_a_stranger_changes_nothing(w: World):
    make(w, "live")
    w.presence.changed(Entry(OTHER, b"nonsense", 9, "c"), w.now, is_listed=False)
    assert w.other.state == "live"
    w.presence.changed(Entry("node-z", b"nonsense", 9, "c"), w.now, is_listed=False)
    assert w.presence.peer("node-z") is None


def test_the_lowest_id_of_those_that_beat_is_the_keeper(w: World):
    assert w.presence.is_keeper
    w.put(OTHER)
    assert w.presence.is_keeper
    w.put("node-a")
    assert not w.presence.is_keeper
    w.put("node-a", bye=True)
    assert w.presence.is_keeper
    w.presence.away(w.now)
    assert not w.presence.is_keeper


def test_it_shows_what_it_is(w: World):
    w.put(OTHER)
    assert repr(w.presence) == "<Presence of node-b, connected: 1 others>"
    assert repr(w.other) == "<Peer node-c live: beats come, way unknown>"
