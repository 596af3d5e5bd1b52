"""An agent whose network is cut, and stays open on the gateway's side: no byte comes, and no end either.

The agent's connection goes through a relay of the test, which is cut. What takes over is a second connection past
the relay; without one the gateway has to notice by itself; and a short cut must cost nothing.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.services.pattern import digest
from tests.system.clients import http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack
from tests.system.outcomes import SILENT, positions, why_gone
from tests.system.process import Process
from tests.system.relay import Relay
from tests.system.test_existing_agent import count, start_existing
from tests.system.test_two_agents import second_service

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

REQUESTS = 50
NOTICED_SECONDS = 15.0
"""Ends a test whose relay is never told."""
CUT_SECONDS = 4.0
MESSAGES = 200
DOWNLOAD_BYTES = 50_000_000

Make = Callable[..., Stack]
Start = Callable[[Stack, "int | None", "int | None"], Process]


def start_ours(stack: Stack, port: int | None, plain: int | None) -> Process:
    return stack.start_agent("a1", gateway_port=port, services={"plain": plain} if plain else None)


def start_go(stack: Stack, port: int | None, plain: int | None) -> Process:
    return start_existing(stack, port=port, services={"plain": plain} if plain else None)


@pytest.fixture
def stack(own_stack: Make) -> Stack:
    """No grace: a request gets its answer when the link is given up, not 3 s later."""
    return own_stack(reconnect_grace=0).start(agent=False)


@pytest.fixture
def relay(stack: Stack) -> Iterator[Relay]:
    with Relay(stack.port) as relay:
        yield relay


async def served_by(http: aiohttp.ClientSession, stack: Stack) -> tuple[int, str]:
    async with http.get(stack.url("plain", "/small?n=1")) as answer:
        return answer.status, answer.headers.get("X-Service", "")


async def exchange(client: ClientConnection, message: str) -> None:
    await client.send(message)
    assert await client.recv() == message


@pytest.mark.parametrize("start", [start_ours, start_go])
async def test_a_new_connection_of_the_same_agent_takes_over_at_once(stack: Stack, relay: Relay, start: Start) -> None:
    other = second_service(stack)
    old = start(stack, relay.port, None)
    async with http_client(limit=REQUESTS) as http, websocket(stack.url("ws", "/echo", "ws")) as client:
        assert await served_by(http, stack) == (200, "plain")
        await exchange(client, "alive")
        relay.cut()
        old.kill()
        start(stack, None, other)
        answers = await asyncio.gather(*(served_by(http, stack) for _ in range(REQUESTS)))
        assert set(answers) == {(200, "other")}
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
    assert why_gone(stack.gateway).startswith("replaced by a newer connection")
    if start is start_ours:  # once: it takes the 10 s that the server gives a peer to answer its close
        assert relay.is_closed_by_target(NOTICED_SECONDS)


async def test_a_new_connection_of_another_agent_gets_all_requests_until_the_old_one_is_given_up(
    stack: Stack, relay: Relay
) -> None:
    """Not replaced, but doubted: it is probed, and takes nothing while nothing is heard from it."""
    other = second_service(stack)
    old = start_existing(stack, port=relay.port)
    async with http_client(limit=REQUESTS) as http, websocket(stack.url("ws", "/echo", "ws")) as client:
        await exchange(client, "alive")
        relay.cut()
        old.kill()
        start_existing(stack, agent_id="go-2", services={"plain": other})
        answers = await asyncio.gather(*(served_by(http, stack) for _ in range(REQUESTS)))
        assert set(answers) == {(200, "other")}
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
        assert why_gone(stack.gateway).startswith(SILENT)
        (gone,), served = positions(stack.gateway, " is gone: "), positions(stack.gateway, "/small 200 in")
        assert len([number for number in served if number < gone]) == REQUESTS, "none waited for the old one's end"
        assert await served_by(http, stack) == (200, "other")


async def test_without_a_second_agent_it_is_noticed_by_its_silence(stack: Stack, relay: Relay) -> None:
    start_ours(stack, relay.port, None)
    async with http_client() as http, websocket(stack.url("ws", "/echo", "ws")) as client:
        assert await served_by(http, stack) == (200, "plain")
        await exchange(client, "alive")
        relay.cut()
        waiting = asyncio.create_task(served_by(http, stack))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1012
        assert await waiting == (503, "")
        assert await served_by(http, stack) == (503, "")
        assert why_gone(stack.gateway).startswith(SILENT)


@pytest.mark.parametrize("start", [start_ours, start_go])
async def test_a_cut_of_a_few_seconds_loses_nothing(stack: Stack, relay: Relay, start: Start) -> None:
    agent = start(stack, relay.port, None)
    sha256 = hashlib.sha256()
    async with http_client() as http, websocket(stack.url("ws", "/echo", "ws")) as client:
        await exchange(client, "alive")
        download = await http.get(stack.url("plain", f"/download?size={DOWNLOAD_BYTES}"))
        sha256.update(await download.content.readexactly(1_000_000))
        relay.cut()
        for number in range(MESSAGES):
            await client.send(str(number))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(CUT_SECONDS):
                await client.recv()
        relay.heal()
        assert [await client.recv() for _ in range(MESSAGES)] == [str(number) for number in range(MESSAGES)]
        sha256.update(await download.read())
        assert sha256.hexdigest() == digest(DOWNLOAD_BYTES)
        await exchange(client, "still alive")
        assert await served_by(http, stack) == (200, "plain")
    assert count(stack.gateway, "is gone") == 0
    assert count(agent, "connection lost") == count(agent, "next attempt") == 0
