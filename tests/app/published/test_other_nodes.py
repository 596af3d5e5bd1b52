"""What other nodes say of published hosts: among this node's own, within their bounds, and silent in its log."""

import logging
from dataclasses import replace

import pytest

from app.published.publication import Told, machine_of
from tests.app.published.world import HOLDERS, World, lines, wanted
from tunnel.port import Target

BOTH = "x.both.test"


def told(agent: str, *paths: str, node: str = "n2", seed: str = "", is_away: bool = False) -> Told:
    holder = replace(HOLDERS[agent], node=node)
    target = Target(holder.cluster, "published", "localhost", 5173, publisher=agent)
    routes = {path: (target, path, None) for path in paths or ("/",)}
    return Told(holder, machine_of(holder.cluster, seed or agent), is_away, routes)


def test_they_are_served_and_listed_and_go_when_the_node_says_so(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    w = World()
    w.set.take(BOTH, told("alice", "/", "/app"))
    assert w.serves(BOTH) == ["/app alice", "/ alice"]
    assert w.known == [f"{BOTH}/ alice", f"{BOTH}/app alice"]
    assert (w.set.count, w.set.count_of("a"), w.cluster_of(BOTH)) == (2, 2, "a")
    assert str(w.set.holder_of(BOTH)) == "agent alice of cluster a (link-alice from 192.0.2.1, node n2)"
    assert w.set.own(BOTH) is None
    w.set.take(BOTH, told("alice", "/app"))
    assert w.serves(BOTH) == ["/app alice"]
    w.set.take(BOTH, told("alice", "/app", is_away=True))
    (one,) = w.set.registered(BOTH)
    assert w.set.expires_at(one) == w.now + 60
    w.passes(120)
    assert w.known == [f"{BOTH}/app alice"], "its node says when it goes"
    w.set.take(BOTH, None)
    w.set.take(BOTH, None)
    assert (w.known, w.set.count, w.told, lines(caplog)) == ([], 0, [], [])
    assert w.set.unpublished.of(BOTH) is None


def test_their_hosts_are_taken_and_count():
    w = World()
    w.set.take(BOTH, told("bob"))
    w.set.take("1.b.test", told("bob"))
    assert w.refused("alice", wanted(BOTH)) == ["host_taken"]
    assert w.refused("bert", wanted("2.b.test"), wanted("3.b.test")) == ["", "too_many_published"]


@pytest.mark.parametrize(
    ("agent", "seed", "is_away", "code"),
    [
        ("alice", "", False, ""),  # the same agent
        ("anna", "m", True, ""),  # another one of the same machine, once the link is gone
        ("anna", "m", False, "host_taken"),
        ("anna", "other", True, "host_taken"),
    ],
)
def test_who_may_take_a_host_from_another_node(agent: str, seed: str, is_away: bool, code: str):
    w = World()
    w.set.take(BOTH, told("alice", seed="m", is_away=is_away))
    answers = w.publish(agent, wanted(BOTH), seed=seed)
    assert [one.code for one in answers] == [code]
    assert w.serves(BOTH) == [f"/ {'alice' if code else agent}"]
    assert (w.set.own(BOTH) is None) == bool(code)


def test_an_agent_of_this_node_that_loses_a_host_is_told():
    w = World()
    w.publish("alice", wanted(BOTH), wanted("x.a.test"))
    holding = w.set.own(BOTH)
    assert holding is not None
    lost: list[str] = []
    holding.lost = lost.append
    w.set.take(BOTH, told("bob"))
    assert (lost, w.serves(BOTH), w.serves("x.a.test")) == ([BOTH], ["/ bob"], ["/ alice"])
    w.set.take("x.a.test", told("alice"))
    assert lost == [BOTH], "the same agent"


def test_other_nodes_hear_of_each_change_of_this_node_s_agents():
    w = World()
    changed: list[str] = []
    w.set.on_own_change = changed.append
    w.publish("alice", wanted(BOTH))
    w.lose("alice")
    w.set.take("x.b.test", told("bob"))
    w.set.take("x.b.test", None)
    w.passes(61)
    assert changed == [BOTH] * 3
    assert w.told == ["route_published", "route_unpublished"]


def test_a_holder_whose_token_is_another_one_now():
    w = World()
    w.set.take(BOTH, told("alice"))
    other = told("alice")
    w.set.take("x.a.test", replace(other, holder=replace(other.holder, token_hash=b"narrow")))
    assert sum(w.set._per_token.values()) == w.set.count == 2
    assert w.set._per_token == {b"narrow": 2}
    assert w.serves(BOTH) == []
