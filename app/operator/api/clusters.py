"""The clusters: which are configured, which have an agent, and why one has none."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from ...node.asking import OtherNode, named
from ...node.gateway import Gateway
from ...observed.events import Event, EventKind, moment
from ...observed.metrics import link_state
from .errors import not_found
from .gathering import NodeTold
from .pages import PAGING, Step, Turn, after, in_order, page
from .parameters import Flag, Parameter
from .resources import Answer, Asked, Node, answer

_WAYS: Final = {
    "joining": "its agent has connected and is registering",
    "doubted": "its link is being checked, because a newer one has connected",
    "leaving": "its agent is leaving; it takes no new exchange",
}


class ClusterItem(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster."""

    cluster: str
    configured: bool
    """The configuration names it: a route, or an agent's token."""
    has_token: bool
    """An agent's token covers it that is not revoked."""
    connected: bool
    """At least one link takes new exchanges."""
    links: int
    routes: int
    """Of the file and of agents, in force or not."""
    last_seen: str | None
    """When its agent was last heard. null: not since the gateway started."""
    why_not: str | None
    """Why it is not connected, and what to do."""
    requests_waiting: int
    nodes: list[str] = []
    """The ids of the nodes that have an agent of it, as far as this one knows. Empty without `[cluster]`."""


class ClusterPage(msgspec.Struct, frozen=True, kw_only=True):
    """Clusters, by name."""

    clusters: list[ClusterItem]
    next: str | None
    total: int
    nodes: list[NodeTold] | UnsetType = UNSET
    """In an answer over several nodes: who was asked."""


LIST: Final = (Parameter("connected", Flag(), "Only clusters that are connected, or only those that are not."), *PAGING)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of all clusters at one moment."""

    gateway: Gateway
    tokens: Mapping[str, bool]
    """Clusters that a token names -> whether one of these is not revoked."""
    refused: Mapping[str, Event]
    """Clusters that an agent claimed -> when we refused one last."""
    now: float

    @classmethod
    def of(cls, gateway: Gateway) -> "Known":
        """What is known now."""
        tokens: dict[str, bool] = {}
        for grant in gateway.settings.grants.values():
            for name in grant.clusters:
                tokens[name] = tokens.get(name, False) or not grant.revoked
        refused = {
            event.cluster: event
            for event in gateway.events.since()
            if event.kind == EventKind.LINK_REFUSED and event.cluster is not None
        }
        return cls(gateway, tokens, refused, time.time())

    def names(self) -> set[str]:
        """All clusters: of routes, tokens, links, and those that were here."""
        gateway = self.gateway
        here = {link.cluster for link in gateway.registry.links()}
        return {
            *gateway.settings.routes.per_cluster,
            *gateway.learned.clusters,
            *gateway.published.clusters,
            *self.tokens,
            *here,
            *gateway.last_seen,
        }

    def item(self, name: str) -> ClusterItem:
        """The item of one cluster."""
        gateway = self.gateway
        links = gateway.registry.links(name)
        heard = min((link.heard_seconds for link in links), default=None)
        seen = gateway.last_seen.of(name) if heard is None else self.now - heard
        connected = any(link.available for link in links)
        routed = gateway.settings.routes.per_cluster.get(name, 0)
        ask = gateway.ask
        holders = ask.holders(name) if ask is not None else ()
        own = [ask.own.node] if ask is not None and connected else []
        return ClusterItem(
            cluster=name,
            configured=name in self.tokens or routed > 0,
            has_token=self.tokens.get(name, False),
            connected=connected,
            links=len(links),
            routes=routed + gateway.learned.count_of(name) + gateway.published.count_of(name),
            last_seen=moment(seen) if seen is not None else None,
            why_not=None if connected else _why_not_here(holders) if holders else self._why_not(name, seen),
            requests_waiting=gateway.registry.waiting_for(name),
            nodes=sorted([*own, *(holder.node for holder in holders)]),
        )

    def _why_not(self, name: str, seen: float | None) -> str:
        links = self.gateway.registry.links(name)
        if links:
            return _WAYS[link_state(list(links)[-1])]
        if name not in self.tokens:
            return "no token covers it; add an [[agents]] entry that names this cluster"
        if not self.tokens[name]:
            return "every token that covers it is revoked; add an [[agents]] entry with a new one"
        refused = self.refused.get(name)
        if refused is not None and (seen is None or refused.at >= moment(seen)):
            return f"an agent that claims it was refused at {refused.at}: {refused.message}"
        last = (
            "no agent has connected since the gateway started"
            if seen is None
            else f"its last link ended {moment(seen)}"
        )
        return f"{last}; check that its agent is running and can reach the gateway"


def _why_not_here(holders: Sequence[OtherNode]) -> str:
    """It is not connected to this node, and that is as it should be."""
    return f"its agents are connected to {named(holders)}; requests that come here are passed on"


async def clusters(node: Node, asked: Asked) -> Answer:
    """The clusters, by name."""
    known = Known.of(node.gateway)
    names = known.names()
    found = await page(_steps(known, list(names), asked), asked)
    return found.answer("clusters", len(names))


async def cluster(node: Node, asked: Asked) -> Answer:
    """One of them, here or on another node."""
    known, name = Known.of(node.gateway), asked.path["cluster"]
    ask = node.gateway.ask
    if name not in known.names() and not (ask is not None and ask.holders(name)):
        raise not_found("no route, token or agent names this cluster; GET /-/clusters lists those that are known")
    return answer(known.item(name))


def _steps(known: Known, names: list[str], asked: Asked) -> Iterator[Step]:
    begin, connected = after(asked), asked.query["connected"]
    for name in in_order(names, begin):
        if isinstance(name, Turn):
            yield name
        elif name == begin:
            yield None
        else:
            item = known.item(name)
            yield None if connected is not None and item.connected != connected else (name, item)
