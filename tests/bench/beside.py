"""Small things beside bulk on the same link: on a fast one, where CPU is the queue, and on a slow one, where bytes are.

The slow one is a line of 8 Mbit/s between agent and gateway with 100 ms of queue (`slow_line.py`). Beside 50 bulk
streams one WebSocket sends 64 bytes and waits for them to come back, again and again.
"""

import asyncio
import time
from statistics import quantiles

import uvloop

from tests.bench.figures import Name
from tests.bench.isolation import running_download
from tests.bench.load import small_requests
from tests.bench.table import Table
from tests.bench.ws_client import BINARY, connect
from tests.system.harness import Stack

LINE_BYTES_PER_SECOND = 1_000_000
STREAMS = 50
SECONDS = 8.0
SETTLE_SECONDS = 3.0
PIECE_BYTES = 64 * 1024
BULK_BYTES = 1_000_000_000
REQUESTS = 500

BESIDE_DOWNLOAD_MUST_MS, BESIDE_DOWNLOAD_AIM_MS = 1.2, 0.8
ECHO_MUST_MS, ECHO_AIM_MS = (120, 200), (75, 120)
BULK_MUST = 0.85


class Bulk:
    """Downloads or uploads that never end; counts what passed at our end."""

    def __init__(self, name: Name, *, up: bool) -> None:
        self._name = name
        self._up = up
        self.passed_bytes = 0

    async def one(self) -> None:
        reader, writer = await asyncio.open_connection(*self._name.address, limit=2 * PIECE_BYTES)
        try:
            if self._up:
                head = f"POST /upload HTTP/1.1\r\nHost: {self._name.host}\r\nContent-Length: {BULK_BYTES}\r\n\r\n"
                writer.write(head.encode())
                while True:
                    writer.write(bytes(PIECE_BYTES))
                    await writer.drain()
                    self.passed_bytes += PIECE_BYTES
            writer.write(f"GET /download?size={BULK_BYTES} HTTP/1.1\r\nHost: {self._name.host}\r\n\r\n".encode())
            while piece := await reader.read(PIECE_BYTES):
                self.passed_bytes += len(piece)
        finally:
            writer.transport.abort()


async def echoes(bulk: Bulk, websocket: Name) -> tuple[float, float, float]:
    """p50 and p99 of an echo in milliseconds beside the bulk, and the bulk's megabytes per second."""
    tasks = [asyncio.create_task(bulk.one()) for _ in range(STREAMS)]
    client, _ = await connect(websocket.address, websocket.host, "/echo")
    await asyncio.sleep(SETTLE_SECONDS)
    latencies, before, began = list[float](), bulk.passed_bytes, time.perf_counter()
    while (sent := time.perf_counter()) < began + SECONDS:
        await client.ask(b"e" * 64, opcode=BINARY)
        latencies.append(time.perf_counter() - sent)
    rate = (bulk.passed_bytes - before) / 1e6 / (time.perf_counter() - began)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    client.close()
    hundredths = quantiles(latencies, n=100)
    return 1e3 * hundredths[49], 1e3 * hundredths[98], rate


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


def beside_download(stack: Stack) -> Table:
    host = stack.services["plain"].host
    with running_download(stack):
        seconds, _ = asyncio.run(
            small_requests(stack.address("plain"), host, "/small?n=1", connections=1, each=REQUESTS)
        )
    hundredths = [1e3 * value for value in quantiles(seconds, n=100)]
    row = [
        "one connection beside a download", f"{hundredths[49]:.2f}", f"{BESIDE_DOWNLOAD_MUST_MS:g}",
        f"{BESIDE_DOWNLOAD_AIM_MS:g}", _met(hundredths[49] <= BESIDE_DOWNLOAD_MUST_MS), f"{hundredths[98]:.2f}",
    ]  # fmt: skip
    return Table("Small requests beside bulk on loopback, ms", ["", "p50", "must", "aim", "", "p99"], [row])


def over_slow_line(stack: Stack) -> Table:
    line = stack.processes.python("slow line", "tests.bench.slow_line", str(stack.port), str(LINE_BYTES_PER_SECOND))
    port = int(line.wait_line("ready ").split()[-1])
    stack.start_agent("slow", gateway_port=port)
    http, websocket = (Name(stack.address(name), stack.services[name].host) for name in ("plain", "bench-ws"))
    rows = []
    for up in (False, True):
        p50, p99, rate = uvloop.run(echoes(Bulk(http, up=up), websocket))
        met = p50 <= ECHO_MUST_MS[0] and p99 <= ECHO_MUST_MS[1] and rate >= BULK_MUST
        must, aim = ("{:g} / {:g}".format(*limits) for limits in (ECHO_MUST_MS, ECHO_AIM_MS))
        title = f"beside {STREAMS} {'uploads' if up else 'downloads'}"
        rows.append([title, f"{p50:.0f} / {p99:.0f}", must, aim, f"{rate:.2f}", f"{BULK_MUST:g}", _met(met)])
    title = "64 B WebSocket echo over a line of 8 Mbit/s to the agent: p50 / p99, ms"
    return Table(title, ["", "echo", "must", "aim", "bulk, MB/s", "must", ""], rows)


def run(stack: Stack) -> list[Table]:
    stack.add_program("plain", "tests.services.plain")
    stack.add_program("bench-ws", "tests.bench.ws_service")
    stack.start()
    loopback = beside_download(stack)
    assert stack._agent is not None
    stack._agent.stop()
    return [loopback, over_slow_line(stack)]
