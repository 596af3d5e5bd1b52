"""The existing agent's REST calls, played against the application; tokens of two clusters that share some hosts."""

import json
from typing import Any

from app.rules.routes import RouteTable
from app.settings import Grant, token_hash
from tests.app.stage import Stage
from tests.fakes.asgi import Pairs, Request

REGISTER, SYNC, UNREGISTER = (f"/api/v1/gateway/routes/{call}" for call in ("register", "sync", "unregister"))
TUNNELS = "/api/v1/clusters/agent/a/tunnels"
GRANTS = {
    token_hash("of-a"): Grant(("a",), hosts=("*.a.test", "*.both.test", "gw.test", "192.0.2.1")),
    token_hash("of-b"): Grant(("b",), hosts=("*.b.test", "*.both.test")),
    token_hash("wide"): Grant(("a", "b"), hosts=("*.test",)),
    token_hash("none"): Grant(("a",)),
    token_hash("gone"): Grant(("a",), revoked=True, hosts=("*.a.test",)),
}


def stage(**settings: Any) -> Stage:
    defaults = {"grants": GRANTS, "control_hosts": frozenset({"localhost", "gw.test"}), "routes": RouteTable(())}
    return Stage(links=0, **{**defaults, **settings})


def asked(
    stage: Stage, path: str, body: object = None, *, token: str | None = "of-a", host: str = "gw.test",
    method: str = "POST", headers: Pairs | None = None,
) -> Request:  # fmt: skip
    """A call on its way; `body`: bytes as they are, anything else as JSON, None: nothing is sent yet."""
    fields = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    request = Request(stage.app, method, path, host=host, headers=[*fields, *(headers or [])])
    if body is not None:
        request.body(body if isinstance(body, bytes) else json.dumps(body).encode())
    return request.start()


async def told(stage: Stage, path: str, body: object = b"{}", **options: Any) -> tuple[int, Any]:
    """Status and body of a call's answer."""
    request = await asked(stage, path, body, **options).over()
    return request.status, json.loads(request.answer) if request.answer else None


def register_body(hostname: str = "x.a.test", cluster: str | None = "a", **more: object) -> dict[str, object]:
    service = {"namespace": "ingress", "service_name": "traefik", "service_port": 80}
    return {"hostname": hostname, "cluster_uuid": cluster, **service, "path": "/", **more}


def sync_body(*hosts: str, cluster: str = "a", **more: object) -> dict[str, object]:
    path = {"path": "/", "path_type": "Prefix", "service_name": "traefik", "service_port": 80}
    rules = [{"host": host, "tls": True, "paths": [path]} for host in hosts]
    return {
        "cluster_uuid": cluster,
        "ingress_controller": {"name": "traefik", "namespace": "kube-system", "port": 80, "type": "traefik"},
        "ingresses": [{"namespace": "apps", "ingress_name": "i", "rules": rules}],
        **more,
    }


def known(stage: Stage) -> list[str]:
    return [f"{one.claim.host}{one.claim.path} -> {one.claim.target}" for one in stage.gateway.learned]


async def visit(stage: Stage, host: str, path: str = "/") -> tuple[int, str]:
    request = Request(stage.app, "GET", path, host=host)
    request.body()
    await request.start().over()
    return request.status, json.loads(request.answer)["code"]
