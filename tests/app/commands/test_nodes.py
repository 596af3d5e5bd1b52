"""`nodes` against a scripted gateway, and what `status` says of a node among others."""

import json
import re
from itertools import islice
from typing import Any

import pytest

from app.commands.gateway import RunningGateway
from app.commands.nodes import COLUMNS, _above
from app.commands.tables import table
from tests.app.commands.answers import NODE, NODES, STATUS, page
from tests.app.commands.conftest import Run
from tests.app.commands.scripted import Said, Script

pytestmark = pytest.mark.system

OTHER = {
    **NODE, "node": "xyz", "name": "gateway-1", "is_self": False, "state": "lost_way", "heard_seconds_ago": 0.4,
    "link_out": "lost", "link_out_problem": "nobody listens", "link_in": True, "files_differ": True,
}  # fmt: skip


def cells(line: str) -> list[str]:
    return re.split(" {2,}", line)


def test_all_nodes_and_what_is_between_them(script: Script, ran: Run):
    script.say("/-/nodes", Said(page("nodes", NODE, OTHER, cluster=NODES)))
    told = ran("nodes", "--state", "live")
    assert (told.status, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[:2] == [
        "NATS connected to nats://10.0.0.9:4222 since 2026-01-01T00:00:00.000Z; connections lost: 2",
        "bucket tunnel_nodes: entries: 2, revision 70, complete",
    ]
    assert [cells(line) for line in lines[2:]] == [
        ["node", "name", "state", "heard", "link to it", "from it", "links", "exchanges", "websockets", "address",
         "build", "files"],
        ["abc", "gateway-0 (asked)", "connected", "-", "-", "-", "3", "5", "1", "http://10.0.0.1:8082", "0.2.0", "f1"],
        ["xyz", "gateway-1", "lost_way", "400.0 ms", "lost: nobody listens", "yes", "3", "5", "1",
         "http://10.0.0.1:8082", "0.2.0", "differ"],
    ]  # fmt: skip
    assert script.lines() == ["GET /-/nodes?state=live&limit=1000"]
    assert json.loads(ran("nodes", "--json").out) == page("nodes", NODE, OTHER, cluster=NODES)


def test_a_link_that_was_refused_is_said_once():
    refused = {**OTHER, "link_out": "refused", "link_out_problem": "refused with 401: 'no'"}
    _, row = table(COLUMNS, [refused], None)
    assert cells(row)[4] == "refused with 401: 'no'"


def test_one_node_alone(script: Script, ran: Run):
    alone = {**NODE, "node": None, "name": None, "state": "alone", "peer_url": None, "files": None}
    script.say("/-/nodes", Said(page("nodes", alone, cluster=None)))
    _, row = ran("nodes").out.splitlines()
    assert cells(row)[:4] == ["-", "this node (asked)", "alone", "-"]


def test_a_node_that_is_cut_off():
    engine = {**NODES["engine"], "state": "away", "server": None, "why": "no answer", "forbidden": ["publish $KV.x"]}
    bucket = {**NODES["buckets"][0], "synced": False, "frozen": True}
    broken = {**bucket, "problem": "bucket tunnel_nodes: no leader"}
    cut = {**NODES, "state": "cut", "about": "Check NATS.", "engine": engine, "buckets": [bucket, broken]}
    assert _above({"cluster": cut}) == [
        "NATS away since 2026-01-01T00:00:00.000Z: no answer; connections lost: 2",
        "Check NATS.",
        "NATS does not allow: publish $KV.x",
        "bucket tunnel_nodes: entries: 2, revision 70, incomplete, frozen",
        "bucket tunnel_nodes: entries: 2, revision 70, bucket tunnel_nodes: no leader, frozen",
    ]


def test_a_narrow_terminal_keeps_what_matters():
    assert table(COLUMNS, [NODE, OTHER], 80)[0].split() == [
        "node", "name", "state", "heard", "link", "to", "it", "links", "exchanges", "websockets",
    ]  # fmt: skip


@pytest.mark.parametrize("cluster", [{"engine": 1}, "text", [1], {}])
def test_what_no_gateway_says(script: Script, ran: Run, cluster: Any):
    script.say("/-/nodes", Said(page("nodes", NODE, cluster=cluster)))
    told = ran("nodes")
    assert (told.status, told.out) == (3, "")
    assert "no gateway of this kind" in told.err


def test_it_follows(script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from app.commands import lists

    event = f"event: snapshot\ndata: {json.dumps(page('nodes', NODE, cluster=NODES))}\n\n".encode()
    script.say("/-/status", Said(STATUS))
    script.say("/-/nodes", Said(event, streams=True))
    real = lists.follow
    monkeypatch.setattr(lists, "follow", lambda *asked: islice(real(*asked), 1))
    lists.watch(
        RunningGateway("nodes", script.url, None), "nodes", COLUMNS, {"state": None}, limit=None, as_json=False,
        above=_above,
    )  # fmt: skip
    assert capsys.readouterr().out.splitlines()[0].startswith("NATS connected to ")
    assert "GET /-/nodes?watch=true" in script.lines()


def test_the_status_of_a_node_among_others(script: Script, ran: Run):
    node = {"node": "abc", "state": "cut", "about": "Check NATS.", "nats": "away", "nodes": 3}
    script.say("/-/status", Said({**STATUS, "node": node}))
    assert "node           abc, cut; NATS: away; nodes known: 3\n" in ran("status").out
    script.say("/-/status", Said({**STATUS, "node": None}))
    assert "\nnode " not in ran("status").out
