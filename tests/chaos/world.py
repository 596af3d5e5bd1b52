"""What a chaos run breaks: two gateways with NATS behind HAProxy, three agents, a service in each cluster.

Two agents have a link to each gateway, the third to one only. Every link goes through a relay of its own, and so does
every way between a gateway, NATS and the other one. Both clusters call their service by the same name, so that nothing
but the tunnel's own choice keeps them apart. `World` starts everything and can say whether all of it is in place.
"""

import resource
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.chaos.load import host_of
from tests.chaos.schedule import AGENTS, CLUSTERS, LINKED, NODES
from tests.soak.holdings import GAUGES, Watch, WatchedProcesses, gauges
from tests.system.harness import LOOPBACK, NAMESPACE, TOKEN, Service, free_port
from tests.system.nats_server import NatsServer
from tests.system.nodes.node import Node as ClusterNode
from tests.system.nodes.nodes import answers
from tests.system.nodes.peer_relay import PeerRelay
from tests.system.process import Process, wait_until
from tests.system.relay import Relay
from tests.system.test_rolling import HAPROXY

DRAIN_SECONDS = 2.0
"""HAProxy asks every 200 ms and believes the second answer; as in `tests/system/test_rolling.py`."""
GRACE_SECONDS = 3.0
"""Shorter than the default, so that some requests outlast it."""
BACK_SECONDS = 60.0
SERVICE = "app"
"""Its name in both clusters."""
PUBLIC_PORT = 80


class Node(ClusterNode):
    """One gateway, with what it needs for learned routes and for questions about what it holds."""

    def __init__(self, name: str, folder: Path, processes: WatchedProcesses, nats_port: int) -> None:
        self.admin_port = free_port()
        settings: dict[str, str | bool | float] = {
            "admin_bind": f"{LOOPBACK}:{self.admin_port}",
            "drain_delay": DRAIN_SECONDS,
            "shutdown_grace": GRACE_SECONDS,
            "state_dir": "state",
        }
        super().__init__(name, folder, processes, settings, servers=[f"nats://{LOOPBACK}:{nats_port}"])
        self.hosts = ["*.learned.test"]
        self.links = sum(name in dialled for dialled in LINKED.values())
        """That it has while nothing is broken."""


class World:
    """Blocks; the run calls it on threads."""

    def __init__(self, folder: Path, processes: WatchedProcesses, closing: ExitStack) -> None:
        if shutil.which("haproxy") is None:
            pytest.skip("haproxy is not installed: no such program on PATH (Debian: haproxy)")
        self.processes = processes
        self.journals = {cluster: folder / f"{cluster}.journal" for cluster in CLUSTERS}
        self.ports = {cluster: free_port() for cluster in CLUSTERS}
        self.services = {cluster: self.start_service(cluster) for cluster in CLUSTERS}
        self.nats = NatsServer(folder / "nats", processes).start()
        self.nats_relays = {name: closing.enter_context(Relay(self.nats.port)) for name in NODES}
        self.peer_relays: dict[str, PeerRelay] = {}
        self.nodes: dict[str, Node] = {}
        for name in NODES:
            gateway = self.nodes[name] = Node(name, folder / name, processes, self.nats_relays[name].port)
            peers = self.peer_relays[name] = closing.enter_context(PeerRelay(gateway.peer_port, self.running))
            gateway.peer_url = f"http://{LOOPBACK}:{peers.port}"
            for cluster in CLUSTERS:
                route: dict[str, str | bool | float] = {"service": SERVICE, "host": host_of(cluster)}
                gateway.add(Service(cluster, self.ports[cluster], PUBLIC_PORT, cluster, route=route))
            gateway.start_gateway()
        self.relays = {
            agent: [closing.enter_context(Relay(self.nodes[name].port)) for name in LINKED[agent]] for agent in AGENTS
        }
        self.agents = {agent: self.start_agent(agent) for agent in AGENTS}
        self.port = free_port()
        self.wait_whole()
        self._start_balancer(folder)

    def running(self) -> dict[str, Process]:
        """The gateways' processes, by their names."""
        return {name: node.gateway for name, node in self.nodes.items() if node.is_started}

    def start_service(self, cluster: str) -> Process:
        service = self.processes.python(
            f"service of {cluster}", "tests.chaos.service", "--cluster", cluster,
            "--port", str(self.ports[cluster]), "--journal", str(self.journals[cluster]),
        )  # fmt: skip
        service.wait_line("ready ")
        return service

    def start_agent(self, name: str) -> Process:
        cluster = AGENTS[name]
        service = f"{SERVICE}.{NAMESPACE}:{PUBLIC_PORT}={LOOPBACK}:{self.ports[cluster]}"
        options = ["--token", TOKEN, "--cluster", cluster, "--agent-id", name, "--service", service]
        for relay in self.relays[name]:
            options += ["--gateway", f"ws://{LOOPBACK}:{relay.port}/agent"]
        return self.processes.python(f"agent {name}", "tunnel.agent", *options)

    def _start_balancer(self, folder: Path) -> None:
        servers = "".join(f"    server {name} {LOOPBACK}:{node.port}\n" for name, node in self.nodes.items())
        file = folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(address=LOOPBACK, port=self.port) + servers)
        self.processes.start("haproxy", ["haproxy", "-db", "-f", str(file)]).wait_port(self.port)

    # --- whether all of it is in place

    def links(self, node: Node) -> tuple[float, float]:
        """How many links this gateway has, and how many of them are ready; none while it is away."""
        try:
            seen = gauges(node.admin_port)
        except (OSError, HTTPException):  # killed while it answered
            return 0, 0
        return seen["links"], seen["ready"]

    def wait_serving(self, node: Node) -> None:
        """Until it has ready links of all its agents but one."""
        wait_until(lambda: self.links(node)[1] >= node.links - 1, BACK_SECONDS, f"gateway {node.name} serves")

    def wait_whole(self) -> None:
        """Until each gateway has a ready link of each of its agents, and no other link, and reaches both clusters."""
        for node in self.nodes.values():
            whole = (node.links, node.links)
            wait_until(
                lambda node=node, whole=whole: self.links(node) == whole, BACK_SECONDS, f"links at gateway {node.name}"
            )
        self.wait_reached()

    def wait_reached(self) -> None:
        """Until each gateway reaches both clusters."""
        for node in self.nodes.values():
            for cluster in CLUSTERS:
                what = f"gateway {node.name} reaches {cluster}"
                wait_until(lambda port=node.port, cluster=cluster: answers(port, cluster), BACK_SECONDS, what)

    def what_is_open(self) -> dict[str, float]:
        """What is not zero, over both gateways; nothing, once all clients have left."""
        found = {}
        for node in self.nodes.values():
            seen = gauges(node.admin_port)
            found |= {f"{name} of gateway {node.name}": seen[name] for name in GAUGES if seen[name]}
        return found

    def watches(self) -> dict[str, Watch]:
        """Of the processes that run now."""
        gateways = {f"gateway {name}": Watch(node.gateway) for name, node in self.nodes.items()}
        return gateways | {f"agent {name}": Watch(agent) for name, agent in self.agents.items()}

    def journal(self) -> Iterator[tuple[str, str]]:
        """Each arrival: its id, and the cluster."""
        for cluster, file in self.journals.items():
            for key in file.read_text().splitlines():
                yield key, cluster

    def tracebacks(self) -> list[str]:
        """Who wrote one, of all that ever ran; its lines are in the run's output."""
        found = []
        for process in self.processes.all:
            lines = process.output()
            for number, line in enumerate(lines):
                if line.startswith("Traceback "):
                    found.append(f"{process!r}: " + "\n".join(lines[max(0, number - 1) : number + 40]))
        return found


@contextmanager
def full_disk(process: Process) -> Iterator[None]:
    """No file of this process can grow: what is written gets an error, as it does on a full disk.

    The limit is EFBIG where a full disk is ENOSPC. It needs neither root nor a file system of its own.
    """
    pid = process.popen.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        if process.popen.poll() is None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
