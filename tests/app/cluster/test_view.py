"""What the operator sees of the nodes: every state, why a link is lost, and what to look at."""

import msgspec
import pytest

from app.cluster.beats import Load
from app.cluster.peer.dialler import LinkState
from app.cluster.presence import OWN_SENTENCES, SENTENCES, OwnState, PeerState
from app.cluster.view import ONLY_LINKS
from app.observed.metrics import HopEnd, WriteEnd
from tests.app.cluster.one_directory import ME
from tests.app.cluster.seen import SERVER, Seen


def test_this_node_comes_first_and_the_others_by_id():
    s = Seen()
    s.nodes("zz", "aa")
    assert [node.node for node in s.view.nodes()] == [ME, "aa", "zz"]
    first = msgspec.to_builtins(s.view.nodes()[0])
    assert first == {
        "node": ME, "name": "gateway-0", "is_self": True, "state": "connected",
        "about": OWN_SENTENCES[OwnState.CONNECTED], "heard_seconds_ago": None, "draining": False,
        "peer_url": "http://10.0.0.1:8082", "link_out": None, "link_out_problem": None, "link_in": False,
        "build": "1.0", "started_at": "1970-01-01T00:00:01.000Z", "links": 2, "exchanges": 4, "websockets": 1,
        "files": "f1", "files_differ": False, "routes_revision": 0,
    }  # fmt: skip


def test_what_another_node_says_of_itself():
    s = Seen()
    s.beat("aa", build="1.1", started=60.0, load=Load(5, 6, 7), files="f1", routes_revision=9)
    s.link("aa", LinkState.UP)
    s.listener.links["aa"] = None  # type: ignore[assignment]
    s.now += 0.5
    row = s.row("aa")
    assert (row.state, row.about, row.heard_seconds_ago) == ("live", SENTENCES[PeerState.LIVE], 0.5)
    assert (row.link_out, row.link_out_problem, row.link_in) == ("up", None, True)
    assert (row.build, row.started_at, row.routes_revision) == ("1.1", "1970-01-01T00:01:00.000Z", 9)
    assert (row.links, row.exchanges, row.websockets) == (5, 13, 7)


def test_every_state_of_another_node():
    s = Seen()
    s.beat("aa")
    assert s.row("aa").state == "live"
    s.link("aa", LinkState.LOST, "ConnectionRefusedError: nobody listens")
    row = s.row("aa")
    assert (row.state, row.link_out, row.link_out_problem) == (
        "lost_way", "lost", "ConnectionRefusedError: nobody listens",
    )  # fmt: skip
    s.beat("aa", draining=True)
    assert (s.row("aa").state, s.row("aa").draining) == ("draining", True)
    s.link("aa", LinkState.UP)
    s.beat("aa")
    s.run(4)
    assert (s.row("aa").state, s.row("aa").heard_seconds_ago) == ("silent", 4.0)
    s.link("aa", LinkState.REFUSED, "refused with 401: 'no'")
    assert (s.row("aa").state, s.row("aa").link_out) == ("gone", "refused")


def test_a_node_of_which_only_links_are_known():
    s = Seen()
    s.put("aa", 5, "a1")
    row = s.row("aa")
    assert (row.state, row.about, row.name, row.links, row.link_out) == ("silent", ONLY_LINKS, None, None, None)


def test_a_clock_that_is_not_that_of_nats_is_a_warning():
    s = Seen()
    before = s.view.warnings()
    s.ahead = 100.0
    assert [one for one in s.view.warnings() if one not in before] == [
        "this node's clock is 100 s ahead of that of NATS; set the clocks of both (NTP)"
    ]


def test_what_strangers_write_is_made_printable_and_short():
    s = Seen()
    s.beat("aa", build="a\nb", started=1e300, files="x" * 255)
    s.link("aa", LinkState.LOST, "\x1b[2J" + "y" * 2_000)
    row = s.row("aa")
    assert (row.build, row.started_at) == ("a\\nb", None)
    assert row.link_out_problem.startswith("\\x1b[2J")
    assert len(row.link_out_problem) == 512
    assert "\x1b" not in "".join(s.view.warnings())


@pytest.mark.parametrize(
    ("nats", "told"),
    [
        ("connecting", "cut off from the other nodes: NATS was not reached yet"),
        ("away", "cut off from the other nodes: NATS is away"),
        ("connected", "cut off from the other nodes: its beats do not come back from NATS"),
    ],
)
def test_a_node_that_is_cut_off_says_why(nats: str, told: str):
    s = Seen()
    assert s.view.trouble is None
    s.hears_itself = False
    s.run(3)
    s.nats(nats, "secret.example: no answer" if nats == "away" else None)
    assert s.view.trouble == told  # anybody may read it: it has no names
    assert s.view.cluster().state == "cut"
    assert s.view.warnings() == [f"{OWN_SENTENCES[OwnState.CUT]} NATS: {s.engine.state}"]


def test_a_node_that_stood_still_says_so():
    s = Seen()
    s.now += 5
    s.directory.tick(s.now, s.now - 4)
    assert s.view.trouble == "frozen: this node stood still for more than 2.5 s"
    assert s.view.nodes()[0].state == "frozen"
    assert s.view.snapshot().freezes == 1


def test_what_is_between_the_nodes():
    s = Seen()
    links = s.mirrors["links"]
    links.revision, links.lag, links.frozen, links.problem = 7, 2, True, "bucket tunnel_links: no answer"
    s.engine.losses = 3
    s.engine._is_forbidden("publish", "$KV.tunnel_links.x")
    found = msgspec.to_builtins(s.view.cluster())
    assert found["engine"] == {
        "state": "connected", "since": "1970-01-01T00:00:00.000Z", "server": SERVER, "why": None, "losses": 3,
        "forbidden": ["publish $KV.tunnel_links.x"],
    }  # fmt: skip
    assert found["buckets"][1] == {
        "bucket": "tunnel_links", "entries": 0, "revision": 7, "lag": 2, "synced": False, "frozen": True,
        "problem": "bucket tunnel_links: no answer",
    }  # fmt: skip
    assert s.view.warnings() == [
        "bucket tunnel_links: no answer",
        "NATS does not allow this node's user to publish $KV.tunnel_links.x; allow it",
    ]


def test_what_to_look_at():
    s = Seen()
    s.beat("aa", files="f2", build="1.0")
    s.link("aa", LinkState.LOST, "no answer in time")
    s.differences.look(s.own, s.now)
    assert s.row("aa").files_differ
    assert s.view.warnings() == [
        "node aa (aa) cannot be reached from this node: no answer in time; see /-/nodes",
        "the file routes of node aa (aa) are not those of this node; give all nodes the same gateway.toml",
    ]


def test_the_numbers():
    s = Seen()
    s.nodes("aa", "bb")
    s.link("aa", LinkState.UP)
    s.link("bb", LinkState.LOST, "no")
    s.dialler.counts.answers[HopEnd.NOT_HERE] += 2
    s.dialler.counts.exchanges = 6
    s.serving.answers[HopEnd.THROUGH] += 3
    s.mirrors["routes"].writes, s.mirrors["routes"].failed[WriteEnd.CONFLICT] = 5, 1
    found = s.view.snapshot()
    assert (found.state, found.is_connected, found.links_in) == ("connected", False, 0)
    assert dict(found.nodes) == {"live": 1, "lost_way": 1}
    assert dict(found.links_out) == {"up": 1, "lost": 1}
    assert found.exchanges_out == 6
    assert (found.hops_out[HopEnd.NOT_HERE], found.hops_in[HopEnd.THROUGH]) == (2, 3)
    assert (found.buckets["routes"].writes, found.buckets["routes"].failed[WriteEnd.CONFLICT]) == (5, 1)


def test_a_node_without_peer_bind_has_no_links_to_it():
    s = Seen()
    view = type(s.view)(
        s.presence, lambda: s.own, s.engine, s.mirrors, s.dialler, None, s.serving, s.differences,
        s.view.wall_clock, clock=lambda: s.now,
    )  # fmt: skip
    s.beat("aa")
    assert view.nodes()[1].link_in is False
    assert view.snapshot().links_in == 0
    assert repr(view) == "<View of me>"
