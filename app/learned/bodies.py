"""The bodies of the agents' REST calls. Only their shape is checked here; `claims.py` checks what they say.

The shapes are loose where one wrong entry would otherwise cost all others: a list may be null (an empty list in Go),
and a port may be a string. Unknown keys (annotations, labels, deployment ids) are ignored.

What a body costs is bounded before it is read, by counting what it could hold while it arrives, and the parts of a sync
are read one by one: nobody else waits for an agent that routes thousands of hosts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

_Body = TypeVar("_Body", bound=msgspec.Struct)

OBJECTS = 65_536
"""In one body: three for each of 20,000 routes, and room for annotations. As many are found in 3 ms."""
VALUES = 400_000
"""In one body, read or ignored: one for every ten bytes of the longest. As many are skipped in 5 ms."""

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
    rules: list[msgspec.Raw] | None = None
    """Each a `Rule`."""


class SyncBody(msgspec.Struct):
    """POST .../routes/sync: everything that a cluster routes."""

    cluster_uuid: str | None = None
    routing_mode: str | None = None
    ingress_controller: Controller | None = None
    ingresses: list[msgspec.Raw] | None = None
    """Each an `Ingress`."""


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


class Text:
    """The bytes of a body. A look at all of them costs milliseconds, so they are counted while they arrive."""

    def __init__(self, *parts: bytes) -> None:
        self._bytes = bytearray()
        self._objects = self._values = 0
        for part in parts:
            self.add(part)

    def add(self, part: bytes) -> None:
        """The next part."""
        self._bytes += part
        self._objects += part.count(b"{")
        self._values += part.count(b",")

    def decoded(self, kind: type[_Body]) -> _Body:
        """The body as `kind`. Raises BodyError."""
        if self._objects > OBJECTS or self._values > VALUES:
            raise BodyError(f"more than {OBJECTS} objects or {VALUES} values")
        return _decoded(kind, self._bytes)


def _decoded(kind: type[_Body], body: bytes | bytearray | msgspec.Raw, place: str = "") -> _Body:
    """A body, or the part of one that is found at `place`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        text = str(error)
        if place and "`$" not in text:
            text += " - at `$`"
        raise BodyError(text.replace("`$", f"`${place}")) from None
    except (UnicodeDecodeError, RecursionError):
        raise BodyError("not JSON") from None


def named_by_register(body: RegisterBody) -> Named:
    """The route of a register call."""
    return Named(
        body.hostname, body.path or "/", body.namespace or "", body.service_name or "", body.service_port
    )  # fmt: skip


def named_by_sync(body: SyncBody) -> Iterator[Named | None]:
    """Every route of a sync call, in order, and None for a part without one: each step costs about the same.

    The services are in the controller's namespace, if the call names it. Raises BodyError for a part that does not fit.
    """
    controller = body.ingress_controller.namespace if body.ingress_controller is not None else None
    for number, part in enumerate(body.ingresses or ()):
        yield None
        place = f".ingresses[{number}]"
        ingress = _decoded(Ingress, part, place)
        namespace = controller or ingress.namespace or ""
        for index, ruled in enumerate(ingress.rules or ()):
            yield None
            rule = _decoded(Rule, ruled, f"{place}.rules[{index}]")
            for path in rule.paths or ():
                yield Named(
                    rule.host or "", path.path or "/", namespace, path.service_name or "", path.service_port
                )  # fmt: skip
