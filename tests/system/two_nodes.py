"""A stack of two nodes: clients come to one, the agents are on the other (`hop_node.py`)."""

import socket
from pathlib import Path

from tests.system.harness import LOOPBACK, Stack, free_port
from tests.system.process import Process, Processes
from tunnel.override import override


class TwoNodes(Stack):
    """See the module. `owner` is the node with the agents; `gateway` the one that clients reach."""

    def __init__(
        self, folder: Path, processes: Processes, settings: dict[str, str | bool | float] | None = None
    ) -> None:
        super().__init__(folder, processes, settings)
        self.owner_port, self.peer_port = free_port(), free_port()
        self._owner: Process | None = None

    @property
    def owner(self) -> Process:
        assert self._owner is not None
        return self._owner

    @override
    def start_gateway(self) -> Process:
        config = str(self.write_config())
        self._owner = self._start_node("owner", config, self.owner_port, "--listen", str(self.peer_port))
        url = f"http://{LOOPBACK}:{self.peer_port}"
        self._gateway = self._start_node("asker", config, self.port, "--owner", url, "--dialect", self.dialect)
        return self._gateway

    def _start_node(self, name: str, config: str, port: int, *arguments: str) -> Process:
        node = self.processes.python(
            name, "tests.system.hop_node", "--config", config, "--port", str(port), *arguments
        )  # fmt: skip
        node.wait_line("ready")
        return node

    @override
    def start_agent_only(
        self, agent_id: str = "a1", *, services: dict[str, int] | None = None, gateway_port: int | None = None
    ) -> Process:
        return super().start_agent_only(agent_id, services=services, gateway_port=gateway_port or self.owner_port)

    @override
    def _serves(self) -> bool:
        return all(self._node_serves(port) for port in (self.port, self.owner_port))

    @staticmethod
    def _node_serves(port: int) -> bool:
        with socket.create_connection((LOOPBACK, port)) as client:
            client.sendall(b"GET /readyz?cluster=c1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.makefile("rb").readline().startswith(b"HTTP/1.1 200 ")
