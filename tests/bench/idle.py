"""CPU and memory of many idle WebSockets: `python -m tests.bench idle`, some seven minutes.

They stay open through gateway, tunnel and agent and say nothing. What is left is keeping them, all of it as by default:
a ping to each client every 30 s, which the client answers, a ping to each service after 150 s, and deadlines. Log and
metrics are on. The collection of garbage that follows their opening is not part of it, and is over before; what the
gateway used meanwhile is shown apart.
"""

import asyncio
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench import gateways
from tests.bench.figures import Name, Way
from tests.bench.table import Table
from tests.bench.ws_client import Client, close_all
from tests.system.harness import Stack

COUNTS = {5_000: 0.5, 10_000: 1.0}
"""The most that the gateway may use, in percent of a core."""
AIM = 0.4
MOST_KIB = (2.5, 2.2)
AIM_KIB = (1.7, 1.8)
"""Of memory for each of them, at the gateway and at its agent."""
SETTLE_SECONDS = 35.0
"""The collector waits for a quiet second, and 30 s after its last collection."""
WINDOW_SECONDS = 150.0
"""Five rounds of pings to the clients, one to the services."""
SPARE_DESCRIPTORS = 1_000
"""The gateway keeps some for agents and the operator; each process has files of its own."""


def raise_descriptor_limit() -> int:
    """For this process and those that it starts, as far as it may; how many it has then."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return sys.maxsize if most == resource.RLIM_INFINITY else most


@dataclass(frozen=True)
class Kept:
    """So many WebSockets, open and silent."""

    lost: int
    gateway: float
    """In % of one core, as of the agent."""
    agent: float
    settling_seconds: float
    """CPU of the gateway in the `SETTLE_SECONDS` after their opening."""
    each_kib: tuple[float, float]
    """Memory that each of them added at the gateway and at the agent."""


def resident_kib(pid: int) -> int:
    """Physical memory of a process, in KiB (proc(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


async def measure(way: Way, counts: list[int]) -> list[Kept]:
    await close_all(await way.open(100))  # what is made once does not count
    pids = (way.front[0], way.back[0])
    before = [resident_kib(pid) for pid in pids]
    clients: list[Client] = []
    found = []
    for count in counts:
        clients += await way.open(count - len(clients))
        with (settling := way.meter()):
            await asyncio.sleep(SETTLE_SECONDS)
        with (meter := way.meter()):
            await asyncio.sleep(WINDOW_SECONDS)
        lost = sum(client.lost.done() for client in clients)
        gateway, agent = (100 * used / meter.seconds for used in (meter.front_seconds, meter.back_seconds))
        front, back = ((resident_kib(pid) - was) / count for pid, was in zip(pids, before, strict=True))
        found.append(Kept(lost, gateway, agent, settling.front_seconds, (front, back)))
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
    for (count, must), kept in zip(counts.items(), uvloop.run(measure(way, list(counts))), strict=True):
        if kept.lost:
            raise AssertionError(f"{kept.lost} of {count} idle WebSockets were lost")
        verdict = "met" if kept.gateway <= must else "NOT MET"
        held = [f"{kept.gateway:.2f}", f"{must:g}", f"{AIM:g}", verdict]
        memory = []
        for kib, most_kib in zip(kept.each_kib, MOST_KIB, strict=True):
            memory += [f"{kib:.1f}", "met" if kib <= most_kib else "NOT MET"]
        rows.append([f"{count:,}", *held, f"{kept.agent:.2f}", f"{kept.settling_seconds:.2f}", *memory])
    fewer = "" if most >= max(COUNTS) else f"only {most + SPARE_DESCRIPTORS} descriptors are allowed: fewer were opened"
    title = f"CPU of idle WebSockets under python -m app, % of a core, over {WINDOW_SECONDS:.0f} s each"
    before = f"gateway in the {SETTLE_SECONDS:.0f} s before, s"
    each = [
        f"{name}, KiB each (must {must:g}, aim {aim:g})"
        for name, must, aim in zip(("gateway", "agent"), MOST_KIB, AIM_KIB, strict=True)
    ]
    head = ["WebSockets", "gateway", "must", "aim", "", "agent", before, each[0], "", each[1], ""]
    return [Table(title, head, rows, fewer)]
