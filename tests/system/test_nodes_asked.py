"""An operator asks one of two real nodes about the other: lists, an explanation, events, and what ends and drains."""

import contextlib
import json
import socket
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.system.conftest import app_only, tunnel_only
from tests.system.harness import LOOPBACK
from tests.system.nats_server import NatsServer
from tests.system.process import Processes, wait_until
from tests.system.test_nodes_seen import Gateway, command

pytestmark = [tunnel_only, app_only("it has no admin_bind")]


def called(gateway: Gateway, method: str, path: str) -> tuple[int, Any]:
    try:
        with urlopen(Request(f"http://{LOOPBACK}:{gateway.admin}{path}", method=method)) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def test_one_node_answers_for_both(tmp_path: Path, processes: Processes):
    """The agent is on the first node, the client at the second, and its service accepts and says nothing."""
    nats = NatsServer(tmp_path / "nats", processes).start()
    one, two = (Gateway(tmp_path, processes, nats, name) for name in ("one", "two"))
    with contextlib.closing(socket.create_server((LOOPBACK, 0))) as service:
        agent = processes.python(
            "agent", "tunnel.agent", "--gateway", f"ws://{LOOPBACK}:{one.port}/agent", "--token", "some-token",
            "--cluster", "c1", "--agent-id", "a1", "--service", f"web.apps:80={LOOPBACK}:{service.getsockname()[1]}",
        )  # fmt: skip
        agent.wait_line("ready:")
        for node in (one, two):
            node.wait(lambda node=node: all(way == "up" for _, way in node.states().values() if way), "the other")
            node.wait(lambda node=node: len(node.told("/-/clusters?nodes=all")["nodes"]) == 2, "two nodes")
            node.wait(lambda node=node: len(node.told("/-/clusters")["clusters"][0]["nodes"]) == 1, "the agent")
        ids = {row["name"]: row["node"] for row in one.told("/-/nodes")["nodes"]}

        for asked in (one, two):
            page = asked.told("/-/links?nodes=all")
            assert [(row["node"], row["agent"]) for row in page["links"]] == [(ids["one"], "a1")]
            assert {row["name"]: row["answered"] for row in page["nodes"]} == {"one": True, "two": True}
            (cluster,) = asked.told("/-/clusters?nodes=all&connected=true")["clusters"]
            assert (cluster["cluster"], cluster["links"], cluster["nodes"]) == ("c1", 1, [ids["one"]])
        (cluster,) = two.told("/-/clusters")["clusters"]
        assert (cluster["connected"], cluster["nodes"]) == (False, [ids["one"]])
        assert cluster["why_not"].startswith(f"its agents are connected to node one ({ids['one']})")

        told = two.told("/-/explain?url=http://a.test/&probe=false")
        assert (told["code"], told["node"]) == ("ok", ids["one"])
        assert "a request here would hop to it" in told["verdict"]

        status, out, err = command("links", "--url", f"http://{LOOPBACK}:{two.admin}")
        assert (status, err) == (0, "")
        assert [line.split()[0] for line in out.splitlines()] == ["node", "one"]

        with contextlib.closing(socket.create_connection((LOOPBACK, two.port))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            one.wait(lambda: one.told("/-/exchanges?nodes=two")["exchanges"], "the request at the other")
            (exchange,) = one.told("/-/exchanges?nodes=all")["exchanges"]
            assert exchange["node"] == ids["two"]
            status, _ = called(one, "DELETE", f"/-/exchanges/{exchange['id']}?node=two")
            assert status == 202
            assert client.recv(65_536).startswith(b"HTTP/1.1 502 ")

        (link,) = one.told("/-/links")["links"]
        status, body = called(two, "POST", f"/-/links/{link['link']}/drain?node={ids['one']}&grace=0")
        assert (status, body["link"]) == (202, link["link"])
        one.wait(lambda: called(two, "GET", f"/-/links/{link['link']}?node=one")[0] == 410, "the end of the link")
        kinds = {(event["node"], event["kind"]) for event in two.told("/-/events?nodes=all")["events"]}
        assert (ids["one"], "link_drained_by_operator") in kinds
        assert (ids["two"], "exchange_ended_by_operator") in kinds


@pytest.mark.slow
def test_events_are_followed_over_both_and_a_node_that_is_killed_is_missing(tmp_path: Path, processes: Processes):
    nats = NatsServer(tmp_path / "nats", processes).start()
    one, two = (Gateway(tmp_path, processes, nats, name) for name in ("one", "two"))
    one.wait(lambda: one.states().get("two") == ("live", "up"), "the other")
    two.wait(lambda: two.states().get("one") == ("live", "up"), "the other")
    following = processes.python("events", "app", "events", "--follow", "--url", f"http://{LOOPBACK}:{one.admin}")
    called(two, "POST", "/-/reload")
    following.wait_line("two")
    two.process.kill()
    wait_until(
        lambda: not all(row["answered"] for row in one.told("/-/links?nodes=all")["nodes"])
        or len(one.told("/-/links?nodes=all")["nodes"]) == 1,
        20, "the other is missing, or gone",
    )  # fmt: skip
