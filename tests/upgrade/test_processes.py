"""The recorded version's agent with today's gateway, and the recorded version's gateway with today's agent.

One stack per old side and dialect, and one with both sides of today, for checkouts without history. The old side runs
from a folder of its own, with the packages of this environment. The access log and the metrics of every gateway are
compared with what was recorded; the old gateways prove that the record is right.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.services.pattern import blocks
from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Service, Stack, free_port
from tests.system.process import START_SECONDS, Process, Processes, wait_until
from tests.upgrade.conftest import OldSource
from tests.upgrade.lost import lost
from tests.upgrade.metrics import exported, recorded_metrics
from tests.upgrade.recorded import KEPT, lines

pytestmark = [pytest.mark.system, pytest.mark.anyio, tunnel_only]

DIALECTS = ("yamux", "json", "chunk")
UPGRADES = [f"old-{old}-{dialect}" for old in ("agent", "gateway") for dialect in DIALECTS]
TODAY = "today-yamux"
ADMIN = "admin-token-of-the-upgrade-tests"
BODY = b"".join(blocks(300_000))


@pytest.fixture(scope="module")
def stacks(processes: Processes, old_source: OldSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stack]:
    """By name. They share their services, and start at once, because most of a start is waiting."""
    programs = {
        name: processes.python(name, module)
        for name, module in (("plain", "tests.services.plain"), ("ws", "tests.services.websocket"))
    }
    services = [Service(name, int(process.wait_line("ready ").split()[-1])) for name, process in programs.items()]
    settings: dict[str, str | bool | float] = {
        "admin_token_file": "admin-token",
        "log_format": "json",
        "log_level": "debug",
        "reconnect_grace": 15.0,
    }
    made: dict[str, Stack] = {}
    for name in [*UPGRADES, TODAY] if old_source.folder is not None else [TODAY]:
        stack = made[name] = Stack(tmp_path_factory.mktemp(name), processes, settings)
        while stack.port in [other.port for other in made.values() if other is not stack]:
            stack.port = free_port()  # nobody listens on the others' yet
        (stack.folder / "admin-token").write_text(ADMIN)
        stack.dialect = name.rpartition("-")[2]
        if name.startswith("old-agent"):
            stack.agent_tree = old_source.needed()
        elif name.startswith("old-gateway"):
            stack.gateway_tree = old_source.needed()
        for service in services:
            stack.add(service)
    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(Stack.start, made.values()))
    return made


@pytest.fixture(params=[*UPGRADES, TODAY])
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack], old_source: OldSource) -> Stack:
    if request.param != TODAY:
        old_source.needed()
    return stacks[request.param]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_client() as session:
        yield session


def test_the_old_side_runs_the_old_source(old_source: OldSource):
    """Not this checkout, which may be installed in the environment too."""
    old_tree = old_source.needed()
    shown = subprocess.run(
        [sys.executable, "-c", "import app, tunnel; print(app.__file__); print(tunnel.__file__)"],
        cwd=old_tree, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [Path(line).parents[1] for line in shown.stdout.splitlines()] == [old_tree, old_tree]


async def test_a_get(stack: Stack, http: aiohttp.ClientSession):
    async with http.get(stack.url("plain", "/small?n=1")) as answer:
        assert (answer.status, await answer.read()) == (200, b"small 1")


async def test_a_body_goes_there_and_back(stack: Stack, http: aiohttp.ClientSession):
    async with http.post(stack.url("plain", "/mirror"), data=BODY) as answer:
        assert answer.status == 200
        assert await answer.read() == BODY


async def test_a_websocket_and_the_clients_close(stack: Stack, http: aiohttp.ClientSession):
    key = f"{stack.port}-client"
    async with websocket(stack.url("ws", f"/echo?id={key}", "ws")) as client:
        for message in ("hello", b"\x00\xff" * 1000):
            await client.send(message)
            assert await client.recv() == message
        await client.close(4001, "enough")
    async with http.get(stack.control("ws", f"/closed?id={key}")) as answer:
        assert await answer.json(content_type=None) == {"code": 4001, "reason": "enough"}


async def test_the_services_close(stack: Stack):
    async with websocket(stack.url("ws", "/command", "ws")) as client:
        await client.send(json.dumps({"do": "close", "code": 4002, "reason": "over"}))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4002, "over")


# --- what others read


ENDINGS = {
    ("http", "ended", "ok"), ("http", "ended", "no_route"), ("websocket", "opened", "ok"), ("websocket", "ended", "ok"),
}  # fmt: skip


def logged(gateway: Process, logger: str) -> list[dict[str, Any]]:
    written = [json.loads(line) for line in gateway.output() if line.startswith("{")]
    return [line for line in written if line["logger"] == logger]


@pytest.fixture
async def used(stack: Stack, http: aiohttp.ClientSession) -> Stack:
    """A stack that has carried a request and a WebSocket, and refused a request; all of it is in its log."""
    for url, status in ((stack.url("plain", "/small?n=3"), 200), (stack.url("nobody"), 404)):
        async with http.get(url) as answer:
            assert answer.status == status
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("hello")
        assert await client.recv() == "hello"

    def all_logged() -> bool:
        lines_of_access = logged(stack.gateway, "gateway.access")
        return {(line["kind"], line["event"], line["outcome"]) for line in lines_of_access} >= ENDINGS

    await asyncio.to_thread(wait_until, all_logged, START_SECONDS, "every exchange is in the access log")
    return stack


async def test_the_access_log_has_its_fields(used: Stack):
    fields = lines(KEPT / "access-log.txt")
    assert [name for line in logged(used.gateway, "gateway.access") for name in fields if name not in line] == []


async def test_the_log_of_messages_has_its_fields(used: Stack):
    messages = logged(used.gateway, "gateway.messages")
    assert {line["direction"] for line in messages} == {"client_to_service", "service_to_client"}
    fields = lines(KEPT / "message-log.txt")
    assert [name for line in messages for name in fields if name not in line] == []


async def test_the_metrics_have_their_labels(used: Stack, http: aiohttp.ClientSession):
    headers = {"Host": "localhost", "Authorization": f"Bearer {ADMIN}"}
    async with http.get(f"http://{LOOPBACK}:{used.port}/metrics", headers=headers) as answer:
        assert answer.status == 200
        assert lost(recorded_metrics(), exported(await answer.text())) == []


# --- a restart of the gateway under the agent


@dataclass
class Restart:
    """What a client and the operator saw of it."""

    close_code: int
    """Of the WebSocket that was open."""
    gateway_status: int
    answer: bytes
    """To a request that may have come before the agent was back."""
    agent_status: int


def restart(stack: Stack) -> Restart:
    address = stack.address("ws")
    with connect(stack.url("ws", "/echo", "ws"), sock=socket.create_connection(address), proxy=None) as client:
        client.send("hello")
        assert client.recv() == "hello"
        stack.gateway.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            client.recv()
        close_code = client.close_code or 0
    gateway_status = stack.gateway.wait_end()
    stack.start_gateway()
    with RawClient(stack.address("plain")) as http:
        http.request("GET /small?n=2 HTTP/1.1", "plain")
        answer = http.answer()
    return Restart(close_code, gateway_status, answer.body, stack.agent.stop())


@pytest.fixture(scope="module")
def restarts(stacks: dict[str, Stack]) -> dict[Stack, Future[Restart]]:
    """Of every stack with an old side, all at once. None serves afterwards, as their agents have stopped."""
    with ThreadPoolExecutor(len(UPGRADES)) as pool:
        return {stacks[name]: pool.submit(restart, stacks[name]) for name in UPGRADES if name in stacks}


@pytest.mark.parametrize("stack", UPGRADES, indirect=True)
def test_the_gateway_drains_and_the_agent_comes_back(stack: Stack, restarts: dict[Stack, Future[Restart]]):
    """The last test of this file, as it ends the stacks."""
    expected = Restart(close_code=1012, gateway_status=0, answer=b"small 2", agent_status=0)
    assert restarts[stack].result() == expected
    assert [line for line in stack.agent.output() if "Traceback" in line] == []
