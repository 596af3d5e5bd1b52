"""The nodes of the gateway, as this one knows them: which there are, how it reaches them, and how far it knows of them.

The node that answers comes first, then the others by id. Another node may see it differently: a way may be cut on one
side only, so ask both.
"""

from collections.abc import Iterator, Sequence
from typing import Final, get_args

import msgspec

from tunnel.version import VERSION

from ...node.gateway import Gateway
from ...node.nodes import ClusterView, NodeView, OtherState, OwnState, alone
from ...observed.events import moment
from .errors import ApiError, not_found
from .pages import PAGING, Step, after, page
from .parameters import Choice, Parameter
from .resources import Answer, Asked, Node, answer

STATES: Final = (*get_args(OwnState), *get_args(OtherState))
LIST: Final = (Parameter("state", Choice(STATES), "Only nodes in this state."), *PAGING)
_FIRST: Final = "-"
"""The cursor of the node that answers: before every id."""


class NodePage(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes: the one that answers, then the others by id."""

    nodes: list[NodeView]
    cluster: ClusterView | None
    """What is between them. null: there is no `[cluster]`."""
    next: str | None
    total: int


async def nodes(node: Node, asked: Asked) -> Answer:
    """All that this node knows."""
    gateway = node.gateway
    known = _known(gateway)
    found = await page(_steps(known, asked), asked)
    cluster = gateway.nodes.cluster() if gateway.nodes is not None else None
    return found.answer("nodes", len(known), {"cluster": cluster})


async def node(node: Node, asked: Asked) -> Answer:
    """One of them."""
    name = asked.path["node"]
    for one in _known(node.gateway):
        if one.node == name:
            return answer(one)
    raise _missing(node.gateway)


def _known(gateway: Gateway) -> Sequence[NodeView]:
    if gateway.nodes is not None:
        return gateway.nodes.nodes()
    return [
        alone(
            build=VERSION,
            started_at=moment(gateway.started_at),
            links=len(gateway.registry.links()),
            exchanges=len(gateway.exchanges),
            websockets=gateway.metrics.websockets_active,
            draining=gateway.draining,
        )
    ]


def _steps(known: Sequence[NodeView], asked: Asked) -> Iterator[Step]:
    begin, state = after(asked), asked.query["state"]
    for one in known:
        key = _FIRST if one.is_self or one.node is None else one.node
        if key <= begin or (state is not None and one.state != state):
            yield None
        else:
            yield key, one


def _missing(gateway: Gateway) -> ApiError:
    if gateway.nodes is None:
        return not_found("this gateway is one node, without an id: it has no [cluster]")
    return not_found("this node knows no node of this id, or not any more; GET /-/nodes lists those that it knows")
