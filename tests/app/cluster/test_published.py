"""Hosts that agents publish on any node: who gets one, and what the others serve."""

import pytest

from app.cluster import published_host
from app.cluster.keys import key_of_published
from app.cluster.values import ValueIgnoredError
from app.published import LINGER_SECONDS
from tests.app.cluster.publishing import Node, Nodes
from tests.app.published.world import wanted
from tests.fakes.loop import dialogue

BOTH = "x.both.test"
ALICE, ANNA, BOB = ["/ alice"], ["/ anna"], ["/ bob"]


def holder(nodes: Nodes, host: str) -> tuple[str, bool]:
    """The node that has put it, and whether it says that the link is gone."""
    told = published_host.read(host, nodes.shelf.entries[key_of_published(host)].value or b"")
    return told.holder.node, told.is_away


# --- one engine, several nodes


@dialogue
async def test_a_published_host_is_served_everywhere_at_once():
    n = Nodes(3)
    assert await n[0].published("alice", "x.a.test") == [""]
    assert n.serves("x.a.test") == [ALICE] * 3
    assert n[1].known == ["x.a.test/ alice"]
    assert n[1].told == []  # the node that has the link tells the operator
    assert n[0].told == ["route_published"]
    assert await n[0].published("alice") == []
    assert n.serves("x.a.test") == [[], ALICE, ALICE]
    await n.passes(0.0)
    assert n.serves("x.a.test") == [[]] * 3
    assert not list(n[0].bucket.items())


@dialogue
async def test_routes_keep_what_their_agent_said():
    n = Nodes()
    said = wanted(
        "x.a.test", "/app", port=8443, scheme="https", verify=False, host_header="localhost:8443", strip_prefix=True,
        add_prefix="/base", https_redirect=True, namespace="ns", service="api",
    )  # fmt: skip
    assert n[0].refused("alice", said, wanted("x.a.test")) == ["", ""]
    await n[0].shared.settle(["x.a.test"])
    here, there = ([(one.path, one.target, one.key, one.rewrite) for one in node.set] for node in n.nodes)
    assert here == there
    assert len(here) == 2


@dialogue
async def test_a_host_has_one_agent():
    n = Nodes()
    await n[0].published("alice", BOTH)
    assert await n[1].published("bob", BOTH) == ["host_taken"]
    assert n.serves(BOTH) == [ALICE] * 2


@dialogue
async def test_two_nodes_whose_agents_publish_one_host_at_once():
    n = Nodes()
    n[1].bucket.hold()
    await n[0].published("alice", BOTH)
    n[1].refused("bob", wanted(BOTH))
    n[1].bucket.deliver()
    assert await n[1].shared.settle([BOTH]) is False
    assert n[1].refused("bob", wanted(BOTH)) == ["host_taken"]
    assert n.serves(BOTH) == [ALICE] * 2
    await n.passes()
    assert n.serves(BOTH) == [ALICE] * 2


@dialogue
async def test_a_given_name_that_is_taken_elsewhere_becomes_another():
    n = Nodes()
    first = n[0].publish("alice", wanted(key="k"), seed="machine")[0].host
    await n[0].shared.settle([first])
    other = n[1].publish("anna", wanted(key="k"), seed="machine")[0]
    assert other.code == ""
    assert other.host not in ("", first)


@dialogue
async def test_a_registered_host_of_another_cluster_stays_its_own():
    n = Nodes()
    await n[0].published("alice", BOTH)
    assert n[1].cluster_of(BOTH) == "a"


# --- the life of a link


@dialogue
async def test_an_agent_that_comes_back_over_another_node_keeps_its_hosts():
    n = Nodes()
    await n[0].published("alice", "x.a.test", "y.a.test")
    n[0].lose("alice")
    await n.passes()
    assert n.serves("x.a.test") == [ALICE] * 2
    assert await n[1].published("alice", "x.a.test") == [""]
    assert n.serves("x.a.test") == [ALICE] * 2
    await n.passes(2.0)
    assert n.serves("y.a.test") == [[]] * 2  # it publishes only the other one now
    await n.passes(2 * LINGER_SECONDS)
    assert n.serves("x.a.test") == [ALICE] * 2


@dialogue
async def test_an_agent_that_moves_before_its_old_link_is_known_to_be_dead():
    n = Nodes()
    await n[0].published("alice", "x.a.test")
    assert await n[1].published("alice", "x.a.test") == [""]
    n[0].lose("alice")
    await n.passes(LINGER_SECONDS + 5)
    assert n.serves("x.a.test") == [ALICE] * 2
    n[1].lose("alice")
    await n.passes(LINGER_SECONDS + 5)
    assert n.serves("x.a.test") == [[]] * 2
    assert not list(n[0].bucket.items())


@dialogue
async def test_an_agent_with_links_to_two_nodes_keeps_its_host_when_one_goes():
    n = Nodes()
    await n[0].published("alice", "x.a.test")
    await n[1].published("alice", "x.a.test")
    await n.passes()
    assert holder(n, "x.a.test") == ("n1", False)
    n[1].lose("alice")
    await n.passes()
    assert holder(n, "x.a.test") == ("n0", False)
    await n.passes(LINGER_SECONDS + 5)
    assert n.serves("x.a.test") == [ALICE] * 2


@dialogue
async def test_the_node_that_an_agent_used_last_has_its_key():
    n = Nodes()
    await n[0].published("alice", "x.a.test")
    await n[1].published("alice", "x.a.test")
    n[0].set.take("x.a.test", None)  # nothing of another node's: no change
    assert n[0].set.on_own_change is not None
    n[0].set.on_own_change("x.a.test")
    await n.passes()
    assert holder(n, "x.a.test") == ("n1", False)


@dialogue
async def test_hosts_outlive_their_link_for_a_minute():
    n = Nodes()
    await n[0].published("alice", BOTH)
    n[0].lose("alice")
    await n.passes(LINGER_SECONDS - 1)
    assert n.serves(BOTH) == [ALICE] * 2
    assert await n[1].published("bob", BOTH) == ["host_taken"]
    await n.passes(2.0)
    assert n.serves(BOTH) == [[]] * 2
    assert await n[1].published("bob", BOTH) == [""]


@dialogue
async def test_another_process_of_the_same_machine_takes_over_on_another_node():
    n = Nodes()
    await n[0].published("alice", "x.a.test", seed="machine")
    assert await n[1].published("anna", "x.a.test", seed="machine") == ["host_taken"]
    n[0].lose("alice")
    await n.passes()
    assert await n[1].published("anna", "x.a.test", seed="other") == ["host_taken"]
    assert await n[1].published("anna", "x.a.test", seed="machine") == [""]
    assert n.serves("x.a.test") == [ANNA] * 2


@dialogue
async def test_of_two_processes_of_one_machine_that_publish_at_once_one_has_the_host():
    n = Nodes()
    n[1].bucket.hold()
    await n[0].published("alice", "x.a.test", seed="machine")
    n[1].publish("anna", wanted("x.a.test"), seed="machine")
    n[1].bucket.deliver()
    assert await n[1].shared.settle(["x.a.test"]) is False
    assert n.serves("x.a.test") == [ALICE] * 2


@dialogue
async def test_a_token_has_its_bound_over_all_nodes():
    n = Nodes()
    assert await n[0].published("bob", "1.b.test", "2.b.test") == ["", ""]
    assert await n[1].published("bert", "3.b.test", "4.b.test") == ["", "too_many_published"]


# --- nodes that go and come


@dialogue
async def test_what_a_node_leaves_lasts_a_minute_and_is_cleared_by_one():
    n = Nodes(3)
    await n[2].published("alice", BOTH)
    for node in n.nodes[:2]:
        node.miss(n[2])
    gone = n.nodes.pop()
    n.shelf.mirrors.remove(gone.bucket)
    await n.passes()
    assert n.serves(BOTH) == [ALICE] * 2
    assert await n[1].published("bob", BOTH) == ["host_taken"]
    await n.passes(LINGER_SECONDS)
    assert n.serves(BOTH) == [[]] * 2
    assert await n[1].published("bob", BOTH) == [""]


@dialogue
async def test_an_agent_of_a_node_that_is_gone_comes_back_elsewhere():
    n = Nodes(3)
    await n[2].published("alice", BOTH, seed="machine")
    gone = n.nodes.pop()
    n.shelf.mirrors.remove(gone.bucket)
    for node in n.nodes:
        node.miss(gone)
    await n.passes()
    assert await n[0].published("anna", BOTH, seed="machine") == [""]
    await n.passes(2 * LINGER_SECONDS)
    assert n.serves(BOTH) == [ANNA] * 2


@dialogue
async def test_a_node_that_was_taken_for_gone_puts_its_hosts_again():
    n = Nodes()
    await n[1].published("alice", BOTH)
    n[0].miss(n[1])
    await n.passes()
    await n.passes(LINGER_SECONDS)
    n[0].meet(n[1])
    await n.passes()
    assert n.serves(BOTH) == [ALICE] * 2


@dialogue
async def test_a_node_that_starts_knows_what_is_published():
    n = Nodes()
    await n[0].published("alice", BOTH)
    late = Node(n, "n9")
    assert late.serves(BOTH) == ALICE
    assert await late.published("bob", BOTH) == ["host_taken"]


# --- the engine is away, or loses everything


@dialogue
async def test_what_is_published_while_the_engine_is_away_is_settled_when_it_is_back():
    n = Nodes()
    n.shelf.away = True
    assert await n[0].published("alice", BOTH) == [""]
    assert await n[1].published("bob", BOTH, "1.b.test") == ["", ""]
    assert n.serves(BOTH) == [ALICE, BOB]
    n.shelf.away = False
    await n.passes()
    assert n.serves(BOTH) == [ALICE] * 2
    assert n.serves("1.b.test") == [BOB] * 2
    assert (n[0].lost, n[1].lost) == ([], [BOTH])


@dialogue
async def test_a_bucket_that_is_made_anew_gets_everything_again():
    n = Nodes()
    await n[0].published("alice", "x.a.test")
    await n[1].published("bob", "1.b.test")
    n.shelf.make_anew()
    assert n.serves("x.a.test") == [ALICE] * 2
    await n.passes()
    assert n.serves("x.a.test") == [ALICE] * 2
    assert len(n.shelf.entries) == 2
    await n.passes(LINGER_SECONDS)
    assert n.serves("1.b.test") == [BOB] * 2


@dialogue
async def test_what_nobody_puts_again_goes():
    n = Nodes()
    await n[0].published("alice", BOTH)
    gone = n.nodes.pop(0)
    n.shelf.mirrors.remove(gone.bucket)
    n.shelf.make_anew()
    await n.passes()
    assert n.serves(BOTH) == [ALICE]
    await n.passes(31.0)
    assert n.serves(BOTH) == [[]]


@dialogue
async def test_what_is_gone_without_a_word_stays_though_its_node_is_gone():
    n = Nodes()
    await n[0].published("alice", BOTH)
    gone = n.nodes.pop(0)
    n.shelf.mirrors.remove(gone.bucket)
    n.shelf.make_anew()
    n[0].miss(gone)
    await n.passes()
    assert n.serves(BOTH) == [ALICE]
    await n.passes(31.0)
    assert n.serves(BOTH) == [[]]


@dialogue
async def test_what_is_gone_without_a_word_stays_while_the_engine_is_away():
    n = Nodes()
    await n[0].published("alice", BOTH)
    gone = n.nodes.pop(0)
    n.shelf.mirrors.remove(gone.bucket)
    n.shelf.make_anew()
    n.shelf.away = True
    await n.passes(31.0)
    assert n.serves(BOTH) == [ALICE]
    n.shelf.away = False
    await n.passes()
    assert n.serves(BOTH) == [ALICE]


@dialogue
async def test_an_old_value_in_this_node_s_name_is_put_right():
    n = Nodes()
    await n[0].published("alice", BOTH)
    old = n.shelf.entries[key_of_published(BOTH)].value or b""
    assert [one.code for one in n[0].publish("alice", wanted(BOTH, "/app"))] == [""]
    await n[0].shared.settle([BOTH])
    await n.passes()
    assert n.serves(BOTH) == [["/app alice"]] * 2
    await n[1].bucket.put(key_of_published(BOTH), old)  # the bucket has lost a write
    await n.passes()
    assert n.serves(BOTH) == [["/app alice"]] * 2


@dialogue
async def test_a_write_without_an_answer_is_done_again():
    n = Nodes()
    n.shelf.lose_answers = 1
    assert await n[0].published("alice", BOTH) == [""]
    await n.passes()
    assert n.serves(BOTH) == [ALICE] * 2
    assert n[0].lost == []


# --- bad values


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "it is not JSON"),
        (b"[]", "Expected `object`"),
        (b'{"v":2}', "it has version 2"),
        (b'{"v":1,"node":"n1"}', "missing required field"),
        (b'{"v":1,"node":"N 1","cluster":"a","agent":"x","token":"61","machine":""}', "its node is none"),
        (b'{"v":1,"node":"n1","cluster":"a","agent":"x","token":"zz","machine":""}', "Expected `str` matching"),
        (b'{"v":1,"node":"n1","cluster":"","agent":"x","token":"61","machine":""}', "length >= 1"),
    ],
)
def test_what_is_no_value_is_ignored(value: bytes, why: str):
    with pytest.raises(ValueIgnoredError, match=why.replace("[", r"\[")) if value else pytest.raises(ValueIgnoredError):
        published_host.read("x.a.test", value)


def test_paths_of_strangers_are_left_out():
    value = (
        b'{"v":1,"node":"n1","cluster":"a","agent":"x","token":"61","machine":"","more":1,"paths":{'
        b'"/":{"key":"k","port":80,"later":true},"/a/":{"key":"k","port":80},"/b":{"key":"k","port":0},'
        b'"/c":{"key":"k","port":80,"service":"kubernetes","namespace":"default"},"/d/../e":{"key":"k","port":80}}}'
    )
    assert list(published_host.read("x.a.test", value).routes) == ["/"]


@dialogue
async def test_a_stranger_s_value_gives_way_and_that_of_another_release_stays():
    n = Nodes()
    await n[0].bucket.put(key_of_published("x.a.test"), b"nonsense")
    await n[0].bucket.put(key_of_published("y.a.test"), b'{"v":2}')
    assert await n[0].published("alice", "x.a.test", "y.a.test") == ["", ""]
    assert n.serves("x.a.test") == [ALICE] * 2
    assert n.shelf.entries[key_of_published("y.a.test")].value == b'{"v":2}'
