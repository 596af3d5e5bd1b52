"""Links that have ended, and requests that waited for one, are in no circle: the collector seldom looks for any."""

import asyncio
import gc
import weakref

import pytest

from app.public.http_call import HttpCall
from tests.app.agents.dial import Dial, text
from tests.app.agents.publisher import HOST, TOKEN, Publisher, route, stage
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, quiet
from tunnel.gateway.link import Link


async def publisher(s: Stage, *, use_yamux: bool) -> Dial:
    agent = await Publisher(s).register(ready=False)
    agent.say(text("gateway_hello_ack", {"use_yamux": use_yamux}))
    await quiet()
    await agent.publish(route(), watch=True)
    return agent


async def ordinary(s: Stage, *, use_yamux: bool) -> Dial:
    agent = Dial(s, "/agent", TOKEN)
    agent.say(text("register", {"agent_id": "a1", "features": {"supports_yamux": True}}, "r1"))
    agent.say(text("gateway_hello_ack", {"use_yamux": use_yamux}))
    await quiet()
    return agent


def only_link(s: Stage) -> "weakref.ref[Link]":
    (link,) = s.gateway.registry.links()
    return weakref.ref(link)


@pytest.mark.parametrize("closed_by_us", [False, True])
@pytest.mark.parametrize("use_yamux", [False, True])
@pytest.mark.parametrize("dial", [publisher, ordinary])
@dialogue
async def test_a_link_that_has_ended_is_freed(dial: object, use_yamux: bool, closed_by_us: bool):
    async with stage() as s:
        gc.collect()
        gc.disable()
        try:
            agent = await dial(s, use_yamux=use_yamux)  # type: ignore[operator]
            link = only_link(s)
            found = link()
            assert found is not None
            assert found.available
            if closed_by_us:
                found.close(1012, "test")
            else:
                agent.leave()
            del found
            await agent.over()
            await asyncio.sleep(61)
            assert link() is None
        finally:
            gc.enable()


@dialogue
async def test_the_error_of_a_request_that_waited_in_vain_knows_none_of_its_frames():
    async with stage(reconnect_grace=3.0) as s:
        agent = await Publisher(s).register()
        await agent.publish(route())
        await agent.go()
        request = Request(s.app, host=HOST)
        request.body()
        request.start()
        await asyncio.sleep(1)
        (call,) = (each for each in gc.get_objects() if isinstance(each, HttpCall) and each.host == HOST.encode())
        await request.over()
        assert request.status == 503
        assert call._error is not None
        assert call._error.__traceback__ is None
