"""How soon our agent is back: after its gateway was away, after its path was cut, after its host changed its address.

Nothing here is timed. Both programs say how long they heard nothing and how long they are going to wait, and that is
what is bounded; the unit tests have the rest.
"""

import asyncio
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.clients import http_client, websocket
from tests.system.conftest import app_only, small_stack, tunnel_only
from tests.system.harness import Stack
from tests.system.outcomes import status
from tests.system.process import Process, Processes, wait_until
from tests.system.relay import Relay

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60), tunnel_only]

NOTICED_SECONDS = 6.0
REDIAL_SECONDS = 2.0
SLOW_BYTES_PER_SECOND = 125_000
DOWNLOADS = 10
DOWNLOAD_BYTES = 150_000

Make = Callable[..., Stack]


def announced(agent: Process) -> list[float]:
    """The seconds that it was going to wait before each attempt."""
    return [float(line.split()[-2]) for line in agent.output() if "next attempt in" in line]


def silences(process: Process) -> list[float]:
    """The seconds of silence after which it gave a link up."""
    found = (re.search(r"nothing (?:received|heard) for ([0-9.]+) s", line) for line in process.output())
    return [float(each[1]) for each in found if each is not None]


@contextmanager
def another_address() -> Iterator[None]:
    """The host has one more address meanwhile."""
    ip = shutil.which("ip")
    if ip is None:
        pytest.skip("ip is not installed (on Debian: apt install iproute2)")
    address = ["127.77.0.1/32", "dev", "lo"]
    done = subprocess.run([ip, "addr", "add", *address], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no address may be added here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([ip, "addr", "del", *address], check=True)


@pytest.mark.slow
@app_only("it stops in its own way")
async def test_a_gateway_that_was_away_for_15_s_is_dialled_within_two(own_stack: Make) -> None:
    stack = own_stack().start()
    stack.gateway.signal(signal.SIGTERM)
    stack.gateway.wait_end()
    wait_until(lambda: sum(announced(stack.agent)) > 15, 30, "the agent dials again and again for 15 s")
    stack.start_gateway()
    async with http_client() as http:
        assert await status(http, stack) == 200
    assert max(announced(stack.agent)) <= REDIAL_SECONDS


def test_a_path_that_is_cut_is_noticed_within_six_seconds(processes: Processes, tmp_path: Path) -> None:
    """Cut both ways, and each way alone: three stacks, at the same time."""
    ways = {"both": (True, True), "down": (False, True), "up": (True, False)}
    for name in ways:
        (tmp_path / name).mkdir()
    stacks = [small_stack(tmp_path / name, processes, reconnect_grace=0).start(agent=False) for name in ways]
    with ThreadPoolExecutor() as threads:
        cuts = [threads.submit(asyncio.run, cut(stack, *way)) for stack, way in zip(stacks, ways.values(), strict=True)]
    for each in cuts:
        each.result()


async def cut(stack: Stack, up: bool, down: bool) -> None:
    with Relay(stack.port) as relay:
        agent = stack.start_agent("a1", gateway_port=relay.port)
        async with http_client() as http, websocket(stack.url("ws", "/echo", "ws")) as client:
            assert await status(http, stack) == 200
            relay.strand(up=up, down=down)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1012
        wait_until(lambda: relay.connections == 2, 30, "the agent has dialled again")
        wait_until(lambda: len([line for line in agent.output() if "serves through" in line]) == 2, 30, "it serves")
        async with http_client() as http:
            assert await status(http, stack) == 200
        noticed = silences(agent) + silences(stack.gateway)
        assert noticed
        assert max(noticed) <= NOTICED_SECONDS
        assert max(announced(agent)) <= REDIAL_SECONDS


@pytest.mark.slow
async def test_a_slow_path_that_is_full_is_not_taken_for_a_cut_one(own_stack: Make) -> None:
    """1 Mbit/s, and what waits for the line takes 8 s: longer than either side would bear silence."""
    stack = own_stack().start(agent=False)
    options = (str(stack.port), f"--rate={SLOW_BYTES_PER_SECOND}")
    path = stack.processes.python("path", "tests.system.long_path", *options)
    agent = stack.start_agent("a1", gateway_port=int(path.wait_line("ready ").split()[-1]))

    async def download(http: aiohttp.ClientSession) -> int:
        async with http.get(stack.url("plain", f"/download?size={DOWNLOAD_BYTES}")) as answer:
            return len(await answer.read())

    async with http_client() as http:
        sizes = await asyncio.gather(*(download(http) for _ in range(DOWNLOADS)))
    assert sizes == [DOWNLOAD_BYTES] * DOWNLOADS
    assert silences(agent) + silences(stack.gateway) == []
    assert announced(agent) == []


async def test_an_agent_that_was_stopped_for_a_while_asks_its_gateway_at_once(own_stack: Make) -> None:
    """The link outlives the stop where the gateway still has it."""
    stack = own_stack(link_ping_timeout=60).start()
    agent = stack.agent
    agent.signal(signal.SIGSTOP)
    try:
        async with http_client() as http:
            with pytest.raises(TimeoutError):
                await http.get(stack.url("plain", "/small?n=1"), timeout=5)
    finally:
        agent.signal(signal.SIGCONT)
    agent.wait_line("stood still; the link is probed")
    async with http_client() as http:
        assert await status(http, stack) == 200
    assert announced(agent) == []


async def test_a_changed_address_makes_the_agent_ask_at_once(own_stack: Make) -> None:
    """Its link is cut, and it learns of that from the answer that does not come, within two seconds."""
    stack = own_stack(reconnect_grace=0).start(agent=False)
    with Relay(stack.port) as relay:
        agent = stack.start_agent("a1", gateway_port=relay.port)
        async with http_client() as http:
            assert await status(http, stack) == 200
        relay.strand()
        with another_address():
            wait_until(lambda: bool(silences(agent)), 30, "the agent gave its link up")
        assert min(silences(agent)) < 4.0, "less than an answer to an ordinary ping may take"
