"""CPU of many idle WebSockets: `python -m tests.bench idle`, some four minutes.

They stay open through gateway, tunnel and agent and say nothing; what is left is keeping them: deadlines, and a ping
to each client every 30 s as by default, which the client answers. Log and metrics are on as by default.
"""

import asyncio
import resource
import sys

import uvloop

from tests.bench import gateways
from tests.bench.figures import Name, Way
from tests.bench.table import Table
from tests.bench.ws_client import Client, close_all
from tests.system.harness import Stack

COUNTS = {5_000: 1.0, 10_000: 2.0}
"""The most that the gateway may use, in percent of a core."""
AIM = 0.4
WINDOW_SECONDS = 60.0
"""Two rounds of pings."""
SETTLE_SECONDS = 5.0
SPARE_DESCRIPTORS = 1_000
"""The gateway keeps some for agents and the operator; each process has files of its own."""


def raise_descriptor_limit() -> int:
    """For this process and those that it starts, as far as it may; how many it has then."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return sys.maxsize if most == resource.RLIM_INFINITY else most


async def measure(way: Way, counts: list[int]) -> list[tuple[int, float, float, float]]:
    """Of each count: WebSockets still open at the end, percent of a core at gateway and agent, its seconds."""
    clients: list[Client] = []
    found = []
    for count in counts:
        clients += await way.open(count - len(clients))
        await asyncio.sleep(SETTLE_SECONDS)
        with (meter := way.meter()):
            await asyncio.sleep(WINDOW_SECONDS)
        left = sum(not client.lost.done() for client in clients)
        front, back = (100 * used / meter.seconds for used in (meter.front_seconds, meter.back_seconds))
        found.append((left, front, back, meter.seconds))
    await close_all([client for client in clients if not client.lost.done()])
    return found


def run(stack: Stack) -> list[Table]:
    most = raise_descriptor_limit() - SPARE_DESCRIPTORS
    counts = {min(count, most): must for count, must in COUNTS.items()}
    service = stack.add_program("bench-ws", "tests.bench.ws_service")
    ours = gateways.start(stack, [service])
    name = Name(ours.address(service.name), service.host)
    way = Way(name, name, (ours.gateway.popen.pid,), (ours.agent.popen.pid,))
    rows = []
    for (count, must), (left, front, back, _) in zip(
        counts.items(), uvloop.run(measure(way, list(counts))), strict=True
    ):
        if left != count:
            raise AssertionError(f"{count - left} of {count} idle WebSockets were lost")
        verdict = "met" if front <= must else "NOT MET"
        rows.append([f"{count:,}", f"{front:.2f}", f"{must:g}", f"{AIM:g}", verdict, f"{back:.2f}"])
    fewer = "" if most >= max(COUNTS) else f"only {most + SPARE_DESCRIPTORS} descriptors are allowed: fewer were opened"
    title = f"CPU of idle WebSockets under python -m app, % of a core, over {WINDOW_SECONDS:.0f} s each"
    return [Table(title, ["WebSockets", "gateway", "must", "aim", "", "agent"], rows, fewer)]
