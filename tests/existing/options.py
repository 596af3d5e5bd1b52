"""What the stand-in is started with: where to dial, as whom, which services exist, and every time it waits.

All times are those of the original agent unless an option shortens them; a test that shortens one says so in its
command line. Nothing is read from the environment.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(frozen=True)
class Options:
    """One agent's configuration; times in seconds, named after the section that gives their default."""

    gateway: str
    token: str
    cluster: str
    agent_id: str
    agent_version: str
    yamux: bool
    entry: str
    services: dict[str, Address]
    routes: dict[str, str]
    ingress: str | None
    ingress_hosts: frozenset[str]
    api_server: str | None
    api_token: str
    heartbeat: float
    ping: float
    read_timeout: float
    register_timeout: float
    resync: float
    retry: float
    service_limit: float
    handshake_limit: float
    service_ping: float
    reconnect: float
    reconnect_cap: float
    reorder_ms: float
    send_buffer: int
    seed: int | None


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _service(text: str) -> tuple[str, Address]:
    name, separator, address = text.partition("=")
    if not separator or "." not in name or ":" not in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME.NAMESPACE:PORT=HOST:PORT")
    return name, _address(address)


def _route(text: str) -> tuple[str, str]:
    host, separator, service = text.partition("=")
    name, colon, port = service.partition(":")
    if not separator or "." not in name or not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST=NAME.NAMESPACE:PORT")
    return host, service


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options of a command line; ends the process with a usage message on a bad one."""
    parser = argparse.ArgumentParser(prog="python -m tests.existing", description="the existing agent's JSON path")
    add = parser.add_argument
    add("--gateway", required=True, help="ws://HOST:PORT: the API's address, and the gateway's for the entry `gateway`")
    add("--token", required=True)
    add("--cluster", required=True, help="cluster id that a resume names; a registration replaces it")
    add("--agent-id", default="agent-0001")
    add("--agent-version", default="9.9.9")
    add("--yamux", type=_flag, default=False, metavar="true|false", help="claim yamux, and exit when it is wanted")
    add("--entry", choices=["controller", "gateway", "resume"], default="controller")
    add("--service", type=_service, action="append", default=[], metavar="NAME.NAMESPACE:PORT=HOST:PORT")
    add("--route", type=_route, action="append", default=[], metavar="HOST=NAME.NAMESPACE:PORT", help="to register")
    add("--ingress", metavar="NAME.NAMESPACE:PORT", help="the ingress controller, if one is known")
    add("--ingress-host", action="append", default=[], help="a host of the agent's own ingress cache")
    add("--api-server", metavar="HOST:PORT", help="the Kubernetes API; https://HOST:PORT for TLS")
    add("--api-token", default="TEST-SA-TOKEN", help="the service account's token")
    add("--heartbeat", type=float, default=30.0)
    add("--ping", type=float, default=10.0, help="WebSocket pings to the gateway")
    add("--read-timeout", type=float, default=60.0, help="silence after which the gateway is abandoned")
    add("--register-timeout", type=float, default=30.0)
    add("--resync", type=float, default=300.0, help="between two rounds of registering all routes")
    add("--retry", type=float, default=1.0, help="before the second attempt to register a route; then twice as long")
    add("--service-limit", type=float, default=30.0, help="hard limit of a service's whole answer")
    add("--handshake-limit", type=float, default=10.0, help="a service's WebSocket handshake")
    add("--service-ping", type=float, default=30.0, help="WebSocket pings to services")
    add("--reconnect", type=float, default=0.5, help="first delay before a redial")
    add("--reconnect-cap", type=float, default=60.0)
    add("--reorder-ms", type=float, default=0.4, help="longest hand-over of one frame to a service; 0 keeps the order")
    add("--send-buffer", type=int, default=0, help="SO_SNDBUF towards services; 0 leaves the system's")
    add("--seed", type=int, help="of the jitter and of the hand-over delays")
    values = vars(parser.parse_args(arguments))
    values["services"] = dict(values.pop("service"))
    values["routes"] = dict(values.pop("route"))
    values["ingress_hosts"] = frozenset(values.pop("ingress_host"))
    return Options(**values)
