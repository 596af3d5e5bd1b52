"""Several gateways, NATS, and services that name their cluster, put together so that every way can be cut.

Each node reaches NATS through a relay of its own, and its peers through relays that know who dials. Both clusters call
their service by the same name, so that nothing but the nodes' own choice keeps them apart. Each service writes down
what reached it (`tests/chaos/service.py`); `Nodes` says which files these are.
"""

import signal
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.system.harness import DOMAIN, LOOPBACK, NAMESPACE, TOKEN, Service, free_port
from tests.system.nats_server import NatsServer
from tests.system.nodes.node import Node
from tests.system.nodes.peer_relay import PeerRelay
from tests.system.process import START_SECONDS, Process, Processes, wait_until
from tests.system.relay import Relay

CLUSTERS = ("c1", "c2")
NAMES = "abcdef"
SERVICE = "app"
"""Its name in every cluster."""
PUBLIC_PORT = 80
ANSWER_SECONDS = 20.0

Settings = Mapping[str, str | bool | float]


class Nodes:
    """See the module. `closing` ends the relays; the processes end with their owner."""

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        closing: ExitStack,
        count: int = 3,
        *,
        nats: NatsServer | None = None,
        scheme: str = "nats",
        cluster: Settings | None = None,
        settings: Settings | None = None,
    ) -> None:
        """`nats`: started, or one without users or TLS is. `cluster`: more keys of `[cluster]`; `settings`: others."""
        self.processes = processes
        self.nats = nats or NatsServer(folder / "nats", processes).start()
        self.journals = {name: folder / f"{name}.journal" for name in CLUSTERS}
        self.ports = {name: free_port() for name in CLUSTERS}
        self.services = {name: self.start_service(name) for name in CLUSTERS}
        self.nats_relays: dict[str, Relay] = {}
        self.peer_relays: dict[str, PeerRelay] = {}
        self.nodes: dict[str, Node] = {}
        self.agents: dict[str, Process] = {}
        for name in NAMES[:count]:
            relay = self.nats_relays[name] = closing.enter_context(Relay(self.nats.port))
            node = self.nodes[name] = Node(
                name, folder / name, processes, {"state_dir": "state", **(settings or {})},
                servers=[f"{scheme}://{LOOPBACK}:{relay.port}"], cluster=cluster,
            )  # fmt: skip
            peers = self.peer_relays[name] = closing.enter_context(PeerRelay(node.peer_port, self.running))
            node.peer_url = f"http://{LOOPBACK}:{peers.port}"
            for key, port in self.ports.items():
                route: dict[str, str | bool | float] = {"service": SERVICE, "host": host_of(key)}
                node.add(Service(key, port, PUBLIC_PORT, key, route=route))

    def running(self) -> dict[str, Process]:
        """The gateways' processes, by the names of their nodes."""
        return {name: node.gateway for name, node in self.nodes.items() if node.is_started}

    def start(self) -> "Nodes":
        """All gateways; their links with each other may follow."""
        for node in self.nodes.values():
            node.start_gateway()
        return self

    def start_service(self, cluster: str) -> Process:
        """Its service, at the port that it always has."""
        service = self.processes.python(
            f"service of {cluster}", "tests.chaos.service", "--cluster", cluster,
            "--port", str(self.ports[cluster]), "--journal", str(self.journals[cluster]),
        )  # fmt: skip
        service.wait_line("ready ")
        return service

    def start_agent(self, name: str, cluster: str, *ports: int, dialect: str = "yamux", wait: bool = True) -> Process:
        """An agent with a link to each of these ports, of nodes or of relays to them."""
        service = f"{SERVICE}.{NAMESPACE}:{PUBLIC_PORT}={LOOPBACK}:{self.ports[cluster]}"
        options = ["--token", TOKEN, "--cluster", cluster, "--agent-id", name, "--service", service]
        for port in ports:
            options += ["--gateway", f"ws://{LOOPBACK}:{port}/agent"]
        agent = self.agents[name] = self.processes.python(
            f"agent {name}", "tunnel.agent", *options, "--dialect", dialect
        )
        if wait:
            agent.wait_line("ready:")
        return agent

    # --- what is done to them

    def cut_from_nats(self, *names: str) -> None:
        """Nothing passes between these nodes and NATS, and nobody is told."""
        for name in names:
            self.nats_relays[name].cut()

    def cut_from_peers(self, name: str) -> None:
        """Nothing passes between this node and its peers, and nobody is told."""
        for other, relay in self.peer_relays.items():
            relay.cut_from(self.nodes if other == name else [name])

    def heal(self) -> None:
        """All ways pass again."""
        for nats in self.nats_relays.values():
            nats.heal()
        for peers in self.peer_relays.values():
            peers.heal_for(self.nodes)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        process = self.nodes[name].gateway
        process.signal(signal.SIGSTOP)
        state = psutil.Process(process.popen.pid)
        wait_until(lambda: state.status() == psutil.STATUS_STOPPED, 5, f"{name} stands still")
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    # --- how they stand

    def answers(self, name: str, cluster: str, seconds: float = ANSWER_SECONDS) -> bool:
        """Whether a request to this node gets its answer from a service of this cluster. It is not in the books."""
        return answers(self.nodes[name].port, cluster, seconds)

    def wait_answers(self, *clusters: str, at: Collection[str] = ()) -> float:
        """Until each node, or those `at` which it is asked, reaches the clusters; the seconds that this took."""
        began = time.monotonic()
        for name in at or self.nodes:
            for cluster in clusters:
                wait_until(lambda n=name, c=cluster: self.answers(n, c), START_SECONDS, f"{cluster} answers at {name}")
        return time.monotonic() - began

    def arrivals(self) -> Iterator[tuple[str, str]]:
        """What reached a service: the id of the request, and the cluster."""
        for cluster, file in self.journals.items():
            for key in file.read_text(encoding="utf-8").splitlines():
                yield key, cluster

    def tracebacks(self) -> list[str]:
        """Who wrote one, of all that ever ran; its lines are in the test's output."""
        lines = ((process, line) for process in self.processes.all for line in process.output())
        return [f"{process!r}" for process, line in lines if line.startswith("Traceback ")]


def host_of(cluster: str) -> str:
    return f"{cluster}.{DOMAIN}"


def answers(port: int, cluster: str, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a request to the gateway there gets its answer from a service of this cluster."""
    request = f"GET /who HTTP/1.1\r\nHost: {host_of(cluster)}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((LOOPBACK, port), seconds) as client:
            client.sendall(request.encode())
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
    except OSError:
        return False
    is_answer = answer.startswith(b"HTTP/1.1 200 ")
    assert not is_answer or f"\r\nx-cluster: {cluster}\r\n".encode() in answer.lower(), f"a wrong delivery: {answer!r}"
    return is_answer
