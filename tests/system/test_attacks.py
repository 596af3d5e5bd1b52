"""Attacks of fifty connections, far beyond every bound, on `python -m app` with a real agent and real sockets.

What they cost others is counted in `tests/app/server/test_fair_turns.py`. Here is what they must not do: fail anybody
else's request, fill the memory, leave something behind, or write anything but what is known into the log.
"""

import asyncio
import re
from collections.abc import Callable
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.system.attacks import ATTACKS, CONNECTIONS, GET, TRANSPORTS, Attackers
from tests.system.conftest import not_over, tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Memory, wait_until
from tests.system.test_drain import ADMIN
from tests.system.tls_stack import TlsStack

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    tunnel_only,
    not_over("json", "chunk", because="the door is the same"),
]

REQUESTS = 200
GROWTH_MIB = {"tcp": 64, "tls": 64 + CONNECTIONS * 0.25}
"""uvloop has a buffer of 256 KiB for each connection over TLS."""
HANG_SECONDS = 180.0
"""Nothing here takes as long, unless it hangs."""
LEFT_SECONDS = 30.0
"""After this nothing of an attack is left. A WebSocket is found gone with its next ping, 20 s later at most."""


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def stack(own_stack: Callable[..., Stack], transport: str) -> Stack:
    """Fresh processes, which hold nothing of an attack before."""
    stack = own_stack(admin_bind=f"{LOOPBACK}:{free_port()}", log_level="info")
    return TlsStack(stack).stack if transport == "tls" else stack.start()


def held_bytes(stack: Stack) -> float:
    url = f"http://{stack.settings['admin_bind']}/metrics"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {ADMIN}"})) as answer:  # TLS's has a token
        found = re.search(r"^gateway_held_bytes (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def ask(stack: Stack, transport: str) -> None:
    """An ordinary request, on a connection of its own."""
    reader, writer = await asyncio.open_connection(LOOPBACK, stack.port, ssl=TRANSPORTS[transport])
    writer.write(GET[:-2] + b"Connection: close\r\n\r\n")
    try:
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 200 ")
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("name", list(ATTACKS))
async def test_an_attack_fails_nobody_else_and_leaves_nothing(stack: Stack, name: str, transport: str) -> None:
    gateway = psutil.Process(stack.gateway.popen.pid)
    await ask(stack, transport)
    files = gateway.num_fds()
    async with asyncio.timeout(HANG_SECONDS):
        with Memory(stack.gateway) as memory:
            async with Attackers(ATTACKS[name], stack.port, TRANSPORTS[transport]) as attackers:
                for _ in range(REQUESTS):
                    await ask(stack, transport)
                await attackers.well_beyond()
                await ask(stack, transport)
        assert memory.growth_mib()["gateway"] < GROWTH_MIB[transport]
    await asyncio.to_thread(wait_until, lambda: gateway.num_fds() <= files, LEFT_SECONDS, "its connections are gone")
    await asyncio.to_thread(wait_until, lambda: held_bytes(stack) == 0, LEFT_SECONDS, "it holds nothing")
    assert [line for line in stack.gateway.output() if " ERROR " in line or "Traceback" in line] == []
    await ask(stack, transport)
