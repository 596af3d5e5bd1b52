"""Who is who: which link of a cluster takes the next exchange, who waits for one, and for how long."""

import asyncio

import pytest

from tests.fakes.clock import Clock
from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.peer import Line
from tunnel.account import Account
from tunnel.errors import NoAgentError, TooManyWaitingError
from tunnel.gateway.link import Link, LinkState
from tunnel.gateway.registry import Registry


class Cluster:
    """A registry with real links, wired as the agents' endpoints wire them."""

    def __init__(self, grace: float = 0.0) -> None:
        self.clock = Clock()
        self.registry = Registry(clock=self.clock, reconnect_grace=grace)
        self.lines: list[Line] = []

    def dial(
        self, agent_id: str | None = None, *, cluster: str = "c1", publisher: str = "", ready: bool = True
    ) -> Line:
        """A new connection: added as the endpoints do it, then ready."""
        line = Line(clock=self.clock, account=Account(), cluster=cluster, agent_id=agent_id, publisher=publisher)
        line.link._on_ready = self.registry.ready
        line.link._on_identified = self.registry.identified
        line.link._on_closed = lambda link, reason: self.registry.remove(link)
        self.lines.append(line)
        self.registry.add(line.link)
        line.greet()
        if ready:
            line.acknowledge_hello()
            line.run()
        return line

    def settle(self) -> None:
        for line in self.lines:
            line.run()

    def chosen(self, avoid: Line | None = None, cluster: str = "c1") -> Link:
        return self.registry.select(cluster, avoid=avoid.link.name if avoid else None)


def test_nobody():
    cluster = Cluster()
    with pytest.raises(NoAgentError):
        cluster.chosen()
    cluster.dial("a1", cluster="other")
    with pytest.raises(NoAgentError):
        cluster.chosen()
    assert repr(cluster.registry) == "<Registry {'other': 1}, 0 waiting>"


def test_a_link_is_chosen_once_it_is_ready():
    cluster = Cluster()
    line = cluster.dial("a1", ready=False)
    with pytest.raises(NoAgentError):
        cluster.chosen()
    line.acknowledge_hello()
    assert cluster.chosen() is line.link


# --- unnamed links


def test_the_newest_unnamed_link_takes_the_new_streams():
    cluster = Cluster()
    old = cluster.dial()
    old.beat("a1")
    new = cluster.dial()
    assert cluster.chosen() is new.link
    cluster.settle()  # the older one answered its probe
    assert old.link.available
    assert cluster.chosen() is new.link
    newest = cluster.dial()
    cluster.settle()
    assert cluster.chosen() is newest.link


def test_the_older_link_gets_none_and_is_probed():
    cluster = Cluster()
    old = cluster.dial()
    old.beat("a1")
    before = old.peer.pings
    new = cluster.dial(ready=False)
    assert old.link.suspect
    with pytest.raises(NoAgentError):
        cluster.chosen()
    old.collect()
    assert old.peer.pings == before + 1
    old.deliver()
    assert cluster.chosen() is old.link  # it lives: better than the one that is still joining
    new.acknowledge_hello()
    assert cluster.chosen() is new.link


def test_same_id_in_the_first_heartbeat_replaces():
    cluster = Cluster()
    old = cluster.dial()
    old.beat("a1")
    new = cluster.dial()
    new.beat("a1")
    assert old.link.state is LinkState.CLOSED
    assert old.link.close_code == 1012
    assert cluster.registry.links("c1") == (new.link,)
    assert cluster.chosen() is new.link


def test_another_id_shares():
    cluster = Cluster()
    old = cluster.dial()
    old.beat("a1")
    new = cluster.dial()
    cluster.settle()
    new.beat("a2")
    assert set(cluster.registry.links("c1")) == {old.link, new.link}
    assert old.link.available
    assert new.link.available
    loads = {cluster.chosen()}
    cluster.chosen().carrier.active += 1
    loads.add(cluster.chosen())
    assert loads == {old.link, new.link}


def test_an_old_link_that_is_named_late_never_closes_a_newer_one():
    cluster = Cluster()
    old = cluster.dial()
    new = cluster.dial()
    new.beat("a1")
    old.beat("a1")
    assert new.link.state is LinkState.READY
    assert new.link in cluster.registry.links("c1")


def test_our_agent_names_itself_at_once():
    cluster = Cluster()
    old = cluster.dial("a1")
    other = cluster.dial("a2")
    assert not old.link.suspect
    new = cluster.dial("a1", ready=False)
    assert old.link.state is LinkState.CLOSED
    assert not other.link.suspect
    assert cluster.chosen() is other.link
    assert new.link in cluster.registry.links()


def test_the_same_id_in_another_cluster_is_somebody_else():
    cluster = Cluster()
    one = cluster.dial("a1", cluster="c1")
    two = cluster.dial("a1", cluster="c2")
    assert one.link.state is two.link.state is LinkState.READY
    assert cluster.chosen(cluster="c1") is one.link
    assert cluster.chosen(cluster="c2") is two.link


# --- load


def test_least_loaded():
    cluster = Cluster()
    lines = [cluster.dial(f"a{number}") for number in range(3)]
    for line, load in zip(lines, (2, 0, 1), strict=True):
        line.link.carrier.active = load
    assert cluster.chosen() is lines[1].link
    assert cluster.chosen(avoid=lines[1]) is lines[2].link


def test_the_avoided_link_is_better_than_none():
    cluster = Cluster()
    for agent_id in ("a1", None):
        line = cluster.dial(agent_id, cluster=f"only-{agent_id}")
        assert cluster.chosen(avoid=line, cluster=f"only-{agent_id}") is line.link


@pytest.mark.parametrize("order", [("a1", None), (None, "a1")], ids=["named first", "unnamed first"])
def test_the_avoided_link_is_not_better_than_another(order: tuple[str | None, str | None]):
    cluster = Cluster()
    lines = [cluster.dial(agent_id) for agent_id in order]
    cluster.settle()
    for avoided, other in (lines, lines[::-1]):
        assert cluster.chosen(avoid=avoided) is other.link


def test_a_link_that_goes_away_gets_nothing_new():
    cluster = Cluster()
    one, two = cluster.dial("a1"), cluster.dial("a2")
    two.link.carrier.active = 7
    one.peer.session.go_away(0)
    one.run()
    assert cluster.chosen() is two.link


# --- put and remove


def test_removal_is_by_identity_and_idempotent():
    cluster = Cluster()
    old = cluster.dial("a1")
    new = cluster.dial("a1")
    for _ in range(3):
        cluster.registry.remove(old.link)
        old.link.lost("late")
    assert cluster.registry.links() == (new.link,)
    assert cluster.chosen() is new.link
    for _ in range(2):
        cluster.registry.remove(new.link)
    assert cluster.registry.links() == ()
    with pytest.raises(NoAgentError):
        cluster.chosen()


def test_adding_twice_is_adding_once():
    cluster = Cluster()
    line = cluster.dial("a1")
    cluster.registry.add(line.link)
    assert cluster.registry.links() == (line.link,)
    assert line.link.state is LinkState.READY


def test_a_stranger_is_neither_named_nor_removed():
    cluster = Cluster()
    line = cluster.dial("a1")
    stranger = Line(agent_id="a1", ready=True)
    cluster.registry.identified(stranger.link)
    cluster.registry.remove(stranger.link)
    cluster.registry.ready(stranger.link)
    assert line.link.state is LinkState.READY
    assert cluster.registry.links() == (line.link,)


# --- the grace


def test_how_long_the_grace_is():
    cluster = Cluster(grace=3.0)
    assert cluster.registry.seconds_of_grace("c1") == 3.0  # the node has just started
    cluster.clock.now += 2.0
    assert cluster.registry.seconds_of_grace("c1") == 1.0
    cluster.clock.now += 100.0
    assert cluster.registry.seconds_of_grace("c1") == 0.0
    line = cluster.dial("a1")
    cluster.clock.now += 100.0
    line.link.lost("gone")
    assert cluster.registry.seconds_of_grace("c1") == 3.0
    assert cluster.registry.seconds_of_grace("c2") == 0.0
    cluster.clock.now += 2.5
    assert cluster.registry.seconds_of_grace("c1") == 0.5
    joining = cluster.dial(ready=False)
    assert cluster.registry.seconds_of_grace("c1") == 3.0
    cluster.clock.now += 10.0
    assert cluster.registry.seconds_of_grace("c1") == 0.0
    joining.link.lost("gone")
    assert cluster.registry.seconds_of_grace("c1") == 3.0


@dialogue
async def test_a_waiting_request_gets_the_link_that_comes():
    cluster = Cluster(grace=3.0)
    waiting = [asyncio.get_running_loop().create_task(cluster.registry.wait("c1")) for _ in range(3)]
    await quiet()
    assert repr(cluster.registry) == "<Registry {}, 3 waiting>"
    line = cluster.dial(ready=False)
    await quiet()
    assert not any(task.done() for task in waiting)
    line.acknowledge_hello()
    assert await asyncio.gather(*waiting) == [line.link] * 3
    assert repr(cluster.registry) == "<Registry {'c1': 1}, 0 waiting>"


@dialogue
async def test_a_doubted_link_that_answers_serves_those_who_wait():
    cluster = Cluster(grace=3.0)
    old = cluster.dial()
    old.beat("a1")
    cluster.dial(ready=False)
    waiting = asyncio.get_running_loop().create_task(cluster.registry.wait("c1"))
    await quiet()
    assert not waiting.done()
    old.run()
    assert await waiting is old.link


@dialogue
async def test_the_wait_ends_with_the_grace():
    loop = asyncio.get_running_loop()
    registry = Registry(clock=loop.time, reconnect_grace=3.0)
    began = loop.time()
    await asyncio.sleep(1.0)
    with pytest.raises(NoAgentError):
        await registry.wait("c1")
    assert loop.time() - began == pytest.approx(3.0, abs=0.01)
    with pytest.raises(NoAgentError):
        await registry.wait("c1")
    assert loop.time() - began == pytest.approx(3.0, abs=0.01)
    assert repr(registry) == "<Registry {}, 0 waiting>"


@dialogue
async def test_the_wait_ends_however_often_links_are_lost_meanwhile():
    loop = asyncio.get_running_loop()
    registry = Registry(clock=loop.time, reconnect_grace=3.0)
    registry.lost_elsewhere = lambda _: loop.time()
    began = loop.time()
    with pytest.raises(NoAgentError, match=r"waited 30\.0 s"):
        await registry.wait("c1")
    assert loop.time() - began == pytest.approx(30.0)
    assert registry.waiting_room.waiting == 0


@dialogue
async def test_no_grace_no_wait():
    cluster = Cluster(grace=0.0)
    with pytest.raises(NoAgentError):
        await cluster.registry.wait("c1")
    line = cluster.dial("a1")
    assert await cluster.registry.wait("c1") is line.link


@dialogue
async def test_so_many_may_wait_and_no_more():
    cluster = Cluster(grace=3.0)
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(cluster.registry.wait("c1")) for _ in range(1000)]
    await quiet()
    with pytest.raises(TooManyWaitingError):
        await cluster.registry.wait("c1")
    elsewhere = loop.create_task(cluster.registry.wait("c2"))  # another cluster's do not pay for these
    await quiet()
    assert not elsewhere.done()
    elsewhere.cancel()
    for task in waiting[:500]:
        task.cancel()
    await quiet()
    assert repr(cluster.registry) == "<Registry {}, 500 waiting>"
    late = loop.create_task(cluster.registry.wait("c1"))
    await quiet()
    line = cluster.dial("a1")
    assert await late is line.link
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert repr(cluster.registry) == "<Registry {'c1': 1}, 0 waiting>"


def test_twins_do_not_replace_each_other_for_ever(caplog: pytest.LogCaptureFixture):
    cluster = Cluster()
    lines = [cluster.dial("a1") for _ in range(4)]  # three replacements
    assert cluster.chosen() is lines[3].link
    assert cluster.registry.holds_off("c1")
    assert "look for replicas: 2" in caplog.text
    newcomer = Line(clock=cluster.clock, account=Account(), cluster="c1", agent_id="a1").link
    cluster.registry.add(newcomer)
    assert newcomer.close_code == 1013
    assert cluster.chosen() is lines[3].link
    lines[3].link.lost("its path was cut")
    cluster.registry.remove(newcomer)
    assert not cluster.registry.holds_off("c1"), "the agent has no link: whoever dials is welcome"
