"""The operator's endpoints: `/metrics` and everything under `/-/`, on the control hosts or on a separate listener.

They need the admin token (`Authorization: Bearer`), and are off when none is configured. A listener on loopback
(`admin_bind`) needs no token.
"""

import asyncio
import math
from datetime import UTC, datetime

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tunnel.port import Target

from ..node.gateway import Gateway
from ..rules import problems
from ..rules.routes import normalise_host
from .health import health_routes

_LONGEST_WAIT_SECONDS = 86_400.0

_UNAUTHORISED = problems.Problem(
    401, "admin_token_needed", "Not for everyone", "This address is for the operator, and needs the admin token.",
    "Send Authorization: Bearer with the admin token. The operator sets it in GATEWAY_ADMIN_TOKEN or admin_token_file.",
)  # fmt: skip


class Admin:
    """The operator's endpoints of one gateway. `open_to_all`: no token, because only this machine can connect."""

    def __init__(self, gateway: Gateway, *, open_to_all: bool = False) -> None:
        self._gateway = gateway
        self._open = open_to_all
        self.routes = [
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/-/drain", self.drain, methods=["POST"]),
            Route("/-/routes", self.routes_known, methods=["GET"]),
        ]

    async def metrics(self, request: Request) -> Response:
        """The metrics, for Prometheus."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        body, content_type = self._gateway.metrics.render(request.headers.get("accept"))
        return Response(body, media_type=None, headers={"content-type": content_type})

    async def drain(self, request: Request) -> Response:
        """Start to drain. With `?wait=SECONDS`, answer when the drain is done or that time is over."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        wait = request.query_params.get("wait")
        try:
            seconds = min(max(float(wait), 0.0), _LONGEST_WAIT_SECONDS) if wait is not None else 0.0
        except ValueError:
            seconds = math.nan
        if math.isnan(seconds):
            return JSONResponse({"code": "bad_request", "message": "wait is not valid; write a number of seconds"}, 400)
        task = self._gateway.begin_drain()
        if seconds:
            await asyncio.wait((task,), timeout=seconds)
        left = len(self._gateway.exchanges)
        message = "drained" if task.done() else f"draining: {left} exchanges are open"
        return JSONResponse(
            {"drained": task.done(), "exchanges": left, "message": message}, 200 if task.done() else 202
        )

    async def routes_known(self, request: Request) -> Response:
        """Every route: those of the file, in its order, then those that agents registered; and those we refused."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        gateway = self._gateway
        control_hosts = gateway.settings.control_hosts
        routes = [
            _told(route.host, route.path.decode(), route.target, "file", in_force=route.host not in control_hosts)
            for route in gateway.settings.routes.routes
        ]
        routes += [
            _told(
                learned.claim.host,
                learned.claim.path,
                learned.claim.target,
                "learned",
                in_force=gateway.is_in_force(learned.claim),
                expires_at=datetime.fromtimestamp(learned.expires_at, UTC).isoformat(timespec="seconds"),
            )
            for learned in gateway.learned
        ]
        refused = [
            {"route": one.name, "cluster": one.cluster, "code": one.fault.value, "reason": one.text,
             "refused_at": datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds")}
            for one in gateway.learned.refusals()
        ]  # fmt: skip
        answer = msgspec.json.encode({"routes": routes, "refused": refused})
        return Response(answer + b"\n", media_type="application/json")

    def _refusal(self, request: Request) -> Response | None:
        if self._open:
            # A page in a browser on this machine must not reach it through a host name of its own.
            host = normalise_host(request.headers.get("host", ""))
            if "origin" not in request.headers and host in ("localhost", "127.0.0.1", "[::1]"):
                return None
            return JSONResponse(
                {
                    "code": "not_local",
                    "message": "only programs on this machine get an answer; ask for localhost, and not from a page",
                },
                403,
            )
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._gateway.settings.is_admin_token(token.strip()):
            return None
        status, headers, body = problems.render(_UNAUTHORISED, request.scope["headers"])
        texts = {name.decode(): value.decode() for name, value in headers}
        return Response(body, status, {**texts, "www-authenticate": "Bearer"})


def _told(
    host: str, path: str, target: Target, origin: str, *, in_force: bool, expires_at: str | None = None
) -> dict[str, object]:
    return {"host": host, "path": path, "cluster": target.cluster, "target": str(target), "scheme": target.scheme,
            "origin": origin, "in_force": in_force, "expires_at": expires_at}  # fmt: skip


def create_admin_app(gateway: Gateway, *, open_to_all: bool) -> Starlette:
    """An application with only the operator's endpoints, for a separate listener.

    Health checks too, where they cannot reach the public one: with `proxy_protocol` it closes what sends no header.
    """
    routes = Admin(gateway, open_to_all=open_to_all).routes
    return Starlette(routes=[*health_routes(gateway), *routes] if gateway.settings.proxy_protocol else routes)
