"""The agent dies, freezes, comes back; and a program asked to stop does so in order."""

import signal
import time
from collections.abc import Callable

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.clients import http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack

pytestmark = [pytest.mark.anyio, tunnel_only]

AT_ONCE_SECONDS = 1.0
GRACE_SECONDS = 3.0
FROZEN_SECONDS = 15.0
BACK_SECONDS = 2.0
WEBSOCKETS = 5

Make = Callable[..., Stack]


async def status(http: aiohttp.ClientSession, stack: Stack, name: str = "plain") -> tuple[int, float]:
    """The status of one small request, and the seconds it took."""
    begun = time.monotonic()
    async with http.get(stack.url(name, "/small?n=1")) as answer:
        await answer.read()
    return answer.status, time.monotonic() - begun


async def closing_after(stack: Stack, disturb: Callable[[], None]) -> tuple[list[int | None], float]:
    """The close codes of WEBSOCKETS open WebSockets after `disturb`, and how long the last one took."""
    async with websocket(stack.url("ws", "/echo", "ws")) as first:
        others = [websocket(stack.url("ws", "/echo", "ws")) for _ in range(WEBSOCKETS - 1)]
        clients = [first, *[await other.__aenter__() for other in others]]
        for client in clients:
            await client.send("alive")
            assert await client.recv() == "alive"
        begun = time.monotonic()
        disturb()
        for client in clients:
            with pytest.raises(ConnectionClosed):
                await client.recv()
        return [client.close_code for client in clients], time.monotonic() - begun


async def test_killed_agent_closes_websockets_with_1012_and_503_follows_the_grace(own_stack: Make) -> None:
    stack = own_stack().start()
    codes, seconds = await closing_after(stack, stack.agent.kill)
    assert codes == [1012] * WEBSOCKETS
    assert seconds < AT_ONCE_SECONDS
    async with http_client() as http:
        code, waited = await status(http, stack)
        assert code == 503
        assert waited < GRACE_SECONDS + 1
        code, waited = await status(http, stack)
        assert code == 503
        assert waited < AT_ONCE_SECONDS


async def test_requests_within_the_grace_are_served_by_the_agent_that_returns(own_stack: Make) -> None:
    stack = own_stack().start()
    stack.agent.kill()
    async with http_client() as http:
        begun = time.monotonic()
        agent = stack.start_agent_only()
        code, _ = await status(http, stack)
        assert code == 200, agent.output()
        assert time.monotonic() - begun < GRACE_SECONDS + 1


async def test_service_is_back_within_2_s_of_the_agents_restart(own_stack: Make) -> None:
    stack = own_stack().start()
    stack.agent.kill()
    async with http_client() as http:
        while (await status(http, stack))[0] != 503:
            continue
        begun = time.monotonic()
        agent = stack.start_agent_only()
        while (await status(http, stack))[0] != 200:
            assert time.monotonic() - begun < BACK_SECONDS, agent.output()
        assert time.monotonic() - begun < BACK_SECONDS


async def test_a_frozen_agent_is_given_up_within_15_s_and_serves_again_when_it_thaws(own_stack: Make) -> None:
    stack = own_stack().start()
    codes, seconds = await closing_after(stack, lambda: stack.agent.signal(signal.SIGSTOP))
    assert codes == [1012] * WEBSOCKETS
    assert seconds < FROZEN_SECONDS
    async with http_client() as http:
        assert (await status(http, stack))[0] == 503
        stack.agent.signal(signal.SIGCONT)
        begun = time.monotonic()
        while (await status(http, stack))[0] != 200:
            assert time.monotonic() - begun < FROZEN_SECONDS


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
    stack = own_stack().start()
    async with http_client() as http:
        assert (await status(http, stack))[0] == 200
    assert stack.agent.stop() == 0
    async with http_client() as http:
        assert (await status(http, stack))[0] == 503


async def test_an_agent_asked_to_stop_finishes_its_streams(own_stack: Make) -> None:
    stack = own_stack().start()
    size = 100_000_000
    async with http_client() as http:
        answer = await http.get(stack.url("plain", f"/download?size={size}"))
        assert answer.status == 200
        first = await answer.content.readexactly(100_000)
        stack.agent.signal(signal.SIGTERM)
        assert len(first) + len(await answer.read()) == size
    assert stack.agent.wait_end() == 0
