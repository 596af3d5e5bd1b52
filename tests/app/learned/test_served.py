"""Other settings with many learned hosts: in force at once for whoever asks, and worked through a few a turn."""

import asyncio
import dataclasses

import pytest

from app.learned import LearnedRoutes
from app.learned.served import Served
from app.settings import Grant, Settings
from tests.app.learned.claims import claim
from tests.fakes.growth import FACTOR, calls_of, grows_linearly
from tests.fakes.loop import dialogue, quiet

WIDE = Settings(grants={b"a": Grant(("a",), hosts=("*.a.test",))})
NARROW = Settings(grants={b"a": Grant(("a",), hosts=("*.in.a.test",))})


async def learned(number: int) -> LearnedRoutes:
    routes = LearnedRoutes(WIDE, None, clock=lambda: 1_000.0)
    hosts = [f"h{each}.{'in.' if each % 2 else ''}a.test" for each in range(number)]
    await routes.sync("a", [claim(host) for host in hosts], ["*.a.test"], "agent x")
    return routes


@dialogue
async def test_other_settings_are_in_force_at_once_and_the_index_follows_in_turns(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    routes = await learned(2_000)
    looked_at = [0]
    refresh = Served.refresh

    def counted(self: Served, names: list[str]) -> None:
        looked_at[-1] += len(names)
        refresh(self, names)

    monkeypatch.setattr(Served, "refresh", counted)
    policy = dataclasses.replace(WIDE.policy, max_websockets=7)
    routes.apply(dataclasses.replace(NARROW, policy=policy))
    last = routes.of_host("h1999.in.a.test")
    assert last is not None
    assert last[0].policy == policy
    assert routes.of_host("h1998.a.test") is None
    while routes._served._stale:
        looked_at.append(0)
        await asyncio.sleep(0)
    await quiet()
    assert max(looked_at) <= 202
    assert len(looked_at) >= 9
    assert "1000 learned hosts are not served: no token covers them any more; h0.a.test is one of them" in caplog.text
    routes.apply(WIDE)
    routes.apply(NARROW)  # the first pass ends
    routes.apply(WIDE)
    await quiet()
    assert all(routes.of_host(f"h{each}.{'in.' if each % 2 else ''}a.test") for each in range(2_000))


def test_putting_other_settings_in_force_costs_the_same_for_each_host():
    def cost(number: int) -> int:
        routes = asyncio.run(learned(number))
        return calls_of(lambda: routes.apply(NARROW))

    assert grows_linearly(cost(100), cost(100 * FACTOR))


@dialogue
async def test_expired_routes_are_looked_for_a_few_at_a_time():
    now = [1_000.0]
    routes = LearnedRoutes(WIDE, None, clock=lambda: now[0])
    await routes.sync("a", [claim(f"h{each}.a.test") for each in range(1_200)], ["*.a.test"], "agent x")
    rounds = 0
    while routes.expire():
        rounds += 1
    assert rounds == 2
    now[0] += 90_000.0
    left = [len(routes)]
    while routes.expire():
        left.append(len(routes))
    assert len(routes) == 0
    assert max(a - b for a, b in zip(left, [*left[1:], 0], strict=True)) <= 50
