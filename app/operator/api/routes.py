"""The routes: those of the file, in its order, then those that agents registered; and those that we refused."""

from collections.abc import Container, Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from tunnel.port import Pool, Target

from ...learned import Claim, Learned
from ...node.gateway import Gateway
from ...rules.routes import Route, normalise_host
from ..route_reasons import Code, Reason, Reasons
from .pages import PAGING, Step, Turn, after, in_order, page, wrong_cursor
from .parameters import Choice, Flag, Parameter, Text
from .resources import Answer, Asked, Node


class RouteItem(msgspec.Struct, frozen=True, kw_only=True):
    """One route."""

    host: str
    path: str
    cluster: str
    target: str
    scheme: str
    origin: Literal["file", "learned"]
    in_force: bool
    expires_at: str | None
    """Of one that an agent registered, unless it is renewed."""
    reason: Code | None
    """Why it leads nowhere. null: it is served."""
    explanation: str | None
    """The same in a sentence, with what to do."""
    connected: bool
    """An agent of its cluster takes new exchanges."""


class RefusedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that an agent asked for and did not get."""

    route: str
    cluster: str
    code: str
    reason: str
    refused_at: str


class RoutePage(msgspec.Struct, frozen=True, kw_only=True):
    """Routes, and the latest refusals."""

    routes: list[RouteItem]
    refused: list[RefusedRoute]
    next: str | None
    total: int


LIST: Final = (
    Parameter("host", Text(), "Only routes that may serve this host: its own, and wildcards above it."),
    Parameter("cluster", Text(), "Only routes to this cluster."),
    Parameter("origin", Choice(("file", "learned")), "Only routes of the file, or only those of agents."),
    Parameter("in_force", Flag(), "Only routes that are served, or only those that are not."),
    *PAGING,
)

_FILE, _LEARNED = "f", "l"
"""What a key begins with. The rest: an index, or host and path."""


async def routes(node: Node, asked: Asked) -> Answer:
    """The routes, and with the first page the refusals."""
    gateway = node.gateway
    found = await page(_Selection(gateway, asked).steps(), asked)
    refused = [] if asked.query["after"] else _refusals(gateway)
    return found.answer("routes", len(gateway.settings.routes.routes) + len(gateway.learned), {"refused": refused})


class _Selection:
    """The routes that were asked for."""

    def __init__(self, gateway: Gateway, asked: Asked) -> None:
        query = asked.query
        self._gateway = gateway
        self._begin = after(asked)
        if self._begin and not self._begin.startswith((_FILE, _LEARNED)):
            raise wrong_cursor()
        host: str | None = query["host"]
        self._hosts = None if host is None else _serving(normalise_host(host))
        self._cluster: str | None = query["cluster"]
        self._origin: str | None = query["origin"]
        self._in_force: bool | None = query["in_force"]
        self._reasons = Reasons(gateway)
        self._connected = gateway.registry.connected()

    def steps(self) -> Iterator[Step]:
        """Each route, or None for one that was not asked for."""
        if self._origin != "learned" and not self._begin.startswith(_LEARNED):
            yield from self._of_file()
        if self._origin != "file":
            yield from self._of_agents()

    def _of_file(self) -> Iterator[Step]:
        begin = self._begin.removeprefix(_FILE)
        if begin and not (begin.isascii() and begin.isdigit() and len(begin) < 19):
            raise wrong_cursor()
        routes = self._gateway.settings.routes.routes
        for index in range(int(begin) + 1 if begin else 0, len(routes)):
            route = routes[index]
            is_wanted = self._fits(route.host, route.target)
            yield self._step(f"{_FILE}{index}", route) if is_wanted else None

    def _of_agents(self) -> Iterator[Step]:
        learned = self._gateway.learned
        begin = self._begin.removeprefix(_LEARNED) if self._begin.startswith(_LEARNED) else ""
        first, _, path = begin.partition(" ")
        for host in in_order(learned.hosts(), first):
            if isinstance(host, Turn):
                yield host
                continue
            for one in learned.registered(host):
                claim = one.claim
                if (host == first and claim.path <= path) or not self._fits(host, claim.target):
                    yield None
                else:
                    yield self._step(f"{_LEARNED}{host} {claim.path}", one)

    def _fits(self, host: str, target: Target) -> bool:
        return (self._hosts is None or host in self._hosts) and (
            self._cluster is None or target.cluster == self._cluster
        )

    def _step(self, key: str, route: Route | Learned) -> Step:
        reason = self._reasons.of(route)
        if self._in_force is not None and (reason is None) != self._in_force:
            return None
        return key, item_of(route, reason, self._connected)


def item_of(route: Route | Learned, reason: Reason | None, connected: Container[Pool]) -> RouteItem:
    """The item of a route. `connected`: the pools whose links take new exchanges."""
    one = route.claim if isinstance(route, Learned) else route
    target = one.target
    return RouteItem(
        host=one.host,
        path=one.path if isinstance(one, Claim) else one.path.decode(),
        cluster=target.cluster,
        target=str(target),
        scheme=target.scheme,
        origin="learned" if isinstance(route, Learned) else "file",
        in_force=reason is None,
        expires_at=_seconds(route.expires_at) if isinstance(route, Learned) else None,
        reason=None if reason is None else reason.code,
        explanation=None if reason is None else reason.explanation,
        connected=target.pool in connected,
    )


def _serving(host: str) -> frozenset[str]:
    """The hosts and wildcards of routes that may serve a host."""
    labels = host.removeprefix("*.").split(".")
    return frozenset([host, *("*." + ".".join(labels[depth:]) for depth in range(1, len(labels)))])


def _refusals(gateway: Gateway) -> list[RefusedRoute]:
    return [
        RefusedRoute(
            route=one.name, cluster=one.cluster, code=one.fault.value, reason=one.text, refused_at=_seconds(one.at)
        )
        for one in gateway.learned.refusals
    ]


def _seconds(moment: float) -> str:
    """As this resource has always written times."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
