"""A stack of several gateways and a NATS server: clients come to the first of them, agents dial the last.

So every exchange of the tests that share a `Stack` takes a hop between two nodes. `SYSTEM_NODES=2` or `3` makes all of
them run like this.
"""

from pathlib import Path

from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.nats_server import NatsServer
from tests.system.nodes.node import Node
from tests.system.process import Process, Processes
from tunnel.override import override

NAMES = "abcdef"


class NodesStack(Stack):
    """See the module. `gateway` is the node that clients reach; `owner` has the agents."""

    count = 3

    def __init__(
        self, folder: Path, processes: Processes, settings: dict[str, str | bool | float] | None = None
    ) -> None:
        super().__init__(folder, processes, settings)
        self.nats = NatsServer(folder / "nats", processes)
        self.nodes = [
            Node(name, folder / f"node-{name}", processes, servers=[self.nats.url]) for name in NAMES[: self.count]
        ]
        self.nodes[0].port = self.port
        for node in self.nodes:
            node.services = self.services

    @property
    def owner(self) -> Node:
        return self.nodes[-1]

    @override
    def write_config(self) -> Path:
        """Of all nodes; the path of the first one's."""
        for node in reversed(self.nodes):
            node.settings = dict(self.settings)
            if "admin_bind" in self.settings and node is not self.nodes[0]:
                node.settings["admin_bind"] = f"{LOOPBACK}:{free_port()}"
            node.ulimit, node.gateway_tree = self.ulimit, self.gateway_tree
            path = node.write_config()
        return path

    @override
    def start_gateway(self) -> Process:
        """All of them; later the first one again."""
        self.write_config()
        if self._gateway is None:
            self.nats.start()
            for node in self.nodes[1:]:
                node.start_gateway()
        self._gateway = self.nodes[0].start_gateway()
        return self._gateway

    @override
    def start_agent_only(
        self, agent_id: str = "a1", *, services: dict[str, int] | None = None, gateway_port: int | None = None
    ) -> Process:
        return super().start_agent_only(agent_id, services=services, gateway_port=gateway_port or self.owner.port)
