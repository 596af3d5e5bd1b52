"""The operator's endpoints: `/metrics` and everything under `/-/`, on the control hosts or on a separate listener.

They need the admin token (`Authorization: Bearer`), and are off when none is configured. A listener on loopback
(`admin_bind`) needs no token.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..node.gateway import Gateway
from ..rules import problems
from ..rules.hosts import normalise_host
from .api.endpoint import routes_of
from .api.errors import ApiError
from .api.resources import Node, node_of
from .api.table import RESOURCES
from .health import health_routes
from .reload import Reloader

_UNAUTHORISED = problems.Problem(
    401, "admin_token_needed", "Not for everyone", "This address is for the operator, and needs the admin token.",
    "Send Authorization: Bearer with the admin token. The operator sets it in GATEWAY_ADMIN_TOKEN or admin_token_file.",
)  # fmt: skip


_NOT_LOCAL = ApiError(
    403, "not_local", "only programs on this machine get an answer; ask for localhost, and not from a page"
)


class Admin:
    """The operator's endpoints of one node. `open_to_all`: no token, because only this machine can connect."""

    def __init__(self, node: Node, *, open_to_all: bool = False) -> None:
        self._gateway = node.gateway
        self._open = open_to_all
        self.routes = [
            Route("/metrics", self.metrics, methods=["GET"]),
            *routes_of(RESOURCES, node, self._refusal),
        ]

    async def metrics(self, request: Request) -> Response:
        """The metrics, for Prometheus."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        body, content_type = self._gateway.metrics.render(request.headers.get("accept"))
        return Response(body, media_type=None, headers={"content-type": content_type})

    def _refusal(self, request: Request) -> Response | None:
        if self._open:
            # A page in a browser on this machine must not reach it through a host name of its own.
            host = normalise_host(request.headers.get("host", ""))
            if not _is_of_a_page(request) and host in ("localhost", "127.0.0.1", "[::1]"):
                return None
            return Response(_NOT_LOCAL.body, 403, media_type="application/json")
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._gateway.settings.is_admin_token(token.encode("latin-1").strip()):
            return None
        status, headers, body = problems.render(_UNAUTHORISED, request.scope["headers"])
        texts = {name.decode(): value.decode() for name, value in headers}
        return Response(body, status, {**texts, "www-authenticate": "Bearer"})


def _is_of_a_page(request: Request) -> bool:
    """A page makes a browser ask. Images and links bring no Origin, and a GET may send a probe."""
    return "origin" in request.headers or request.headers.get("sec-fetch-site") in ("cross-site", "same-site")


def create_admin_app(gateway: Gateway, node: Node | None = None, *, open_to_all: bool) -> Starlette:
    """An application with only the operator's endpoints, for a separate listener. `node`: as the main one has it.

    Health checks too, where they cannot reach the public one: with `proxy_protocol` it closes what sends no header.
    """
    if node is None:
        node = node_of(gateway, Reloader(gateway))
    routes = Admin(node, open_to_all=open_to_all).routes
    return Starlette(routes=[*health_routes(gateway), *routes] if gateway.settings.proxy_protocol else routes)
