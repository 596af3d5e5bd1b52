"""Two traps of the existing agent, with both stand-ins: routes that wait behind a refused one, and pods with one id."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.system.conftest import tunnel_only
from tests.system.existing_json import OneCluster, start
from tests.system.harness import NAMESPACE, Stack
from tests.system.outcomes import status
from tests.system.process import Processes
from tests.system.test_existing_agent import count, start_existing, start_existing_only, wait_count

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

PATIENCE_SECONDS = 30.0


class Learning(OneCluster):
    """A stack whose token may register hosts."""

    def write_config(self) -> Path:
        path = super().write_config()
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('clusters = ["c1"]', 'clusters = ["c1"]\nhosts = ["*.learned.test"]'))
        return path


@pytest.fixture
def stack(tmp_path: Path, processes: Processes) -> Stack:
    stack = Learning(tmp_path, processes)
    stack.add_program("plain", "tests.services.plain")
    return stack.start(agent=False)


def test_a_route_behind_refused_ones_is_registered_at_once(stack: Stack):
    """No call is tried again: that would take 3 s for each."""
    service = f"plain.{NAMESPACE}:80"
    hosts = ("x.elsewhere.test", "192.0.2.1", "good.learned.test")
    agent = start(stack, *(f"--route={host}={service}" for host in hosts))
    stack.gateway.wait_line("route good.learned.test/ learned from")
    assert count(stack.gateway, " rejected: ") == 2
    agent.assert_intact()


async def test_two_pods_with_one_id_do_not_replace_each_other_for_ever(stack: Stack, http: aiohttp.ClientSession):
    start_existing(stack, agent_id="twin")
    start_existing_only(stack, agent_id="twin")
    gateway = stack.gateway
    await asyncio.to_thread(wait_count, gateway, "was replaced 3 times within 30 s", 1, PATIENCE_SECONDS)
    await asyncio.to_thread(wait_count, gateway, "has an agent with a twin", 1, PATIENCE_SECONDS)
    gone = count(gateway, " is gone: ")
    await asyncio.to_thread(wait_count, gateway, "has an agent with a twin", 2, PATIENCE_SECONDS)
    assert count(gateway, " is gone: ") == gone == 3
    assert await status(http, stack) == 200
