"""The routes that are remembered by a Host field as it was sent: what is kept, and when it is forgotten."""

import dataclasses

import pytest

from app.public import known_hosts
from app.public.known_hosts import KnownHosts
from app.rules.routes import Route, RouteTable
from tests.app.stage import HOST, Stage
from tests.fakes.link import TARGET

SENT = HOST.upper().encode() + b".:80"
LONE = Route(HOST, b"/", TARGET)
OTHER = Route(HOST, b"/other", TARGET)


def known(*routes: Route) -> tuple[Stage, KnownHosts]:
    stage = Stage(0, routes=RouteTable(routes))
    return stage, KnownHosts(stage.gateway)


def test_a_host_is_known_as_it_was_sent_once_it_was_asked_for():
    stage, hosts = known(LONE)
    assert (SENT in hosts, hosts.lone(SENT)) == (False, None)
    assert hosts.routes(SENT) is stage.gateway.routes_of(HOST)
    assert (SENT in hosts, hosts.lone(SENT)) == (True, LONE)
    assert HOST.encode() not in hosts


@pytest.mark.parametrize("routes", [(LONE, OTHER), (OTHER,)])
def test_a_route_of_some_paths_is_not_that_of_all(routes: tuple[Route, ...]):
    _, hosts = known(*routes)
    assert hosts.routes(SENT) == sorted(routes, key=lambda route: len(route.path), reverse=True)
    assert (SENT in hosts, hosts.lone(SENT)) == (True, None)


@pytest.mark.parametrize("sent", [b"", b"unknown.test", b"app.example.test\x00", b"a" * 300])
def test_what_has_no_routes_is_not_remembered(sent: bytes):
    _, hosts = known(LONE)
    assert hosts.routes(sent) is None
    assert (sent in hosts, hosts.lone(sent)) == (False, None)


def test_a_faulty_field_with_routes_is_not_remembered():
    _, hosts = known(Route("*.example.test", b"/", TARGET))
    assert hosts.routes(b"a b.example.test") is not None
    assert (b"a b.example.test" in hosts, hosts.lone(b"a b.example.test")) == (False, None)


def test_a_reload_is_seen_at_once():
    stage, hosts = known(LONE)
    hosts.routes(SENT)
    changed = dataclasses.replace(LONE, target=dataclasses.replace(TARGET, port=81))
    stage.gateway.apply(dataclasses.replace(stage.gateway.settings, routes=RouteTable([changed])))
    assert hosts.lone(SENT) is None
    assert hosts.routes(SENT) == [changed]
    assert hosts.lone(SENT) == changed
    stage.gateway.apply(dataclasses.replace(stage.gateway.settings, routes=RouteTable([])))
    assert (hosts.lone(SENT), hosts.routes(SENT)) == (None, None)
    assert SENT not in hosts


def test_a_host_that_becomes_a_control_host_is_not_routed():
    stage, hosts = known(LONE)
    hosts.routes(SENT)
    stage.gateway.apply(dataclasses.replace(stage.gateway.settings, control_hosts=frozenset({HOST})))
    assert (hosts.lone(SENT), hosts.routes(SENT)) == (None, None)


def test_no_more_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(known_hosts, "_KEPT", 3)
    _, hosts = known(Route("*.example.test", b"/", TARGET))
    sent = [b"h%d.example.test" % number for number in range(4)]
    for host in sent:
        hosts.routes(host)
    assert [host in hosts for host in sent] == [False, False, False, True]
    assert [hosts.lone(host) is None for host in sent] == [True, True, True, False]
