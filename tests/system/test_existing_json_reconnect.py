"""The existing agent without yamux loses its link: what it had under way, and what it costs its clients."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.existing_json import connections, existing, own, serving, start
from tests.system.harness import LOOPBACK, TOKEN, Stack, free_port
from tests.system.outcomes import SILENT, WEBSOCKETS, closing_after, status, why_gone
from tests.system.process import Processes, wait_until
from tests.system.relay import Relay

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

REDIAL_SECONDS = 0.1
LOST = ("section 10: ",)
HEARTBEAT_ACK = b'"type":"heartbeat_ack"'


class Waiting:
    """A request that its service answers when told to."""

    def __init__(self, http: aiohttp.ClientSession, stack: Stack, method: str, name: str) -> None:
        self._http = http
        self._stack = stack
        self._name = name
        self._asked = 0
        self._before = 0
        self._method = method

    async def stats(self) -> int:
        """Requests that the service got through the tunnel."""
        async with self._http.get(self._stack.control("plain", "/stats")) as answer:
            requests = int((await answer.json())["requests"])
        self._asked += 1
        return requests - self._asked

    async def begin(self) -> "asyncio.Task[tuple[int, bytes]]":
        before = await self.stats()

        async def ask() -> tuple[int, bytes]:
            body = b"once" if self._method == "POST" else None
            url = self._stack.url("plain", f"/arrived?id={self._name}")
            async with self._http.request(self._method, url, data=body) as answer:
                return answer.status, await answer.read()

        task = asyncio.create_task(ask())
        while await self.stats() == before:
            assert not task.done(), task
        return task

    async def let_go(self) -> None:
        answer = await self._http.get(self._stack.control("plain", f"/sse?channel={self._name}"))
        self._asked += 1
        answer.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_comes_on_the_next_link(tmp_path: Path, processes: Processes, method: str) -> None:
    """And what was asked is not asked again."""
    stack = own(tmp_path, processes)
    with (
        Relay(stack.port, watch=HEARTBEAT_ACK) as relay,
        existing(stack, port=relay.port, reconnect=REDIAL_SECONDS) as agent,
    ):
        agent.provoked(*LOST)
        async with http_client() as http:
            waiting = Waiting(http, stack, method, "late")
            task = await waiting.begin()
            requests = await waiting.stats()
            wait_until(lambda: relay.watched > 0, 30, "its first heartbeat is acknowledged")
            heard = relay.watched
            relay.drop()
            wait_until(lambda: relay.watched > heard, 30, "the agent has said something on its next link")
            await waiting.let_go()
            assert await task == (200, b"arrived")
            assert await waiting.stats() == requests


async def test_a_post_whose_agent_died_is_not_sent_again(tmp_path: Path, processes: Processes) -> None:
    """Nobody comes within the grace: the client is told, and the next agent of the cluster is not asked."""
    stack = own(tmp_path, processes)
    agent = start(stack)
    async with http_client() as http:
        waiting = Waiting(http, stack, "POST", "lost")
        task = await waiting.begin()
        requests = await waiting.stats()
        agent.assert_intact()
        agent.process.kill()
        assert (await task)[0] == 502
        with existing(stack, agent_id="s-2"):
            assert await waiting.stats() == requests
            assert await status(http, stack) == 200
            assert await waiting.stats() == requests + 1


async def test_an_upload_under_way_is_cancelled_on_the_next_link(tmp_path: Path, processes: Processes) -> None:
    """Its agent would wait for the next chunk for ever."""
    stack = own(tmp_path, processes)
    with Relay(stack.port) as relay, existing(stack, port=relay.port, reconnect=REDIAL_SECONDS) as agent:
        agent.provoked(*LOST)
        with RawClient(stack.address("plain")) as client:
            client.request("POST /upload HTTP/1.1", "plain", "Content-Length: 9000000")
            client.send(bytes(2_000_000))
            async with http_client() as http:
                await connections(http, stack, 2)
                links = serving(stack.gateway)
                relay.drop()
                assert (await asyncio.to_thread(client.answer)).status == 502
                wait_until(lambda: serving(stack.gateway) > links, 30, "the agent is back")
                await connections(http, stack, 1)
                assert await status(http, stack) == 200
        assert agent.count("section 5.") == 0


async def test_websockets_get_1012_and_the_agent_cleans_up(tmp_path: Path, processes: Processes) -> None:
    stack = own(tmp_path, processes)
    with Relay(stack.port) as relay, existing(stack, port=relay.port, reconnect=REDIAL_SECONDS) as agent:
        agent.provoked(*LOST)
        async with http_client() as http, websocket(stack.url("ws", "/echo?id=dropped", "ws")) as client:
            await client.send("alive")
            assert await client.recv() == "alive"
            assert await closing_after(stack, relay.drop) == [1012] * WEBSOCKETS
            assert not why_gone(stack.gateway).startswith(SILENT)
            await client.wait_closed()
            assert client.close_code == 1012
            async with http.get(stack.control("ws", "/closed?id=dropped")) as closed:
                assert (await closed.json(content_type=None))["code"] == 1000
        async with websocket(stack.url("ws", "/echo", "ws")) as client:
            await client.send("again")
            assert await client.recv() == "again"


async def test_two_restarts_of_the_gateway(tmp_path: Path, processes: Processes) -> None:
    stack = own(tmp_path, processes)
    with existing(stack, reconnect=REDIAL_SECONDS) as agent:
        agent.provoked(*LOST)
        async with http_client() as http:
            for how in (signal.SIGTERM, signal.SIGKILL):
                assert await status(http, stack) == 200
                stack.gateway.signal(how)
                stack.gateway.wait_end()
                stack.start_gateway()
                wait_until(lambda: serving(stack.gateway) == 1, 30, "the agent is back")
            assert await status(http, stack) == 200


async def test_503_at_the_handshake_and_it_comes_back(tmp_path: Path, processes: Processes) -> None:
    """Another gateway does not know its token, as after a wrong change; that must not strand it."""
    stack = own(tmp_path, processes)
    forgetful = tmp_path / "forgetful.toml"
    forgetful.write_text(stack.write_config().read_text().replace(TOKEN, "another-token"))
    port = free_port()
    arguments = ("--config", str(forgetful), "--host", LOOPBACK, "--port", str(port))
    processes.python("forgetful gateway", "app", *arguments).wait_line("ready")
    with Relay(stack.port) as relay, existing(stack, port=relay.port, reconnect=REDIAL_SECONDS) as agent:
        agent.provoked("section 10: handshake answered 503", "section 10: redial failed", "section 10: lost")
        relay.target = port
        relay.drop()
        agent.wait("section 10: handshake answered 503", times=2)
        links = serving(stack.gateway)
        relay.target = stack.port
        wait_until(lambda: serving(stack.gateway) > links, 30, "the agent is back")
        async with http_client() as http:
            assert await status(http, stack) == 200
        assert agent.count("section 10: stranded") == 0
