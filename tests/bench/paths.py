"""One stream over a long path: 50 ms there and back, 100 MB/s, both ways, with our agent and the existing one.

The path is `tests/system/long_path.py`, between gateway and agent. Client and service are in this process, so what was
sent and has not arrived is known at any time. A small request goes over the same link every `SMALL_SECONDS`; what it
takes above the round trip is the queue that the transfer made.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import cast

import uvloop

from tests.bench.table import Table
from tests.system import far_agent
from tests.system.harness import LOOPBACK, Service, Stack
from tests.system.process import Memory

RTT_SECONDS = 0.05
BYTES_PER_SECOND = 100e6
SECONDS = 60.0
"""Of each transfer."""
LATE_SECONDS = 5.0
"""At its end: how fast it is then."""
BIN_SECONDS = 0.1
FAST = 80e6
"""Bytes per second, over two bins: how long it takes to get there."""
SMALL_SECONDS = 0.05
PIECE = bytes(262_144)
AIMS = "aims: 80 MB/s within 1.2 s with ours, its window within 2 x; small request +20 ms ours, +60 ms existing"
SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"


@dataclass
class Flow:
    """The bytes of one transfer, at its two ends."""

    sent: int = 0
    received: int = 0


class Pouring(asyncio.Protocol):
    """Writes without end as long as its transport takes it."""

    flow: Flow

    def __init__(self) -> None:
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none

    def pour(self) -> None:
        while not self._paused and not self.transport.is_closing():
            self.flow.sent += len(PIECE)
            self.transport.write(PIECE)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.pour()


class Far(Pouring):
    """The service: `GET /down` is answered without end, a POST is read, anything else gets a small answer."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self._head = b""
        self._reads = False

    def data_received(self, data: bytes) -> None:
        if self._reads:
            self.flow.received += len(data)
            return
        head, found, rest = (self._head + data).partition(b"\r\n\r\n")
        self._head = b"" if found else head
        if not found:
            return
        if head.startswith(b"POST "):
            self._reads = True
            self.flow.received += len(rest)
        elif head.startswith(b"GET /down"):
            self.transport.write(ENDLESS)
            self.pour()
        else:
            self.transport.write(SMALL)


class Near(Pouring):
    """The client of one transfer."""

    def __init__(self, flow: Flow, host: str, *, uploads: bool) -> None:
        super().__init__()
        self.flow = flow
        self._host = host
        self._uploads = uploads

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        line = "POST /up" if self._uploads else "GET /down"
        length = "Content-Length: 1000000000000\r\n" if self._uploads else ""
        self.transport.write(f"{line} HTTP/1.1\r\nHost: {self._host}\r\n{length}\r\n".encode())
        if self._uploads:
            self.pour()

    def data_received(self, data: bytes) -> None:
        self.flow.received += len(data)


@dataclass
class Result:
    """Of one transfer."""

    to_fast: float | None
    """Seconds until it ran at `FAST`."""
    late: float
    """Bytes per second at its end."""
    under_way: int
    """Sent and not received at its end, in whatever buffer."""
    above_rtt: float
    """Median of the small requests, in seconds above the round trip."""
    window: int


async def small_request(address: tuple[str, int], host: str) -> float:
    reader, writer = await asyncio.open_connection(*address)
    begun = time.perf_counter()
    writer.write(f"GET /small HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    seconds = time.perf_counter() - begun
    writer.close()
    if not answer.endswith(b"\r\nsmall"):
        raise AssertionError(f"answered with {answer[:100]!r}")
    return seconds


async def transfer(
    stack: Stack, service: Service, far: socket.socket, window: Callable[[], int], *, up: bool
) -> Result:
    loop, flow = asyncio.get_running_loop(), Flow()
    server = await loop.create_server(lambda: Far(flow), sock=far.dup())
    address = stack.address(service.name)
    for _ in range(3):
        await small_request(address, service.host)
    latencies: list[float] = []

    async def ask() -> None:
        while True:
            latencies.append(await small_request(address, service.host))
            await asyncio.sleep(SMALL_SECONDS)

    begun = loop.time()
    transport, _ = await loop.create_connection(lambda: Near(flow, service.host, uploads=up), *address)
    asking = loop.create_task(ask())
    bins, to_fast = [0], None
    while loop.time() - begun < SECONDS:
        await asyncio.sleep(begun + len(bins) * BIN_SECONDS - loop.time())
        bins.append(flow.received)
        if to_fast is None and len(bins) > 2 and bins[-1] - bins[-3] >= FAST * 2 * BIN_SECONDS:
            to_fast = loop.time() - begun
    late = (bins[-1] - bins[-1 - round(LATE_SECONDS / BIN_SECONDS)]) / LATE_SECONDS
    result = Result(to_fast, late, flow.sent - flow.received, median(latencies) - RTT_SECONDS, window())
    asking.cancel()
    transport.abort()
    server.close()
    return result


def measure(stack: Stack, agent: str, *, up: bool) -> list[str]:
    """One row: with a gateway, an agent and a path of its own."""
    folder = stack.folder / f"{agent}-{'up' if up else 'down'}"
    folder.mkdir()
    existing = agent == "existing"
    receiver = "agent" if up else "gateway"
    is_known = not (existing and up)  # its windows are what the gateway asked for
    with socket.create_server((LOOPBACK, 0)) as far:
        service = stack.add(Service("bulk", far.getsockname()[1]))
        ends = far_agent.start(stack, folder, rtt=RTT_SECONDS, rate=BYTES_PER_SECOND, existing=existing)
        with Memory(ends.gateway, ends.agent) as memory:
            window = partial(ends.window, receiver) if is_known else int
            result = uvloop.run(transfer(stack, service, far, window, up=up))
    grown = memory.growth_mib()
    ends.stop()
    return [
        f"{agent}, {'up' if up else 'down'}",
        "never" if result.to_fast is None else f"{result.to_fast:.1f}",
        f"{result.late / 1e6:.0f}",
        f"{result.window / (BYTES_PER_SECOND * RTT_SECONDS):.2f}" if is_known else "as asked",
        f"{result.under_way / 1e6:.1f}",
        f"{grown[ends.gateway.name]:.0f} + {grown[ends.agent.name]:.0f}",
        f"+{result.above_rtt * 1000:.0f}",
    ]


def run(stack: Stack) -> list[Table]:
    rows = [measure(stack, agent, up=up) for agent in ("ours", "existing") for up in (False, True)]
    head = [
        "agent, way",
        "s to 80 MB/s",
        "MB/s late",
        "window / product",
        "MB under way",
        "MiB grown",
        "small p50, ms",
    ]
    title = f"One stream, {RTT_SECONDS * 1000:.0f} ms x {BYTES_PER_SECOND / 1e6:.0f} MB/s, {SECONDS:.0f} s"
    return [Table(title, head, rows, AIMS)]
