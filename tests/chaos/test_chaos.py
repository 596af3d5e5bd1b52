"""Everything at once, drawn from a seed, for CHAOS_SECONDS (60; `make chaos`: 600): nothing lost, and nobody strands.

Prints the seed first (CHAOS_SEED gives it) and the table of docs/reliability.md last. Clients never try again; the
ledger says what each was told. When the clients have left, the world must be whole and hold what it held before them.
"""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.faults import Faults
from tests.chaos.ledger import Ledger, table
from tests.chaos.leftovers import leaks
from tests.chaos.load import Load
from tests.chaos.schedule import Fault, Kind, draw
from tests.chaos.world import World
from tests.soak.holdings import Holdings, Watch, WatchedProcesses
from tests.system.conftest import tunnel_only

SECONDS = float(os.environ.get("CHAOS_SECONDS") or "60")
SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(10**8))
WARM_SECONDS = 4.0
"""Of load without a fault, before it is looked at what is held."""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(3 * SECONDS + 240),
    tunnel_only,
]


@pytest.fixture
def world(tmp_path: Path, processes: WatchedProcesses) -> Iterator[World]:
    with ExitStack() as closing:
        yield World(tmp_path, processes, closing)


async def play(lane: tuple[Fault, ...], faults: Faults, started: float) -> None:
    """One after the other, each when it is due or, if the last one took longer, at once; none after SECONDS."""
    for fault in lane:
        if time.monotonic() - started > SECONDS:
            return
        await asyncio.sleep(started + fault.at - time.monotonic())  # the schedule
        print(f"{time.monotonic() - started:6.1f} {fault.kind}: {fault.subject}, {fault.seconds} s", flush=True)
        await asyncio.to_thread(faults.act, fault)


async def play_all(load: Load, faults: Faults) -> None:
    started = time.monotonic()
    async with asyncio.TaskGroup() as lanes:
        for lane in draw(SEED, SECONDS):
            lanes.create_task(play(lane, faults, started))
    load.over.set()


def look(watches: dict[str, Watch]) -> dict[str, Holdings]:
    return {name: watch.look() for name, watch in watches.items()}


async def warmed(world: World) -> dict[str, Holdings]:
    """What is held after a little load, which is good to the last request."""
    ledger = Ledger()
    load = Load(world.port, ledger, asyncio.Event())
    asyncio.get_running_loop().call_later(WARM_SECONDS, load.over.set)
    await load.run()
    for arrival in world.journal():
        ledger.arrived(*arrival)
    assert ledger.violations() == []
    for journal in world.journals.values():
        os.truncate(journal, 0)
    return await asyncio.to_thread(look, world.watches())


async def test_nothing_is_lost_and_nobody_strands(world: World, temporary: Path) -> None:
    print(f"\nchaos for {SECONDS:g} s, seed {SEED}", flush=True)
    before = await warmed(world)
    ledger = Ledger()
    load = Load(world.port, ledger, asyncio.Event())
    async with asyncio.TaskGroup() as both:
        both.create_task(load.run())
        both.create_task(play_all(load, Faults(world, ledger)))
    left = await asyncio.to_thread(leaks, world, before, temporary)
    for arrival in world.journal():
        ledger.arrived(*arrival)
    violations = [*ledger.violations(), *left, *world.tracebacks()]
    messages = sum(talk.received for talk in ledger.talks)
    print(f"\nseed {SEED}: {ledger.good} of {len(ledger.requests)} requests answered, "
          f"{messages} messages on {len(ledger.talks)} WebSockets, {len(violations)} violations\n")  # fmt: skip
    print(table(Kind, ledger.consequences()), *violations, sep="\n", flush=True)
    assert violations == []
    assert ledger.good > len(ledger.requests) / 2
