"""Whether an operation costs more when there are more connections: `python -m tests.bench growth`, some two minutes.

CPU of a small GET and of a WebSocket message at the gateway and at its agent, with 50, 500 and 2,000 connections that
ask one after the other. In each round every number is measured once; the ratio to the smallest is taken within a round,
and the median of the rounds counts. Latencies say nothing here: with more connections each waits for more others.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import uvloop

from tests.bench import gateways
from tests.bench.figures import Name, Way, echo
from tests.bench.idle import SPARE_DESCRIPTORS, raise_descriptor_limit
from tests.bench.load import finish_requests, start_requests
from tests.bench.rounds import Round, Sample, Value, back, front, ratio, typical
from tests.bench.table import Table
from tests.system.harness import Stack

COUNTS = (50, 500, 2_000)
ROUNDS = 5
SECONDS = 2.0
SETTLED = 2
"""Answers that each connection has had before anything is measured."""
SETTLE_SECONDS = 60.0

Run = Callable[[Way, float], Coroutine[Any, Any, Sample]]


async def settled(way: Way, seconds: float, connections: int) -> Sample:
    """Small GETs on connections that have all been answered before: their streams and the services' are open."""
    name = way.http
    requesters = await start_requests(name.address, name.host, "/small?n=1", connections=connections)
    async with asyncio.timeout(SETTLE_SECONDS):
        while min(len(requester.seconds) for requester, _ in requesters) < SETTLED:  # noqa: ASYNC110 (a requester has no event)
            await asyncio.sleep(0.05)
    before = sum(len(requester.seconds) for requester, _ in requesters)
    with (meter := way.meter()):
        await asyncio.sleep(seconds)
        answered = sum(len(requester.seconds) for requester, _ in requesters) - before
    for requester, _ in requesters:
        requester.stop()
    await finish_requests(requesters)
    return way.sample(meter, answered)


def operations(count: int) -> dict[str, Run]:
    """Each with so many connections."""
    return {
        "small GET": partial(settled, connections=count),
        "WebSocket echo, 64 B": partial(echo, size_bytes=64, websockets=count),
    }


def row(title: str, rounds: list[Round], value: Value) -> list[str]:
    names = list(rounds[0])
    cells = [f"{typical(rounds, name, value):.1f} ({ratio(rounds, name, names[0], value):.2f})" for name in names]
    return [title, *cells]


def run(stack: Stack) -> list[Table]:
    most = raise_descriptor_limit() - SPARE_DESCRIPTORS
    counts = [count for count in COUNTS if count <= most]
    services = [
        stack.add_program("plain", "tests.services.plain"),
        stack.add_program("bench-ws", "tests.bench.ws_service"),
    ]
    ours = gateways.start(stack, services)
    names = [Name(ours.address(service.name), service.host) for service in services]
    way = Way(names[0], names[1], (ours.gateway.popen.pid,), (ours.agent.popen.pid,))
    rows = []
    for title in operations(0):
        runs = {f"{count:,}": operations(count)[title] for count in counts}
        uvloop.run(runs[f"{counts[-1]:,}"](way, SECONDS))  # what is made once does not count
        rounds = [{name: uvloop.run(each(way, SECONDS)) for name, each in runs.items()} for _ in range(ROUNDS)]
        rows += [row(f"{title}: gateway", rounds, front), row("  its agent", rounds, back)]
    title = (
        f"CPU of an operation, us, by connections, and its ratio to that with {counts[0]}; medians of {ROUNDS} rounds"
    )
    fewer = "" if len(counts) == len(COUNTS) else f"only {most + SPARE_DESCRIPTORS} descriptors are allowed"
    return [Table(title, ["", *(f"{count:,}" for count in counts)], rows, fewer)]
