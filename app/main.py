"""The ASGI application: `uvicorn app.main:app`, or `create_app(settings)` to mount inside another.

Real Starlette routes carry it: paths of a routed host belong to the routed service, all of them; `/healthz` and
`/readyz` answer on every other host; the agents' endpoints only on the control hosts.
"""

import contextlib
import ipaddress
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .agents import endpoints
from .agents.rest import ControlPlane
from .node.gateway import Gateway
from .operator.admin import Admin
from .operator.reload import Reloader
from .public import http_call, websocket_call
from .public.header_rules import BadRequestError, host_header, host_of, is_websocket_upgrade, raw_path_of
from .public.refusals import refuse_unrouted
from .rules import problems
from .rules.routes import UnsafePathError, normalise_host
from .server import workers
from .settings import ConfigurationError, Settings, load, web_concurrency

logger = logging.getLogger("gateway")

_AGENT_PATHS = {
    "/agent": endpoints.serve_agent,
    "/api/v1/clusters/agent/ws": endpoints.serve_controller,
    "/ws": endpoints.serve_gateway,
}


class RoutedHosts(BaseRoute):
    """Every request whose host is routed, whatever its path: the way into the tunnel."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for a routed host, and for what the server's protocol found wrong."""
        if scope["type"] in ("http", "websocket"):
            host = host_header(scope).decode("latin-1")
            if self._gateway.routes_of(normalise_host(host)) is not None or _refused(scope):
                return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request or the WebSocket."""
        gateway = self._gateway
        gateway.open()
        websocket = scope["type"] == "websocket"
        try:
            if reason := _refused(scope):
                raise BadRequestError(reason)  # noqa: TRY301  (one answer to all that is wrong)
            host = host_of(scope)
            raw_path = raw_path_of(scope)
            route = gateway.route_of(normalise_host(host), raw_path)
            if route is None:
                await refuse_unrouted(gateway, scope, receive, send, problems.NO_ROUTE)
            elif websocket:
                await websocket_call.carry(gateway, route, scope, raw_path, receive, send)
            elif is_websocket_upgrade(scope["headers"]):
                # A server without WebSocket support hands the handshake over as plain HTTP.
                await refuse_unrouted(gateway, scope, receive, send, problems.NO_WEBSOCKETS)
            else:
                await http_call.carry(gateway, route, scope, raw_path, receive, send)
        except UnsafePathError:
            await refuse_unrouted(gateway, scope, receive, send, problems.UNSAFE_PATH)
        except BadRequestError as error:
            await refuse_unrouted(gateway, scope, receive, send, problems.BAD_REQUEST, str(error))


def _refused(scope: Scope) -> str:
    """Why the server's protocol wants this answered with 400; empty for what it found in order."""
    reason: str = (scope.get("extensions") or {}).get("gateway.refused", "")
    return reason


class AgentEndpoints(BaseRoute):
    """The paths that agents dial, on the control hosts."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for a WebSocket on one of the agents' paths."""
        if scope["type"] == "websocket" and raw_path_of(scope).decode("latin-1") in _AGENT_PATHS:
            return Match.FULL, {}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the agent; on a host that is not ours 503, never 403: it must not stay away for good."""
        if not is_control_host(self._gateway.settings, scope):
            logger.warning(
                "agent refused: Host %.100r is not a control host; set public_url or control_hosts",
                host_header(scope),
            )
            await endpoints.turn_away(scope, receive, send, _WRONG_HOST)
            return
        await _AGENT_PATHS[raw_path_of(scope).decode("latin-1")](self._gateway, scope, receive, send)


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
        await self._calls.handle(scope, receive, send)


class OperatorEndpoints(BaseRoute):
    """What the admin token opens, on the control hosts; nothing here where it has a listener of its own."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._router = Router(routes=Admin(gateway).routes, default=_no_route(gateway))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Full for an operator's path on a control host, once there is an admin token."""
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


_WRONG_HOST = problems.Problem(
    503, "not_a_control_host", "Not an address for agents", "Agents are not served under this host.",
    "The operator sets public_url or control_hosts to the host that agents dial.", 5,
)  # fmt: skip


def is_control_host(settings: Settings, scope: Scope) -> bool:
    """Whether our own endpoints answer here: a control host, or the IP address the connection came in on."""
    host = normalise_host(host_header(scope).decode("latin-1"))
    if host in settings.control_hosts:
        return True
    server = scope.get("server")
    try:
        return server is not None and ipaddress.ip_address(host.strip("[]")) == ipaddress.ip_address(server[0])
    except ValueError:
        return False


def _no_route(gateway: Gateway) -> ASGIApp:
    """What no route took."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse_unrouted(gateway, scope, receive, send, problems.NO_ROUTE)

    return answer


def create_app(settings: Settings | None = None) -> Starlette:
    """The gateway as an ASGI application; `app.state.gateway` is its `Gateway`, whose `aclose` ends it.

    Without settings they come from the environment. Raises ConfigurationError.
    """
    gateway = Gateway(settings if settings is not None else load())

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        cluster = request.query_params.get("cluster")
        if gateway.draining:
            return PlainTextResponse("draining\n", 503)
        # Without a cluster it does not depend on agents: a rollout that waits for them would never end.
        if cluster is not None and not any(link.available for link in gateway.registry.links(cluster)):
            return PlainTextResponse("no agent of this cluster\n", 503)
        return PlainTextResponse("ready\n")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        gateway.open()
        try:
            yield
        finally:
            await gateway.aclose()

    reloader = Reloader(gateway)
    if gateway.settings.file is not None:
        gateway.companions.append(reloader)
    routes = [
        RoutedHosts(gateway),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        AgentEndpoints(gateway),
        ControlPlaneEndpoints(gateway),
        OperatorEndpoints(gateway),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={Exception: _internal_error})
    app.router.default = _no_route(gateway)
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.reloader = reloader
    return app


async def _internal_error(request: Request, _: Exception) -> Response:
    """A fault of ours, before anything was sent; Starlette raises it again for the server's log."""
    status, headers, body = problems.render(problems.INTERNAL, request.scope["headers"])
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


def __getattr__(name: str) -> Starlette:
    """`app.main:app`, made when a server asks for it: importing this module alone reads no configuration."""
    if name != "app":
        raise AttributeError(name)
    if workers.is_worker() and workers.asked_for(sys.argv, web_concurrency()) > 1:
        sys.stderr.write(f"tunnel-gateway: {workers.REASON}\n")
        sys.stderr.flush()
        # The server would start another worker in our place, for ever, and ends with status 0 when asked to end.
        os.kill(os.getppid(), signal.SIGALRM)
        raise SystemExit(3)
    try:
        application = create_app()
    except ConfigurationError as error:
        sys.stderr.write(f"tunnel-gateway: {error}\n")
        raise SystemExit(2) from None
    globals()["app"] = application
    return application
