"""Requests to a published host: whose link carries them, and what they are told while the publisher is away."""

import asyncio
import json

import pytest

from app.rules.routes import Route, RouteTable
from tests.app.agents.publisher import HOST, Publisher, route, stage
from tests.app.stage import HOST as FILE_HOST
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, quiet
from tunnel.port import Target

GRACE = 3.0
ROUTES = RouteTable([Route(FILE_HOST, b"/", TARGET)])


def asked(s: Stage, host: str) -> Request:
    request = Request(s.app, host=host)
    request.body()
    return request.start()


def upstream_of(publisher: Publisher) -> FakeLink:
    """What is opened through the publisher's link from now on is this one's, for the test to answer."""
    fake = FakeLink("p1", publisher="p1")

    def upstream(target: Target) -> FakeLink:
        assert target.publisher == "p1"
        return fake

    publisher.link.upstream = upstream  # type: ignore[method-assign, assignment]
    return fake


@dialogue
async def test_the_cluster_and_its_publisher_never_carry_each_others_traffic():
    async with stage(routes=ROUTES, reconnect_grace=0.0) as s:
        agent = FakeLink("a1")
        publisher = await Publisher(s).register()
        mine = upstream_of(publisher)
        await publisher.publish(route())
        assert (await asked(s, FILE_HOST).over()).status == 503, "only the publisher is there"
        s.gateway.registry.add(agent)  # type: ignore[arg-type]
        for _ in range(3):
            for host, link in ((FILE_HOST, agent), (HOST, mine)):
                request = asked(s, host)
                await quiet()
                link.exchanges[-1].whole(b"ok")
                assert (await request.over()).status == 200
        assert (len(agent.exchanges), len(mine.exchanges)) == (3, 3)
        await publisher.go()
        assert (await asked(s, HOST).over()).status == 503, "only the agent is there"
        assert len(agent.exchanges) == 3


@dialogue
async def test_while_the_publisher_is_away_a_request_waits_then_is_503_and_after_a_minute_404():
    async with stage(reconnect_grace=GRACE) as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        await publisher.go(1006)
        loop = asyncio.get_running_loop()
        lost_at = loop.time()
        for seconds, waits in ((1.0, 2.0), (3.5, 0.0), (59.0, 0.0)):
            await asyncio.sleep(lost_at + seconds - loop.time())
            began = loop.time()
            request = await asked(s, HOST).over()
            assert loop.time() - began == pytest.approx(waits, abs=0.05)
            assert (request.status, request.header(b"retry-after")) == (503, b"5")
            assert json.loads(request.answer)["code"] == "no_agent"
        await asyncio.sleep(lost_at + 61 - loop.time())
        assert (await asked(s, HOST).over()).status == 404


@dialogue
async def test_a_request_that_comes_while_the_publisher_reconnects_gets_its_answer():
    async with stage(reconnect_grace=GRACE) as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        await publisher.go(1006)
        await asyncio.sleep(5.0)  # the start is long over
        again = await Publisher(s).register()
        await again.go(1006)
        request = asked(s, HOST)
        await asyncio.sleep(1.0)
        assert not request.is_over
        back = await Publisher(s).register(ready=False)
        mine = upstream_of(back)
        back.say('{"type": "gateway_hello_ack", "payload": {"use_yamux": true}}')
        await quiet()
        mine.only.whole(b"back")
        await request.over()
        assert (request.status, request.answer) == (200, b"back")
        await back.go()
