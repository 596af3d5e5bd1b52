"""The gateway's own view of published routes: which routes of a host count, and what a reload and the clock change."""

import asyncio
import dataclasses

import pytest

from app.learned import Claim, ClaimError
from app.node.gateway import Gateway
from app.published import LINGER_SECONDS, Holder
from app.rules.routes import Route, RouteTable
from app.settings import Grant, Settings
from tests.app.publications import publish
from tests.fakes.loop import dialogue
from tunnel.port import Target

GRANT = Grant(("c1",), hosts=("*.test",))
OTHER = Grant(("c2",), hosts=("*.test",))
TARGET = Target("c1", "apps", "web", 80)
HOLDER = Holder("c1", "me", b"1", "link-1", "192.0.2.1")


def gateway_with(*hosts: str) -> Gateway:
    """A gateway where an agent publishes these hosts."""
    gateway = Gateway(Settings(grants={b"1": GRANT, b"2": OTHER}))
    publish(gateway, HOLDER, *hosts)
    return gateway


def carriers(gateway: Gateway, host: str) -> list[str]:
    return [route.target.publisher or route.target.cluster for route in gateway.routes_of(host) or ()]


@dialogue
async def test_published_routes_come_after_the_files_and_before_learned_ones():
    gateway = gateway_with("x.test", "y.test")
    await gateway.learned.register(Claim("x.test", "/", TARGET), "agent x")
    await gateway.learned.register(Claim("*.test", "/", TARGET), "agent x")
    assert [carriers(gateway, host) for host in ("x.test", "y.test", "z.test")] == [["me"], ["me"], ["c1"]]
    gateway.apply(dataclasses.replace(gateway.settings, routes=RouteTable([Route("y.test", b"/a", TARGET)])))
    assert [carriers(gateway, host) for host in ("x.test", "y.test")] == [["me"], ["c1"]]
    gateway.apply(dataclasses.replace(gateway.settings, control_hosts=frozenset({"x.test"})))
    assert gateway.routes_of("x.test") is None
    gateway.apply(Settings(grants={b"1": GRANT}))
    publish(gateway, HOLDER)
    assert [carriers(gateway, host) for host in ("x.test", "y.test")] == [["c1"], ["c1"]]
    await gateway.aclose()


@dialogue
async def test_no_other_cluster_learns_a_published_host():
    gateway = gateway_with("x.test")
    with pytest.raises(ClaimError, match=r"x\.test belongs to another cluster"):
        await gateway.learned.register(Claim("x.test", "/", Target("c2", "apps", "web", 80)), "agent y")
    await gateway.learned.register(Claim("x.test", "/", TARGET), "agent x")
    await gateway.aclose()


@dialogue
async def test_the_gateways_tick_ends_what_lingers():
    gateway = gateway_with("x.test")
    gateway.open()
    gateway.published.link_gone(HOLDER, asyncio.get_running_loop().time())
    await asyncio.sleep(LINGER_SECONDS - 1)
    assert carriers(gateway, "x.test") == ["me"]
    await asyncio.sleep(2)
    assert gateway.routes_of("x.test") is None
    await gateway.aclose()


@dialogue
async def test_what_a_scrape_is_told():
    gateway = gateway_with("x.test", "x.elsewhere")
    state = gateway.snapshot()
    assert (state.published_routes, dict(state.publishes_refused)) == (1, {"host_not_allowed": 1})
    assert "c1" in (state.known_clusters or ())
    text = gateway.metrics.render(None)[0].decode()
    assert "gateway_published_routes 1.0\n" in text
    assert 'gateway_publishes_refused_total{code="host_not_allowed"} 1.0\n' in text
    assert 'gateway_publishes_refused_total{code="no_free_name"} 0.0\n' in text
    assert gateway.count_of_routes == 1
    await gateway.aclose()


@dialogue
async def test_a_host_of_the_file_costs_nothing_more(monkeypatch: pytest.MonkeyPatch):
    """Nor does any host while nobody publishes."""
    gateway = Gateway(Settings(grants={b"1": GRANT}, routes=RouteTable([Route("y.test", b"/", TARGET)])))
    asked: list[str] = []
    monkeypatch.setattr(type(gateway.published), "of_host", lambda _, host: asked.append(host))
    assert carriers(gateway, "y.test") == ["c1"]
    assert gateway.routes_of("x.test") is None
    assert asked == []
    publish(gateway, HOLDER, "x.test")
    gateway.routes_of("x.test")
    gateway.routes_of("y.test")
    assert asked == ["x.test"]
    await gateway.aclose()
