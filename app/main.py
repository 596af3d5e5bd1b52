"""The ASGI application: `uvicorn app.main:app`, or `create_app(settings)` to mount it inside another application.

Starlette routes dispatch the calls. All paths of a routed host belong to its services; `/healthz` and `/readyz` answer
on every other host; the agents' and operator's endpoints answer only on the control hosts.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from .asgi import on_demand
from .asgi.application import GatewayApplication
from .asgi.endpoints import AgentEndpoints, ControlPlaneEndpoints, OperatorEndpoints, RoutedHosts, no_route
from .node.gateway import Gateway
from .operator.api.answers_to_nodes import AnswersToNodes
from .operator.api.resources import node_of
from .operator.api.table import RESOURCES
from .operator.health import health_routes
from .operator.ignored import Ignored
from .operator.notices import Notices
from .operator.reload import Reloader
from .public.probes import Probes
from .rules import problems
from .server import workers
from .settings import ClusterSettings, ConfigurationError, Settings, load, web_concurrency


def create_app(settings: Settings | None = None) -> Starlette:
    """The gateway as an ASGI application. `app.state.gateway` is its `Gateway`; call its `aclose` to end it.

    Reads the settings from the environment if none are given. Raises ConfigurationError.
    """
    gateway = Gateway(settings if settings is not None else load())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        gateway.open()
        try:
            yield
        finally:
            await gateway.aclose()

    gateway.prober = Probes(gateway)
    gateway.companions.append(Ignored(gateway))
    gateway.companions.append(Notices(gateway))
    if gateway.settings.cluster is not None:
        _join(gateway, gateway.settings.cluster)
    reloader = Reloader(gateway)
    if gateway.settings.files_read:
        gateway.companions.append(reloader)
    node = node_of(gateway, reloader)
    if gateway.settings.cluster is not None:
        gateway.operator = AnswersToNodes(RESOURCES, node)
    routes = [
        *health_routes(gateway),
        AgentEndpoints(gateway),
        ControlPlaneEndpoints(gateway),
        OperatorEndpoints(node),
    ]
    app = GatewayApplication(
        RoutedHosts(gateway), routes=routes, lifespan=lifespan, exception_handlers={Exception: _internal_error}
    )
    app.router.default = no_route(gateway)
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.reloader = reloader
    app.state.node = node
    return app


def _join(gateway: Gateway, cluster: ClusterSettings) -> None:
    """Make the gateway one of several nodes. Raises ConfigurationError."""
    from .cluster.engine import ExtraMissingError  # noqa: PLC0415 (one node needs none of it)
    from .cluster.node import Node  # noqa: PLC0415 (likewise)
    from .server.bare.door import BareDoor  # noqa: PLC0415 (likewise)

    try:
        node = Node(gateway, cluster, door=lambda: BareDoor(gateway.account, asyncio.get_running_loop()))
    except (ExtraMissingError, OSError, ValueError) as error:
        raise ConfigurationError(f"cluster: {error}") from None
    gateway.elsewhere = node
    gateway.companions.append(node)


async def _internal_error(request: Request, _: Exception) -> Response:
    """Answer a bug in the gateway, if nothing was sent yet. Starlette raises it again for the server's log."""
    status, headers, body = problems.render(problems.INTERNAL, request.scope["headers"])
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


def _served() -> Starlette:
    """`app` for a server. If it cannot be made, print the reason in one line and end the process."""
    asked = workers.asked_for(sys.argv, web_concurrency())
    if workers.is_worker() and asked > 1:
        workers.refuse(asked)
    try:
        return create_app()
    except ConfigurationError as error:
        sys.stderr.writelines(f"tunnel-gateway: {line}\n" for line in error.errors)
        raise SystemExit(2) from None


app: Starlette
on_demand.provide(sys.modules[__name__], "app", _served)
