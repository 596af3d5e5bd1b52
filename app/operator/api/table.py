"""Every resource of the API, one row each. What is not here is not served, and not described."""

from typing import Any, Final

from ...node.exchange_item import ExchangeItem
from ...node.nodes import NodeView
from ..explain import resource as explain
from ..explain.answer import Explanation
from . import account, clusters, configuration, controls, events, exchanges, links, nodes, routes, status
from .events_of_nodes import by_time, follow
from .folded_clusters import folded
from .gathering import by_node
from .openapi import described
from .resources import Answer, Asked, Node, Resource, answer

_NOT_HERE: Final = {404: "There is nothing of this name.", 410: "It was there, and has ended."}


async def _description(_: Node, __: Asked) -> Answer:
    return answer(described(RESOURCES))


RESOURCES: Final[tuple[Resource, ...]] = (
    Resource(
        method="GET", path="/-/status", summary="The node at a glance.",
        handle=status.status, answers={200: status.Status}, is_watched=True,
        of_any_node=True,
    ),
    Resource(
        method="GET", path="/-/nodes", summary="The nodes, as this one knows them, and what is between them.",
        handle=nodes.nodes, answers={200: nodes.NodePage}, parameters=nodes.LIST, is_watched=True,
        of_any_node=True,
    ),
    Resource(
        method="GET", path="/-/nodes/{node}", summary="One node.",
        handle=nodes.node, answers={200: NodeView}, errors={404: "This node knows no such node."},
    ),
    Resource(
        method="GET", path="/-/links", summary="The agents' links on this node.",
        handle=links.links, answers={200: links.LinkPage}, parameters=links.LIST, is_watched=True,
        rows="links", gather=by_node,
    ),
    Resource(
        method="GET", path="/-/links/{link}", summary="One link.",
        handle=links.link, answers={200: links.LinkItem}, errors=_NOT_HERE,
        of_any_node=True,
    ),
    Resource(
        method="POST", path="/-/links/{link}/drain", summary="Let a link take no new exchange, and close it then.",
        handle=links.drain_link, answers={202: links.LinkDrained}, parameters=(links.GRACE,), errors=_NOT_HERE,
        of_any_node=True,
    ),
    Resource(
        method="GET", path="/-/clusters", summary="The clusters, and why one has no agent.",
        handle=clusters.clusters, answers={200: clusters.ClusterPage}, parameters=clusters.LIST, is_watched=True,
        rows="clusters", gather=folded,
    ),
    Resource(
        method="GET", path="/-/clusters/{cluster}", summary="One cluster, and the nodes that have an agent of it.",
        handle=clusters.cluster, answers={200: clusters.ClusterItem}, errors={404: "Nothing names this cluster."},
        of_any_node=True,
    ),
    Resource(
        method="GET", path="/-/routes", summary="The routes, and those that were refused.",
        handle=routes.routes, answers={200: routes.RoutePage}, parameters=routes.LIST,
        rows="routes", gather=by_node,
    ),
    Resource(
        method="GET", path="/-/exchanges", summary="The requests and WebSockets that run now.",
        handle=exchanges.exchanges, answers={200: exchanges.ExchangePage}, parameters=exchanges.LIST, is_watched=True,
        rows="exchanges", gather=by_node,
    ),
    Resource(
        method="GET", path="/-/exchanges/{id}", summary="One request or WebSocket.",
        handle=exchanges.exchange, answers={200: ExchangeItem}, errors=_NOT_HERE,
        of_any_node=True,
    ),
    Resource(
        method="DELETE", path="/-/exchanges/{id}", summary="End a request or WebSocket.",
        handle=exchanges.end_exchange, answers={202: exchanges.ExchangeEnded}, errors=_NOT_HERE,
        of_any_node=True,
    ),
    Resource(
        method="GET", path="/-/events", summary="What happened lately: links, reloads, refusals, limits.",
        handle=events.events, answers={200: events.EventPage}, parameters=events.LIST, follow=events.follow,
        rows="events", gather=by_time, gather_events=follow,
    ),
    Resource(
        method="GET", path="/-/explain", summary="What becomes of a request for a URL, and why.",
        handle=explain.explanation, answers={200: Explanation}, parameters=explain.PARAMETERS,
        errors={503: "Too many probes are running already."},
    ),
    Resource(
        method="GET", path="/-/account", summary="What the process holds, its bounds, and the limits that were hit.",
        handle=account.account, answers={200: account.AccountItem},
        of_any_node=True,
    ),
    Resource(
        method="GET", path="/-/configuration", summary="The settings in force, without secrets.",
        handle=configuration.configuration, answers={200: configuration.Configuration},
        of_any_node=True,
    ),
    Resource(
        method="POST", path="/-/reload", summary="Read the configuration again.",
        handle=controls.reload, answers={200: controls.Reloaded, 409: controls.ConfigurationRefused},
        of_any_node=True,
    ),
    Resource(
        method="POST", path="/-/drain", summary="Drain the node, as before a stop.",
        handle=controls.drain, answers={200: controls.Drained, 202: controls.Drained}, parameters=(controls.WAIT,),
        takes_any_body=True,
    ),
    Resource(
        method="GET", path="/-/openapi.json", summary="This description.",
        handle=_description, answers={200: dict[str, Any]},
    ),
)  # fmt: skip
