"""The Starlette application of the gateway: calls for routed hosts go to the tunnel before the middleware stack.

The routes are ordinary ones, for everything else and for whoever inspects the application. `RoutedHosts` is the first
of them, and is asked here already.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from .endpoints import RoutedHosts


class GatewayApplication(Starlette):
    """See the module. `routed` is also its first route."""

    def __init__(self, routed: RoutedHosts, **options: Any) -> None:  # noqa: ANN401  (Starlette's own)
        super().__init__(**options)
        self._routed = routed
        self.router.routes.insert(0, routed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        carried = self._routed.take(scope, receive, send)
        if carried is not None:
            await carried
        else:
            await super().__call__(scope, receive, send)
