"""The garbage collector of a process of our own: counted, not timed."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from unittest import mock

import pytest
import uvicorn

from app.main import create_app
from app.serve import GatewayServer
from app.server.collector import (
    LATEST_SECONDS,
    PAUSE_SECONDS,
    THAW_BLOCKS,
    THAW_LATEST_SECONDS,
    THAW_SECONDS,
    THRESHOLDS,
    TICK_SECONDS,
    Collector,
)
from app.server.listener import Listener
from app.settings import Settings
from tests.fakes.loop import dialogue


@pytest.fixture(autouse=True)
def _others_are_set_aside() -> None:
    """The modules of all tests, a million objects, until something thaws them."""
    gc.freeze()


@pytest.fixture
def full() -> Iterator[list[int]]:
    """An entry for each full collection."""
    seen: list[int] = []

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(1)

    thresholds = gc.get_threshold()
    gc.callbacks.append(count)
    yield seen
    gc.callbacks.remove(count)
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0


class Gateway:
    """What happens at one, as a number that grows."""

    def __init__(self) -> None:
        self.happened = 0

    def activity(self) -> int:
        return self.happened


@dialogue
async def test_what_is_there_at_the_start_is_collected_and_frozen(full: list[int]):
    made = Collector(Gateway().activity)
    there = [[number] for number in range(1_000)]
    before = gc.get_freeze_count()
    made.start()
    try:
        assert len(full) == 1
        assert gc.get_freeze_count() > before + len(there)
        assert gc.get_threshold() == THRESHOLDS
        made.start()
        assert len(full) == 1
    finally:
        made.stop()
    made.stop()


@dialogue
async def test_a_circle_that_came_later_is_found(full: list[int]):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        circle: list[object] = [gateway]
        circle.append(circle)
        assert any(circle is item for item in gc.get_objects())
        gone = id(circle)
        del circle
        gateway.happened += 1
        await asyncio.sleep(PAUSE_SECONDS + 2 * TICK_SECONDS)
        assert len(full) == 2
        assert not [item for item in gc.get_objects() if id(item) == gone and type(item) is list and gateway in item]
    finally:
        made.stop()


@dialogue
async def test_idle_means_that_nothing_happened_for_a_second(full: list[int]):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        for _ in range(int(PAUSE_SECONDS) * 2):
            await asyncio.sleep(TICK_SECONDS)
            gateway.happened += 1
        assert len(full) == 1
        await asyncio.sleep(2.5 * TICK_SECONDS)
        assert len(full) == 2
    finally:
        made.stop()


@dialogue
async def test_once_while_it_is_idle_and_at_most_every_30_s(full: list[int]):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        await asyncio.sleep(10 * PAUSE_SECONDS)
        assert len(full) == 1  # nothing happened at all
        gateway.happened += 1
        await asyncio.sleep(10 * PAUSE_SECONDS)
        assert len(full) == 2
        for _ in range(10):  # short bursts with pauses between
            gateway.happened += 1
            await asyncio.sleep(PAUSE_SECONDS / 2)
        assert 5 <= len(full) - 2 <= 6
    finally:
        made.stop()


@dialogue
async def test_a_gateway_that_is_never_idle_has_one_every_ten_minutes(full: list[int]):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        for _ in range(int(3 * LATEST_SECONDS) + 10):
            gateway.happened += 1
            await asyncio.sleep(TICK_SECONDS)
        assert len(full) == 1 + 3
    finally:
        made.stop()


# --- how much a collection visits


class Ring:
    """A circle of one."""

    def __init__(self) -> None:
        self.ring = self


@pytest.fixture
def visited() -> Iterator[list[tuple[int, int]]]:
    """Of each collection the generation, and how many objects it visits."""
    seen: list[tuple[int, int]] = []

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generation = info["generation"]
            seen.append((generation, sum(len(gc.get_objects(each)) for each in range(generation + 1))))

    gc.callbacks.append(count)
    yield seen
    gc.callbacks.remove(count)


@dialogue
async def test_what_survived_one_collection_is_not_visited_by_another(visited: list[tuple[int, int]]):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        visited.clear()
        connections = [[number] for number in range(20_000)]
        for _ in range(3):
            gateway.happened += 1
            await asyncio.sleep(PAUSE_SECONDS + 2 * TICK_SECONDS)
        (first, *later) = visited
        assert first[0] == 2
        assert first[1] >= len(connections)
        assert len(later) == 2
        assert all(generation == 2 and objects < 1_000 for generation, objects in later)
    finally:
        made.stop()


@dialogue
async def test_no_collection_visits_more_than_a_young_one_whatever_was_opened(visited: list[tuple[int, int]]):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        visited.clear()
        connections = [[number] for number in range(10 * THRESHOLDS[0])]
        gateway.happened += 1
        await asyncio.sleep(PAUSE_SECONDS + 2 * TICK_SECONDS)
        assert [generation for generation, _ in visited] == [0] * (len(visited) - 1) + [2]
        assert len(connections) * 0.9 <= sum(objects for _, objects in visited) <= len(connections) * 1.1
        assert max(objects for _, objects in visited) <= 1.1 * THRESHOLDS[0]
    finally:
        made.stop()


@dialogue
async def test_what_is_frozen_is_freed_as_before():
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    try:
        connection = Gateway()
        gone = weakref.ref(connection)
        gateway.happened += 1
        await asyncio.sleep(PAUSE_SECONDS + 2 * TICK_SECONDS)
        assert gc.is_tracked(connection)
        assert not [each for each in gc.get_objects() if each is connection], "it is frozen"
        del connection
        assert gone() is None
    finally:
        made.stop()


def let_collect(made: Collector, gateway: Gateway, now: float, *, is_idle: bool) -> float:
    """Something happens, and then a collection: while nothing happens, or because it always does. Returns the time."""
    gateway.happened += 1
    if is_idle:
        made.tick(now + TICK_SECONDS)
        now += PAUSE_SECONDS + TICK_SECONDS
    else:
        now += LATEST_SECONDS
    made.tick(now)
    return now


@pytest.mark.parametrize(
    ("is_small", "is_idle", "seconds"),
    [
        (True, True, THAW_SECONDS),
        (True, False, THAW_LATEST_SECONDS),
        (False, True, THAW_LATEST_SECONDS),
        (False, False, THAW_LATEST_SECONDS),
    ],
)
@dialogue
async def test_a_circle_that_is_let_go_of_after_a_collection_is_found_late(
    full: list[int], is_small: bool, is_idle: bool, seconds: float
):
    gateway = Gateway()
    made = Collector(gateway.activity)
    made.start()
    now = start = asyncio.get_running_loop().time()
    held = [] if is_small else [[number] for number in range(THAW_BLOCKS + 10_000)]
    try:
        ring = Ring()
        gone = weakref.ref(ring)
        now = let_collect(made, gateway, now, is_idle=is_idle)
        del ring
        while now + LATEST_SECONDS < start + seconds:
            now = let_collect(made, gateway, now, is_idle=is_idle)
        assert len(full) >= 5
        assert gone() is not None
        while now < start + seconds:
            now = let_collect(made, gateway, now, is_idle=is_idle)
        assert gone() is None
    finally:
        made.stop()
    assert len(held) in (0, THAW_BLOCKS + 10_000)


# --- where it is used


async def opened(listener: Listener) -> None:
    """Without a socket."""
    socket = SimpleNamespace(getsockname=lambda: ("127.0.0.1", 8080), fileno=lambda: -1)
    listener.servers = [SimpleNamespace(sockets=[socket])]  # type: ignore[list-item]


async def closed(_: Listener) -> None:
    """Likewise."""


async def stop(_server: uvicorn.Server, _: object = None) -> None:
    """uvicorn's part."""


@dialogue
async def test_the_server_of_our_own_uses_it(full: list[int]):
    app = create_app(Settings())
    with (
        mock.patch.object(Listener, "open", opened),
        mock.patch.object(Listener, "close", closed),
        mock.patch.object(uvicorn.Server, "shutdown", stop),
    ):
        config = uvicorn.Config(app, lifespan="off")
        config.load()
        server = GatewayServer(config, app.state.gateway, app.state.reloader, None)
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        assert gc.get_threshold() == THRESHOLDS
        assert len(full) == 1
        app.state.gateway.metrics.request_bytes_down += 1
        await asyncio.sleep(PAUSE_SECONDS + 2 * TICK_SECONDS)
        assert len(full) == 2
        await server.shutdown()
    await app.state.gateway.aclose()


@dialogue
async def test_an_application_that_mounts_us_keeps_its_own(full: list[int]):
    gc.unfreeze()
    thresholds = gc.get_threshold()
    app = create_app(Settings())
    async with app.router.lifespan_context(app):
        await asyncio.sleep(2 * LATEST_SECONDS)
        assert (gc.get_threshold(), gc.get_freeze_count(), full) == (thresholds, 0, [])
