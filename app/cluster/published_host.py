"""The value of a published host in the bucket `routes`: the agent that holds it, over which node, and all its paths.

What it says of a path is what the agent's `publish` said (tunnel/PROTOCOL.md, section 7), so it is checked by the same
rules. A path that does not pass them is left out: it is a stranger's.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from tunnel.wire.publishing import WantedRoute

from ..published.claims import NotPublishedError, publishable_path, rewrite_of, target_of
from ..published.publication import HeldRoutes, Holder, Told
from .keys import is_node
from .values import VERSION, ValueIgnoredError, decoded

PATHS: int = 100
"""An agent publishes no more routes than these."""

_Text = Annotated[str, Meta(max_length=255)]


class _Value(msgspec.Struct):
    node: _Text
    cluster: Annotated[str, Meta(min_length=1, max_length=255)]
    agent: Annotated[str, Meta(min_length=1, max_length=255)]
    token: Annotated[str, Meta(pattern="^(?:[0-9a-f]{2}){1,64}$")]
    """The hash of its token: each node looks itself whether that covers the host."""
    machine: _Text
    link: _Text = ""
    address: _Text = ""
    away: bool = False
    """Its link has ended, and its routes linger."""
    paths: Annotated[dict[str, WantedRoute], Meta(max_length=PATHS)] = {}


def read(host: str, value: bytes) -> Told:
    """What a value says. Raises ValueIgnoredError."""
    read = decoded(_Value, value)
    if not is_node(read.node):
        raise ValueIgnoredError("its node is none")
    holder = Holder(read.cluster, read.agent, bytes.fromhex(read.token), read.link, read.address, read.node)
    routes = {}
    for path, wanted in read.paths.items():
        try:
            if publishable_path(path) == path:
                target = target_of(wanted, host, cluster=read.cluster, publisher=read.agent)
                routes[path] = (target, wanted.key, rewrite_of(wanted, path))
        except NotPublishedError:
            continue
    return Told(holder, read.machine, read.away, routes)


def encoded(node: str, holding: HeldRoutes, host: str) -> bytes:
    """The value to put for a host of an agent of this node."""
    holder, paths = holding.holder, {}
    for path, one in sorted(holding.hosts[host].items()):
        target = one.target
        paths[path] = WantedRoute(
            key=one.key, namespace=target.namespace, service=target.service, port=target.port, scheme=target.scheme,
            verify=target.verify, server_name=target.server_name or "",
            **(one.rewrite.keys if one.rewrite is not None else {}),  # type: ignore[arg-type]
        )  # fmt: skip
    value = _Value(
        node=node, cluster=holder.cluster, agent=holder.agent_id, token=holder.token_hash.hex(),
        machine=holding.machine, link=holder.link_name, address=holder.address, away=holding.gone_at is not None,
        paths=paths,
    )  # fmt: skip
    return msgspec.json.encode({"v": VERSION, **msgspec.structs.asdict(value)})
