"""Clients that all come at the same moment: each is accepted and served, and none is kept waiting or forgotten."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import DOMAIN, Stack

pytestmark = [pytest.mark.anyio, tunnel_only, app_only("it accepts one client a turn of its loop")]

HANDSHAKES = 2_000
KEPT_ALIVE = 500
REQUESTS = 20
"""On each connection that is kept alive."""
OPEN_FILES = 3 * HANDSHAKES
"""The agent and the service have a connection for each client, too."""

Make = Callable[..., Stack]


@pytest.fixture
def open_files() -> Iterator[None]:
    """Our own limit, and that of all processes that the test starts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = before
    if hard < OPEN_FILES:
        pytest.skip(f"needs {OPEN_FILES} open files, and has {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def opened(address: tuple[str, int], writers: list[asyncio.StreamWriter]) -> int:
    """The status that a handshake gets. The WebSocket stays open."""
    reader, writer = await asyncio.open_connection(*address)
    writers.append(writer)
    writer.write(
        f"GET /echo HTTP/1.1\r\nHost: ws.{DOMAIN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split(b" ")[1])


@pytest.mark.usefixtures("open_files")
async def test_two_thousand_handshakes_at_once_all_succeed(own_stack: Make) -> None:
    stack = own_stack(upgrade_timeout=60.0).start()  # the service, one process as well, takes its time
    writers: list[asyncio.StreamWriter] = []
    try:
        found = await asyncio.gather(*(opened(stack.address("ws"), writers) for _ in range(HANDSHAKES)))
        assert Counter(found) == {101: HANDSHAKES}
    finally:
        for writer in writers:
            writer.transport.abort()


async def kept_alive(address: tuple[str, int]) -> Counter[bytes]:
    """The bodies that one client gets, one request after the other."""
    reader, writer = await asyncio.open_connection(*address)
    bodies: Counter[bytes] = Counter()
    try:
        for _ in range(REQUESTS):
            writer.write(f"GET /small?n=7 HTTP/1.1\r\nHost: plain.{DOMAIN}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            bodies[await reader.readexactly(len(b"small 7"))] += 1
    finally:
        writer.transport.abort()
    return bodies


@pytest.mark.usefixtures("open_files")
async def test_five_hundred_kept_alive_clients_at_once_are_all_served(own_stack: Make) -> None:
    stack = own_stack().start()
    found = await asyncio.gather(*(kept_alive(stack.address("plain")) for _ in range(KEPT_ALIVE)))
    assert sum(found, Counter()) == {b"small 7": KEPT_ALIVE * REQUESTS}
