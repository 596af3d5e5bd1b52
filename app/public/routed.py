"""What comes for a routed host: its route is found, and it is carried there, or refused.

Paths of a routed host belong to the routed service, all of them. What comes for a host that nobody has is refused, or
waits where the host may be published within seconds. A bad request never waits.
"""

from functools import partial

from ..node.gateway import Gateway
from ..rules import problems
from ..rules.hosts import normalise_host
from ..rules.problems import Problem
from ..rules.request import Request
from ..rules.routes import Route, UnsafePathError, match
from .client_port import Handshake, HandshakeListener, HttpClient, HttpListener
from .early import EarlyHandshake, EarlyRequest
from .header_rules import (
    MISPLACED_STAR,
    BadRequestError,
    checked_host,
    fault_of,
    is_misplaced_star,
    is_websocket_upgrade,
)
from .http_call import HttpCall
from .refusals import RefusedHandshake, RefusedRequest
from .rewriting import https_url
from .rewritten_call import RewrittenCall
from .websocket_call import WebSocketCall


def request_call(
    gateway: Gateway, request: Request, client: HttpClient, routes: list[Route] | None = None, refused: str = ""
) -> HttpListener:
    """The call of a request: to its service, or one that answers why not.

    `routes`: those of its Host, where the door has looked it up and checked it. `refused`: what the server found wrong
    with the request; it is answered 400. A request that its door has checked needs no more than its route.
    """
    try:
        route = match(routes, request.path) if request.is_checked else None
        if route is None:
            route = _route_of(gateway, request, routes, refused)
    except UnsafePathError:
        return RefusedRequest(gateway, request, client, problems.UNSAFE_PATH)
    except _NoRouteError as error:
        return RefusedRequest(gateway, request, client, error.problem, error.detail)
    return routed_call(gateway, route, request, client)


def routed_call(gateway: Gateway, route: Route, request: Request, client: HttpClient) -> HttpListener:
    """The call of a request whose route is found."""
    if request.method == "TRACE" and not route.policy.allow_trace:  # RFC 9110 section 9.3.8
        return RefusedRequest(gateway, request, client, problems.NOT_IMPLEMENTED, "TRACE", route=route)
    if request.upgrade and is_websocket_upgrade(request.fields):
        # A server without WebSocket support hands the handshake over as plain HTTP.
        return RefusedRequest(gateway, request, client, problems.NO_WEBSOCKETS, route=route)
    rewrite = route.policy.rewrite
    if rewrite is None:
        return HttpCall(gateway, route, request, client)
    if (problem := rewrite.refusal(request)) is not None:
        location = _location(gateway, request, problem)
        return RefusedRequest(gateway, request, client, problem, route=route, location=location)
    return RewrittenCall(gateway, route, request, client, rewrite)


def handshake_call(
    gateway: Gateway, request: Request, client: Handshake, routes: list[Route] | None = None, refused: str = ""
) -> HandshakeListener:
    """The call of a WebSocket. `routes`, `refused`: as in `request_call`."""
    try:
        route = _route_of(gateway, request, routes, refused)
    except _NoRouteError as error:
        return RefusedHandshake(gateway, request, client, error.problem, error.detail)
    rewrite = route.policy.rewrite
    if rewrite is not None and (problem := rewrite.refusal(request)) is not None:
        location = _location(gateway, request, problem)
        return RefusedHandshake(gateway, request, client, problem, route=route, location=location)
    return WebSocketCall(gateway, route, request, client)


def unrouted_call(gateway: Gateway, request: Request, client: HttpClient) -> HttpListener:
    """The call of a request to a host that nobody has."""
    host = normalise_host(request.host.decode("latin-1"))
    if not gateway.is_to_come(host):
        return RefusedRequest(gateway, request, client, problems.NO_ROUTE)
    if fault := fault_of(request):
        return RefusedRequest(gateway, request, client, problems.BAD_REQUEST, fault)
    gateway.open()
    return EarlyRequest(gateway, host, request, client, partial(request_call, gateway, request, client))


def unrouted_handshake(gateway: Gateway, request: Request, client: Handshake) -> HandshakeListener:
    """The call of a WebSocket to a host that nobody has."""
    host = normalise_host(request.host.decode("latin-1"))
    if not gateway.is_to_come(host):
        return RefusedHandshake(gateway, request, client, problems.NO_ROUTE)
    if fault := fault_of(request):
        return RefusedHandshake(gateway, request, client, problems.BAD_REQUEST, fault)
    gateway.open()
    return EarlyHandshake(gateway, host, request, client, partial(handshake_call, gateway, request, client))


def _location(gateway: Gateway, request: Request, problem: Problem) -> bytes:
    """Where a client is sent with this answer. Empty: nowhere."""
    return https_url(request, gateway.settings.public_url) if problem is problems.HTTPS_REDIRECT else b""


class _NoRouteError(Exception):
    """There is nowhere to carry it; answer with this problem."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


def _route_of(gateway: Gateway, request: Request, routes: list[Route] | None, refused: str) -> Route:
    if refused:
        raise _NoRouteError(problems.BAD_REQUEST, refused)
    try:
        if routes is None or request.hosts > 1:
            routes = gateway.routes_of(normalise_host(checked_host(request)))
        route = match(routes, request.path)
    except UnsafePathError:
        raise _NoRouteError(problems.UNSAFE_PATH) from None
    except BadRequestError as error:
        raise _NoRouteError(problems.BAD_REQUEST, str(error)) from None
    if route is None:
        raise _NoRouteError(problems.NO_ROUTE)
    if is_misplaced_star(request):
        raise _NoRouteError(problems.BAD_REQUEST, MISPLACED_STAR)
    return route
