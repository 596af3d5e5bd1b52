"""How the demonstration publishes its applications: the gateway's configuration, and the command of an agent."""

import sys
from collections.abc import Mapping
from pathlib import Path

_CONFIGURATION = """\
drain_delay = 0
shutdown_grace = 0.5

[[agents]]
token = "{token}"
clusters = ["apps", "kuma"]
"""
_ROUTE = """
[[routes]]
host = "{host}"
cluster = "{cluster}"
namespace = "demo"
service = "{service}"
port = 80
"""


def configuration(token: str) -> str:
    """The gateway.toml of a gateway that takes these agents, and stops at once."""
    routes = {"demo.localhost": "apps", "chat.localhost": "apps", "kuma.localhost": "kuma"}
    return _CONFIGURATION.format(token=token) + "".join(
        _ROUTE.format(host=host, cluster=cluster, service=host.partition(".")[0]) for host, cluster in routes.items()
    )


def command(gateway_port: int, token_file: Path, published: Mapping[str, int]) -> list[str]:
    """What a user would type to publish ports of this machine: host -> port."""
    cluster = "kuma" if "kuma.localhost" in published else "apps"
    line = [sys.executable, "-m", "tunnel.agent", "--gateway", f"ws://127.0.0.1:{gateway_port}/agent"]
    line += ["--token-file", str(token_file), "--cluster", cluster, "--grace", "0.5"]
    for host, port in published.items():
        line += ["--service", f"{host.partition('.')[0]}.demo:80=127.0.0.1:{port}"]
    return line
