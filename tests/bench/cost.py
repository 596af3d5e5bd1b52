"""Requests per second through the tunnel, beside the service alone and nginx as a plain proxy, where installed."""

import asyncio

from tests.bench import proxy
from tests.bench.load import small_requests
from tests.bench.table import Table, latency
from tests.system.harness import LOOPBACK, Stack

CONNECTIONS = 50
SECONDS = 4.0


def run(stack: Stack) -> list[Table]:
    service = stack.add_program("plain", "tests.services.plain")
    stack.start()
    ways = {"the service alone": (LOOPBACK, service.port)}
    if (beside := proxy.nginx(stack.processes, stack.folder, service.port)) is not None:
        ways["nginx as a plain proxy, no tunnel"] = (LOOPBACK, beside[1])
    ways["gateway, tunnel, agent"] = stack.address("plain")
    rates = {}
    rows = []
    for name, address in ways.items():
        seconds, rate = asyncio.run(
            small_requests(address, service.host, "/small?n=1", connections=CONNECTIONS, seconds=SECONDS)
        )
        rates[name] = rate
        seen = latency(seconds)
        ratio = rate / rates["the service alone"]
        rows.append([name, f"{rate:.0f}", f"{ratio:.2f}", f"{seen.median:.2f}", f"{seen.p99:.2f}"])
    return [
        Table(
            f"Small GET requests over {CONNECTIONS} connections (one Python load generator on the same cores)",
            ["", "requests/s", "ratio", "median, ms", "p99, ms"],
            rows,
            "" if beside else proxy.MISSING,
        )
    ]
