"""The ASGI application: `uvicorn app.main:app`, or `create_app(settings)` to mount inside another.

Real Starlette routes carry it: paths of a routed host belong to the routed service, all of them; `/healthz` and
`/readyz` answer on every other host; the agents' endpoints only on the control hosts.
"""

import contextlib
import sys
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from .asgi import on_demand
from .asgi.endpoints import AgentEndpoints, ControlPlaneEndpoints, OperatorEndpoints, RoutedHosts, no_route
from .node.gateway import Gateway
from .operator.reload import Reloader
from .rules import problems
from .server import workers
from .settings import ConfigurationError, Settings, load, web_concurrency


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
    app.router.default = no_route(gateway)
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.reloader = reloader
    return app


async def _internal_error(request: Request, _: Exception) -> Response:
    """A fault of ours, before anything was sent; Starlette raises it again for the server's log."""
    status, headers, body = problems.render(problems.INTERNAL, request.scope["headers"])
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


def _served() -> Starlette:
    """`app` for a server. Where there can be none, says why in one line and ends the process."""
    asked = workers.asked_for(sys.argv, web_concurrency())
    if workers.is_worker() and asked > 1:
        workers.refuse(asked)
    try:
        return create_app()
    except ConfigurationError as error:
        sys.stderr.write(f"tunnel-gateway: {error}\n")
        raise SystemExit(2) from None


app: Starlette
on_demand.provide(sys.modules[__name__], "app", _served)
