"""`tunnel-agent http` from its start to Ctrl-C: what it carries, shows and leaves behind."""

import asyncio
import signal

import aiohttp
import pytest

from tests.system.clients import websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import free_port
from tests.system.process import Processes
from tests.system.publishing import WILDCARD, Publishing, address, publish

pytestmark = [tunnel_only, pytest.mark.anyio]


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Publishing:
    stack = Publishing(tmp_path_factory.mktemp("http-command"), module_processes, {"reconnect_grace": 0.2})
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("ws", "tests.services.websocket")
    stack.start(agent=False)
    return stack


async def test_it_carries_shows_and_leaves(stack: Publishing, http: aiohttp.ClientSession) -> None:
    """A WebSocket that stays open, as of a development server, does not hold Ctrl-C up."""
    ports = [stack.services[name].port for name in ("plain", "ws")]
    publisher = publish(stack, *map(str, ports), "--host", f"me.{WILDCARD}", "--host", f"*.{WILDCARD}")
    plain, ws = [address(publisher, port) for port in ports]
    async with http.get(f"{plain}small?n=1") as answer:
        assert (answer.status, await answer.read()) == (200, b"small 1")
    async with http.post(f"{plain}echo", data=b"posted") as answer:
        seen = await answer.json(content_type=None)
    assert (seen["length"], dict(seen["headers"])["host"]) == (6, f"localhost:{ports[0]}")
    await asyncio.to_thread(publisher.wait_line, f" 200 POST me.{WILDCARD}:{stack.port}/echo ")
    async with websocket(f"{ws.replace('http', 'ws', 1)}echo") as client:
        await client.send("through")
        assert await client.recv() == "through"
        publisher.signal(signal.SIGINT)
        assert await asyncio.to_thread(publisher.wait_end) == 0
        await client.wait_closed()
    for url in (plain, ws):
        async with http.get(url) as answer:
            assert answer.status == 404


async def test_the_same_command_takes_over_and_the_first_one_ends(
    stack: Publishing, http: aiohttp.ClientSession
) -> None:
    port = stack.services["plain"].port
    first = publish(stack, str(port))
    url = address(first, port)
    second = publish(stack, str(port))
    assert address(second, port) == url
    assert await asyncio.to_thread(first.wait_end) == 1
    assert first.output()[-1] == (
        "tunnel-agent: another tunnel-agent of this user has taken over: it publishes the same"
    )
    for _ in range(3):
        async with http.get(f"{url}small?n=1") as answer:
            assert answer.status == 200
    assert await asyncio.to_thread(second.stop) == 0


async def test_a_service_that_is_started_later(stack: Publishing, http: aiohttp.ClientSession) -> None:
    """Nobody has to start the command again."""
    port = free_port()
    publisher = publish(stack, str(port))
    url = address(publisher, port)
    await asyncio.to_thread(publisher.wait_line, f"nothing listens on localhost:{port} yet")
    async with http.get(url) as answer:
        assert answer.status == 502
    stack.processes.python("later", "tests.services.plain", "--port", str(port)).wait_line("ready ")
    async with http.get(f"{url}small?n=1") as answer:
        assert answer.status == 200
    assert await asyncio.to_thread(publisher.stop) == 0
    assert [line for line in publisher.output() if "nothing listens" in line] == [
        f"nothing listens on localhost:{port} yet"
    ]
