"""Routes that agents register or publish on one of two real nodes, with a real NATS server: the other one's clients."""

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import serve

from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, free_port
from tests.system.nats_server import NatsServer
from tests.system.process import Process, Processes, wait_until
from tests.system.relay import Relay

pytestmark = [tunnel_only, app_only("its nodes are the server's own")]

TOKENS = {"c1": "token-1", "c2": "token-2"}
HOST = "me.dev.test"
PUBLISHED = " is published at "


class Gateway:
    """One node, at the same ports over its starts. Not `joins`: it is the only one."""

    def __init__(self, folder: Path, processes: Processes, nats: NatsServer, name: str) -> None:
        self.name, self.folder, self.processes, self.nats = name, folder, processes, nats
        self.port, self.peer_port = free_port(), free_port()
        self.process: Process

    def start(self, *, joins: bool = True) -> "Gateway":
        (self.folder / "peer-secret").write_text("a-secret-of-both-nodes")
        agents = "".join(
            f'[[agents]]\ntoken = "{token}"\nclusters = ["{cluster}"]\nhosts = ["*.dev.test"]\n'
            for cluster, token in TOKENS.items()
        )
        cluster = f"""
[cluster]
servers = ["{self.nats.url}"]
node_name = "{self.name}"
peer_bind = "{LOOPBACK}:{self.peer_port}"
peer_secret_file = "peer-secret"
"""
        file = self.folder / f"{self.name}.toml"
        file.write_text(
            f'state_dir = "state-{self.name}"\nreconnect_grace = 1\nmax_websockets_per_client = 2\n'
            f"{cluster if joins else ''}{agents}"
        )
        self.process = self.processes.python(
            self.name, "app", "--config", str(file), "--host", LOOPBACK, "--port", str(self.port)
        )
        self.process.wait_line("ready")
        return self

    def ask(self, host: str) -> tuple[int, str]:
        """Status, and what the service says, or the code of a refusal."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=15)
        try:
            connection.request("GET", "/", headers={"Host": host, "Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        return answer.status, body if answer.status == 200 else json.loads(body)["code"]

    def call(self, path: str, cluster: str, body: dict[str, Any]) -> Any:
        """A REST call of the existing agent."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=15)
        try:
            connection.request("POST", f"/api/v1/gateway/routes/{path}", json.dumps(body),
                               {"Host": LOOPBACK, "Authorization": f"Bearer {TOKENS[cluster]}"})  # fmt: skip
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def register(self, host: str, cluster: str = "c1") -> Any:
        target = {"namespace": "apps", "service_name": "web", "service_port": 80}
        return self.call("register", cluster, {"hostname": host, "cluster_uuid": cluster, "path": "/", **target})


class Service:
    """Says its name."""

    def __init__(self, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def services() -> Iterator[list[Service]]:
    made = [Service("one"), Service("two")]
    yield made
    for service in made:
        service.close()


@pytest.fixture
def nats(tmp_path: Path, processes: Processes) -> NatsServer:
    return NatsServer(tmp_path / "nats", processes).start()


@pytest.fixture
def gateways(tmp_path: Path, processes: Processes, nats: NatsServer) -> list[Gateway]:
    return [Gateway(tmp_path, processes, nats, name) for name in ("a", "b")]


Publish = Callable[..., Process]


@pytest.fixture
def publish(tmp_path: Path, processes: Processes) -> Publish:
    """Start `tunnel-agent http` for a service's port, at this one of a gateway, as the user with this home."""

    def start(service_port: int, port: int, *, home: str = "home", cluster: str = "c1") -> Process:
        folder = tmp_path / home
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(TOKENS[cluster])
        return processes.python(
            f"publisher {home}", "tunnel.agent", "http", str(service_port), "--host", HOST,
            "--gateway", f"http://{LOOPBACK}:{port}", "--token-file", str(folder / "token"),
            HOME=str(folder), XDG_CONFIG_HOME=str(folder),
        )  # fmt: skip

    return start


def said(gateways: list[Gateway], host: str = HOST) -> list[tuple[int, str]]:
    return [gateway.ask(host) for gateway in gateways]


def known_within(one: Gateway, two: Gateway) -> float:
    """How long it takes until the other node knows what one of them has answered for: the median."""
    waits = []
    for number in range(15):
        host = f"h{number}.dev.test"
        assert one.register(host)[1]["in_force"] is True
        began = time.monotonic()
        wait_until(lambda host=host: two.ask(host)[1] == "no_agent", 10, f"{host} is there")
        waits.append(time.monotonic() - began)
    return sorted(waits)[7]


def test_what_is_published_at_one_node_is_served_at_both(
    gateways: list[Gateway], services: list[Service], publish: Publish
) -> None:
    one, two = (gateway.start() for gateway in gateways)
    with Relay(one.port) as relay:
        publisher = publish(services[0].port, relay.port)
        publisher.wait_line(PUBLISHED)
        wait_until(lambda: said([one, two]) == [(200, "one")] * 2, 10, "both nodes serve it")
        assert known_within(one, two) < 0.1
        rival = publish(services[1].port, two.port, home="rival", cluster="c2")
        rival.wait_line(f"{HOST} is taken")
        assert rival.wait_end() == 1

        relay.target = two.port
        one.process.signal(signal.SIGKILL)
        one.process.wait_end()
        wait_until(lambda: two.ask(HOST) == (200, "one"), 15, "it is served over the other node")
        one.start()  # it knows by the time that it answers
        assert one.ask(HOST) == (200, "one")

        assert publisher.stop() == 0
    rival = publish(services[1].port, one.port, home="rival", cluster="c2")
    rival.wait_line(PUBLISHED)
    wait_until(lambda: said([one, two]) == [(200, "two")] * 2, 10, "the host is free, and the rival has it")


@pytest.mark.slow
def test_a_published_host_moves_with_its_agent_when_a_node_drains(
    gateways: list[Gateway], services: list[Service], publish: Publish
) -> None:
    one, two = (gateway.start() for gateway in gateways)
    answers: list[tuple[int, str]] = []
    with Relay(one.port) as relay:
        publish(services[0].port, relay.port).wait_line(PUBLISHED)
        wait_until(lambda: two.ask(HOST) == (200, "one"), 10, "both nodes serve it")
        relay.target = two.port
        one.process.signal(signal.SIGTERM)
        while one.process.popen.poll() is None:
            answers.append(two.ask(HOST))
        answers += [two.ask(HOST) for _ in range(50)]
    assert set(answers) == {(200, "one")}


@pytest.mark.slow
def test_two_that_publish_one_host_while_nats_is_away(
    gateways: list[Gateway], services: list[Service], publish: Publish, nats: NatsServer
) -> None:
    one, two = (gateway.start() for gateway in gateways)
    wait_until(lambda: one.register("x.dev.test")[1].get("in_force"), 10, "the bucket is there")
    nats.stop()
    publishers = [
        publish(service.port, gateway.port, home=f"home-{cluster}", cluster=cluster)
        for service, gateway, cluster in zip(services, (one, two), TOKENS, strict=True)
    ]
    for publisher in publishers:
        publisher.wait_line(PUBLISHED, seconds=20)
    assert said([one, two]) == [(200, "one"), (200, "two")]
    nats.start()
    wait_until(lambda: len({*said([one, two])}) == 1, 20, "one of them has it")
    loser = publishers[0] if one.ask(HOST) == (200, "two") else publishers[1]
    loser.wait_line(f"{HOST} is taken")


@pytest.mark.slow
def test_what_one_node_had_is_known_to_all_from_their_first_start_with_nats(gateways: list[Gateway]) -> None:
    one, two = gateways
    one.start(joins=False)
    assert one.register(HOST)[1]["stored"] is True
    assert one.process.stop() == 0
    two.start()
    assert two.ask(HOST) == (404, "no_route")
    one.start()
    wait_until(lambda: two.ask(HOST) == (503, "no_agent"), 10, "the other node has the route")
    assert two.register(HOST, "c2")[1]["code"] == "host_taken"

    assert one.process.stop() == 0
    assert two.call("unregister", "c1", {"hostname": HOST}) == (200, {"success": True, "removed": 1})
    assert two.register(HOST, "c2")[1]["stored"] is True
    one.start()  # its file has the old one
    wait_until(lambda: one.register(HOST, "c1")[1].get("code") == "host_taken", 10, "it follows the bucket")
    assert said([one, two]) == [(503, "no_agent")] * 2


HANDSHAKE = (
    f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def websocket(gateway: Gateway) -> tuple[int, socket.socket]:
    """The answer to a handshake, and the connection."""
    client = socket.create_connection((LOOPBACK, gateway.port), 15)
    client.sendall(HANDSHAKE.encode())
    return int(client.recv(65_536).split()[1]), client


def answer(gateway: Gateway) -> int:
    status, client = websocket(gateway)
    client.close()
    return status


@pytest.mark.slow
def test_a_limit_of_websockets_counts_those_of_the_other_node(gateways: list[Gateway], publish: Publish) -> None:
    with ExitStack() as closing:
        server = closing.enter_context(serve(lambda each: [*each].clear(), LOOPBACK, 0))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        closing.callback(thread.join)
        closing.callback(server.shutdown)
        one, two = (gateway.start() for gateway in gateways)
        publish(server.socket.getsockname()[1], one.port).wait_line(PUBLISHED)
        held = [websocket(one) for _ in range(2)]
        for _, client in held:
            closing.callback(client.close)
        assert [status for status, _ in held] == [101, 101]
        assert answer(one) == 429
        wait_until(lambda: answer(two) == 429, 10, "the other node counts them")
        for _, client in held:
            client.close()
        wait_until(lambda: answer(two) == 101, 10, "they are over")
