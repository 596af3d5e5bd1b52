"""Hosts that may come after a start: which ones, who is woken by what, and in which order."""

import asyncio

import pytest

from app.node.to_come import HostsToCome
from app.rules.routes import Route
from app.settings import Grant, Settings
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import TooManyWaitingError
from tunnel.gateway.registry import Registry
from tunnel.port import Target

GRANTS = {
    b"1": Grant(("c1",), hosts=("*.a.test", "one.test")),
    b"gone": Grant(("c1",), hosts=("*.gone.test",), revoked=True),
}


class World:
    """A node that has just started. `routed`: the hosts that have routes."""

    def __init__(self, most_waiting: int = 1_000, **settings: object) -> None:
        clock = asyncio.get_running_loop().time
        self.registry = Registry(clock=clock, reconnect_grace=3.0, most_waiting=most_waiting)
        self.settings = Settings(**{"grants": GRANTS, **settings})  # type: ignore[arg-type]
        self.routed: set[str] = set()
        self.to_come = HostsToCome(self.settings, self.registry, routes_of=self.routes_of)
        self.served: list[int] = []

    def routes_of(self, host: str) -> list[Route] | None:
        return [Route(host, b"/", Target("c1", "apps", "web", 80))] if host in self.routed else None

    def wait(self, host: str, number: int = 0, client: str = "") -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(self._wait(host, number, client or f"client-{number}"))

    async def _wait(self, host: str, number: int, client: str) -> None:
        if await self.to_come.routes_of(host, 100, client) is not None:
            self.served.append(number)


@dialogue
async def test_which_hosts_may_come():
    world = World(control_hosts=frozenset({"tunnel.a.test"}))
    hosts = ("x.a.test", "x.y.a.test", "one.test", "two.test", "a.test", "x.gone.test", "tunnel.a.test")
    expected = [True, True, True, False, False, False, False]
    assert [world.to_come.may_come(host) for host in hosts] == expected
    world.to_come.apply(Settings(grants={b"2": Grant(("c1",), hosts=("two.test",))}))
    assert [host for host in hosts if world.to_come.may_come(host)] == ["two.test"]
    await asyncio.sleep(3)
    assert not world.to_come.may_come("two.test")


@pytest.mark.parametrize("name", ["x.a.test", "*.a.test", "*.test"])
@dialogue
async def test_whoever_has_waited_longest_for_a_host_that_came_is_first(name: str):
    world = World()
    waiting = [world.wait("x.a.test", number) for number in range(3)] + [world.wait("y.b.test", 3)]
    await quiet()
    world.to_come.came(name)  # and it is gone again when they look
    await quiet()
    waiting += [world.wait("x.a.test", number) for number in (4, 5)]
    await quiet()
    world.routed = {"x.a.test"}
    world.to_come.came(name)
    await quiet()
    assert world.served == [0, 1, 2, 4, 5]
    await asyncio.gather(*waiting)
    assert world.registry.waiting_room.ends == {"served": 5, "in_vain": 1, "left": 0, "refused": 0}


@dialogue
async def test_other_settings_wake_all_who_wait():
    world = World()
    waiting = [world.wait("x.a.test", 0), world.wait("y.a.test", 1)]
    await quiet()
    world.routed = {"x.a.test", "y.a.test"}
    world.to_come.apply(world.settings)
    await asyncio.gather(*waiting)
    assert (world.served, repr(world.to_come)) == ([0, 1], "<HostsToCome 0 waiting>")


@dialogue
async def test_one_client_has_a_quarter_of_the_places_whatever_it_waits_for():
    world = World(most_waiting=8)
    waiting = [world.wait(f"{number}.a.test", number, "192.0.2.1") for number in range(3)]
    await quiet()
    assert isinstance(waiting[2].exception(), TooManyWaitingError)
    assert str(waiting[2].exception()) == "2 requests of this client are already waiting"
    waiting[0].cancel()
    await quiet()
    waiting += [world.wait(f"{number}.a.test", number, f"192.0.2.{number // 2}") for number in range(3, 11)]
    await quiet()
    assert repr(world.to_come) == "<HostsToCome 8 waiting>"
    assert world.registry.waiting_room.ends == {"served": 0, "in_vain": 0, "left": 1, "refused": 2}
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not world.to_come._waiting
    assert not world.to_come._clients.total
