"""Published routes whose time is passed in, beside learned ones, with tokens that share some hosts."""

import asyncio
import time
from dataclasses import replace

import pytest

from app.learned import Claim, LearnedRoutes
from app.observed.events import Events
from app.published import Holder, Publications
from app.published.reports import Reports
from app.rules.routes import Route, RouteTable
from app.settings import Grant, Settings
from tunnel.port import Target
from tunnel.wire import publishing
from tunnel.wire.publishing import Publish, WantedRoute

GRANTS = {
    b"a": Grant(("a",), hosts=("me.a.test", "*.a.test", "*.both.test")),
    b"b": Grant(("b",), hosts=("*.b.test", "*.both.test"), max_published=3),
    b"narrow": Grant(("a",), hosts=("only.a.test",)),
    b"gone": Grant(("a",), hosts=("*.a.test",), revoked=True),
}
HOLDERS = {
    name: Holder(name[0], name, name[:1].encode(), f"link-{name}", "192.0.2.1")
    for name in ("alice", "anna", "bob", "bert")
}
"""Agents of cluster and token `a`, and of cluster and token `b`."""


def wanted(host: str = "", path: str = "/", *, key: str = "", **fields: object) -> WantedRoute:
    return WantedRoute(**{"key": key or f"{host}{path}", "host": host, "path": path, "port": 5173, **fields})  # type: ignore[arg-type]


def file_routes(*hosts: str) -> RouteTable:
    return RouteTable(Route(host, b"/", Target("f", "apps", "web", 80)) for host in hosts)


class World:
    """See the module. An agent is named as in `HOLDERS`."""

    def __init__(self, **settings: object) -> None:
        self.now = 1_000.0
        self.settings = Settings(**{"grants": GRANTS, **settings})  # type: ignore[arg-type]
        self.learned = LearnedRoutes(self.settings, None, clock=time.time)
        self.events = Events()
        self.set = Publications(self.settings, self.learned, Reports(self.events), clock=lambda: self.now)
        self.learned.published_for = self.cluster_of
        self.links = dict(HOLDERS)

    def cluster_of(self, host: str) -> str | None:
        holder = self.set.holder_of(host)
        return None if holder is None else holder.cluster

    def publish(self, agent: str, *routes: WantedRoute, seed: str = "") -> list[publishing.PublishedRoute]:
        holder = self.links[agent]
        message = Publish(routes=list(routes), name_seed=seed or agent)
        grant = self.settings.grants[holder.token_hash]
        return self.set.publish(holder, grant, message, base_url="https://tunnel.test").routes

    def refused(self, agent: str, *routes: WantedRoute) -> list[str]:
        return [answer.code for answer in self.publish(agent, *routes)]

    def learn(self, host: str, cluster: str) -> None:
        asyncio.run(self.learned.register(Claim(host, "/", Target(cluster, "ingress", "traefik", 80)), "agent x"))

    def lose(self, agent: str) -> None:
        self.set.link_gone(self.links[agent], self.now)

    def reconnect(self, agent: str) -> None:
        """The agent has another link. It has not published over it yet."""
        holder = self.links[agent]
        self.links[agent] = replace(holder, link_name=f"{holder.link_name}'")

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.set.tick(self.now)

    def apply(self, **settings: object) -> None:
        self.settings = Settings(**{"grants": GRANTS, **settings})  # type: ignore[arg-type]
        self.learned.apply(self.settings)
        self.set.apply(self.settings)

    def serves(self, host: str) -> list[str]:
        return [f"{route.path.decode()} {route.target.publisher}" for route in self.set.of_host(host) or ()]

    @property
    def known(self) -> list[str]:
        return [f"{one.host}{one.path} {one.holder.agent_id}" for one in self.set]

    @property
    def told(self) -> list[str]:
        """The kinds of the events, each with its code."""
        return [f"{event.kind} {event.code or ''}".strip() for event in self.events.since()]


def lines(caplog: pytest.LogCaptureFixture, needle: str = "") -> list[str]:
    return [record.getMessage() for record in caplog.records if needle in record.getMessage()]
