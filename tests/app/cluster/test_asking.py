"""Which other nodes may be asked, who has a cluster, and why one gave no answer."""

import asyncio

import pytest

from app.cluster.asking import SECONDS, AskNodes
from app.cluster.beats import Beat, encoded
from app.cluster.bucket import Entry
from app.cluster.directory import Directory
from app.cluster.peer.dialler import LinkState, PeerState
from app.cluster.peer.upstream import Asking
from app.cluster.presence import Presence, Way
from app.node.asking import NotAnsweredError, OtherNode, Query, Reply
from tests.app.cluster.peer.hop import Hop
from tests.fakes.loop import dialogue

OWN = OtherNode(node="aaaaaaaaaaaa", name="gw-1")
OTHER, THIRD = "bbbbbbbbbbbb", "cccccccccccc"
QUERY = Query(method="GET", target="/-/links")


class Dials:
    """What the dialler is asked."""

    def __init__(self, hop: Hop | None = None, state: PeerState | None = None) -> None:
        self._hop = hop
        self._state = state

    def asking(self, _: str) -> Asking | None:
        return self._hop.asking if self._hop is not None else None

    def states(self) -> dict[str, PeerState]:
        return {OTHER: self._state} if self._state is not None else {}


def asks(dials: Dials, *nodes: str) -> AskNodes:
    presence = Presence(OWN.node, 0.0)
    directory = Directory(presence)
    for number, node in enumerate(nodes, 1):
        beat = encoded(Beat(name=f"gw-{node[0]}", peer_url="http://192.0.2.1:7000", seq=number))
        presence.changed(Entry(node, beat, number, "c"), 0.0, is_listed=False)
    return AskNodes(OWN, directory, dials)  # type: ignore[arg-type]


async def why(asks: AskNodes, hop: Hop | None = None) -> str:
    asking = asyncio.ensure_future(asks.ask(OTHER, QUERY))
    while not asking.done():
        if hop is not None:
            await hop.run()
        await asyncio.sleep(0.1)
    with pytest.raises(NotAnsweredError) as error:
        asking.result()
    return str(error.value)


@dialogue
async def test_the_others_by_id_and_not_those_that_are_gone():
    made = asks(Dials(), THIRD, OTHER)
    assert made.own == OWN
    assert [node.node for node in made.others()] == [OTHER, THIRD]
    assert made.others()[0] == OtherNode(node=OTHER, name="gw-b")
    goodbye = encoded(Beat(name="gw-b", peer_url="", seq=9, bye=True))
    made._directory.presence.changed(Entry(OTHER, goodbye, 9, "c"), 1.0, is_listed=False)
    assert [node.node for node in made.others()] == [THIRD]


@dialogue
async def test_who_has_an_agent_of_a_cluster():
    made = asks(Dials(), THIRD, OTHER)
    value = b'{"v":1,"agents":{"a1":{"stamp":null,"dialect":"yamux","publisher":false}}}'
    made._directory.changed(Entry(f"c1.{OTHER}", value, 5, "2026-01-01T00:00:00Z"), 0.0)
    assert made.holders("c1") == [OtherNode(node=OTHER, name="gw-b")]
    assert made.holders("c2") == []
    made._directory.presence.way(OTHER, Way.LOST)
    assert [node.node for node in made.holders("c1")] == [OTHER]


@dialogue
async def test_a_node_without_a_peer_link():
    assert await why(asks(Dials())) == "there is no peer link to it"
    lost = PeerState(LinkState.LOST, "connection refused")
    assert await why(asks(Dials(state=lost))) == "there is no peer link to it: connection refused"


@dialogue
async def test_a_node_that_does_not_beat():
    """It was killed while NATS was away, and its links stand in the bucket; or it is of another release."""
    made = asks(Dials())
    presence = made._directory.presence
    presence.met(OTHER, 0.0)
    assert made.others() == [OtherNode(node=OTHER, name="")]
    assert "it was killed" in await why(made)
    presence.changed(Entry(OTHER, b'{"v":2}', 5, "c"), 1.0, is_listed=False)
    assert "another release" in await why(made)


@dialogue
async def test_what_becomes_of_a_query():
    hop = Hop()
    made = asks(Dials(hop))

    async def answer(_: Query) -> Reply:
        return Reply(200, b"{}")

    async def silent(_: Query) -> Reply:
        await asyncio.sleep(3600)
        return Reply(200, b"")

    assert "answers no queries" in await why(made, hop)
    hop.serving.operator = answer
    asking = asyncio.ensure_future(made.ask(OTHER, QUERY))
    await hop.run()
    assert await asking == Reply(200, b"{}")
    hop.serving.operator = silent
    assert await why(made, hop) == f"no answer within {SECONDS:g} s"
    await hop.run()
    hop.session.going_away = True
    assert await why(made, hop) == "it is stopping; ask it itself"
    await hop.end()
    assert "there is no peer link" in await why(asks(Dials()))
