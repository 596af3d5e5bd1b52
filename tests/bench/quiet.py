"""What 10,000 WebSockets cost on which a message comes each minute: `python -m tests.bench quiet`, eight minutes.

Memory must be flat after the first minute, and a message must cost what it costs when as many come over 100
WebSockets. What only keeps them, pings and deadlines, is measured before and taken off both.
"""

import asyncio
from dataclasses import dataclass

import uvloop

from tests.bench import gateways
from tests.bench.figures import Name, Way
from tests.bench.idle import SETTLE_SECONDS, SPARE_DESCRIPTORS, raise_descriptor_limit, resident_kib
from tests.bench.pace import Pace
from tests.bench.table import Table
from tests.bench.ws_client import Client, close_all
from tests.system.harness import Stack

FEW, MANY = 100, 10_000
MINUTES = 5
MINUTE_SECONDS = 60.0
MESSAGE = b"m" * 64
MOST_TIMES = 1.2
"""A message among many, as a multiple of one among few."""
MOST_GROWTH = 1.01
"""Memory after the last minute, as a multiple of that after the first."""


@dataclass(frozen=True)
class Minute:
    """One minute of messages."""

    messages: int
    microseconds: float
    """CPU of the gateway for each, without what only keeps the WebSockets."""
    gateway_kib: int
    agent_kib: int


async def keeping_seconds(way: Way) -> float:
    """CPU of the gateway in a minute in which nothing is said."""
    with (meter := way.meter()):
        await asyncio.sleep(MINUTE_SECONDS)
    return meter.front_seconds


async def minutes(way: Way, clients: list[Client], interval_seconds: float, count: int) -> list[Minute]:
    """So many minutes, in which each client says something at each interval."""
    keeping = await keeping_seconds(way)
    pace = Pace(clients, MESSAGE, interval_seconds)
    found = []
    for _ in range(count):
        before = pace.received
        with (meter := way.meter()):
            await asyncio.sleep(MINUTE_SECONDS)
        messages = pace.received - before
        sizes = [resident_kib(pid) for pid in (way.front[0], way.back[0])]
        found.append(Minute(messages, 1e6 * (meter.front_seconds - keeping) / messages, *sizes))
    pace.stop()
    return found


async def measure(way: Way, many: int) -> tuple[Minute, list[Minute]]:
    """A minute of few WebSockets, with as many messages as follow; then some of many."""
    clients = await way.open(FEW)
    few = await minutes(way, clients, MINUTE_SECONDS * FEW / many, 1)
    clients += await way.open(many - FEW)
    await asyncio.sleep(SETTLE_SECONDS)  # the garbage of their opening is collected
    found = await minutes(way, clients, MINUTE_SECONDS, MINUTES)
    if lost := sum(client.lost.done() for client in clients):
        raise AssertionError(f"{lost} of {many} WebSockets were lost")
    await close_all(clients)
    return few[0], found


def run(stack: Stack) -> list[Table]:
    many = min(MANY, raise_descriptor_limit() - SPARE_DESCRIPTORS)
    service = stack.add_program("bench-ws", "tests.bench.ws_service")
    ours = gateways.start(stack, [service])
    name = Name(ours.address(service.name), service.host)
    few, found = uvloop.run(measure(Way(name, name, (ours.gateway.popen.pid,), (ours.agent.popen.pid,)), many))
    rows = [[f"{FEW} WebSockets", f"{few.messages:,}", f"{few.microseconds:.1f}", "", "", ""]]
    for number, each in enumerate(found, 1):
        times = f"{each.microseconds / few.microseconds:.2f}"
        sizes = [f"{each.gateway_kib / 1024:.1f}", f"{each.agent_kib / 1024:.1f}"]
        rows.append([f"{many:,}, minute {number}", f"{each.messages:,}", f"{each.microseconds:.1f}", times, *sizes])
    mean = sum(each.microseconds for each in found) / len(found) / few.microseconds
    growth = max(found[-1].gateway_kib / found[0].gateway_kib, found[-1].agent_kib / found[0].agent_kib)
    met = "met" if mean <= MOST_TIMES and growth <= MOST_GROWTH else "NOT MET"
    note = (
        f"{met}: a message {mean:.2f} times that among {FEW} (must {MOST_TIMES}), "
        f"memory {growth:.3f} times that of the first minute (must {MOST_GROWTH})"
    )
    if many < MANY:
        note += f"\nonly {many + SPARE_DESCRIPTORS} descriptors are allowed: fewer were opened"
    head = ["", "messages", "gateway, us each", "times", "gateway, MiB", "agent, MiB"]
    return [Table("A message each minute on many WebSockets, beside as many messages on few", head, rows, note)]
