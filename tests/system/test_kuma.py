"""Uptime Kuma, as it comes from npm: login, a push monitor, its heartbeats as events; each transport."""

import asyncio
import re

import aiohttp
import pytest

from tests.system.applications import start_kuma
from tests.system.harness import Service, Stack
from tests.system.process import Processes
from tests.system.socketio_client import TRANSPORTS, Client, connected

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1200)]

USER, PASSWORD = "admin", "long-enough-2026"
HEARTBEATS = 20
PROMPT_SECONDS = 10


@pytest.fixture(scope="module")
def stack(module_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("kuma")
    _, port = start_kuma(module_processes, folder / "data")
    stack = Stack(folder, module_processes)
    stack.add(Service("kuma", port))
    return stack.start()


async def log_in(client: Client) -> None:
    """As a browser does; the first one also sets Kuma up."""
    if await client.call("needSetup"):
        assert (await client.call("setup", (USER, PASSWORD)))["ok"]
    answer = await client.call("login", {"username": USER, "password": PASSWORD, "token": ""})
    assert answer["ok"], answer


@TRANSPORTS
async def test_every_push_comes_back_as_a_heartbeat(
    stack: Stack, http: aiohttp.ClientSession, transports: list[str], final: str
) -> None:
    push_token = f"push-{final}-{len(transports)}"
    monitor = {
        "type": "push",
        "name": push_token,
        "pushToken": push_token,
        "interval": 60,
        "retryInterval": 60,
        "maxretries": 0,
        "notificationIDList": {},
        "accepted_statuscodes": ["200-299"],
        "kafkaProducerBrokers": [],
        "kafkaProducerSaslOptions": {"mechanism": "None"},
        "active": True,
    }
    async with connected(stack.url("kuma"), transports) as client:
        heartbeats = client.queue("heartbeat")
        await log_in(client)
        assert client.transport() == final
        added = await client.call("add", monitor)
        assert added["ok"], added
        for number in range(HEARTBEATS):
            async with http.get(stack.url("kuma", f"/api/push/{push_token}?status=up&msg=beat-{number}")) as answer:
                assert answer.status == 200, await answer.text()
            async with asyncio.timeout(PROMPT_SECONDS):
                while True:
                    heartbeat = await heartbeats.get()
                    if str(heartbeat["msg"]).startswith("beat-"):
                        break
            assert heartbeat["msg"] == f"beat-{number}"
            assert heartbeat["monitorID"] == added["monitorID"]
            assert heartbeat["status"] == 1


async def test_the_page_and_its_parts_arrive(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with http.get(stack.url("kuma", "/dashboard")) as answer:
        page = await answer.text()
    assert answer.status == 200
    scripts = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page)
    assert scripts
    for script in scripts:
        async with http.get(stack.url("kuma", script)) as answer:
            body = await answer.read()
            assert answer.status == 200
            assert len(body) == int(answer.headers.get("Content-Length", len(body)))
            assert body
