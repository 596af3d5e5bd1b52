"""How a node that drains gives away what other nodes have here."""

import asyncio
from collections import Counter
from collections.abc import Callable

from app.cluster.leaving import LOOK_SECONDS, MOVE_SECONDS, Leaving
from app.cluster.owner import Owner
from tests.app.cluster.one_directory import World
from tests.app.cluster.peer.hop import OK, Hop
from tests.app.cluster.test_owner import Door
from tests.fakes.loop import dialogue, quiet
from tests.tunnel.gateway.test_registry import Cluster
from tunnel.errors import NodeDrainingError, StoppingError
from tunnel.gateway.link import LinkState

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Idle:
    """A link that carries nothing, and its carrier."""

    dialect = "yamux"
    active = 0

    def __init__(self, acts: Callable[[], None]) -> None:
        self.state = LinkState.READY
        self.name = "none"
        self.carrier = self
        self.acts = acts

    def ask_to_move(self) -> None:
        self.acts()

    def retire(self, _grace: float, _reason: str) -> None:
        self.acts()

    def close(self, _code: int, _reason: str) -> None:
        self.state = LinkState.CLOSED
        self.acts()


class Stage:
    """An owner with one link, and a node that uses it."""

    def __init__(self) -> None:
        self.hop = Hop()
        self.cluster = Cluster()
        self.hop.line.link._on_closed = lambda link, _: self.cluster.registry.remove(link)
        self.cluster.registry.add(self.hop.line.link)
        self.w = World()
        self.w.nodes("n1")
        self.owner = Owner(self.cluster.registry, self.w.directory, Door(), on_due=lambda: None)  # type: ignore[arg-type]
        self.hop.serving.own_links = self.owner.links
        self.leaving = Leaving(
            self.cluster.registry, self.owner, self.hop.serving, lambda: [self.hop.owner]
        )  # fmt: skip

    def begin(self, seconds: float) -> "asyncio.Task[None]":
        loop = asyncio.get_running_loop()
        return loop.create_task(self.leaving.run(loop.time() + seconds))

    async def end(self) -> None:
        self.hop.asking.session.close("end of the test")
        for _ in range(20):
            await self.hop.run()


@dialogue
async def test_a_link_that_carries_nothing_is_closed_at_once():
    s = Stage()
    leaving = s.begin(20.0)
    await s.hop.run()
    await asyncio.wait_for(leaving, 2 * LOOK_SECONDS)
    assert s.hop.line.link.close_code == 1012
    await s.end()


@dialogue
async def test_what_runs_ends_in_its_time_and_nothing_new_comes():
    s = Stage()
    _, running = s.hop.ask(b"POST")
    await s.hop.run()
    s.hop.far.frozen = True  # the asking node does not hear of it yet
    leaving = s.begin(20.0)
    await quiet()
    _, late = s.hop.ask()
    await quiet()
    s.hop.far.thaw()
    await s.hop.run()
    assert s.hop.asking.going_away
    assert isinstance(late.error, NodeDrainingError)
    assert not leaving.done()
    s.hop.answer(OK)
    await s.hop.run()
    assert running.outcome == "end"
    await asyncio.sleep(2 * LOOK_SECONDS)
    await s.hop.run()
    await asyncio.wait_for(leaving, 2 * LOOK_SECONDS)
    assert s.hop.line.link.close_code == 1012
    await s.end()


@dialogue
async def test_a_websocket_is_told():
    s = Stage()
    _, socket = s.hop.ask(upgrade=True)
    await s.hop.run()
    s.hop.answer(SWITCHED)
    await s.hop.run()
    assert socket.heads[-1].status == 101
    leaving = s.begin(20.0)
    await quiet()
    await s.hop.run()
    assert isinstance(socket.error, StoppingError)
    await asyncio.sleep(2 * LOOK_SECONDS)
    await s.hop.run()
    await asyncio.wait_for(leaving, 1.0)
    await s.end()


@dialogue
async def test_the_deadline_ends_it():
    s = Stage()
    s.hop.ask(b"POST")
    await s.hop.run()
    leaving = s.begin(5.0)
    await asyncio.sleep(4.9)
    assert not leaving.done()
    await asyncio.sleep(0.2)
    assert leaving.done()
    assert s.hop.line.link.close_code is None  # what is left is the drain's to end
    await s.end()


@dialogue
async def test_agents_are_asked_to_move_first_and_served_until_they_have():
    s = Stage()
    link = s.hop.line.link
    s.owner.ready(link)
    leaving = s.begin(20.0)
    await s.hop.run()
    assert s.hop.line.peer.went_away == 0
    _, late = s.hop.ask()
    await s.hop.run()
    s.hop.answer(OK)
    await s.hop.run()
    assert late.outcome == "end"
    assert not s.owner.declines
    s.w.put("n1", 9, "a1")  # it has moved
    await asyncio.sleep(2 * LOOK_SECONDS)
    await s.hop.run()
    assert s.owner.declines
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert leaving.done()
    await s.end()


@dialogue
async def test_an_agent_that_does_not_move_is_not_waited_for_long():
    s = Stage()
    s.owner.ready(s.hop.line.link)
    leaving = s.begin(20.0)
    await asyncio.sleep(MOVE_SECONDS - LOOK_SECONDS)
    assert not s.owner.declines
    await asyncio.sleep(3 * LOOK_SECONDS)
    assert s.owner.declines
    await asyncio.wait_for(leaving, 1.0)
    await s.end()


@dialogue
async def test_ten_thousand_agents_do_not_hold_up_the_loop():
    s = Stage()
    turns, acts = [0], Counter[int]()

    def turn() -> None:
        turns[0] += 1
        asyncio.get_running_loop().call_soon(turn) if turns[0] < 10_000 else None

    turn()
    links = [Idle(lambda: acts.update([turns[0]])) for _ in range(1_000)]
    s.cluster.registry.links = lambda *_: [link for link in links if link.state is LinkState.READY]  # type: ignore[method-assign, assignment]
    await s.leaving.run(asyncio.get_running_loop().time() + 20.0)
    assert acts.total() == 3_000  # asked, retired, closed
    assert max(acts.values()) <= 100
    await s.end()
