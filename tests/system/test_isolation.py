"""One stuck exchange never disturbs another on the same link, and costs next to no memory.

During each kind of stall a thousand small requests all succeed and a WebSocket keeps its order, while
gateway and agent each grow by less than 30 MB and 512 KiB per stalled stream.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.request import urlopen

import pytest

from tests.system.clients import RawClient
from tests.system.conftest import not_over, tunnel_only
from tests.system.harness import Stack
from tests.system.neighbours import (
    MEGABYTES_500,
    QUIET_SECONDS,
    assert_undisturbed,
    begin_upload,
    flooded,
    neighbours,
    send_until_stuck,
    stop_reading,
)
from tests.system.process import Memory, wait_until

pytestmark = [
    pytest.mark.anyio,
    tunnel_only,
    not_over("json", "chunk", because="they have no flow control; see test_isolation_proxied.py"),
]

BASE_MIB = 30
PER_STREAM_MIB = 0.5
STALLED = 200
STALL_SECONDS = 20
KERNEL_BYTES = 32 * 1024 * 1024
"""What the sockets between a sender and a stalled receiver may hold, outside of our processes."""


@pytest.fixture
def stack(own_stack: Callable[..., Stack]) -> Stack:
    """Fresh processes: what an earlier test made them keep would hide what this one costs."""
    return own_stack().start()


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def progress(stack: Stack, key: str) -> int:
    with urlopen(stack.control("plain", f"/progress?id={key}")) as answer:
        return int(json.load(answer)["bytes"])


def wait_stalled(stack: Stack, keys: list[str]) -> None:
    """Until the service has sent something to each and can send no more to any."""
    last: list[int] = []
    since = time.monotonic()

    def stalled() -> bool:
        nonlocal last, since
        now = [progress(stack, key) for key in keys]
        if now != last or not all(now):
            last, since = now, time.monotonic()
        return time.monotonic() - since >= QUIET_SECONDS

    wait_until(stalled, STALL_SECONDS, "the downloads stall")
    assert all(size < KERNEL_BYTES for size in last), last


async def test_a_client_that_stops_reading_a_500_mb_download(stack: Stack, clients: ExitStack) -> None:
    with Memory(stack.gateway, stack.agent) as memory:
        stuck = clients.enter_context(stop_reading(stack, "stops"))
        wait_stalled(stack, ["stops"])
        assert_undisturbed(await neighbours(stack))
        stuck.read_exactly(1_000_000)
        assert progress(stack, "stops") < MEGABYTES_500 // 2
    memory.assert_below(BASE_MIB + PER_STREAM_MIB)


async def test_a_service_that_never_reads_a_500_mb_upload(stack: Stack, clients: ExitStack) -> None:
    with Memory(stack.gateway, stack.agent) as memory:
        stuck = clients.enter_context(begin_upload(stack, "hole"))
        assert max(send_until_stuck([stuck])) < KERNEL_BYTES
        assert_undisturbed(await neighbours(stack))
    memory.assert_below(BASE_MIB + PER_STREAM_MIB)


async def test_200_stalled_streams_at_once(stack: Stack, clients: ExitStack) -> None:
    """Half of them downloads that nobody reads, half uploads that nobody reads."""
    with Memory(stack.gateway, stack.agent) as memory:
        keys = [f"stalled-{number}" for number in range(STALLED // 2)]
        for key in keys:
            clients.enter_context(stop_reading(stack, key))
        uploads: list[RawClient] = [clients.enter_context(begin_upload(stack, key)) for key in keys]
        send_until_stuck(uploads)
        wait_stalled(stack, keys)
        assert_undisturbed(await neighbours(stack))
    memory.assert_below(BASE_MIB + PER_STREAM_MIB * STALLED)


async def test_a_websocket_client_that_never_reads(stack: Stack, clients: ExitStack) -> None:
    with Memory(stack.gateway, stack.agent) as memory:
        client = clients.enter_context(flooded(stack))
        client.read_exactly(10_000)
        assert_undisturbed(await neighbours(stack))
    memory.assert_below(BASE_MIB + PER_STREAM_MIB)


def test_stalled_streams_end_at_the_service_when_their_clients_leave(stack: Stack) -> None:
    keys = [f"brief-{number}" for number in range(50)]
    with ExitStack() as clients:
        for key in keys:
            clients.enter_context(stop_reading(stack, key))
        wait_stalled(stack, keys)
    for key in keys:
        with urlopen(stack.control("plain", f"/left?id={key}"), timeout=STALL_SECONDS) as answer:
            assert answer.read() == b"left"
