"""What the demonstration's nodes and agents are told: files that the gateway takes, and commands that fit them."""

import shlex
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

from app.demo.cluster import nodes
from app.demo.cluster.nodes import Node
from app.settings import load

SERVED = [
    SimpleNamespace(name="index", host="demo.localhost", port=5001),
    SimpleNamespace(name="chat", host="chat.localhost", port=5002),
]
NODE = Node(SimpleNamespace(name="node-1"), 8080)  # type: ignore[arg-type]


def test_a_node_takes_its_file_and_finds_the_others_by_it(tmp_path: Path):
    nats = SimpleNamespace(url="nats://127.0.0.1:4222", password_file=tmp_path / "nats-password")
    for name in ("nats-password", "token", "admin-token", "peer-secret"):
        (tmp_path / name).write_text("0123456789abcdef")
    file = tmp_path / "node-1.toml"
    file.write_text(nodes.configuration("node-1", 6001, nats, SERVED))  # type: ignore[arg-type]
    settings = load(str(file), {})
    cluster = settings.cluster
    assert cluster is not None
    assert (cluster.node_name, cluster.servers, cluster.user) == ("node-1", ("nats://127.0.0.1:4222",), nodes.USER)
    assert cluster.peer_url == "http://127.0.0.1:6001"
    targets = {(route.host, route.target.service, route.target.port) for route in settings.routes.routes}
    assert targets == {("demo.localhost", "index", 80), ("chat.localhost", "chat", 80)}


def test_an_agent_dials_its_node_and_reaches_the_services_of_the_routes(tmp_path: Path):
    command = nodes.agent_command("agent-1", NODE, tmp_path, SERVED)  # type: ignore[arg-type]
    assert command[command.index("--gateway") + 1] == "ws://127.0.0.1:8080/agent"
    assert command[command.index("--agent-id") + 1] == "agent-1"
    services = [word for before, word in pairwise(command) if before == "--service"]
    assert services == ["index.demo:80=127.0.0.1:5001", "chat.demo:80=127.0.0.1:5002"]


def test_the_nodes_are_watched_with_one_line_whatever_the_folder_is_called():
    line = nodes.watch_command("app", NODE, Path("/a folder"))
    assert shlex.split(line)[1:5] == ["-m", "app", "nodes", "--follow"]
    assert shlex.split(line)[-1] == "/a folder/admin-token"
