"""An explanation on a node whose agents are on other nodes."""

from collections.abc import Sequence

import pytest

from app.node.asking import Ask, OtherNode, Query, Reply, named
from app.operator.explain.explaining import explain
from app.operator.explain.question import question_of
from tests.app.operator.explain.asking import URL, Link, explained, stage
from tests.app.stage import Stage
from tests.fakes.asgi import CLIENT
from tests.fakes.loop import dialogue
from tunnel.errors import NotPassedOnError
from tunnel.override import override
from tunnel.port import Pool, Target, Upstream


class Others(Ask):
    """One other node, which has an agent of c1."""

    @property
    @override
    def own(self) -> OtherNode:
        return OtherNode(node="aaa", name="gw-1")

    @override
    def others(self) -> Sequence[OtherNode]:
        return [OtherNode(node="bbb", name="gw-2")]

    @override
    def holders(self, cluster: str) -> Sequence[OtherNode]:
        return self.others() if cluster == "c1" else []

    @override
    async def ask(self, node: str, query: Query) -> Reply:
        raise NotImplementedError


class Elsewhere:
    """`gateway.elsewhere`: the way to that node, or none."""

    def __init__(self, upstream: Link | None) -> None:
        self.upstream = upstream

    def has(self, pool: Pool) -> bool:
        return pool == "c1"

    def choose(self, _target: Target, _avoid: Upstream | None, _preference: object) -> Link | None:
        return self.upstream

    def not_taken(self, upstream: Upstream, error: NotPassedOnError, /) -> None: ...

    def clusters(self) -> set[str]:
        return {"c1"}

    def pools(self) -> set[Pool]:
        return {"c1"}

    async def leave(self, deadline: float) -> None: ...

    async def aclose(self) -> None: ...


def several(upstream: Link | None) -> Stage:
    s = stage(links=0)
    s.gateway.ask = Others()
    s.gateway.elsewhere = Elsewhere(upstream)  # type: ignore[assignment]
    return s


@dialogue
async def test_a_request_would_hop():
    there = Link()
    there.node, there.label = "bbb", "node-bbb"
    async with several(there) as s:
        told = await explain(s.gateway, question_of(URL, probes=False), CLIENT[0])
        assert (told.code, told.reason, told.node, told.link) == ("ok", "not_sent", "bbb", None)
        assert told.verdict == (
            "cluster c1 has an agent on node gw-2 (bbb), and a request here would hop to it; nothing was sent"
        )
        assert told.cluster is not None
        assert told.cluster.nodes == ["bbb"]
        assert told.cluster.why_not == (
            "its agents are connected to node gw-2 (bbb); requests that come here are passed on"
        )


@dialogue
async def test_the_other_node_cannot_be_reached():
    async with several(None) as s:
        told = await explained(s, URL)
        assert (told.code, told.status, told.reason, told.node) == ("no_agent", 503, "out_of_reach", None)
        assert told.verdict == "cluster c1 has an agent on node gw-2 (bbb), and this node does not get there"
        assert "tunnel-gateway nodes" in (told.hint or "")


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "node n0"), (2, "nodes n0 and n1"), (3, "nodes n0, n1 and n2"), (5, "nodes n0, n1, n2 and 2 others")],
)
def test_nodes_in_a_sentence(count: int, text: str):
    assert named([OtherNode(node=f"n{number}", name="") for number in range(count)]) == text
