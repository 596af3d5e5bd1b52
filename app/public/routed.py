"""Requests for a routed host: find the route, then carry the request to its service or refuse it.

All paths of a routed host belong to the routed services.
"""

from ..node.gateway import Gateway
from ..rules import problems
from ..rules.problems import Problem
from ..rules.request import Request
from ..rules.routes import Route, UnsafePathError, normalise_host
from . import http_call, websocket_call
from .client_port import Handshake, HttpClient
from .header_rules import BadRequestError, checked_host, is_websocket_upgrade
from .refusals import refuse_request, refuse_websocket


async def carry_request(gateway: Gateway, request: Request, client: HttpClient, *, refused: str = "") -> None:
    """Carry a request to its service. `refused`: what the server found wrong with it; answered with 400."""
    try:
        route = _route_of(gateway, request, refused)
    except _NoRouteError as error:
        await refuse_request(gateway, request, client, error.problem, error.detail)
        return
    if is_websocket_upgrade(request.fields):
        # A server without WebSocket support hands the handshake over as plain HTTP.
        await refuse_request(gateway, request, client, problems.NO_WEBSOCKETS)
        return
    await http_call.carry(gateway, route, request, client)


async def carry_websocket(gateway: Gateway, request: Request, client: Handshake, *, refused: str = "") -> None:
    """Carry a WebSocket to its service. `refused` is as in `carry_request`."""
    try:
        route = _route_of(gateway, request, refused)
    except _NoRouteError as error:
        await refuse_websocket(gateway, request, client, error.problem, error.detail)
        return
    await websocket_call.carry(gateway, route, request, client)


class _NoRouteError(Exception):
    """The request has no route; answer with this problem."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


def _route_of(gateway: Gateway, request: Request, refused: str) -> Route:
    if refused:
        raise _NoRouteError(problems.BAD_REQUEST, refused)
    try:
        route = gateway.route_of(normalise_host(checked_host(request)), request.path)
    except UnsafePathError:
        raise _NoRouteError(problems.UNSAFE_PATH) from None
    except BadRequestError as error:
        raise _NoRouteError(problems.BAD_REQUEST, str(error)) from None
    if route is None:
        raise _NoRouteError(problems.NO_ROUTE)
    return route
