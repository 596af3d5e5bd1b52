"""Whether an exchange stays here, and what is passed over."""

import asyncio

import pytest

from app.cluster.choosing import DECLINED_SECONDS, MOST_LOST, Choosing
from app.cluster.peer.upstream import PeerUpstream
from tests.app.cluster.one_directory import World
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import NodeBusyError, NodeDrainingError, NotHereError
from tunnel.gateway.registry import Registry
from tunnel.port import Target, Upstream


class Asking:
    """A link to another node, as far as it is used here."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.going_away = False
        self.clock = lambda: 0.0

    def upstream(self, target: Target, *, agent_id: str, dialect: str, claim: object) -> PeerUpstream:
        return PeerUpstream(self, target, agent_id, dialect, claim)  # type: ignore[arg-type]


class Ways:
    """The links to the nodes."""

    def __init__(self, *nodes: str) -> None:
        self.up = {node: Asking(node) for node in nodes}

    def asking(self, node: str) -> Asking | None:
        return self.up.get(node)


class Stage:
    """This node with agents of its own, and three others."""

    def __init__(self) -> None:
        self.w = World()
        self.w.nodes("n1", "n2", "n3")
        self.registry = Registry(clock=lambda: self.w.now)
        self.ways = Ways("n1", "n2", "n3")
        self.choosing = Choosing(
            self.w.directory, self.ways, self.registry, clock=lambda: self.w.now  # type: ignore[arg-type]
        )  # fmt: skip
        self.w.directory.on_unclaimed = self.choosing.lost

    def own(self, agent: str, revision: int) -> FakeLink:
        link = FakeLink(agent)
        link.name = link.label = self.w.own(agent, revision)
        self.registry.add(link)  # type: ignore[arg-type]
        return link

    def choose(self, avoid: Upstream | None = None) -> str:
        """`agent@node` of another node; empty: it stays here."""
        upstream = self.choosing.choose(TARGET, avoid, None)
        if upstream is None:
            return ""
        assert upstream.passes_bytes
        return f"{upstream.agent_id}@{upstream.node}"

    def upstream(self) -> Upstream:
        upstream = self.choosing.choose(TARGET, None, None)
        assert upstream is not None
        return upstream


@pytest.fixture
def s() -> Stage:
    return Stage()


def test_nobody_claims_it(s: Stage):
    assert not s.choosing.has("c1")
    assert s.choose() == ""


def test_another_node(s: Stage):
    s.w.put("n1", 5, "a")
    assert s.choosing.has("c1")
    assert s.choose() == "a@n1"


def test_an_own_link_stays_here(s: Stage):
    s.own("a", 6)
    s.w.put("n1", 5, "b")
    assert s.choose() == ""


def test_an_own_link_that_takes_nothing(s: Stage):
    link = s.own("a", 6)
    s.w.put("n1", 5, "b")
    link.available = False
    assert s.choose() == "b@n1"


def test_a_node_without_a_way_is_passed_over(s: Stage):
    s.w.put("n1", 5, "a")
    s.w.put("n2", 4, "b")
    del s.ways.up["n1"]
    assert s.choose() == "b@n2"
    s.ways.up["n2"].going_away = True
    assert s.choose() == ""


def test_what_failed_is_avoided_unless_there_is_nothing_else(s: Stage):
    s.w.put("n1", 5, "a")
    failed = s.upstream()
    assert s.choose(failed) == "a@n1"
    s.w.put("n2", 4, "b")
    assert s.choose(failed) == "b@n2"


def test_a_link_of_this_node_that_failed_is_avoided(s: Stage):
    link = s.own("a", 6)
    s.w.put("n1", 5, "b")
    assert s.choose(link) == "b@n1"  # type: ignore[arg-type]


def test_not_here_forgets_the_claim_until_there_is_another(s: Stage):
    s.w.put("n1", 5, "a")
    s.choosing.not_taken(s.upstream(), NotHereError("not here"))
    assert (s.choose(), s.choosing.not_here) == ("", 1)
    s.w.put("n1", 7, a=5)
    assert s.choose() == ""
    s.w.put("n1", 8, "a")
    assert s.choose() == "a@n1"


def test_not_here_of_an_older_link_does_not_forget_the_newer_one(s: Stage):
    s.w.put("n1", 5, "a")
    older = s.upstream()
    s.w.put("n1", 6, "a")
    s.choosing.not_taken(older, NotHereError("not here"))
    assert s.choose() == "a@n1"


@pytest.mark.parametrize("kind", [NodeBusyError, NodeDrainingError])
@dialogue
async def test_who_declined_is_asked_again_soon(kind: type[NodeBusyError]):
    s = Stage()
    s.w.put("n1", 5, "a")
    s.choosing.not_taken(s.upstream(), kind("not now"))
    s.choosing.not_taken(s.choosing._ways.up["n1"].upstream(  # type: ignore[attr-defined]
        TARGET, agent_id="a", dialect="", claim=s.w.directory.claims("c1")[0]), kind("not now"))  # fmt: skip
    assert s.choose() == ""
    assert s.choosing.lost_at("c1") == s.w.now  # so requests wait
    assert s.choosing.declined == 1
    await asyncio.sleep(DECLINED_SECONDS + 0.001)
    assert s.choose() == "a@n1"
    assert repr(s.choosing) == "<Choosing 0 declined, 0 unreachable>"


@dialogue
async def test_close_leaves_no_timer():
    s = Stage()
    s.w.put("n1", 5, "a")
    s.choosing.not_taken(s.upstream(), NodeBusyError("not now"))
    s.choosing.close()


def test_when_a_pool_was_lost(s: Stage):
    assert s.choosing.lost_at("c1") == float("-inf")
    s.w.put("n1", 5, "a")
    s.w.put("n1", 6)
    at = s.w.now
    s.w.now += 2
    assert s.choosing.lost_at("c1") == at


def test_a_node_that_cannot_be_reached_counts_as_lost_since_then(s: Stage):
    s.w.put("n1", 5, "a")
    at = s.w.now
    s.choosing.unreachable("n1")
    s.w.now += 2
    s.choosing.unreachable("n1")
    assert s.choosing.lost_at("c1") == at
    s.choosing.reached("n1")
    assert s.choosing.lost_at("c1") == float("-inf")


def test_a_node_that_goes_away_counts_as_lost_since_it_was_noticed(s: Stage):
    s.w.put("n1", 5, "a")
    s.ways.up["n1"].going_away = True
    assert s.choose() == ""
    assert s.choosing.lost_at("c1") == s.w.now


def test_a_node_that_is_over_is_forgotten_and_what_it_had_is_lost_since_it_could_not_be_reached(s: Stage):
    s.w.put("n1", 5, "a")
    at = s.w.now
    s.choosing.unreachable("n1")
    s.w.now += 2
    s.choosing.gone("n1")
    assert s.choosing.lost_at("c1") == at
    assert repr(s.choosing) == "<Choosing 0 declined, 0 unreachable>"
    s.choosing.gone("n1")
    assert s.choosing.lost_at("c1") == s.w.now


def test_what_a_node_has_left_is_not_lost_again_when_it_is_cleared(s: Stage):
    s.w.put("n1", 5, "a")
    del s.w.beating["n1"]
    s.w.nodes("n1", bye=True)
    s.choosing.gone("n1")
    at = s.w.now
    s.w.run(10)
    s.w.put("n1", 6)
    assert s.choosing.lost_at("c1") == at


def test_a_node_without_a_way_costs_one_look_however_many_agents_it_has(s: Stage):
    agents = [f"a{number}" for number in range(100)]
    s.w.put("n1", 5, *agents)
    s.w.put("n2", 4, "b")
    del s.ways.up["n1"]
    looks = []
    choose = s.w.directory.choose
    s.w.directory.choose = lambda *of, **how: looks.append(of) or choose(*of, **how)  # type: ignore[method-assign]
    assert s.choose() == "b@n2"
    assert len(looks) == 2


def test_losses_are_bounded(s: Stage):
    for number in range(MOST_LOST + 1):
        s.choosing.lost(f"c{number}")
    assert s.choosing.lost_at("c0") == float("-inf")
    assert s.choosing.lost_at("c1") == s.w.now


@dialogue
async def test_ten_thousand_clusters_of_a_node_are_woken_in_slices():
    s = Stage()
    for number in range(10_000):
        s.w.put("n1", 5, "a", cluster=f"c{number}")
    woken: list[str] = []
    s.registry.wake = woken.append  # type: ignore[method-assign, assignment]
    s.choosing.reached("n1")
    assert 0 < len(woken) <= 1_000
    await quiet()
    assert len(woken) == 10_000
    s.w.directory.on_claim = woken.append  # type: ignore[assignment]
    s.w.nodes("n1", bye=True)
    woken.clear()
    s.w.nodes("n1")
    assert 0 < len(woken) <= 1_000
    await quiet()
    assert len(woken) == 10_000
    s.choosing.gone("n1")
    await quiet()
    assert s.choosing.lost_at("c9999") == s.w.now
