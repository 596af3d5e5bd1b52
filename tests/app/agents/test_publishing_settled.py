"""An agent that publishes at one of several nodes: its answer waits for what they decide."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from app.agents.publishing import SETTLE_SECONDS
from app.published.publication import Holder, Told
from app.settings import token_hash
from tests.app.agents.publisher import HOST, TOKEN, Publisher, route
from tests.app.agents.publisher import stage as publishers_stage
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tunnel.port import Target

OTHER = Holder("c1", "other", token_hash(TOKEN), "link 1", "192.0.2.9", "n2")
TOLD = Told(
    OTHER, "machine", is_away=False, routes={"/": (Target("c1", "ns", "web", 80, publisher="other"), "k", None)}
)


@dataclass
class Nodes:
    """What they decide, and when."""

    gateway: Stage
    decides: Callable[[str], object] = lambda _: None
    held: bool = False
    asked: list[set[str]] = field(default_factory=list)
    _go: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self, hosts: Collection[str]) -> bool:
        self.asked.append(set(hosts))
        if self.held:
            await self._go.wait()
        for host in hosts:
            self.decides(host)
        return all(self.gateway.gateway.published.own(host) is not None for host in hosts)

    def go(self) -> None:
        self._go.set()


def joined(stage: Stage) -> Nodes:
    nodes = Nodes(stage)
    stage.gateway.settling = nodes
    return nodes


def codes(publisher: Publisher) -> list[list[str]]:
    return [[one["code"] for one in answer["routes"]] for _, answer in publisher.answers()]


@dialogue
async def test_the_answer_waits_until_it_is_decided():
    async with publishers_stage() as s:
        nodes = joined(s)
        nodes.held = True
        publisher = await Publisher(s).register()
        await publisher.publish(route(), route("no.test", key="2"))
        assert publisher.answers() == []
        nodes.go()
        await quiet()
        assert codes(publisher) == [["", "host_not_allowed"]]
        assert nodes.asked == [{HOST}]
        await publisher.go()


@dialogue
async def test_a_host_that_another_node_gave_away_is_taken():
    async with publishers_stage() as s:
        nodes = joined(s)
        nodes.decides = lambda host: s.gateway.published.take(host, TOLD) if host == HOST else None
        publisher = await Publisher(s).register()
        await publisher.publish(route(), route("b.dev.test", key="2"))
        assert codes(publisher) == [["host_taken", ""]]
        assert publisher.answers("unpublished") == []
        assert [found.target.publisher for found in s.gateway.routes_of(HOST) or []] == ["other"]
        await publisher.go()


@dialogue
async def test_a_decision_that_takes_too_long_is_not_waited_for():
    async with publishers_stage() as s:
        nodes = joined(s)
        nodes.held = True
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        await asyncio.sleep(SETTLE_SECONDS + 0.1)
        assert codes(publisher) == [[""]]
        await publisher.go()


@dialogue
async def test_a_newer_message_takes_the_place_of_one_that_waits():
    async with publishers_stage() as s:
        nodes = joined(s)
        nodes.held = True
        publisher = await Publisher(s).register()
        await publisher.publish(route(), request_id="p1")
        await asyncio.sleep(1.0)
        await publisher.publish(route("b.dev.test"), request_id="p2")
        nodes.go()
        await quiet()
        assert [request_id for request_id, _ in publisher.answers()] == ["p2"]
        assert publisher.hosts() == ["b.dev.test"]
        await publisher.go()


@dialogue
async def test_a_host_that_is_lost_later_is_told():
    async with publishers_stage() as s:
        joined(s)
        publisher = await Publisher(s).register()
        await publisher.publish(route(), route("b.dev.test", key="2"))
        for host in (HOST, "b.dev.test"):
            s.gateway.published.take(host, TOLD)
        await quiet()
        assert publisher.answers("unpublished") == [(None, {"hosts": [HOST, "b.dev.test"]})]
        await publisher.go()


@dialogue
async def test_a_link_that_ends_while_it_is_decided_leaves_nothing():
    async with publishers_stage() as s:
        nodes = joined(s)
        nodes.held = True
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        await publisher.go()
        await asyncio.sleep(61)
        assert publisher.hosts() == []


@dialogue
async def test_a_fault_ends_the_link_whose_publish_it_was():
    async with publishers_stage() as s:
        nodes = joined(s)

        def fail(_: str) -> None:
            raise RuntimeError

        nodes.decides = fail
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        assert publisher.closed == (1011, "internal error")
        await publisher.over()
