"""Publishing beside the recorded version's agent, and at the recorded version's gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.system.clients import http_client
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, TOKEN, Stack
from tests.system.process import Processes
from tests.system.publishing import WILDCARD, Publishing, address, publish
from tests.upgrade.conftest import OldSource

pytestmark = [pytest.mark.system, pytest.mark.anyio, tunnel_only]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_client() as session:
        yield session


async def test_an_older_agent_goes_on_beside_a_publisher(
    processes: Processes, old_source: OldSource, tmp_path: Path, http: aiohttp.ClientSession
):
    stack = Publishing(tmp_path, processes)
    stack.agent_tree = old_source.needed()
    port = stack.add_program("plain", "tests.services.plain").port
    stack.start()
    published = address(publish(stack, str(port), "--host", f"me.{WILDCARD}"), port)
    for _ in range(3):
        for url in (stack.url("plain", "/small?n=1"), f"{published}small?n=1"):
            async with http.get(url) as answer:
                assert (answer.status, await answer.read()) == (200, b"small 1")
    assert " WARNING " not in "\n".join(stack.agent.output())


def test_an_older_gateway_is_told_apart(processes: Processes, old_source: OldSource, tmp_path: Path):
    stack = Stack(tmp_path, processes)
    stack.gateway_tree = old_source.needed()
    port = stack.add_program("plain", "tests.services.plain").port
    stack.start_gateway()
    publisher = publish(stack, str(port), "--host", f"me.{WILDCARD}", "--cluster", "c1", token=TOKEN)
    assert publisher.wait_end() == 1
    (line,) = publisher.output()
    assert f"{LOOPBACK}:{stack.port}" in line
    assert "is too old to publish ports; upgrade it, or add a [[routes]] entry there" in line
