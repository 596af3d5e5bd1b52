"""The figures by which tunnels and proxies are compared: what is asked of each, and what an operation is.

Each opens what it needs first; only then is CPU metered, so that a figure holds one kind of work.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from statistics import quantiles
from typing import Any

from tests.bench.cpu import Meter
from tests.bench.load import Requester, finish_requests, start_requests
from tests.bench.pace import Pace
from tests.bench.rounds import Sample
from tests.bench.ws_client import BINARY, Address, Client, close_all, connect

CONNECTIONS = 50
WEBSOCKETS = 100
AT_ONCE = 10
BUSY = 500
NEWCOMERS = 30
INTERVAL_SECONDS = 0.1
VOLUME_BYTES = 64_000_000
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Name:
    """A public name, and where to connect for it."""

    address: Address
    host: str


@dataclass(frozen=True)
class Way:
    """One contender's way to the HTTP service and to the WebSocket service, and whose CPU counts."""

    http: Name
    websocket: Name
    front: tuple[int, ...]
    """Process ids of what the client talks to."""
    back: tuple[int, ...] = ()
    """Those of its agents."""

    def meter(self) -> Meter:
        return Meter(self.front, self.back)

    def sample(self, meter: Meter, operations: float, latencies: Sequence[float] = ()) -> Sample:
        """`latencies`: seconds of each operation, where they were taken."""
        hundredths = quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
        return Sample(
            1e6 * meter.front_seconds / operations,
            1e6 * meter.back_seconds / operations,
            operations / meter.seconds,
            1e6 * hundredths[49],
            1e6 * hundredths[98],
        )

    async def open(self, count: int) -> list[Client]:
        name, clients = self.websocket, list[Client]()
        while len(clients) < count:
            more = min(AT_ONCE, count - len(clients))
            opened = await asyncio.gather(*(connect(name.address, name.host, "/echo") for _ in range(more)))
            clients += [client for client, _ in opened]
        return clients


async def keep_alive(way: Way, seconds: float, connections: int = CONNECTIONS) -> Sample:
    """Small GETs, each connection with one at a time."""
    name = way.http
    requesters = await start_requests(name.address, name.host, "/small?n=1", connections=connections, seconds=seconds)
    before = sum(len(requester.seconds) for requester, _ in requesters)
    with (meter := way.meter()):
        latencies = await finish_requests(requesters)
    return way.sample(meter, len(latencies) - before, latencies)


async def one_request(way: Way, *, last: bool) -> float:
    """A connection for one small GET. The seconds that it took, from the connecting on."""
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    done: asyncio.Future[None] = loop.create_future()
    end = b"Connection: close\r\n\r\n" if last else b"\r\n"
    request = f"GET /small?n=1 HTTP/1.1\r\nHost: {way.http.host}\r\n".encode() + end
    _, requester = await loop.create_connection(partial(Requester, request, inf, 1, done), *way.http.address)
    await done
    if requester.wrong:
        raise AssertionError("an answer was not 200")
    return time.perf_counter() - began


async def closing(way: Way, seconds: float) -> Sample:
    """A connection for each small GET."""
    until, count = time.perf_counter() + seconds, 0

    async def one_by_one() -> None:
        nonlocal count
        while time.perf_counter() < until:
            await one_request(way, last=True)
            count += 1

    with (meter := way.meter()):
        await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
    return way.sample(meter, count)


async def newcomers(way: Way, seconds: float) -> Sample:
    """NEWCOMERS new clients at a time, one request each, while BUSY connections ask without a pause."""
    (address, port), host, latencies = way.http.address, way.http.host, list[float]()
    busy = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.busy", address, str(port), host, str(BUSY), stdin=PIPE, stdout=PIPE
    )
    assert busy.stdin is not None
    assert busy.stdout is not None
    try:
        await busy.stdout.readline()
        until = time.perf_counter() + seconds
        with (meter := way.meter()):
            while time.perf_counter() < until:
                latencies += await asyncio.gather(*(one_request(way, last=False) for _ in range(NEWCOMERS)))
        busy.stdin.close()
        if await busy.wait() != 0:
            raise AssertionError("the busy clients failed")
    finally:
        if busy.returncode is None:
            busy.kill()
            await busy.wait()
    return way.sample(meter, len(latencies), latencies)


async def echo(way: Way, seconds: float, size_bytes: int, websockets: int = WEBSOCKETS) -> Sample:
    """A message there and back, each WebSocket with one at a time."""
    clients, message, count = await way.open(websockets), b"e" * size_bytes, 0
    until = time.perf_counter() + seconds

    async def ask(client: Client) -> None:
        nonlocal count
        while time.perf_counter() < until:
            if len(await client.ask(message, opcode=BINARY)) != size_bytes:
                raise AssertionError("another message came back")
            count += 1

    with (meter := way.meter()):
        await asyncio.gather(*map(ask, clients))
    await close_all(clients)
    return way.sample(meter, count)


async def handshake(way: Way, seconds: float) -> Sample:
    """A WebSocket opened and closed again."""
    until, count = time.perf_counter() + seconds, 0

    async def one_by_one() -> None:
        nonlocal count
        while time.perf_counter() < until:
            await close_all(await way.open(1))
            count += 1

    with (meter := way.meter()):
        await asyncio.gather(*(one_by_one() for _ in range(AT_ONCE)))
    return way.sample(meter, count)


async def paced(way: Way, seconds: float) -> Sample:
    """A second of WEBSOCKETS that each send 1 KiB every INTERVAL_SECONDS, and get it back."""
    clients = await way.open(WEBSOCKETS)
    pace = Pace(clients, b"p" * 1024, INTERVAL_SECONDS)
    await asyncio.sleep(2 * INTERVAL_SECONDS)
    before = pace.received
    with (meter := way.meter()):
        await asyncio.sleep(seconds)
        passed = pace.received - before
    pace.stop()
    await close_all(clients)
    expected = meter.seconds / INTERVAL_SECONDS * WEBSOCKETS
    if passed < 0.9 * expected - WEBSOCKETS:  # what is still on its way counts for the next interval
        raise AssertionError(f"{passed} messages came back, of {expected:.0f}: the machine is too slow")
    return way.sample(meter, meter.seconds)


async def download(way: Way, _: float) -> Sample:
    """A megabyte of one answer with a length."""
    reader, writer = await asyncio.open_connection(*way.http.address, limit=4 * PIECE_BYTES)
    head = f"GET /download?size={VOLUME_BYTES} HTTP/1.1\r\nHost: {way.http.host}\r\n\r\n"
    with (meter := way.meter()):
        writer.write(head.encode())
        if b" 200 " not in (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]:
            raise AssertionError("the answer was not 200")
        left = VOLUME_BYTES
        while left:
            if not (piece := await reader.read(PIECE_BYTES)):
                raise AssertionError(f"{left} bytes are missing")
            left -= len(piece)
    writer.close()
    return way.sample(meter, VOLUME_BYTES / 1e6)


async def upload(way: Way, _: float) -> Sample:
    """A megabyte of one request's body with a length."""
    reader, writer = await asyncio.open_connection(*way.http.address)
    head = f"POST /upload HTTP/1.1\r\nHost: {way.http.host}\r\nContent-Length: {VOLUME_BYTES}\r\n\r\n"
    piece, left = bytes(PIECE_BYTES), VOLUME_BYTES
    with (meter := way.meter()):
        writer.write(head.encode())
        while left:
            writer.write(piece[:left])
            left -= min(left, PIECE_BYTES)
            await writer.drain()
        if b" 200 " not in await reader.readline():
            raise AssertionError("the answer was not 200")
    writer.close()
    return way.sample(meter, VOLUME_BYTES / 1e6)


@dataclass(frozen=True)
class Figure:
    """One of them."""

    title: str
    unit: str
    divisor: float
    """Of microseconds for an operation, to get the unit."""
    run: Callable[[Way, float], Coroutine[Any, Any, Sample]]
    seconds: float = 1.0
    """Of one contender in one round, unless it is a fixed volume."""


FIGURES = {
    "keep-alive": Figure(f"small GET, {CONNECTIONS} connections", "us", 1, keep_alive, 2.5),
    "one connection": Figure("small GET, one connection", "us", 1, partial(keep_alive, connections=1)),
    "close": Figure("small GET, Connection: close", "us", 1, closing),
    "newcomers": Figure(f"new clients beside {BUSY} busy ones", "us", 1, newcomers, 3.0),
    "echo 64": Figure("WebSocket echo, 64 B", "us", 1, partial(echo, size_bytes=64)),
    "echo 16384": Figure("WebSocket echo, 16 KiB", "us", 1, partial(echo, size_bytes=16_384)),
    "handshake": Figure("WebSocket opened and closed", "us", 1, handshake),
    "paced": Figure(f"{WEBSOCKETS} WebSockets x 10/s x 1 KiB", "% of a core", 1e4, paced, 2.5),
    "download": Figure("download", "ms/MB", 1e3, download),
    "upload": Figure("upload", "ms/MB", 1e3, upload),
}
