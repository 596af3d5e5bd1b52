"""Who waits for a service that refuses connections, for how long, and how many dials that costs."""

import asyncio

import pytest

from tests.fakes.loop import dialogue
from tunnel.agent.service import outages
from tunnel.agent.service.outages import (
    FORGOTTEN_SECONDS,
    LIMIT,
    PATIENCE_SECONDS,
    RESTART_SECONDS,
    SETTLE_SECONDS,
    Outages,
)


class Restarting:
    """A service that refuses until `back_at`, and counts its dials."""

    def __init__(self, away_seconds: float) -> None:
        self.back_at = now() + away_seconds
        self.dials = 0
        self.connected_at: list[float] = []
        self.connected = asyncio.Event()

    async def __call__(self) -> None:
        self.dials += 1
        await asyncio.sleep(0)
        if now() < self.back_at:
            raise ConnectionRefusedError(111, "Connection refused")
        self.connected_at.append(now())
        self.connected.set()


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("away_seconds", [0.01, 0.2, 0.5, 0.9])
@dialogue
async def test_a_service_that_restarts_is_waited_for(away_seconds: float):
    known, service = Outages(), Restarting(away_seconds)
    await known.dial("web", service)
    assert service.back_at <= service.connected_at[0] <= service.back_at + 0.1
    assert repr(known) == "<Outages of 0 services>"


@dialogue
async def test_after_a_second_the_dial_is_refused():
    known, service, began = Outages(), Restarting(60.0), now()
    with pytest.raises(ConnectionRefusedError):
        await known.dial("web", service)
    assert now() - began == pytest.approx(PATIENCE_SECONDS)
    assert service.dials <= 12


@dialogue
async def test_hundreds_of_dials_to_a_service_that_is_away_cost_one_probe_at_a_time():
    known, service = Outages(), Restarting(0.5)
    waiting = []
    for _ in range(200):  # 500 a second
        waiting.append(asyncio.create_task(known.dial("web", service)))
        await asyncio.sleep(0.002)
    assert service.dials <= 8
    await asyncio.gather(*waiting)
    assert len(service.connected_at) == 200
    assert service.dials <= 208


@dialogue
async def test_a_dead_service_is_probed_now_and_then_and_all_others_are_refused_at_once():
    known, service = Outages(), Restarting(60.0)
    for _ in range(int(RESTART_SECONDS) + 1):
        with pytest.raises(ConnectionRefusedError):
            await known.dial("web", service)
    before, began = service.dials, now()
    for _ in range(1_000):
        with pytest.raises(ConnectionRefusedError):
            await known.dial("web", service)
        await asyncio.sleep(0.002)
    assert now() - began == pytest.approx(2.0)
    assert service.dials - before <= 21
    service.back_at = now()
    await asyncio.sleep(0.2)
    await known.dial("web", service)
    await known.dial("web", service)


@dialogue
async def test_who_leaves_hands_its_turn_on():
    known, service = Outages(), Restarting(0.3)
    first = asyncio.create_task(known.dial("web", service))
    second = asyncio.create_task(known.dial("web", service))
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert len(service.connected_at) == 1


@dialogue
async def test_services_do_not_wait_for_each_other():
    known, dead, healthy = Outages(), Restarting(60.0), Restarting(0.0)
    waiting = asyncio.create_task(known.dial("dead", dead))
    await asyncio.sleep(0.1)
    began = now()
    await known.dial("healthy", healthy)
    assert now() == began
    waiting.cancel()


@dialogue
async def test_other_faults_are_not_tried_again():
    async def unreachable() -> None:
        raise OSError(113, "No route to host")

    with pytest.raises(OSError, match="No route"):
        await Outages().dial("web", unreachable)


@dialogue
async def test_a_service_that_is_gone_again_while_others_still_dial_is_waited_for_again():
    known, service = Outages(), Restarting(0.3)
    waiting = [asyncio.create_task(known.dial("web", service)) for _ in range(3)]
    await service.connected.wait()
    service.back_at = now() + 0.3
    await asyncio.gather(*waiting)
    assert len(service.connected_at) == 3


@dialogue
async def test_services_are_forgotten_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outages, "LIMIT", 2)
    known, dead = Outages(), Restarting(1_000.0)
    for name in ("one", "two", "three"):
        with pytest.raises(ConnectionRefusedError):
            await known.dial(name, dead)
    assert repr(known) == "<Outages of 2 services>"
    await asyncio.sleep(FORGOTTEN_SECONDS + 2.0)
    with pytest.raises(ConnectionRefusedError):
        await known.dial("four", dead)
    assert repr(known) == "<Outages of 1 services>"


@dialogue
async def test_a_service_that_left_something_unanswered_is_dialled_a_moment_later():
    known, service, began = Outages(), Restarting(0.0), now()
    known.left_unanswered("web")
    await asyncio.gather(known.dial("web", service), known.dial("other", other := Restarting(0.0)))
    assert service.connected_at == [pytest.approx(began + SETTLE_SECONDS)]
    assert other.connected_at == [began]
    await known.dial("web", service)
    assert service.connected_at[1] == service.connected_at[0]


@dialogue
async def test_one_that_is_shaken_again_and_again_makes_nobody_wait_longer():
    known, service, began = Outages(), Restarting(0.0), now()
    known.left_unanswered("web")
    dial = asyncio.create_task(known.dial("web", service))
    for _ in range(10):
        await asyncio.sleep(SETTLE_SECONDS / 4)
        known.left_unanswered("web")
    await dial
    assert service.connected_at == [pytest.approx(began + SETTLE_SECONDS)]


@dialogue
async def test_only_so_many_are_remembered_as_shaken():
    known = Outages()
    for number in range(3 * LIMIT):
        known.left_unanswered(number)
    assert len(known._shaken) <= LIMIT
