"""Socket.IO: Python's server under its Python client and under the official one, on each transport."""

import asyncio
import json
import random
import subprocess

import pytest

from tests.system.applications import node, node_client
from tests.system.harness import Stack
from tests.system.process import Processes
from tests.system.socketio_client import TRANSPORTS, connected

pytestmark = pytest.mark.anyio

BURST = 200
BINARY_BYTES = {"websocket": 8 * 1024 * 1024, "polling": 700_000}
CLIENTS = 10
NODE_SECONDS = 60


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    stack = Stack(tmp_path_factory.mktemp("socketio"), module_processes)
    stack.add_program("chat", "tests.services.socketio_app")
    return stack.start()


@TRANSPORTS
async def test_the_transport_is_the_one_that_was_asked_for(stack: Stack, transports: list[str], final: str) -> None:
    async with connected(stack.url("chat"), transports) as client:
        assert client.transport() == final
        assert await client.call("who") == final


@TRANSPORTS
async def test_text_and_binary_come_back_as_they_were(stack: Stack, transports: list[str], final: str) -> None:
    binary = random.Random(3).randbytes(BINARY_BYTES[final])
    async with connected(stack.url("chat"), transports) as client:
        assert await client.call("echo", ("snow \u2603", 1, {"deep": [True, None]})) == [
            "snow \u2603",
            1,
            {"deep": [True, None]},
        ]
        assert await client.call("echo", ({"file": binary, "name": "x"}, b""), timeout=30) == [
            {"file": binary, "name": "x"},
            b"",
        ]


@TRANSPORTS
async def test_a_burst_of_events_arrives_in_order(stack: Stack, transports: list[str], final: str) -> None:
    async with connected(stack.url("chat"), transports) as client:
        numbers = client.queue("number")
        assert await client.call("burst", BURST) == BURST
        async with asyncio.timeout(20):
            assert [await numbers.get() for _ in range(BURST)] == list(range(BURST))


@TRANSPORTS
async def test_what_one_client_says_reaches_all_others(stack: Stack, transports: list[str], final: str) -> None:
    async with connected(stack.url("chat"), transports) as speaker:
        contexts = [connected(stack.url("chat"), transports) for _ in range(CLIENTS)]
        listeners = [await context.__aenter__() for context in contexts]
        shouts = [listener.queue("shouted") for listener in listeners]
        await speaker.emit("shout", {"binary": b"\x00\x01", "text": "hello"})
        async with asyncio.timeout(20):
            for queue in shouts:
                assert await queue.get() == {"binary": b"\x00\x01", "text": "hello"}
        for context in contexts:
            await context.__aexit__(None, None, None)


@pytest.mark.timeout(300)
@TRANSPORTS
def test_the_official_client_is_served(stack: Stack, transports: list[str], final: str) -> None:
    arguments = [node(), str(node_client()), stack.url("chat"), ",".join(transports), str(BURST)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=NODE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["transport"] == seen["who"] == final
    assert seen["echo"] == ["snow \u2603", 1, {"deep": [True, None]}]
    assert seen["binary"] is True
    assert seen["burst"] == BURST
    assert seen["numbers"] == list(range(BURST))
