"""The performance table of the requirement: the gateway with its tunnel, and nginx without one, in the same run.

Latencies are judged by their 99th percentile. Memory and CPU are those of the gateway's process (of nginx's, in its
column), deflate off. The load generator and the service run on the same cores.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TypeVar

import psutil
import uvloop

from tests.bench import proxy
from tests.bench.pace import Pace
from tests.bench.table import Latency, Table, latency
from tests.bench.ws_client import BINARY, TEXT, Address, Client, close_all, connect
from tests.system.harness import LOOPBACK, Stack
from tests.system.process import Process

SERVICE = "bench-ws"
WARM = 50
CONNECTS = 300
MESSAGES = 2000
MANY = 1000
EACH = 10
AT_ONCE = 25
PIECE_BYTES = 65_536
VOLUME_BYTES = 200_000_000
CPU_CONNECTIONS = 100
CPU_INTERVAL_SECONDS = 0.1
CPU_SECONDS = 8.0
CPU_ROUNDS = 2
KIB = b"k" * 1024

Result = TypeVar("Result")


@dataclass(frozen=True)
class Way:
    """One way to the service."""

    address: Address
    host: str
    process: Process
    """Whose memory and CPU count."""

    async def open(self, path: str = "/echo") -> Client:
        client, _ = await connect(self.address, self.host, path)
        return client

    async def open_many(self, count: int) -> list[Client]:
        clients: list[Client] = []
        while len(clients) < count:
            clients += await asyncio.gather(*(self.open() for _ in range(min(AT_ONCE, count - len(clients)))))
        return clients


@dataclass(frozen=True)
class Seen:
    """What one way showed."""

    connecting: Latency
    message: Latency
    concurrent: int
    """WebSockets open at once, all of whose messages came back."""
    messages_per_second: float
    idle_kib: float
    used_kib: float
    down: float
    """MB/s."""
    up: float
    cpu: float
    """In % of one core."""


async def connecting(way: Way) -> Latency:
    seconds = []
    for _ in range(CONNECTS):
        client, took = await connect(way.address, way.host, "/echo")
        seconds.append(took)
        await close_all([client])
    return latency(seconds)


async def message_latency(way: Way) -> Latency:
    client = await way.open()
    seconds = []
    for _ in range(MESSAGES):
        began = time.perf_counter()
        await client.ask(KIB)
        seconds.append(time.perf_counter() - began)
    await close_all([client])
    return latency(seconds)


async def many(way: Way) -> tuple[int, float, float, float]:
    """How many of MANY exchanged all their messages; messages per second; KiB each while idle, and after use."""
    before = way.process.rss_bytes()
    clients = await way.open_many(MANY)
    idle = (way.process.rss_bytes() - before) / MANY / 1024

    async def talk(number: int, client: Client) -> bool:
        for turn in range(EACH):
            message = f"{number}:{turn}:".encode().ljust(1024, b".")
            if await client.ask(message) != message:
                return False
        return True

    began = time.perf_counter()
    good = sum(await asyncio.gather(*(talk(number, client) for number, client in enumerate(clients))))
    rate = MANY * EACH / (time.perf_counter() - began)
    used = (way.process.rss_bytes() - before) / MANY / 1024
    await close_all(clients)
    return good, rate, idle, used


async def down(way: Way) -> float:
    """MB/s of one connection that only receives."""
    client = await way.open("/order")
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    received = 0

    def take(message: bytes) -> None:
        nonlocal received
        received += len(message)
        if received >= VOLUME_BYTES and not over.done():
            over.set_result(None)

    client.on_message = take
    began = time.perf_counter()
    client.send(TEXT, f"down {-(-VOLUME_BYTES // PIECE_BYTES)} {PIECE_BYTES}".encode())
    async with asyncio.timeout(60):
        await over
    rate = received / (time.perf_counter() - began) / 1e6
    await close_all([client])
    return rate


async def up(way: Way) -> float:
    """MB/s of one connection that only sends."""
    client = await way.open("/order")
    done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    client.on_message = done.set_result
    piece = bytes(PIECE_BYTES)
    client.send(TEXT, f"up {VOLUME_BYTES}".encode())
    began = time.perf_counter()
    async with asyncio.timeout(60):
        for _ in range(-(-VOLUME_BYTES // PIECE_BYTES)):
            client.send(BINARY, piece)
            await client.writable.wait()
        await done
    rate = VOLUME_BYTES / (time.perf_counter() - began) / 1e6
    await close_all([client])
    return rate


async def cpu_percent(way: Way) -> float:
    """Of one core, while CPU_CONNECTIONS each send 1 KiB every CPU_INTERVAL_SECONDS, evenly spread over time."""
    clients = await way.open_many(CPU_CONNECTIONS)
    loop = asyncio.get_running_loop()
    pace = Pace(clients, KIB, CPU_INTERVAL_SECONDS)
    await asyncio.sleep(1.0)
    process = psutil.Process(way.process.popen.pid)
    before, times, received_before = loop.time(), process.cpu_times(), pace.received
    await asyncio.sleep(CPU_SECONDS)
    after, took = process.cpu_times(), loop.time() - before
    passed = pace.received - received_before
    pace.stop()
    await close_all(clients)
    expected = took / CPU_INTERVAL_SECONDS * CPU_CONNECTIONS
    if passed < 0.98 * expected:
        raise AssertionError(f"{passed} messages came back in {took:.1f} s, of {expected:.0f}: the machine is too slow")
    used: float = after.user + after.system - times.user - times.system
    return used / took * 100


def measure(ways: dict[str, Way]) -> dict[str, Seen]:
    """Each figure of all ways before the next figure: what else the machine does changes slowly."""

    def each(what: Callable[[Way], Coroutine[None, None, Result]]) -> dict[str, Result]:
        return {name: uvloop.run(what(way)) for name, way in ways.items()}

    async def warm(way: Way) -> None:
        clients = await way.open_many(WARM)
        await asyncio.gather(*(client.ask(KIB) for client in clients))
        await close_all(clients)

    each(warm)
    crowd = each(many)
    connects, messages = each(connecting), each(message_latency)
    downs, ups = each(down), each(up)
    cpus = [each(cpu_percent) for _ in range(CPU_ROUNDS)]
    return {
        name: Seen(connects[name], messages[name], *crowd[name], downs[name], ups[name],
                   min(cpu[name] for cpu in cpus))
        for name in ways
    }  # fmt: skip


def row(name: str, target: str, met: bool, ours: float, peer: float | None, digits: int) -> list[str]:
    """Numbers with so many digits, and their ratio."""
    theirs, ratio = ("-", "-") if peer is None else (f"{peer:.{digits}f}", f"{ours / peer:.1f}" if peer > 0 else "-")
    return [name, target, f"{ours:.{digits}f}", theirs, ratio, "met" if met else "NOT MET"]


def run(stack: Stack) -> list[Table]:
    service = stack.add_program(SERVICE, "tests.bench.ws_service")
    stack.start_gateway()
    stack.start_agent()
    ways = {"gateway": Way(stack.address(SERVICE), service.host, stack.gateway)}
    if (beside := proxy.nginx(stack.processes, stack.folder, service.port)) is not None:
        process, port = beside
        ways["nginx"] = Way((LOOPBACK, port), service.host, process)
    seen = measure(ways)
    ours, peer = seen["gateway"], seen.get("nginx")

    def line(
        name: str, target: str, met: Callable[[float], bool], value: Callable[[Seen], float], digits: int
    ) -> list[str]:
        return row(name, target, met(value(ours)), value(ours), value(peer) if peer else None, digits)

    rows = [
        line("connection latency, ms (p99)", "< 100", lambda n: n < 100, lambda s: s.connecting.p99, 2),
        line("... median", "", lambda n: n < 100, lambda s: s.connecting.median, 2),
        line("message latency, 1 KiB echo, ms (p99)", "< 50", lambda n: n < 50, lambda s: s.message.p99, 2),
        line("... median", "", lambda n: n < 50, lambda s: s.message.median, 2),
        line("concurrent connections, all exchanging", "1000", lambda n: n >= MANY, lambda s: s.concurrent, 0),
        line("... their messages/s", "", lambda _: True, lambda s: s.messages_per_second, 0),
        line("MB/s per connection, to the client", ">= 10", lambda n: n >= 10, lambda s: s.down, 0),
        line("MB/s per connection, to the service", ">= 10", lambda n: n >= 10, lambda s: s.up, 0),
        line("KiB per idle connection", "< 97", lambda n: n * 1.024 < 100, lambda s: s.idle_kib, 1),
        line("KiB per connection after its messages", "< 97", lambda n: n * 1.024 < 100, lambda s: s.used_kib, 1),
        line("CPU, % of a core, 100 x 10/s x 1 KiB", "< 10", lambda n: n < 10, lambda s: s.cpu, 1),
    ]
    for extra in rows:
        if not extra[1]:
            extra[5] = ""
    note = "the better of two CPU windows; each direction of a message is one of the gateway's, so 2,000 a second"
    return [
        Table(
            "The requirement's performance table: WebSockets through gateway, tunnel and agent",
            ["", "target", "gateway", "nginx, no tunnel", "ratio", ""],
            rows,
            note if peer else f"{note}\n{proxy.MISSING}",
        )
    ]
