"""The agent dies, freezes, comes back; and a program asked to stop does so in order."""

import asyncio
import signal
from collections.abc import Callable

import aiohttp
import pytest

from tests.system.clients import RawClient, http_client
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack
from tests.system.outcomes import SILENT, WEBSOCKETS, closing_after, positions, status, why_gone
from tests.system.process import wait_until

pytestmark = [pytest.mark.anyio, tunnel_only]

BACK_SECONDS = 60.0
"""Ends a test whose agent stays away."""

Make = Callable[..., Stack]


async def test_killed_agent_closes_websockets_with_1012_and_503_follows_the_grace(own_stack: Make) -> None:
    """Noticed by the end of its connection: nobody waits until its silence lasts too long."""
    stack = own_stack(reconnect_grace=1).start()
    assert await closing_after(stack, stack.agent.kill) == [1012] * WEBSOCKETS
    assert not why_gone(stack.gateway).startswith(SILENT)
    async with http_client() as http:
        assert [await status(http, stack) for _ in range(2)] == [503, 503]


def test_requests_within_the_grace_are_served_by_the_agent_that_returns(own_stack: Make) -> None:
    stack = own_stack(reconnect_grace=60).start()
    stack.agent.kill()
    why_gone(stack.gateway)
    with RawClient(stack.address("plain")) as client:
        client.request("GET /small?n=1 HTTP/1.1", "plain")
        stack.start_agent_only()
        assert client.answer().status == 200
    stack.gateway.wait_line("/small 200 in")
    (gone,), (first, second) = (positions(stack.gateway, text) for text in (" is gone: ", " serves cluster c1"))
    (served,) = positions(stack.gateway, "/small 200 in")
    assert first < gone < second < served


async def test_the_first_request_after_the_agents_restart_is_served(own_stack: Make) -> None:
    stack = own_stack(reconnect_grace=0).start()
    stack.agent.kill()
    why_gone(stack.gateway)
    async with http_client() as http:
        assert await status(http, stack) == 503
        await asyncio.to_thread(stack.start_agent)
        assert await status(http, stack) == 200


async def test_a_frozen_agent_is_given_up_and_serves_again_when_it_thaws(own_stack: Make) -> None:
    stack = own_stack(reconnect_grace=0).start()
    assert await closing_after(stack, lambda: stack.agent.signal(signal.SIGSTOP)) == [1012] * WEBSOCKETS
    assert why_gone(stack.gateway).startswith(SILENT)
    async with http_client() as http:
        assert await status(http, stack) == 503
        stack.agent.signal(signal.SIGCONT)
        wait_until(lambda: len(positions(stack.gateway, " serves cluster c1")) == 2, BACK_SECONDS, "it is back")
        assert await status(http, stack) == 200


async def test_an_answer_under_way_is_broken_off_when_the_agent_dies(own_stack: Make) -> None:
    stack = own_stack().start()
    async with http_client() as http:
        answer = await http.get(stack.url("plain", "/download?size=500000000"))
        assert answer.status == 200
        await answer.content.readexactly(1_000_000)
        stack.agent.kill()
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_an_agent_asked_to_stop_ends_with_0(own_stack: Make) -> None:
    stack = own_stack(reconnect_grace=1).start()
    async with http_client() as http:
        assert await status(http, stack) == 200
    assert stack.agent.stop() == 0
    async with http_client() as http:
        assert await status(http, stack) == 503


async def test_an_agent_asked_to_stop_finishes_its_streams(own_stack: Make) -> None:
    stack = own_stack().start()
    size = 50_000_000
    async with http_client() as http:
        answer = await http.get(stack.url("plain", f"/download?size={size}"))
        assert answer.status == 200
        first = await answer.content.readexactly(100_000)
        stack.agent.signal(signal.SIGTERM)
        assert len(first) + len(await answer.read()) == size
    assert stack.agent.wait_end() == 0
