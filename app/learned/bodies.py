"""The bodies of the agents' REST calls, as they come: nothing in them is believed here, only their shape is known.

Loose on purpose where one wrong entry would otherwise cost all others: a list may be null (an empty one in Go), a port
may be a text. Unknown keys (annotations, labels, deployment ids) are skipped unread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

_Body = TypeVar("_Body", bound=msgspec.Struct)

DIRECT = "direct"
"""`routing_mode` of what does not come through the tunnel, and is not routed here."""


class Register(msgspec.Struct):
    """POST .../routes/register: one path of one host. The service is the ingress controller's."""

    hostname: str
    cluster_uuid: str | None = None
    namespace: str | None = None
    service_name: str | None = None
    service_port: int | str | None = None
    path: str | None = None
    routing_mode: str | None = None


class Controller(msgspec.Struct):
    """The ingress controller of a sync."""

    namespace: str | None = None


class IngressPath(msgspec.Struct):
    """One path of a rule; the service is the ingress controller's."""

    path: str | None = None
    service_name: str | None = None
    service_port: int | str | None = None


class Rule(msgspec.Struct):
    """One host of an ingress."""

    host: str | None = None
    paths: list[IngressPath] | None = None


class Ingress(msgspec.Struct):
    """One ingress; its namespace is the application's."""

    namespace: str | None = None
    rules: list[Rule] | None = None


class Sync(msgspec.Struct):
    """POST .../routes/sync: all that a cluster routes."""

    cluster_uuid: str | None = None
    routing_mode: str | None = None
    ingress_controller: Controller | None = None
    ingresses: list[Ingress] | None = None


class Unregister(msgspec.Struct):
    """POST .../routes/unregister: a host, with all its paths."""

    hostname: str


class Tunnel(msgspec.Struct):
    """What is read of a TCP tunnel."""

    tunnel_id: str | None = None


class TunnelSync(msgspec.Struct):
    """POST .../tunnels/sync."""

    tunnels: list[Tunnel] | None = None


class BodyError(Exception):
    """The body is not what its call takes; the text names the place, and quotes nothing of the body."""


@dataclass(frozen=True, slots=True)
class Named:
    """One route as an agent names it, not yet checked."""

    host: str
    path: str
    namespace: str
    service: str
    port: int | str | None


def decoded(kind: type[_Body], body: bytes) -> _Body:
    """The body as `kind`. Raises BodyError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(str(error) if isinstance(error, msgspec.MsgspecError) else "not JSON") from None


def named_by_register(body: Register) -> Named:
    """The one route of a register."""
    return Named(
        body.hostname, body.path or "/", body.namespace or "", body.service_name or "", body.service_port
    )  # fmt: skip


def named_by_sync(body: Sync) -> Iterator[Named]:
    """Every route of a sync, in its order. The controller's namespace holds the services, where it is named."""
    controller = body.ingress_controller.namespace if body.ingress_controller is not None else None
    for ingress in body.ingresses or ():
        namespace = controller or ingress.namespace or ""
        for rule in ingress.rules or ():
            for path in rule.paths or ():
                yield Named(
                    rule.host or "", path.path or "/", namespace, path.service_name or "", path.service_port
                )  # fmt: skip
