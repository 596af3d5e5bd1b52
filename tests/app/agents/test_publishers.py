"""Agents that publish beside others: the same one again, one that wants its host, the agents of its cluster."""

import asyncio
from typing import Any

from app.rules.routes import Route, RouteTable
from tests.app.agents.dial import Dial, text
from tests.app.agents.publisher import HOST, Publisher, route, stage
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet


@dialogue
async def test_a_new_link_of_the_same_agent_takes_its_routes_over():
    async with stage() as s:
        old = await Publisher(s).register()
        await old.publish(route())
        new = await Publisher(s).register()
        await old.over()
        assert old.closed is not None
        assert old.closed[0] == 1012
        assert new.hosts() == [HOST]
        await new.publish(route(), route("two.dev.test", key="2"))
        assert [answer["code"] for answer in new.answers()[0][1]["routes"]] == ["", ""]
        await asyncio.sleep(61)
        assert new.hosts() == [HOST, "two.dev.test"], "the old link's end is not the new one's"
        await new.go()


@dialogue
async def test_another_publisher_is_refused_the_host_and_not_told_whose_it_is():
    async with stage() as s:
        first, second = await Publisher(s).register(), await Publisher(s, agent_id="p2").register()
        await first.publish(route())
        await second.publish(route())
        (answer,) = second.answers()[0][1]["routes"]
        assert (answer["code"], answer["error"], answer["url"]) == (
            "host_taken",
            f"{HOST} is taken; name another host",
            "",
        )
        await first.go()
        await second.go()


@dialogue
async def test_it_does_not_show_as_its_cluster():
    async with stage(routes=RouteTable([Route("app.example.test", b"/", TARGET)])) as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        gateway = s.gateway
        assert gateway.registry.links("c1") == ()
        assert gateway.missing_clusters() == 0
        assert list(gateway.snapshot().links) == []
        assert (await _asked(s, "/readyz?cluster=c1", "localhost")).status == 503
        assert (await _asked(s, "/", "app.example.test")).status == 503, "no agent of the cluster is there"
        await publisher.go()
        assert list(gateway.last_seen) == []
        assert len(gateway.events.since()) >= 2  # it came, and it went
        for _ in range(2):
            await (await Publisher(s).register()).go()
        metrics = gateway.metrics.render(None)[0].decode()
        assert 'gateway_link_reconnects_total{cluster="c1"} 0.0' in metrics


@dialogue
async def test_publishers_come_and_go_and_nothing_stays():
    async with stage() as s:
        for number in range(30):
            publisher = await Publisher(s, agent_id=f"p{number}").register()
            await publisher.publish(route(f"h{number}.dev.test"))
            await publisher.go()
        await asyncio.sleep(70)
        gateway = s.gateway
        assert not gateway.registry._pools
        assert not gateway.registry._vacant
        assert not gateway.registry._twins._quarrels
        assert not len(gateway.published)
        assert not len(gateway.last_seen)
        assert repr(gateway.seats) == "<Seats 0 of clusters, 0 of tokens>"


async def _asked(s: Any, target: str, host: str) -> Request:
    request = Request(s.app, target=target, host=host)
    request.body()
    return await request.start().over()


# --- seats


@dialogue
async def test_publishers_and_agents_of_a_cluster_cannot_shut_each_other_out():
    async with stage(max_links_per_cluster=2) as s:
        publishers = [await Publisher(s, agent_id=f"p{number}").register() for number in range(2)]
        assert repr(s.gateway.seats) == "<Seats 2 of clusters, 2 of tokens>"
        agents = []
        for number in range(2):
            agent = Dial(s, "/agent")
            agent.say(text("register", {"agent_id": f"a{number}", "features": {"supports_yamux": True}}, "r1"))
            await quiet()
            agents.append(agent)
        assert len(s.gateway.registry.links("c1")) == 2
        assert len(s.gateway.registry.links()) == 4
        agents[0].leave()
        await agents[0].over()
        third = await Publisher(s, agent_id="p3").register()
        await third.over()
        assert third.closed == (1013, "too_many_links")
        assert repr(s.gateway.seats) == "<Seats 3 of clusters, 3 of tokens>"
        await publishers[0].go()
        fourth = await Publisher(s, agent_id="p4").register()
        assert fourth.link.available
        for each in (agents[1], publishers[1], fourth):
            each.leave()
            await each.over()
        assert repr(s.gateway.seats) == "<Seats 0 of clusters, 0 of tokens>"
