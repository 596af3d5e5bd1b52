"""Round after round of everything that goes wrong, for SOAK_SECONDS (60; `make soak`: 600), and nothing may be left.

One round: 300 WebSockets, steady HTTP and stalled clients, while one agent is frozen for a moment, one killed and
started again, one half-opened and replaced, clients vanish, and one agent is frozen until it is given up. Then all
clients leave. The first round makes everything warm; after each further one the gateway and the agent that lived
through it must hold what they held after the first.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.soak.holdings import NOTHING_OPEN, Holdings, Watch, WatchedProcesses, gauges, peers
from tests.soak.talkers import Conversation, Talker
from tests.soak.traffic import Requests, Stalled
from tests.system.clients import http_client
from tests.system.conftest import tunnel_only
from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Process, wait_until
from tests.system.relay import Relay

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
ROUND_SECONDS = 60
"""Of a slow machine."""
WEBSOCKETS = 300
VANISHING = 30
STALLED_EACH = 5
BRIEF_SECONDS = 1.5
UNNOTICED_SECONDS = 1.0
"""Of a half-open agent before its replacement comes."""
GIVEN_UP_SECONDS = 20.0
AFTERMATH_SECONDS = 4.0
"""After an agent was lost, or its replacement came: the grace for requests that wait, and the agent's first turn."""
SETTLE_SECONDS = 40.0
ENDING_SECONDS = 15.0
RSS_SHARE = 1.10

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.timeout(SECONDS + 4 * ROUND_SECONDS),
    tunnel_only,
]


class World:
    """The gateway, three agents (a1 and a3 direct, a2 through a relay) and the services."""

    def __init__(self, folder: Path, processes: WatchedProcesses, relay_to: Callable[[int], Relay]) -> None:
        self.admin_port = free_port()
        settings: dict[str, str | bool | float] = {"admin_bind": f"{LOOPBACK}:{self.admin_port}"}
        self.stack = stack = Stack(folder, processes, settings)
        stack.add_program("plain", "tests.services.plain")
        stack.add_program("hole", "tests.services.plain")
        stack.add_program("ws", "tests.services.websocket")
        stack.start_gateway()
        self.relay = relay_to(stack.port)
        self.gateway = Watch(stack.gateway)
        self.steady = Watch(stack.start_agent("a1"))
        self.second = self.start_second()
        self.third = stack.start_agent("a3")
        self.losses: list[tuple[float, float]] = []
        """From when to when requests may fail."""

    def start_second(self) -> Process:
        return self.stack.start_agent("a2", gateway_port=self.relay.port)

    def wait_links(self) -> None:
        wait_until(lambda: gauges(self.admin_port)["ready"] == 3, GIVEN_UP_SECONDS, "three agents are there")

    # --- the faults; they block, and run on a thread

    def freeze_for_a_moment(self) -> None:
        """Nothing may be lost, only late."""
        self.steady.process.signal(signal.SIGSTOP)
        time.sleep(BRIEF_SECONDS)  # the fault itself
        self.steady.process.signal(signal.SIGCONT)

    def kill_and_start_again(self) -> None:
        began = time.monotonic()
        self.third.kill()
        self.third = self.stack.start_agent("a3")
        self.wait_links()
        self.losses.append((began, time.monotonic() + AFTERMATH_SECONDS))

    def cut_and_replace(self) -> Process:
        """The cut agent lives on, alone; it must end its streams by itself."""
        began = time.monotonic()
        cut = self.second
        self.relay.cut()
        time.sleep(UNNOTICED_SECONDS)  # the fault itself
        self.second = self.stack.start_agent("a2")
        self.losses.append((began, time.monotonic() + AFTERMATH_SECONDS))
        return cut

    def freeze_until_given_up(self) -> None:
        began = time.monotonic()
        self.steady.process.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: gauges(self.admin_port)["links"] == 2, GIVEN_UP_SECONDS, "a frozen agent is given up")
        finally:
            self.steady.process.signal(signal.SIGCONT)
        self.wait_links()
        self.losses.append((began, time.monotonic() + AFTERMATH_SECONDS))

    def restore(self, cut: Process) -> None:
        """Three agents as at the beginning, all idle."""
        self.second.kill()
        cut.kill()
        self.relay.drop()
        self.relay.heal()
        self.second = self.start_second()
        self.wait_links()


@pytest.fixture
def world(tmp_path: Path, processes: WatchedProcesses) -> Iterator[World]:
    relays: list[Relay] = []

    def relay_to(port: int) -> Relay:
        relays.append(Relay(port).__enter__())
        return relays[0]

    try:
        yield World(tmp_path, processes, relay_to)
    finally:
        for relay in relays:
            relay.__exit__()


async def faults(world: World, talkers: list[Talker]) -> Process:
    await asyncio.to_thread(world.freeze_for_a_moment)
    await asyncio.to_thread(world.kill_and_start_again)
    cut = await asyncio.to_thread(world.cut_and_replace)
    for talker in talkers[:VANISHING]:
        talker.vanishing.set()
    await asyncio.to_thread(world.freeze_until_given_up)
    return cut


async def ask(http: aiohttp.ClientSession, url: str, seconds: float) -> str | None:
    """The answer of one that waits for an event; None when it did not happen in time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), http.get(url) as answer:
            return await answer.text()
    return None


def ending_url(stack: Stack, key: str) -> str:
    """Where its service tells that the client of this exchange has left."""
    on_websocket = not key.startswith(("r-", "s-"))
    return stack.control("ws", f"/closed?id={key}") if on_websocket else stack.control("plain", f"/left?id={key}")


async def assert_both_sides_ended(stack: Stack, conversations: list[Conversation]) -> None:
    """Clients: in order, or with the code that says why. Services: each saw its client leave."""
    assert {item.ending for item in conversations} <= {"closed", "lost", "vanished"}, Counter(
        item.ending for item in conversations
    )
    assert {item.code for item in conversations if item.ending == "closed"} == {1000}
    assert {item.code for item in conversations if item.ending == "lost"} == {1012}
    async with http_client(limit=50) as http:
        seen = await asyncio.gather(*(ask(http, ending_url(stack, item.key), ENDING_SECONDS) for item in conversations))
    missing = [item for item, answer in zip(conversations, seen, strict=True) if answer is None]
    assert missing == [], f"{len(missing)} of {len(conversations)} services did not see their client leave"
    codes = {
        ending: {
            json.loads(answer or "{}")["code"]
            for item, answer in zip(conversations, seen, strict=True)
            if item.ending == ending
        }
        for ending in ("closed", "vanished")
    }
    assert codes["closed"] == {1000}
    assert codes["vanished"] <= {1011, None}  # None: vanished on a link that was lost before it could say so


async def assert_stalled_agree(stack: Stack, stalled: Stalled) -> None:
    """Whatever ended at one side has ended at the other; and all of them end when their clients leave."""
    keys = stalled.keys()

    async def gone_services() -> set[str]:
        answers = await asyncio.gather(*(ask(http, ending_url(stack, key), 0.5) for key in keys))
        return {key for key, answer in zip(keys, answers, strict=True) if answer is not None}

    async with http_client(limit=100) as http:
        deadline = time.monotonic() + ENDING_SECONDS
        while (missing := stalled.ended() - (gone := await gone_services())) and time.monotonic() < deadline:
            continue  # each question waits for half a second by itself
        assert missing == set(), "the service still waits"
        assert gone, "no stalled exchange lost its agent: the faults missed them"
        assert await asyncio.to_thread(stalled.not_told, gone) == [], "the client still waits"
        stalled.leave()
        answers = await asyncio.gather(*(ask(http, ending_url(stack, key), ENDING_SECONDS) for key in keys))
    assert None not in answers, [key for key, answer in zip(keys, answers, strict=True) if answer is None]


def assert_requests(world: World, requests: Requests) -> None:
    assert requests.wrong == []
    unexplained = [
        (round(began, 1), round(ended, 1), said)
        for began, ended, said in requests.failed
        if not any(begin <= ended and began <= end for begin, end in world.losses)
    ]
    assert unexplained == [], f"failed with no agent lost; losses: {world.losses}"
    assert requests.good > 10 * len(requests.failed)


async def one_round(world: World, number: int) -> dict[str, int]:
    stack, over = world.stack, asyncio.Event()
    world.losses.clear()
    talkers = [
        Talker(lambda path: stack.url("ws", path, "ws"), f"t{number}-{each}", over) for each in range(WEBSOCKETS)
    ]
    requests = Requests(stack, over)
    stalled = Stalled(stack, str(number), STALLED_EACH)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(talker.run()) for talker in talkers]
        tasks.append(group.create_task(requests.run()))
        async with asyncio.timeout(ROUND_SECONDS):
            await asyncio.gather(*(talker.talking.wait() for talker in talkers))
        await asyncio.to_thread(stalled.begin)
        assert gauges(world.admin_port)["websocket_connections_active"] == WEBSOCKETS + STALLED_EACH
        cut = await faults(world, talkers)
        for talker in talkers:
            talker.talking.clear()
        async with asyncio.timeout(ROUND_SECONDS):  # everyone is back, and is answered
            await asyncio.gather(*(talker.talking.wait() for talker in talkers))
        over.set()
    conversations = [item for talker in talkers for item in talker.conversations]
    await assert_both_sides_ended(stack, conversations)
    await assert_stalled_agree(stack, stalled)
    assert_requests(world, requests)
    refusals = Counter(refusal.said for talker in talkers for refusal in talker.refusals)
    assert set(refusals) <= {"502", "503", "504"}, refusals
    await asyncio.to_thread(
        wait_until,
        lambda: peers(stack.programs["ws"]) == 0 and peers(stack.programs["plain"]) == 0,
        SETTLE_SECONDS,
        "the services have no connection left",
    )
    await asyncio.to_thread(world.restore, cut)
    endings = Counter(item.ending for item in conversations)
    assert endings["closed"] == WEBSOCKETS
    assert endings["lost"] >= WEBSOCKETS // 2
    assert endings["vanished"] >= VANISHING // 2
    messages = sum(item.received for item in conversations)
    return {**endings, **refusals, "messages": messages, "good": requests.good, "failed": len(requests.failed)}


Pair = tuple[Holdings, Holdings]
"""Of the gateway, and of the agent that lives through everything."""


def look(world: World) -> Pair:
    return world.gateway.look(), world.steady.look()


def left_over(now: Pair, at_start: Pair, first: Pair | None) -> list[str]:
    """Descriptors, tasks and threads beyond the beginning's; objects, some made on first use, beyond one round's."""
    found = []
    for who, held, start, warm in zip(("gateway", "agent"), now, at_start, first or now, strict=True):
        more = {kind: items for kind, items in held.beyond(start).items() if kind != "objects"}
        more |= {kind: items for kind, items in held.beyond(warm).items() if kind == "objects"}
        if more:
            found.append(f"{who}: {more}")
    return found


def settle(world: World, at_start: Pair, first: Pair | None) -> Pair:
    """Wait until nothing is open and nothing left over; what is held then."""
    nothing = {**NOTHING_OPEN, "links": 3.0, "ready": 3.0}
    wait_until(lambda: gauges(world.admin_port) == nothing, SETTLE_SECONDS, "nothing is open at the gateway")
    deadline = time.monotonic() + SETTLE_SECONDS
    while found := left_over(now := look(world), at_start, first):
        assert time.monotonic() < deadline, f"left over after {SETTLE_SECONDS} s: {found}"
        time.sleep(0.5)  # until the next look
    return now


async def test_nothing_is_left_after_rounds_of_faults(world: World, tmp_path: Path) -> None:
    began = time.monotonic()
    await asyncio.to_thread(world.wait_links)
    at_start = await asyncio.to_thread(look, world)
    first: Pair | None = None
    number = 0
    while number < 2 or time.monotonic() - began < SECONDS:
        number += 1
        seen = await one_round(world, number)
        now = await asyncio.to_thread(settle, world, at_start, first)
        print(f"round {number} after {time.monotonic() - began:.0f} s: {seen}, "
              f"gateway {now[0].rss_bytes >> 10} KiB, agent {now[1].rss_bytes >> 10} KiB")  # fmt: skip
        first = first or now
    assert first is not None
    for held, before in zip(now, first, strict=True):
        assert held.rss_bytes <= RSS_SHARE * before.rss_bytes
    assert list((tmp_path / "temporary").iterdir()) == []
