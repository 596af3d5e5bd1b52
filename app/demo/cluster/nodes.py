"""The gateway nodes and their agents: the configuration files and commands that a user would write.

All nodes have the same file but for their name and the port for the others. Each agent dials one node, and both serve
the same cluster: so a third node has no agent, and gets at the applications through the others.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..applications import Application
from ..program import Program
from .nats import USER, NatsServer

CLUSTER = "demo"
NAMESPACE = "demo"
_SERVICE_PORT = 80
_NODE = """\
log_level = "warning"
drain_delay = 0
shutdown_grace = 0.5
admin_token_file = "admin-token"

[cluster]
servers = ["{nats_url}"]
user = "{nats_user}"
password_file = "{nats_password_file}"
node_name = "{name}"
peer_bind = "127.0.0.1:{peer_port}"
peer_secret_file = "peer-secret"

[[agents]]
token_file = "token"
clusters = ["{cluster}"]
"""
_ROUTE = """
[[routes]]
host = "{host}"
cluster = "{cluster}"
namespace = "{namespace}"
service = "{service}"
port = {port}
"""


@dataclass(frozen=True)
class Node:
    """One gateway process, and its public port."""

    program: Program
    port: int

    @property
    def name(self) -> str:
        """As `tunnel-gateway nodes` shows it."""
        return self.program.name


def configuration(name: str, peer_port: int, nats: NatsServer, applications: Sequence[Application]) -> str:
    """The gateway.toml of one node, whose secrets are in files beside it."""
    node = _NODE.format(
        name=name, peer_port=peer_port, cluster=CLUSTER,
        nats_url=nats.url, nats_user=USER, nats_password_file=nats.password_file.name,
    )  # fmt: skip
    routes = [
        _ROUTE.format(host=each.host, cluster=CLUSTER, namespace=NAMESPACE, service=each.name, port=_SERVICE_PORT)
        for each in applications
    ]
    return node + "".join(routes)


def agent_command(name: str, node: Node, folder: Path, applications: Sequence[Application]) -> list[str]:
    """An agent that dials this node and reaches the applications only. It is quiet while its node is away."""
    program = ["/usr/bin/env", f"XDG_CONFIG_HOME={folder}", sys.executable, "-m", "tunnel.agent"]
    link = ["--gateway", f"ws://127.0.0.1:{node.port}/agent", "--token-file", str(folder / "token")]
    services = [
        word
        for each in applications
        for word in ("--service", f"{each.name}.{NAMESPACE}:{_SERVICE_PORT}=127.0.0.1:{each.port}")
    ]
    return [*program, *link, "--cluster", CLUSTER, "--agent-id", name, "--log-level", "error", *services]


def watch_command(gateway: str, node: Node, folder: Path) -> str:
    """A line to paste into a shell: shows the nodes as this one sees them, for as long as it runs."""
    asked = ["--url", f"http://127.0.0.1:{node.port}", "--admin-token-file", str(folder / "admin-token")]
    return shlex.join([sys.executable, "-m", gateway, "nodes", "--follow", *asked])
