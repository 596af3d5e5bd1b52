"""What an operator sees of two real nodes and a real NATS server: lists, events, `/readyz`, and a node that dies."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK, free_port
from tests.system.nats_server import NatsServer
from tests.system.process import ROOT, Process, Processes, wait_until

pytestmark = [tunnel_only, app_only("it has no admin_bind")]

SECRET = "a-secret-of-both-nodes"


class Gateway:
    """One node, and its operator's API on a port of its own."""

    def __init__(self, folder: Path, processes: Processes, nats: NatsServer, name: str, host: str = "a.test") -> None:
        self.name = name
        self.port, self.admin = free_port(), free_port()
        self.file = folder / f"{name}.toml"
        (folder / "peer-secret").write_text(SECRET)
        self.file.write_text(
            f"""
admin_bind = "{LOOPBACK}:{self.admin}"
[cluster]
servers = ["{nats.url}"]
node_name = "{name}"
peer_bind = "{LOOPBACK}:{free_port()}"
peer_secret_file = "peer-secret"
[[agents]]
token = "some-token"
clusters = ["c1"]
[[routes]]
host = "{host}"
cluster = "c1"
namespace = "apps"
service = "web"
port = 80
"""
        )
        self._processes = processes
        self.process = self.start()

    def start(self) -> Process:
        """Start it, again at its addresses."""
        self.process = self._processes.python(
            self.name, "app", "--config", str(self.file), "--host", LOOPBACK, "--port", str(self.port)
        )
        self.process.wait_line("ready")
        return self.process

    def get(self, path: str) -> str:
        with urlopen(f"http://{LOOPBACK}:{self.admin}{path}") as answer:
            return str(answer.read().decode())

    def told(self, path: str) -> Any:
        return json.loads(self.get(path))

    def ready(self) -> str:
        with urlopen(f"http://{LOOPBACK}:{self.port}/readyz") as answer:
            assert answer.status == 200
            return str(answer.read().decode())

    def states(self) -> dict[str, tuple[str, str | None]]:
        """By name, of all nodes that it knows: the state, and that of the peer link."""
        return {row["name"]: (row["state"], row["link_out"]) for row in self.told("/-/nodes")["nodes"]}

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.told("/-/events")["events"]]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: bool(condition()), 20, f"{self.name} sees {what}")


def command(*arguments: str) -> tuple[int, str, str]:
    made = subprocess.run(
        [sys.executable, "-m", "app", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in made.stderr
    assert SECRET not in made.stdout + made.stderr
    return made.returncode, made.stdout, made.stderr


@pytest.fixture
def nats(tmp_path: Path, processes: Processes) -> NatsServer:
    return NatsServer(tmp_path / "nats", processes).start()


def test_two_nodes_see_each_other(tmp_path: Path, processes: Processes, nats: NatsServer):
    one = Gateway(tmp_path, processes, nats, "one")
    two = Gateway(tmp_path, processes, nats, "two")
    both = {"one": ("live", "up"), "two": ("live", "up")}
    one.wait(lambda: one.states() == both | {"one": ("connected", None)}, "the other")
    two.wait(lambda: two.states() == both | {"two": ("connected", None)}, "the other")
    one.wait(lambda: all(row["link_in"] for row in one.told("/-/nodes")["nodes"][1:]), "the link to it")

    status, out, err = command("nodes", "--url", f"http://{LOOPBACK}:{one.admin}")
    assert (status, err) == (0, "")
    assert out.startswith(f"NATS connected to {nats.url} since ")
    assert "bucket tunnel_links: entries: 0, revision 0, complete\n" in out
    rows = [line.split() for line in out.splitlines()[-2:]]
    assert [row[1:4] for row in rows] == [["one", "(asked)", "connected"], ["two", "live", rows[1][3]]]
    status, out, err = command("check", "--connect", str(one.file))
    assert (status, err) == (0, "")
    lines = out.splitlines()[1:]
    assert lines[0].startswith(f"NATS {nats.url}: connected, version ")
    assert [line.partition(";")[0] for line in lines[1:4]] == [
        f"bucket tunnel_{name}: can be read and written" for name in ("nodes", "links", "routes")
    ]
    assert sorted(line.partition(" (")[2] for line in lines[4:]) == sorted(
        f"{node.name}) at {row['peer_url']}: takes peer links, version {row['build']}"
        for node in (one, two)
        for row in one.told("/-/nodes")["nodes"]
        if row["name"] == node.name
    )


@pytest.mark.slow
def test_what_becomes_of_the_nodes_is_told(tmp_path: Path, processes: Processes, nats: NatsServer):
    one = Gateway(tmp_path, processes, nats, "one")
    two = Gateway(tmp_path, processes, nats, "two")
    both = {"one": ("connected", None), "two": ("live", "up")}
    one.wait(lambda: one.states() == both, "the other")
    nats.kill()
    one.wait(lambda: one.states()["one"] == ("cut", None), "that it is cut off")
    assert one.ready() == "ready, but cut off from the other nodes: NATS is away\n"
    assert one.states()["two"] == ("live", "up")  # nobody is forgotten
    found = one.told("/-/status")
    assert (found["node"]["state"], found["node"]["nats"], found["node"]["nodes"]) == ("cut", "away", 2)
    assert found["warnings"][0].startswith("This node does not hear itself through NATS.")
    assert 'gateway_node_state{state="cut"} 1.0' in one.get("/metrics")
    nats.start()
    one.wait(lambda: one.states() == both, "the other again")
    assert one.ready() == "ready\n"
    one.wait(lambda: {"nats_away", "nats_back", "node_cut", "node_back"} <= set(one.kinds()), "what happened")

    two.process.signal(signal.SIGKILL)
    one.wait(lambda: "two" not in one.states() or one.states()["two"][0] == "gone", "that the other is gone")
    assert [kind for kind in one.kinds() if kind in ("node_came", "peer_link_lost", "node_gone")] == [
        "node_came", "peer_link_lost", "node_gone",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_node_that_is_killed_and_started_again_at_its_address(tmp_path: Path, processes: Processes, nats: NatsServer):
    """Its old entry leads to it by its new id, and nobody is warned of that."""
    one = Gateway(tmp_path, processes, nats, "one")
    two = Gateway(tmp_path, processes, nats, "two")
    one.wait(lambda: one.states().get("two") == ("live", "up"), "the other")
    (old,) = (row["node"] for row in two.told("/-/nodes")["nodes"] if row["is_self"])
    two.process.kill()
    two.start()
    (new,) = (row["node"] for row in two.told("/-/nodes")["nodes"] if row["is_self"])

    def rows(node: Gateway) -> dict[str, str]:
        return {row["node"]: row["state"] for row in node.told("/-/nodes")["nodes"]}

    one.wait(lambda: rows(one).get(new) == "live", "the new one")
    for node in (one, two):
        node.wait(lambda node=node: rows(node).get(old) in (None, "gone"), "that the old one is gone")
        assert [line for line in node.process.output() if "421" in line and "WARNING" in line.upper()] == []
        assert [text for text in node.told("/-/status")["warnings"] if old in text] == []


@pytest.mark.slow
def test_a_difference_between_the_nodes_files_is_told(tmp_path: Path, processes: Processes, nats: NatsServer):
    one = Gateway(tmp_path, processes, nats, "one")
    two = Gateway(tmp_path, processes, nats, "two", host="b.test")
    line = one.process.wait_line("the routes in this node's file are not those of other nodes")
    assert "(two)" in line
    assert one.told("/-/nodes")["nodes"][1]["files_differ"]
    assert [text for text in two.told("/-/status")["warnings"] if "gateway.toml" in text]
    two.file.write_text(two.file.read_text().replace("b.test", "a.test"))
    two.process.signal(signal.SIGHUP)
    one.wait(lambda: not one.told("/-/nodes")["nodes"][1]["files_differ"], "that they are the same")
    one.process.wait_line("all nodes have the same routes in their files again")
