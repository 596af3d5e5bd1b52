"""Socket.IO: Python's server under its Python client and under the official one, on each transport."""

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio

from tests.system.applications import node_client
from tests.system.clients import http_client
from tests.system.harness import Stack
from tests.system.process import Processes

pytestmark = pytest.mark.anyio

BURST = 200
BINARY_BYTES = 3 * 1024 * 1024
CLIENTS = 10
NODE_SECONDS = 60

TRANSPORTS = pytest.mark.parametrize(
    ("transports", "final"),
    [
        pytest.param(["websocket"], "websocket", id="websocket only"),
        pytest.param(["polling"], "polling", id="polling only"),
        pytest.param(["polling", "websocket"], "websocket", id="polling upgraded"),
    ],
)


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    stack = Stack(tmp_path_factory.mktemp("socketio"), module_processes)
    stack.add_program("chat", "tests.services.socketio_app")
    return stack.start()


class Client(socketio.AsyncClient):
    """A client that keeps the events that came."""

    def __init__(self, **options: Any) -> None:
        super().__init__(reconnection=False, **options)
        self.numbers: list[int] = []
        self.shouts: asyncio.Queue[Any] = asyncio.Queue()
        self.on("number", self.numbers.append)
        self.on("shouted", self.shouts.put_nowait)


@asynccontextmanager
async def connected(stack: Stack, transports: list[str]) -> AsyncIterator[Client]:
    async with http_client(auto_decompress=True) as http:
        client = Client(http_session=http, websocket_extra_options={"max_msg_size": 0})
        await client.connect(stack.url("chat"), transports=transports, wait_timeout=20)
        try:
            yield client
        finally:
            await client.disconnect()


@TRANSPORTS
async def test_the_transport_is_the_one_that_was_asked_for(stack: Stack, transports: list[str], final: str) -> None:
    async with connected(stack, transports) as client:
        assert client.transport() == final
        assert await client.call("who") == final


@TRANSPORTS
async def test_text_and_binary_come_back_as_they_were(stack: Stack, transports: list[str], final: str) -> None:
    binary = random.Random(3).randbytes(BINARY_BYTES)
    async with connected(stack, transports) as client:
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
    async with connected(stack, transports) as client:
        assert await client.call("burst", BURST) == BURST
        assert client.numbers == list(range(BURST))


@TRANSPORTS
async def test_what_one_client_says_reaches_all_others(stack: Stack, transports: list[str], final: str) -> None:
    async with connected(stack, transports) as speaker:
        contexts = [connected(stack, transports) for _ in range(CLIENTS)]
        listeners = [await context.__aenter__() for context in contexts]
        await speaker.emit("shout", {"binary": b"\x00\x01", "text": "hello"})
        async with asyncio.timeout(20):
            for listener in listeners:
                assert await listener.shouts.get() == {"binary": b"\x00\x01", "text": "hello"}
        for context in contexts:
            await context.__aexit__(None, None, None)


@pytest.mark.timeout(300)
@TRANSPORTS
def test_the_official_client_is_served(stack: Stack, transports: list[str], final: str) -> None:
    script = node_client()
    node = shutil.which("node")
    assert node is not None
    arguments = [node, str(script), stack.url("chat"), ",".join(transports), str(BURST)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=NODE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["transport"] == seen["who"] == final
    assert seen["echo"] == ["snow \u2603", 1, {"deep": [True, None]}]
    assert seen["binary"] is True
    assert seen["burst"] == BURST
    assert seen["numbers"] == list(range(BURST))
