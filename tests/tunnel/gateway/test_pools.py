"""Who may carry what: the agents of a cluster its exchanges, a publisher its own, and nobody another's."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.peer import Line
from tests.tunnel.gateway.test_registry import Cluster
from tunnel.errors import NoAgentError
from tunnel.gateway.link import LinkState
from tunnel.gateway.registry import Registry
from tunnel.gateway.twins import Twins
from tunnel.port import Pool, Target

WEB = Target("c1", "apps", "web", 80)
PUBLISHED = Target("c1", "published", "localhost", 5173, publisher="p1")
OTHERS = Target("c1", "published", "localhost", 5173, publisher="p2")
ELSEWHERE = Target("c2", "published", "localhost", 5173, publisher="p1")


def publish(cluster: Cluster, publisher: str = "p1", **more: bool) -> Line:
    return cluster.dial(publisher, publisher=publisher, **more)


@pytest.mark.parametrize(
    ("target", "carries"),
    [(WEB, "agent"), (PUBLISHED, "p1"), (OTHERS, "p2"), (ELSEWHERE, None)],
    ids=["of the cluster", "published", "published by another", "of the same id in another cluster"],
)
def test_who_carries_what(target: Target, carries: str | None):
    cluster = Cluster()
    lines = {"agent": cluster.dial("p1"), "p1": publish(cluster, "p1"), "p2": publish(cluster, "p2")}
    for _ in range(2):  # as chosen, and as known
        if carries is None:
            with pytest.raises(NoAgentError, match="no link of publisher p1 of cluster c2 is connected"):
                cluster.registry.upstream(target)
            assert cluster.registry.known_upstream(target) is None
        else:
            assert cluster.registry.upstream(target) is lines[carries].link.upstream(target)
            assert cluster.registry.known_upstream(target) is lines[carries].link.upstream(target)
        line = cluster.dial("late")
        assert cluster.registry.select(("c1", "p1")) is lines["p1"].link
        line.link.lost("gone")


def test_what_is_published_never_goes_to_the_cluster_nor_back():
    cluster = Cluster()
    agent = cluster.dial("a1")
    with pytest.raises(NoAgentError):
        cluster.registry.upstream(PUBLISHED)
    publisher = publish(cluster)
    agent.link.lost("gone")
    with pytest.raises(NoAgentError, match="no agent of cluster c1 is connected"):
        cluster.registry.upstream(WEB)
    assert cluster.registry.upstream(PUBLISHED).label == publisher.link.name


def test_a_publisher_neither_doubts_nor_replaces_an_agent_of_its_cluster():
    cluster = Cluster()
    unnamed, named = cluster.dial(), cluster.dial("p1")
    cluster.settle()
    publisher = publish(cluster)
    again = publish(cluster)
    late = cluster.dial(ready=False)
    assert publisher.link.close_code == 1012
    assert not any(line.link.suspect for line in (again, late))
    assert unnamed.link.suspect
    assert named.link.state is again.link.state is LinkState.READY


def test_what_a_cluster_and_its_publishers_show():
    cluster = Cluster()
    publisher, registry = publish(cluster), cluster.registry
    assert registry.links("c1") == ()
    assert registry.links() == registry.links(("c1", "p1")) == (publisher.link,)
    assert registry.connected() == {("c1", "p1")}
    agent = cluster.dial("a1")
    joining = cluster.dial("a2", cluster="c2", ready=False)
    assert registry.connected() == {"c1", ("c1", "p1")}
    assert registry.links("c1") == (agent.link,)
    assert set(registry.links()) == {publisher.link, agent.link, joining.link}
    assert repr(registry) == "<Registry {('c1', 'p1'): 1, 'c1': 1, 'c2': 1}, 0 waiting>"


def test_twins_of_a_publisher_hold_no_agent_off():
    cluster = Cluster()
    lines = [publish(cluster) for _ in range(4)]  # three replacements
    newcomer = publish(cluster)
    assert newcomer.link.close_code == 1013
    assert lines[-1].link.state is LinkState.READY
    assert not cluster.registry.holds_off("c1")
    assert repr(cluster.registry._twins) == "<Twins [(('c1', 'p1'), 'p1')]>"


def test_twins_know_publishers_from_agents():
    twins = Twins()
    for now in (0.0, 1.0, 2.0):
        twins.may_replace(("c1", "a1"), "a1", now)
    assert not twins.may_replace(("c1", "a1"), "a1", 3.0)
    assert twins.may_replace("c1", "a1", 3.0)
    assert not twins.hold_off("c1", 3.0)
    twins.gone("c1", "a1")
    assert twins.is_contested(("c1", "a1"), "a1")


# --- the grace


def test_the_grace_of_a_publisher_is_its_own():
    cluster = Cluster(grace=3.0)
    registry = cluster.registry
    cluster.clock.now += 100.0
    agent, line = cluster.dial("a1"), publish(cluster)
    line.link.lost("gone")
    assert [registry.seconds_of_grace(pool) for pool in ("c1", ("c1", "p1"), ("c1", "p2"))] == [0.0, 3.0, 0.0]
    cluster.clock.now += 3.0
    agent.link.lost("gone")
    assert [registry.seconds_of_grace(pool) for pool in ("c1", ("c1", "p1"), ("c1", "p2"))] == [3.0, 0.0, 0.0]


def test_how_long_the_start_lasts():
    cluster = Cluster(grace=3.0)
    assert cluster.registry.seconds_of_start() == 3.0
    cluster.clock.now += 2.5
    publish(cluster).link.lost("gone")
    assert cluster.registry.seconds_of_start() == 0.5
    cluster.clock.now += 1.0
    assert cluster.registry.seconds_of_start() == 0.0
    assert Registry(clock=cluster.clock, reconnect_grace=0.0).seconds_of_start() == 0.0


@dialogue
async def test_who_waits_for_a_publisher_gets_its_link_and_no_other():
    cluster = Cluster(grace=3.0)
    loop = asyncio.get_running_loop()
    waiting = {pool: loop.create_task(cluster.registry.wait(pool)) for pool in ("c1", ("c1", "p1"), ("c1", "p2"))}
    await quiet()
    assert [cluster.registry.waiting_for(pool) for pool in waiting] == [1, 1, 1]
    publisher = publish(cluster)
    await quiet()
    assert waiting["c1", "p1"].result() is publisher.link
    assert not waiting["c1"].done()
    agent = cluster.dial("a1")
    await quiet()
    assert waiting["c1"].result() is agent.link
    cluster.registry.close()
    with pytest.raises(NoAgentError):
        await waiting["c1", "p2"]


# --- nothing grows


@pytest.mark.parametrize("end", ["lost", "closed", "refused as a twin"])
def test_a_publisher_that_is_gone_leaves_nothing(end: str):
    cluster = Cluster(grace=3.0)
    registry = cluster.registry
    cluster.clock.now += 100.0
    for number in range(50):
        lines = [publish(cluster, f"p{number}") for _ in range(5 if end == "refused as a twin" else 1)]
        assert registry.upstream(Target("c1", "n", "s", 1, publisher=f"p{number}"))
        for line in lines:
            line.link.close(1000, "over") if end == "closed" else line.link.lost("over")
        registry.forget()
        assert ("c1", f"p{number}") in registry._pools, "requests wait for it within the grace"
        cluster.clock.now += 3.0
        registry.forget()
        assert not registry._pools
        assert not registry._vacant
        assert not registry._twins._quarrels
        assert not registry._known


@dialogue
async def test_a_pool_that_somebody_waits_for_is_kept_and_one_that_never_came_is_not():
    loop = asyncio.get_running_loop()
    registry = Registry(clock=loop.time, reconnect_grace=3.0)
    waiting = loop.create_task(registry.wait(("c1", "p1")))
    await quiet()
    registry.forget()
    assert list(registry._pools) == [("c1", "p1")]
    with pytest.raises(NoAgentError, match=r"^no link of publisher p1 of cluster c1 connected: waited 3.0 s for one$"):
        await waiting
    registry.forget()
    assert not registry._pools
    with pytest.raises(NoAgentError):
        await registry.wait(("c1", "p1"))
    assert not registry._pools


# --- a model

POOLS: list[Pool] = ["c1", ("c1", "p1"), ("c1", "p2"), ("c2", "p1"), "c2"]
GRACE = 3.0


class Pools(RuleBasedStateMachine):
    """Links of clusters and publishers come and go; a model says which pool may carry, wait, and be remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Cluster(grace=GRACE)
        self.stage.clock.now += 100.0
        self.live: dict[Pool, list[Line]] = {pool: [] for pool in POOLS}
        self.lost_at: dict[Pool, float] = {}

    @rule(pool=st.sampled_from(POOLS), ready=st.booleans(), agent=st.sampled_from(["a1", "a2"]))
    def dial(self, pool: Pool, agent: str, *, ready: bool) -> None:
        cluster, publisher = (pool, "") if isinstance(pool, str) else pool
        line = self.stage.dial(publisher or agent, cluster=cluster, publisher=publisher, ready=False)
        if ready and line.link.close_code is None:
            line.acknowledge_hello()
            line.run()
        self.live[pool].append(line)
        self._drop_closed(pool)

    @rule(pool=st.sampled_from(POOLS), end=st.sampled_from(["lost", "closed"]), number=st.integers(0, 3))
    def end(self, pool: Pool, end: str, number: int) -> None:
        if lines := self.live[pool]:
            line = lines[number % len(lines)]
            ends: dict[str, Callable[[], None]] = {
                "lost": lambda: line.link.lost("gone"), "closed": lambda: line.link.close(1012, "over"),
            }  # fmt: skip
            for _ in range(2):
                ends[end]()
                self.stage.registry.remove(line.link)
            self._drop_closed(pool)

    @rule(seconds=st.sampled_from([0.5, 1.0, GRACE]))
    def time(self, seconds: float) -> None:
        self.stage.clock.now += seconds
        self.stage.registry.forget()

    @precondition(lambda self: any(self.live.values()))
    @rule()
    def everybody_leaves(self) -> None:
        for pool, lines in self.live.items():
            for line in lines:
                line.link.lost("gone")
            self._drop_closed(pool)
        self.time(GRACE)
        assert not self.stage.registry._pools

    def _drop_closed(self, pool: Pool) -> None:
        before = len(self.live[pool])
        self.live[pool] = [line for line in self.live[pool] if line.link.state is not LinkState.CLOSED]
        if before and not self.live[pool]:
            self.lost_at[pool] = self.stage.clock.now

    @invariant()
    def each_pool_has_its_own(self) -> None:
        registry, now = self.stage.registry, self.stage.clock.now
        for pool in POOLS:
            lines = self.live[pool]
            assert set(registry.links(pool)) == {line.link for line in lines}
            available = [line.link for line in lines if line.link.available]
            assert (pool in registry.connected()) == bool(available)
            try:
                assert registry.select(pool) in available
            except NoAgentError:
                assert not available
            if not lines:
                left = max(0.0, self.lost_at.get(pool, 0.0) + GRACE - now)
                assert registry.seconds_of_grace(pool) == pytest.approx(left)
        kept = {pool for pool in POOLS if self.live[pool] or now - self.lost_at.get(pool, -1e9) <= GRACE}
        assert set(registry._pools) <= kept
        known = {(pool, agent) for pool, agent in registry._twins._quarrels}
        assert known <= {(line.link.pool, line.link.agent_id) for lines in self.live.values() for line in lines}


TestPools = Pools.TestCase
TestPools.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
