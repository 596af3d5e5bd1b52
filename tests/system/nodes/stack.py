"""A stack of several gateways and a NATS server: clients come to the first of them, agents dial the last.

So every exchange of the tests that share a `Stack` takes a hop between two nodes. `SYSTEM_NODES=2` or `3` makes all of
them run like this.
"""

from pathlib import Path

from tests.system.harness import Stack, free_port
from tests.system.nats_server import NatsServer
from tests.system.nodes.node import Node
from tests.system.process import Process, Processes
from tunnel.override import override


class NodesStack(Stack):
    """See the module. `gateway` is the node that clients reach; `owner` has the agents."""

    count = 3

    def __init__(
        self, folder: Path, processes: Processes, settings: dict[str, str | bool | float] | None = None
    ) -> None:
        super().__init__(folder, processes, settings)
        self.nats = NatsServer(folder / "nats", processes)
        self.nodes = [self._make(number) for number in range(self.count)]

    def _make(self, number: int) -> Node:
        settings = self.settings
        if number and "admin_bind" in settings:
            host, _, _ = str(settings["admin_bind"]).rpartition(":")
            settings = {**settings, "admin_bind": f"{host}:{free_port()}"}
        name = "abcdef"[number]
        node = Node(name, self.folder / f"node-{name}", self.processes, settings, servers=[self.nats.url])
        node.services = self.services
        if number == 0:
            node.port = self.port
        return node

    @property
    def owner(self) -> Node:
        return self.nodes[-1]

    @override
    def write_config(self) -> Path:
        return self.nodes[0].write_config()

    @override
    def start_gateway(self) -> Process:
        """All of them, or the first again."""
        if self._gateway is None:
            self.nats.start()
            for node in reversed(self.nodes):
                self._prepare(node)
                node.start_gateway()
        else:
            self.nodes[0].start_gateway()
        self._gateway = self.nodes[0].gateway
        return self._gateway

    def _prepare(self, node: Node) -> None:
        """What a test has set on the stack since it was made."""
        node.ulimit, node.gateway_tree = self.ulimit, self.gateway_tree
        node.settings = {**self.settings, **node.settings}

    @override
    def start_agent_only(
        self, agent_id: str = "a1", *, services: dict[str, int] | None = None, gateway_port: int | None = None
    ) -> Process:
        return super().start_agent_only(agent_id, services=services, gateway_port=gateway_port or self.owner.port)
