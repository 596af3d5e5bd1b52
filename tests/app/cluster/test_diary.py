"""What becomes of the nodes is told once: as events, and in the log where nobody else does."""

import pytest

from app.cluster.peer.dialler import LinkState
from tests.app.cluster.seen import SERVER, Seen


def test_a_node_comes_once_and_stops():
    s = Seen()
    s.beat("aa")
    s.beat("aa")
    (came,) = s.told()
    assert (came.kind, came.level, came.message, came.address) == (
        "node_came", "info", "node aa (aa) has come", "http://aa",
    )  # fmt: skip
    s.beat("aa", draining=True)
    assert s.kinds() == []
    s.beat("aa", bye=True)
    s.link("aa", LinkState.LOST, "the node stops")
    (gone,) = s.told()
    assert (gone.kind, gone.level, gone.code, gone.message) == ("node_gone", "info", "bye", "node aa (aa) has stopped")


def test_a_node_that_dies(caplog: pytest.LogCaptureFixture):
    s = Seen()
    s.beat("aa")
    s.told()
    s.link("aa", LinkState.LOST, "the node closed the connection")
    s.link("aa", LinkState.DIALLING)
    s.link("aa", LinkState.LOST, "nobody listens")
    (lost,) = s.told()
    assert (lost.kind, lost.level, lost.code) == ("peer_link_lost", "warning", "lost")
    assert lost.message == "no link to node aa (aa): the node closed the connection"
    s.run(4)
    (gone,) = s.told()
    assert (gone.kind, gone.level, gone.code) == ("node_gone", "warning", "silent")
    assert "node aa (aa) is gone: nothing is heard of it, and its agents' links are forgotten" in caplog.messages


def test_a_link_that_comes_back():
    s = Seen()
    s.beat("aa")
    s.link("aa", LinkState.UP)
    assert s.kinds() == ["node_came"]
    s.link("aa", LinkState.REFUSED, "refused with 401")
    s.link("aa", LinkState.UP)
    s.link("aa", LinkState.UP)
    lost, back = s.told()
    assert (lost.code, back.kind, back.message) == ("refused", "peer_link_back", "linked with node aa (aa) again")


def test_what_a_dead_node_left_is_not_told():
    s = Seen()
    s.put("aa", 5, "a1")
    s.link("aa", LinkState.LOST, "nobody listens")
    s.run(61)
    assert s.kinds() == []


def test_this_node_is_cut_off_and_back(caplog: pytest.LogCaptureFixture):
    s = Seen()
    s.hears_itself = False
    s.run(5)
    (cut,) = s.told()
    assert (cut.kind, cut.level, cut.code) == ("node_cut", "warning", "cut")
    assert cut.message == "this node is cut off from the others: it has no connection to NATS"
    s.hears_itself = True
    s.run(2)
    assert s.kinds() == ["node_back"]
    s.run(2)
    assert s.kinds() == []
    assert f"{cut.message}; it serves on, and forgets nobody" in caplog.messages


def test_this_node_stands_still_and_each_time_is_told():
    s = Seen()
    for _ in range(2):
        s.directory.tick(s.now, s.now - 3)
    assert [event.code for event in s.told()] == ["frozen", "frozen"]


def test_nats_is_away_and_back():
    s = Seen()
    s.diary.tick()
    s.nats("away", "nats://a: no answer")
    s.diary.tick()
    s.nats("away", "nats://b: no answer")
    s.diary.tick()
    s.nats("connected", server=SERVER)
    s.diary.tick()
    s.nats("stopped")
    s.diary.tick()
    assert [(event.kind, event.message) for event in s.told()] == [
        ("nats_away", "NATS is away: nats://a: no answer"),
        ("nats_back", f"connected to NATS at {SERVER}"),
    ]


def test_how_it_shows_itself():
    s = Seen()
    s.nodes("aa", "bb")
    s.link("aa", LinkState.LOST, "x")
    assert repr(s.diary) == "<Diary, 2 nodes are here, 1 links are lost>"
