"""The routes: those of the file, in its order, then those that agents published, then those that they registered; and
those that we refused.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tunnel.port import Pool, Target

from ...learned import Learned
from ...node.gateway import Gateway
from ...observed.record import printable
from ...published import Publication
from ...rules.hosts import above, normalise_host
from ...rules.rewrite import Rewrite
from ...rules.routes import Route
from ..route_reasons import Code, Listed, Reason, Reasons
from .gathering import NodeTold
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
    origin: Literal["file", "learned", "published"]
    in_force: bool
    expires_at: str | None
    """Of one that an agent registered, unless it is renewed; of one that an agent published, unless it comes back."""
    reason: Code | None
    """Why it leads nowhere. null: it is served."""
    explanation: str | None
    """The same in a sentence, with what to do."""
    connected: bool
    """An agent that may carry it takes new exchanges: one of its cluster, or the one that published it."""
    publisher: str | None
    """The id of the agent that published it. null: it is not published."""
    rewrite: dict[str, str | bool] | None
    """What its service sees otherwise than clients do, by the keys of `[[routes]]`. null: nothing."""
    node: str | UnsetType = UNSET
    """Where it is, in an answer over several nodes."""


class RefusedRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route that an agent asked for and did not get."""

    route: str
    cluster: str
    agent: str | None
    """The id of the agent that wanted to publish it. null: it was to be registered."""
    code: str
    reason: str
    refused_at: str
    node: str | UnsetType = UNSET
    """Where it is, in an answer over several nodes."""


class RoutePage(msgspec.Struct, frozen=True, kw_only=True):
    """Routes, and the latest refusals."""

    routes: list[RouteItem]
    refused: list[RefusedRoute]
    next: str | None
    total: int
    nodes: list[NodeTold] | UnsetType = UNSET
    """In an answer over several nodes: who was asked."""


LIST: Final = (
    Parameter("host", Text(), "Only routes that may serve this host: its own, and wildcards above it."),
    Parameter("cluster", Text(), "Only routes to this cluster."),
    Parameter(
        "origin",
        Choice(("file", "learned", "published")),
        "Only routes of the file, or that agents registered, or published.",
    ),
    Parameter("publisher", Text(), "Only routes that the agent with this id published."),
    Parameter("in_force", Flag(), "Only routes that are served, or only those that are not."),
    *PAGING,
)

_ORIGINS: Final[Mapping[type, Literal["file", "learned", "published"]]] = {
    Route: "file", Learned: "learned", Publication: "published",
}  # fmt: skip
_FILE, _PUBLISHED, _LEARNED = "f", "p", "l"
"""What a key begins with, in their order. The rest: an index, or host and path."""


async def routes(node: Node, asked: Asked) -> Answer:
    """The routes, and with the first page the refusals."""
    gateway = node.gateway
    found = await page(_Selection(gateway, asked).steps(), asked)
    refused = [] if asked.query["after"] else _refusals(gateway)
    return found.answer("routes", gateway.count_of_routes, {"refused": refused})


class _Selection:
    """The routes that were asked for."""

    def __init__(self, gateway: Gateway, asked: Asked) -> None:
        query = asked.query
        self._gateway = gateway
        self._begin = after(asked)
        if self._begin and not self._begin.startswith((_FILE, _PUBLISHED, _LEARNED)):
            raise wrong_cursor()
        host: str | None = query["host"]
        self._hosts = None if host is None else frozenset(above(normalise_host(host)))
        self._cluster: str | None = query["cluster"]
        self._origin: str | None = query["origin"]
        self._publisher: str | None = query["publisher"]
        self._in_force: bool | None = query["in_force"]
        self._reasons = Reasons(gateway)
        self._connected = gateway.connected()

    def steps(self) -> Iterator[Step]:
        """Each route, or None for one that was not asked for."""
        gateway, begun = self._gateway, self._begin[:1]
        if self._origin in (None, "file") and begun in ("", _FILE):
            yield from self._of_file()
        if self._origin in (None, "published") and begun in ("", _FILE, _PUBLISHED):
            yield from self._of_agents(_PUBLISHED, gateway.published.hosts(), gateway.published.registered)
        if self._origin in (None, "learned"):
            yield from self._of_agents(_LEARNED, gateway.learned.hosts(), gateway.learned.registered)

    def _of_file(self) -> Iterator[Step]:
        begin = self._begin.removeprefix(_FILE)
        if begin and not (begin.isascii() and begin.isdigit() and len(begin) < 19):
            raise wrong_cursor()
        routes = self._gateway.settings.routes.routes
        for index in range(int(begin) + 1 if begin else 0, len(routes)):
            route = routes[index]
            is_wanted = self._fits(route.host, route.target)
            yield self._step(f"{_FILE}{index}", route) if is_wanted else None

    def _of_agents(
        self, prefix: str, hosts: list[str], registered: Callable[[str], Sequence[Learned | Publication]]
    ) -> Iterator[Step]:
        """Those of agents, by host and path. `prefix`: of their keys."""
        begin = self._begin.removeprefix(prefix) if self._begin.startswith(prefix) else ""
        first, _, last = begin.partition(" ")
        for host in in_order(hosts, first):
            if isinstance(host, Turn):
                yield host
                continue
            for one in registered(host):
                _, path, target = _named(one)
                if (host == first and path <= last) or not self._fits(host, target):
                    yield None
                else:
                    yield self._step(f"{prefix}{host} {path}", one)

    def _fits(self, host: str, target: Target) -> bool:
        return (self._hosts is None or host in self._hosts) and (
            (self._cluster is None or target.cluster == self._cluster)
            and (self._publisher is None or target.publisher == self._publisher)
        )

    def _step(self, key: str, route: Listed) -> Step:
        reason = self._reasons.of(route)
        if self._in_force is not None and (reason is None) != self._in_force:
            return None
        return key, item_of(self._gateway, route, reason, self._connected)


def item_of(gateway: Gateway, route: Listed, reason: Reason | None, connected: Container[Pool]) -> RouteItem:
    """The item of a route. `connected`: the pools whose links take new exchanges."""
    host, path, target = _named(route)
    expires_at: float | None = None
    rewrite: Rewrite | None = None
    if isinstance(route, Learned):
        expires_at = route.expires_at
    elif isinstance(route, Publication):
        rewrite, gone = route.rewrite, gateway.published.expires_at(route)
        expires_at = None if gone is None else gateway.in_wall_clock(gone)
    else:
        rewrite = route.policy.rewrite
    return RouteItem(
        host=host,
        path=path,
        cluster=target.cluster,
        target=str(target),
        scheme=target.scheme,
        origin=_ORIGINS[type(route)],
        in_force=reason is None,
        expires_at=None if expires_at is None else _seconds(expires_at),
        reason=None if reason is None else reason.code,
        explanation=None if reason is None else reason.explanation,
        connected=target.pool in connected,
        publisher=printable(target.publisher) or None,
        rewrite=None if rewrite is None else rewrite.keys,
    )


def _named(route: Listed) -> tuple[str, str, Target]:
    """Its host, its path and its target."""
    if isinstance(route, Learned):
        claim = route.claim
        return claim.host, claim.path, claim.target
    return route.host, route.path if isinstance(route.path, str) else route.path.decode(), route.target


def _refusals(gateway: Gateway) -> list[RefusedRoute]:
    return [
        RefusedRoute(
            route=one.name,
            cluster=one.cluster,
            agent=printable(one.agent) or None,
            code=one.fault.value,
            reason=one.text,
            refused_at=_seconds(one.at),
        )
        for one in sorted([*gateway.learned.refusals, *gateway.published.refusals], key=lambda one: one.at)
    ]


def _seconds(moment: float) -> str:
    """As this resource has always written times."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
