"""The agents of a node that is lost come back to the others: `python -m tests.bench nodes-storm`, a minute.

First what a link that comes costs, by the CPU of real gateways: the one that takes it, and one that only hears of it.
Then the storm itself, simulated: each agent waits as our agent does (`tunnel.agent.reconnect`), with its jitter and
without, and each node takes one link after the other, for as long as one costs. Attempts and messages are counted;
nothing is timed.
"""

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench.cpu import Meter
from tests.bench.idle import resident_kib
from tests.bench.nodes.registering import Agent, registered
from tests.bench.table import Table
from tests.system.harness import Stack
from tests.system.nats_server import NatsServer
from tests.system.nodes.node import Node
from tunnel.agent.link import REGISTER_SECONDS
from tunnel.agent.reconnect import Backoff, Outcome
from tunnel.override import override

LINKS = 1_000
AT_ONCE = 20
WARM = 100
SETTLE_SECONDS = 3.0

AGENTS = 10_000
LEFT = 3
AWAY_SECONDS = 5.0
SLICE_SECONDS = 0.1

SETTINGS = {"log_level": "warning", "max_links_per_token": 2 * LINKS}

Jitter = Callable[[float, float], float]


class ManyClusters(Node):
    """A node whose agents' token covers as many clusters as there are links."""

    @override
    def write_config(self) -> Path:
        path = super().write_config()
        names = ", ".join(f'"c{number}"' for number in range(LINKS + WARM))
        path.write_text(path.read_text().replace('clusters = ["c1", "c2"]', f"clusters = [{names}]"))
        return path


@dataclass(frozen=True)
class Cost:
    """Of one link that comes."""

    taking: float
    """CPU, in microseconds."""
    hearing: float
    kib: float
    """Memory at the node that takes it."""


async def links_come(taking: Node, hearing: Node) -> Cost:
    async def come(begin: int, end: int) -> list[Agent]:
        agents: list[Agent] = []
        for first in range(begin, end, AT_ONCE):
            some = range(first, min(end, first + AT_ONCE))
            agents += await asyncio.gather(*(registered(taking.port, f"c{number}", "a") for number in some))
        return agents

    agents = await come(LINKS, LINKS + WARM)
    with (quiet := Meter([taking.gateway.popen.pid], [hearing.gateway.popen.pid])):
        await asyncio.sleep(SETTLE_SECONDS)
    before = resident_kib(taking.gateway.popen.pid)
    with (meter := Meter([taking.gateway.popen.pid], [hearing.gateway.popen.pid])):
        agents += await come(0, LINKS)
        await asyncio.sleep(SETTLE_SECONDS)  # until the last is written and heard
    grown = resident_kib(taking.gateway.popen.pid) - before
    share = meter.seconds / quiet.seconds
    for agent in agents:
        agent.close()
    return Cost(
        1e6 * (meter.front_seconds - quiet.front_seconds * share) / LINKS,
        1e6 * (meter.back_seconds - quiet.back_seconds * share) / LINKS,
        grown / LINKS,
    )


@dataclass
class Storm:
    """What came of it."""

    attempts: int = 0
    most_at_once: int = 0
    """Attempts in `SLICE_SECONDS`."""
    longest_wait: float = 0.0
    """Of one that was taken, at the node."""
    over_at: float = 0.0


def storm(jitter: Jitter, *, link_seconds: float, away_seconds: float = 0.0) -> Storm:
    """All agents have lost their links at 0. Until `away_seconds` every dial is refused."""
    found, slices, chance = Storm(), Counter[int](), random.Random(1)
    free_at = [0.0] * LEFT
    backoffs = [Backoff(jitter) for _ in range(AGENTS)]
    lost = Outcome(registered_seconds=3_600.0)
    due = [(backoff.delay_after(lost, 0.0), number) for number, backoff in enumerate(backoffs)]
    heapq.heapify(due)
    while due:
        now, number = heapq.heappop(due)
        found.attempts += 1
        slices[int(now / SLICE_SECONDS)] += 1
        node = chance.randrange(LEFT)
        wait = max(0.0, free_at[node] - now)
        if now < away_seconds:
            heapq.heappush(due, (now + backoffs[number].delay_after(Outcome(), now), number))
        elif wait > REGISTER_SECONDS:
            end = now + REGISTER_SECONDS
            heapq.heappush(due, (end + backoffs[number].delay_after(Outcome(), end), number))
        else:
            free_at[node] = now + wait + link_seconds
            found.longest_wait = max(found.longest_wait, wait)
            found.over_at = max(found.over_at, free_at[node])
    found.most_at_once = max(slices.values())
    return found


def storms(cost: Cost) -> Table:
    chance = random.Random(1)
    rows = []
    for title, away_seconds in (
        ("a node of four is lost", 0.0),
        (f"nobody answers for {AWAY_SECONDS:g} s", AWAY_SECONDS),
    ):
        jitters: dict[str, Jitter] = {"with jitter": chance.uniform, "without": lambda low, high: (low + high) / 2}
        for how, jitter in jitters.items():
            one = storm(jitter, link_seconds=cost.taking / 1e6, away_seconds=away_seconds)
            rows.append([
                f"{title}, {how}", f"{one.attempts:,}", f"{one.most_at_once:,}", f"{one.longest_wait:.1f}",
                f"{one.over_at:.1f}",
            ])  # fmt: skip
    messages = 3 * (1 + LEFT) * AGENTS
    note = (
        f"each node takes {1e6 / cost.taking:,.0f} links a second\n"
        f"over NATS: {AGENTS:,} announcements, {AGENTS:,} entries and as many deletes of what the lost node left, "
        f"each to {LEFT} nodes: {messages:,} messages"
    )
    title = f"{AGENTS:,} agents come back to {LEFT} nodes, simulated"
    head = ["", "attempts", f"most in {SLICE_SECONDS * 1e3:.0f} ms", "longest wait, s", "all are back after, s"]
    return Table(title, head, rows, note)


def run(stack: Stack) -> list[Table]:
    nats = NatsServer(stack.folder / "nats", stack.processes).start()
    made = [
        ManyClusters(name, stack.folder / name, stack.processes, dict(SETTINGS), servers=[nats.url])
        for name in ("a", "b")
    ]
    for node in made:
        node.start_gateway()
    cost = uvloop.run(links_come(*made))
    rows = [
        ["the node that takes it", f"{cost.taking:,.0f}", f"{cost.kib:.1f}"],
        ["a node that hears of it", f"{cost.hearing:,.0f}", ""],
    ]
    head = ["", "CPU, us", "memory, KiB"]
    return [Table(f"A link that comes, over {LINKS:,} of them", head, rows), storms(cost)]
