"""The bodies of the agents' REST calls. Only their shape is checked here; `claims.py` checks what they say.

The shapes are loose where one wrong entry would otherwise cost all others: a list may be null (an empty list in Go),
and a port may be a string. Unknown keys (annotations, labels, deployment ids) are ignored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

_Body = TypeVar("_Body", bound=msgspec.Struct)

DIRECT = "direct"
"""The `routing_mode` of routes that do not use the tunnel. They are not routed here."""


class RegisterBody(msgspec.Struct):
    """POST .../routes/register: one path of one host. The service is that of the ingress controller."""

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
    """One path of a rule. The service is that of the ingress controller."""

    path: str | None = None
    service_name: str | None = None
    service_port: int | str | None = None


class Rule(msgspec.Struct):
    """One host of an ingress."""

    host: str | None = None
    paths: list[IngressPath] | None = None


class Ingress(msgspec.Struct):
    """One ingress. Its namespace is that of the application."""

    namespace: str | None = None
    rules: list[Rule] | None = None


class SyncBody(msgspec.Struct):
    """POST .../routes/sync: everything that a cluster routes."""

    cluster_uuid: str | None = None
    routing_mode: str | None = None
    ingress_controller: Controller | None = None
    ingresses: list[Ingress] | None = None


class UnregisterBody(msgspec.Struct):
    """POST .../routes/unregister: a host with all its paths."""

    hostname: str


class Tunnel(msgspec.Struct):
    """A TCP tunnel, as far as it is read."""

    tunnel_id: str | None = None


class TunnelSyncBody(msgspec.Struct):
    """POST .../tunnels/sync."""

    tunnels: list[Tunnel] | None = None


class BodyError(Exception):
    """The body does not fit its call. The text names the place, and quotes nothing from the body."""


@dataclass(frozen=True, slots=True)
class Named:
    """One route that an agent names, not yet checked."""

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


def named_by_register(body: RegisterBody) -> Named:
    """The route of a register call."""
    return Named(
        body.hostname, body.path or "/", body.namespace or "", body.service_name or "", body.service_port
    )  # fmt: skip


def named_by_sync(body: SyncBody) -> Iterator[Named]:
    """Every route of a sync call, in order. The services are in the controller's namespace, if the call names it."""
    controller = body.ingress_controller.namespace if body.ingress_controller is not None else None
    for ingress in body.ingresses or ():
        namespace = controller or ingress.namespace or ""
        for rule in ingress.rules or ():
            for path in rule.paths or ():
                yield Named(
                    rule.host or "", path.path or "/", namespace, path.service_name or "", path.service_port
                )  # fmt: skip
