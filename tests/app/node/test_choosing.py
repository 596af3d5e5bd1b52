"""Choosing an upstream: what is remembered between two ticks never outlives what it was chosen for."""

import asyncio

import pytest

from app.node.exchanges import TICK_SECONDS
from app.public.reading import read_request
from app.rules.request import Request
from app.rules.routes import Route
from tests.app.stage import HOST, Stage
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue
from tunnel.account import Holding
from tunnel.errors import NoAgentError, NoRoomError, StoppingError
from tunnel.port import Target, Upstream


class Dropping(FakeLink):
    """A link whose tick drops its upstream: the next one asked for is another."""

    def __init__(self) -> None:
        super().__init__()
        self.current = FakeLink()
        self.asked = 0

    def upstream(self, target: Target) -> FakeLink:
        self.asked += 1
        return self.current

    def tick(self) -> None:
        self.current = FakeLink()


def asked() -> Request:
    return read_request(
        method="GET", path=b"/", query=b"", fields=[(b"host", HOST.encode())], peer="203.0.113.9", peer_scheme="http",
        proxies=None,
    )  # fmt: skip


def route_of(stage: Stage) -> Route:
    route = stage.gateway.route_of(HOST, b"/")
    assert route is not None
    return route


def choose(stage: Stage) -> Upstream | None:
    return stage.gateway.choose(route_of(stage), asked())


@dialogue
async def test_an_upstream_is_asked_for_once_between_two_ticks() -> None:
    async with Stage(0) as s:
        link = Dropping()
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        s.gateway.open()
        seen = []
        for tick in range(1, 4):
            assert [choose(s) for _ in range(5)] == [link.current] * 5
            assert link.asked == tick
            seen.append(link.current)
            await asyncio.sleep(TICK_SECONDS)
        assert len(set(seen)) == 3


@pytest.mark.parametrize("sticky", ["off", "cookie", "client"])
@dialogue
async def test_a_link_that_is_not_available_is_not_chosen_however_often_it_was(sticky: str) -> None:
    async with Stage(1, sticky=sticky) as s:
        for _ in range(3):
            assert choose(s) is s.link
            s.link.available = False
            with pytest.raises(NoAgentError):
                choose(s)
            s.link.available = True


@pytest.mark.parametrize("sticky", ["cookie", "client"])
@dialogue
async def test_stickiness_begins_with_the_second_link(sticky: str) -> None:
    """A link that comes is one more to choose from, also for those who were served before it came."""
    async with Stage(1, sticky=sticky) as s:
        assert choose(s) is s.link
        s.link.active = 5
        others = [FakeLink(f"b{number}") for number in range(8)]
        for other in others:
            s.gateway.registry.add(other)  # type: ignore[arg-type]
        found = {choose(s) for _ in range(5)}
        assert len(found) == 1
        if sticky == "cookie":  # without one it goes by load
            assert found <= set(others)


@dialogue
async def test_the_process_being_full_counts_for_a_known_upstream_too() -> None:
    async with Stage(1, held_bytes_limit=1000) as s:
        assert choose(s) is s.link
        held = Holding(s.gateway.account)
        held.add(1001)
        assert choose(s) is s.link, "nobody was ended yet"
        s.gateway.account.is_full = True  # and that did not help
        with pytest.raises(NoRoomError):
            choose(s)
        held.close()
        assert choose(s) is s.link


@dialogue
async def test_a_draining_node_serves_as_long_as_its_link_is_there() -> None:
    async with Stage() as s:
        assert choose(s) is s.link
        s.gateway.drain.draining = True
        assert choose(s) is s.link
        s.gateway.registry.remove(s.link)  # type: ignore[arg-type]
        with pytest.raises(StoppingError):
            choose(s)


@dialogue
async def test_another_link_than_the_one_to_avoid_where_there_is_one() -> None:
    async with Stage(1) as s:
        assert s.gateway.choose(route_of(s), asked(), avoid=s.link) is s.link
        other = FakeLink("a2")
        s.gateway.registry.add(other)  # type: ignore[arg-type]
        assert s.gateway.choose(route_of(s), asked(), avoid=s.link) is other
        assert s.gateway.choose(route_of(s), asked(), avoid=other) is s.link
