"""Who takes the requests of this process's door: a route's service, the agents' endpoints, or the ASGI application.

Paths of a routed host belong to the routed service, all of them. Everything else that has no taker is refused here:
only what is for a control host, and the health paths, reach the application.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from math import inf
from typing import Any, Final

from ..agents import endpoints as agents
from ..agents.refused import tell_of_path
from ..node.gateway import Gateway
from ..observed.metrics import Limit
from ..public.client_port import HandshakeListener, HttpListener
from ..public.known_hosts import KnownHosts
from ..public.reading import made_request
from ..public.refusals import RefusedHandshake, RefusedRequest
from ..public.routed import handshake_call, request_call, routed_call, unrouted_call, unrouted_handshake
from ..rules import problems
from ..rules.fields import Fields, facts_of
from ..rules.hosts import HOST_CHARACTERS, HOST_FIELD_BYTES, is_host, normalise_host
from ..rules.own_paths import CONTROLLER, HEALTH
from ..rules.problems import Problem
from ..rules.request import Request
from ..rules.routes import Route
from ..rules.shape import shape_of
from ..settings.hosts import is_control
from .agent_handshake import AgentHandshake
from .asgi_call import Application, AsgiCall, scope_of
from .backlog import Backlog
from .connection import Connection
from .deadlines import Deadlines
from .handshake import ClientHandshake
from .heads import Head
from .lines import HeadError
from .port import Peer
from .spliced_channel import SplicedChannel

_NO_FIELDS: Final = Fields([], *facts_of(shape_of(()), (), is_checked=True))


class GatewayReception:
    """See the module. `app` is the ASGI application of `gateway`."""

    def __init__(
        self, gateway: Gateway, app: Application, *, keep_alive_seconds: float,
        pings: tuple[float | None, float | None], max_message_bytes: int, root_path: str, state: dict[str, Any],
        tasks: "set[asyncio.Task[None]]", loop: asyncio.AbstractEventLoop,
    ) -> None:  # fmt: skip
        self._gateway = gateway
        self._app = app
        self._pings = pings
        self._max_message_bytes = max_message_bytes
        self._root_path = root_path
        self._state = state
        self._tasks = tasks
        self._hosts = KnownHosts(gateway)
        self.account = gateway.account
        self.backlog = Backlog(loop)
        self.deadlines = Deadlines(loop)
        self.keep_alive_seconds = keep_alive_seconds
        self.connections: set[Connection | SplicedChannel] = set()
        gateway.relief.waiters.add(self)
        self.most_connections = inf
        self.overfull: Callable[[Connection], None] = _nothing
        """Told of a connection that is one more than `most_connections`."""

    def joined(self, connection: Connection, /) -> None:
        """A connection was made."""
        self._gateway.open()
        self.connections.add(connection)
        if len(self.connections) > self.most_connections:
            self.overfull(connection)

    def parted(self, connection: Connection | SplicedChannel, /) -> None:
        """It is gone; idempotent."""
        self.connections.discard(connection)

    def handed_over(self, connection: Connection, heir: SplicedChannel, /) -> None:
        """See `port.Reception`."""
        self.parted(connection)
        self.connections.add(heir)

    def waiting(self) -> "set[Connection | SplicedChannel]":
        """The connections, for the relief."""
        return self.connections

    def relieved(self, _: Connection | SplicedChannel, limit: Limit, /) -> None:
        """A connection is ended, because the process holds too much."""
        self._gateway.metrics.limit_hit(limit)

    def take(self, head: Head, connection: Connection, /) -> HttpListener:
        """The call of a request."""
        gateway, fields = self._gateway, head.fields
        request = made_request(
            head.method, head.path, head.query, fields, connection.peer, connection.scheme,
            gateway.proxies, (), False, self._root_path, head.target, True,
        )  # fmt: skip
        lone = self._hosts.lone(fields.host)
        if lone is not None:
            return routed_call(gateway, lone, request, connection)
        routes = self._routes_of(fields.host)
        if routes is not None:
            return request_call(gateway, request, connection, routes)
        reason = host_fault(fields.host)
        if reason:
            return RefusedRequest(gateway, request, connection, problems.BAD_REQUEST, reason)
        if head.path not in HEALTH and not self._is_control(head, connection):
            return unrouted_call(gateway, request, connection)
        scope = scope_of(
            head.method, head.path, head.query, fields.lines, is_old=head.is_old, scheme=connection.scheme,
            root_path=self._root_path, client=(connection.peer, 0), server=(connection.local, 0), state=self._state,
        )  # fmt: skip
        has_body = fields.framing.chunked or fields.framing.length > 0
        return AsgiCall(self._app, scope, connection, self.account, self._tasks, has_body=has_body)

    def refuse(self, error: HeadError, connection: Connection, /) -> HttpListener:
        """The call of what was not a request."""
        request = made_request(
            error.method, error.path, b"", _NO_FIELDS, connection.peer, connection.scheme,
            self._gateway.proxies,
        )  # fmt: skip
        return RefusedRequest(self._gateway, request, connection, error.problem, str(error))

    def upgrade(self, head: Head, connection: Connection, /, problem: Problem | None = None) -> Peer:
        """Who answers a WebSocket handshake. `problem`: why it is refused, whatever it is for."""
        gateway, fields = self._gateway, head.fields
        offered = b",".join([value for name, value in fields.lines if name == b"sec-websocket-protocol"])
        request = made_request(
            head.method, head.path, head.query, fields, connection.peer, connection.scheme,
            gateway.proxies,
            tuple(name.strip() for name in offered.decode("latin-1").split(",")) if offered else (), True,
            self._root_path, head.target,
        )  # fmt: skip
        key = request.first(b"sec-websocket-key") or b""
        routes = self._routes_of(fields.host)
        if problem is not None and routes is None and head.path == CONTROLLER:
            fault = _handshake_fault(head, request)  # 101 and 1013, not a 503: see app/agents/endpoints.py
            if fault is None:
                refusal = problem
                return AgentHandshake(
                    connection, key, self._pings, self._max_message_bytes,
                    lambda socket: agents.refuse(gateway, request, socket, refusal), self._tasks,
                )  # fmt: skip
        fault = (problem, "") if problem is not None else _handshake_fault(head, request)
        if fault is None and routes is None and agents.is_for_agents(gateway, request):
            return AgentHandshake(
                connection, key, self._pings, self._max_message_bytes,
                lambda socket: agents.serve(
                    gateway, request, socket, is_control_host=self._is_control(head, connection)
                ),
                self._tasks,
            )  # fmt: skip

        if fault is None and routes is None and self._is_control(head, connection):
            tell_of_path(gateway, request)

        def make(handshake: ClientHandshake) -> HandshakeListener:
            if fault is not None:
                return RefusedHandshake(gateway, request, handshake, *fault)
            if routes is None:
                return unrouted_handshake(gateway, request, handshake)
            return handshake_call(gateway, request, handshake, routes=routes)

        return ClientHandshake(connection, key, self._pings, self._max_message_bytes, make)

    def is_ours(self, head: Head, connection: Connection) -> bool:
        """Whether the gateway itself answers this: what agents and the operator ask, and health checks."""
        is_ours = head.path in HEALTH or self._is_control(head, connection)
        return is_ours and self._routes_of(head.fields.host) is None

    def turn_away(self, head: Head, connection: Connection, problem: Problem) -> HttpListener:
        """The call of a request that is refused, whatever it is for."""
        request = made_request(
            head.method, head.path, head.query, head.fields, connection.peer, connection.scheme,
            self._gateway.proxies,
        )  # fmt: skip
        return RefusedRequest(self._gateway, request, connection, problem)

    def _routes_of(self, sent: bytes) -> list[Route] | None:
        """The routes of a Host field. None: it is not routed, or no host."""
        if sent not in self._hosts and host_fault(sent):
            return None
        return self._hosts.routes(sent)

    def _is_control(self, head: Head, connection: Connection) -> bool:
        return is_control(self._gateway.settings.control_hosts, head.fields.host, connection.local)

    def __repr__(self) -> str:
        return f"<GatewayReception {len(self.connections)} connections, {len(self._tasks)} tasks>"


def _nothing(_: Connection) -> None:
    """There is no bound."""


def host_fault(host: bytes) -> str:
    """What is wrong with a Host field, before anything looks at it; empty where nothing is."""
    if len(host) > HOST_FIELD_BYTES:
        return f"the host is longer than {HOST_CHARACTERS} characters"
    if not is_host(host):
        return "Host is not a host name"
    if len(host) > HOST_CHARACTERS and len(normalise_host(host.decode("latin-1"))) > HOST_CHARACTERS:
        return f"the host is longer than {HOST_CHARACTERS} characters"
    return ""


def _handshake_fault(head: Head, request: Request) -> tuple[Problem, str] | None:
    """Why this handshake cannot be accepted (RFC 6455 section 4.2.1)."""
    host = host_fault(head.fields.host)
    if host:
        return problems.BAD_REQUEST, host
    if head.method != "GET":
        return problems.BAD_REQUEST, "a WebSocket handshake is a GET"
    framing = head.fields.framing
    if framing.length or framing.chunked:
        return problems.BAD_REQUEST, "a WebSocket handshake has no body"
    if request.all(b"sec-websocket-version") != [b"13"]:
        return problems.UPGRADE_REQUIRED, ""
    keys = request.all(b"sec-websocket-key")
    try:
        valid = len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except binascii.Error:
        valid = False
    return None if valid else (problems.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64")
