"""The application's routes: who answers which call.

Every call for a routed host goes to its service, whatever the path. Our own endpoints answer only on the control hosts
(see `is_control_host`), and the operator's only if there is an admin token.
"""

from collections.abc import Coroutine
from typing import Any

from starlette.routing import BaseRoute, Match, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ..agents import endpoints as agents
from ..agents.refused import tell_of_path
from ..agents.rest import ControlPlane
from ..node.gateway import Gateway
from ..operator.admin import Admin
from ..operator.api.resources import Node
from ..public.known_hosts import KnownHosts
from ..public.routed import handshake_call, request_call, routed_call, unrouted_call, unrouted_handshake
from ..rules.routes import Route
from ..settings import Settings
from ..settings.hosts import is_control
from .caller import AsgiCaller
from .handshake import AsgiHandshake
from .http_client import AsgiHttpClient
from .reading import host_of, raw_path_of, read_scope, refusal_of
from .websocket import AsgiWebSocket


class RoutedHosts(BaseRoute):
    """Every call for a routed host, whatever its path: the way into the tunnel."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._hosts = KnownHosts(gateway)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for a routed host, and for one that is to be refused."""
        return (Match.NONE if self.routes_for(scope) is None else Match.FULL), {}

    def routes_for(self, scope: Scope) -> list[Route] | None:
        """The routes of the host that this call is for. None: it is not ours. Empty: it is to be refused."""
        if scope["type"] not in ("http", "websocket"):
            return None
        sent = host_of(scope)
        if sent not in self._hosts and refusal_of(scope):
            return []
        return self._hosts.routes(sent)

    def take(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None] | None:
        """What carries this call. None: it is not for a routed host."""
        lone = self._hosts.lone(host_of(scope)) if scope["type"] == "http" else None
        routes = self.routes_for(scope) if lone is None else [lone]
        return None if routes is None else self._carry(routes, lone, scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request or WebSocket, or refuse it."""
        await self._carry(self.routes_for(scope) or [], None, scope, receive, send)

    def _carry(
        self, routes: list[Route], lone: Route | None, scope: Scope, receive: Receive, send: Send
    ) -> Coroutine[Any, Any, None]:
        """What carries the request or WebSocket of a host with these routes. Without routes it is refused.

        `lone`: the one route of all its paths, where that is known.
        """
        gateway = self._gateway
        gateway.open()
        request = read_scope(scope, gateway.proxies)
        known: list[Route] | None = routes
        refused = ""
        if lone is None:
            refused = "" if routes else refusal_of(scope)
            if request.host not in self._hosts:
                known = None  # its Host was not checked
        if request.is_websocket:
            handshake = AsgiHandshake(scope, receive, send)
            return handshake.carry(handshake_call(gateway, request, handshake, routes=known, refused=refused))
        client = AsgiHttpClient(scope, receive, send)
        try:
            if lone is not None and request.hosts == 1 and request.path.startswith(b"/"):  # nearly always
                return client.carry(routed_call(gateway, lone, request, client))
            return client.carry(request_call(gateway, request, client, known, refused))
        except Exception as bug:  # noqa: BLE001  (it is raised again, and the server logs it)
            return client.apologise(bug)


class AgentEndpoints(BaseRoute):
    """The paths that agents dial, on the control hosts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for a WebSocket on one of the agents' paths."""
        if (
            scope["type"] == "websocket" and raw_path_of(scope) in agents.PATHS
            and agents.is_for_agents(self._gateway, read_scope(scope, self._gateway.proxies))
        ):  # fmt: skip
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the agent. On another host answer 503, never 403: after a 403 an agent may stay away for good."""
        gateway = self._gateway
        request = read_scope(scope, gateway.proxies)
        websocket = AsgiWebSocket(scope, receive, send)
        await agents.serve(gateway, request, websocket, is_control_host=is_control_host(gateway.settings, scope))


class ControlPlaneEndpoints(BaseRoute):
    """The existing agent's REST calls, on the control hosts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._calls = ControlPlane(gateway)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for one of the calls' paths on a control host."""
        if scope["type"] == "http" and self._calls.takes(raw_path_of(scope)):
            return (Match.FULL if is_control_host(self._gateway.settings, scope) else Match.NONE), {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the call."""
        request = read_scope(scope, self._gateway.proxies)
        await self._calls.handle(request, AsgiCaller(scope, receive, send))


class OperatorEndpoints(BaseRoute):
    """The endpoints that need the admin token, on the control hosts; off if `admin_bind` gives them a listener."""

    def __init__(self, node: Node) -> None:
        self._gateway = node.gateway
        self._router = Router(routes=Admin(node).routes, default=no_route(node.gateway))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for an operator's path on a control host, if there is an admin token."""
        settings = self._gateway.settings
        if scope["type"] != "http" or settings.admin_token_hash is None or settings.admin_bind is not None:
            return Match.NONE, {}
        path = raw_path_of(scope)
        if (path == b"/metrics" or path.startswith(b"/-/")) and is_control_host(settings, scope):
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the operator."""
        self._gateway.open()
        await self._router(scope, receive, send)


def is_control_host(settings: Settings, scope: Scope) -> bool:
    """Whether our own endpoints answer on this Host: a control host, or the IP address that the client connected to."""
    server = scope.get("server")
    return is_control(settings.control_hosts, host_of(scope), server[0] if server is not None else "")


def no_route(gateway: Gateway) -> ASGIApp:
    """The answer to calls that no route takes."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = read_scope(scope, gateway.proxies)
        if request.is_websocket:
            if is_control_host(gateway.settings, scope):
                tell_of_path(gateway, request)
            handshake = AsgiHandshake(scope, receive, send)
            await handshake.carry(unrouted_handshake(gateway, request, handshake))
        else:
            client = AsgiHttpClient(scope, receive, send)
            await client.carry(unrouted_call(gateway, request, client))

    return answer
