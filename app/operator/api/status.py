"""The node at a glance: whether it is ready, what it does, and what the operator should look at."""

import platform
import time
from typing import Literal

import msgspec

from tunnel.version import VERSION

from ...node.gateway import Gateway
from ...node.nodes import Nodes, OwnState
from ...observed.events import moment
from .account import AccountItem, account_of
from .clusters import Known
from .resources import Answer, Asked, Node, answer


class ConfigurationState(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force, and the last attempt to replace it."""

    file: str | None
    """null: there are only variables."""
    loaded_at: str
    error: str | None
    """Why what the files say now is not in force."""
    reloads: int
    reloads_refused: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are now."""

    links: int
    clusters: int
    clusters_connected: int
    routes: int
    exchanges: int
    websockets: int
    connections: int
    requests_waiting: int


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """This node among others."""

    node: str
    state: OwnState
    about: str
    """What the state means, and what to do."""
    nats: Literal["connecting", "connected", "away", "stopped"]
    nodes: int
    """That this node knows, itself included and gone ones not."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    version: str
    python: str
    started_at: str
    uptime_seconds: float
    ready: bool
    draining: bool
    closing: bool
    configuration: ConfigurationState
    counts: Counts
    account: AccountItem
    node: NodeState | None
    """null: there is no `[cluster]`, so this is the only node. /-/nodes has more."""
    warnings: list[str]
    """What to look at: a sentence each."""


async def status(node: Node, _: Asked) -> Answer:
    """The node."""
    gateway, reloader = node.gateway, node.reloader
    now = time.time()
    known = Known.of(gateway)
    names = known.names()
    return answer(
        Status(
            version=VERSION,
            python=platform.python_version(),
            started_at=moment(gateway.started_at),
            uptime_seconds=round(max(0.0, now - gateway.started_at), 3),
            ready=not gateway.draining and not gateway.missing_clusters(),
            draining=gateway.draining,
            closing=gateway.closing,
            configuration=ConfigurationState(
                file=gateway.settings.file,
                loaded_at=moment(gateway.metrics.reloads.succeeded_at or gateway.started_at),
                error=reloader.error,
                reloads=reloader.applied,
                reloads_refused=reloader.refused,
            ),
            counts=Counts(
                links=len(gateway.registry.links()),
                clusters=len(names),
                clusters_connected=len(names & gateway.registry.connected()),
                routes=gateway.count_of_routes,
                exchanges=len(gateway.exchanges),
                websockets=gateway.metrics.websockets_active,
                connections=len(gateway.connections),
                requests_waiting=gateway.registry.waiting_room.waiting,
            ),
            account=account_of(gateway),
            node=_node(gateway.nodes) if gateway.nodes is not None else None,
            warnings=_warnings(gateway, reloader.error),
        )
    )


def _node(nodes: Nodes) -> NodeState:
    among = nodes.cluster()
    known = sum(node.state != "gone" for node in nodes.nodes())
    return NodeState(
        node=among.node, state=among.state, about=among.about, nats=among.engine.state, nodes=known
    )  # fmt: skip


def _warnings(gateway: Gateway, error: str | None) -> list[str]:
    found = [] if error is None else [f"the configuration on disk is not in force: {error}"]
    found += gateway.settings.warnings()
    if gateway.learned.is_kept is False:
        found.append("the file of learned routes cannot be written: they are lost with a restart; see the log")
    if gateway.account.refuses:
        found.append("too much is held: new exchanges are refused; see account")
    if gateway.nodes is not None:
        found += gateway.nodes.warnings()
    return found
