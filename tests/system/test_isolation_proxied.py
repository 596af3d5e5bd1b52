"""One stuck exchange never disturbs another over json and chunk either, which have no flow control.

What a stuck client does not take is held in memory, then in temporary files, each bounded; then that exchange ends,
broken off, and nothing else. The neighbours are those of `test_isolation.py`.
"""

import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.clients import RawClient
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack
from tests.system.neighbours import assert_undisturbed, begin_upload, neighbours, stop_reading
from tests.system.process import Memory, Process, wait_until

pytestmark = [pytest.mark.anyio, tunnel_only]

MIB = 1024 * 1024
SPOOL_BYTES = 48 * MIB
ONE_BYTES = SPOOL_BYTES // 3
BASE_MIB = 60
"""Of a process for one stuck exchange: batches on their way to the disk, and what the allocator keeps of them."""
PER_STREAM_MIB = 0.5
STALLED = 200
END_SECONDS = 30.0


@pytest.fixture(params=["json", "chunk"])
def stack(own_stack: Callable[..., Stack], request: pytest.FixtureRequest) -> Stack:
    stack = own_stack(spool_bytes_limit=SPOOL_BYTES)
    stack.dialect = request.param
    return stack.start()


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def spooled_bytes(process: Process) -> int:
    """What its temporary files hold: they have no name any more, but descriptors."""
    total = 0
    for link in Path(f"/proc/{process.popen.pid}/fd").iterdir():
        try:
            status = link.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            total += status.st_size
    return total


def given_up(process: Process) -> int:
    """Exchanges that ended because their client did not read."""
    return sum("tunnel.gateway.proxied" in line and "is not read" in line for line in process.output())


async def test_a_client_that_stops_reading_a_500_mb_download(stack: Stack, clients: ExitStack) -> None:
    with Memory(stack.gateway, stack.agent) as memory:
        stuck = clients.enter_context(stop_reading(stack, "stops"))
        assert_undisturbed(await neighbours(stack))
        stack.gateway.wait_line("is not read", seconds=END_SECONDS)
        wait_until(lambda: spooled_bytes(stack.gateway) == 0, END_SECONDS, "its files are given back")
        with pytest.raises((EOFError, ConnectionResetError)):  # broken off, never ended in order
            stuck.read_exactly(500_000_000)
        assert_undisturbed(await neighbours(stack))
    assert given_up(stack.gateway) == 1
    memory.assert_below(BASE_MIB + PER_STREAM_MIB)


async def test_a_download_that_fits_the_file_waits_for_its_client(stack: Stack, clients: ExitStack) -> None:
    size = ONE_BYTES - 2 * MIB
    stuck = clients.enter_context(RawClient(stack.address("plain"), receive_buffer_bytes=16_384))
    stuck.request(f"GET /download?size={size}&id=fits HTTP/1.1", "plain")
    assert stuck.answer_head().status == 200
    wait_until(lambda: spooled_bytes(stack.gateway) > size // 2, END_SECONDS, "most of it is spooled")
    assert_undisturbed(await neighbours(stack))
    assert spooled_bytes(stack.gateway) <= ONE_BYTES
    assert len(stuck.read_exactly(size)) == size
    wait_until(lambda: spooled_bytes(stack.gateway) == 0, END_SECONDS, "its files are given back")
    assert given_up(stack.gateway) == 0


async def test_a_service_that_never_reads_a_500_mb_upload(stack: Stack, clients: ExitStack) -> None:
    with Memory(stack.gateway, stack.agent) as memory:
        stuck = clients.enter_context(begin_upload(stack, "hole"))
        stuck.socket.settimeout(END_SECONDS)
        stuck.send(bytes(3 * MIB))
        assert_undisturbed(await neighbours(stack))
    memory.assert_below(BASE_MIB + PER_STREAM_MIB)


async def test_200_stalled_streams_at_once(stack: Stack, clients: ExitStack) -> None:
    """Half of them downloads that nobody reads, half uploads that nobody reads."""
    with Memory(stack.gateway, stack.agent) as memory:
        for number in range(STALLED // 2):
            clients.enter_context(stop_reading(stack, f"stalled-{number}"))
            upload = clients.enter_context(begin_upload(stack, f"stalled-{number}"))
            upload.send(bytes(64 * 1024))
        assert_undisturbed(await neighbours(stack))
        assert spooled_bytes(stack.gateway) <= SPOOL_BYTES
        wait_until(lambda: given_up(stack.gateway) > 0, END_SECONDS, "some are given up")
        assert_undisturbed(await neighbours(stack))
        assert spooled_bytes(stack.gateway) <= SPOOL_BYTES
    memory.assert_below(BASE_MIB + PER_STREAM_MIB * STALLED)
