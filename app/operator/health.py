"""`/healthz` and `/readyz`: whether the process answers, and whether it takes requests. They need no token.

A node that is cut off from the others stays ready, and says so: it serves its own agents, and if all nodes became
unready whenever NATS is away, that would be an outage of everything.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..node.gateway import Gateway


def health_routes(gateway: Gateway) -> list[Route]:
    """The routes of one gateway."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        cluster = request.query_params.get("cluster")
        if gateway.draining:
            return PlainTextResponse("draining\n", 503)
        if cluster is not None:
            if not gateway.has_agent(cluster):
                return PlainTextResponse("no agent of this cluster\n", 503)
            return PlainTextResponse(_ready(gateway))
        # Bounded by `ready_wait`: a rollout that waits for an agent that is gone for good must end, too.
        if missing := gateway.missing_clusters():
            clusters = "1 cluster" if missing == 1 else f"{missing} clusters"
            return PlainTextResponse(f"starting: waiting for the agents of {clusters}\n", 503)
        return PlainTextResponse(_ready(gateway))

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def _ready(gateway: Gateway) -> str:
    trouble = gateway.nodes.trouble if gateway.nodes is not None else None
    return "ready\n" if trouble is None else f"ready, but {trouble}\n"
