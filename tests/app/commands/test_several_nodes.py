"""The commands where there are several nodes: all are asked, whose a row is, and who did not answer."""

import json
from typing import Any

import pytest

from tests.app.commands.answers import CLUSTER, EVENT, EXCHANGE, LINK, ROUTE, STATUS, page
from tests.app.commands.conftest import Run
from tests.app.commands.scripted import Said, Script

pytestmark = pytest.mark.system

NODE = {"node": "aaa", "state": "connected", "about": "", "nats": "connected", "nodes": 2}
TOLD = [
    {"node": "aaa", "name": "gw-1", "answered": True, "why": None},
    {"node": "bbb", "name": "gw-2", "answered": True, "why": None},
]
AWAY = [TOLD[0], {**TOLD[1], "answered": False, "why": "no answer within 3 s"}]


@pytest.fixture
def cluster(script: Script) -> Script:
    script.say("/-/status", Said({**STATUS, "node": NODE}))
    return script


def of(node: str, row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"node": node, **row, **changes}


def test_links_of_all_nodes_by_the_names_of_the_nodes(cluster: Script, ran: Run):
    rows = of("aaa", LINK), of("bbb", LINK, link="link-9")
    cluster.say("/-/links", Said(page("links", *rows, nodes=TOLD)))
    told = ran("links")
    assert (told.status, told.err) == (0, "")
    assert [line.split()[:2] for line in told.out.splitlines()] == [
        ["node", "link"], ["gw-1", "link-7"], ["gw-2", "link-9"],
    ]  # fmt: skip
    assert cluster.lines() == ["GET /-/status", "GET /-/links?nodes=all&limit=1000"]
    assert json.loads(ran("links", "--json").out)["links"] == list(rows)


def test_one_node_is_asked_for_by_name(cluster: Script, ran: Run):
    cluster.say("/-/exchanges", Said(page("exchanges", of("bbb", EXCHANGE), nodes=TOLD[1:])))
    assert ran("exchanges", "--nodes", "gw-2").out.splitlines()[1].startswith("gw-2  exchange-5")
    assert cluster.lines() == ["GET /-/exchanges?nodes=gw-2&limit=1000"]


def test_nodes_of_the_same_name_are_told_apart(cluster: Script, ran: Run):
    twins = [{**one, "name": "gw"} for one in TOLD]
    cluster.say("/-/links", Said(page("links", of("aaa", LINK), of("bbb", LINK), nodes=twins)))
    assert [line.split("  ")[0] for line in ran("links").out.splitlines()[1:]] == ["gw (aaa)", "gw (bbb)"]


def test_a_node_that_did_not_answer_is_named_below(cluster: Script, ran: Run):
    cluster.say("/-/links", Said(page("links", of("aaa", LINK), nodes=AWAY)))
    assert ran("links").out.splitlines()[-1] == "node gw-2 is missing: no answer within 3 s"
    cluster.say("/-/links", Said(page("links", nodes=AWAY)))
    assert ran("links").out.splitlines() == ["node gw-2 is missing: no answer within 3 s", "no links"]


def test_clusters_with_the_nodes_that_have_them(cluster: Script, ran: Run):
    rows = {**CLUSTER, "nodes": ["aaa", "bbb"]}, {**CLUSTER, "cluster": "c2", "connected": False, "nodes": []}
    cluster.say("/-/clusters", Said(page("clusters", *rows, nodes=TOLD)))
    lines = [line.split("  ") for line in ran("clusters").out.splitlines()]
    found = [[cell.strip() for cell in line if cell][:3] for line in lines]
    assert found == [["cluster", "connected", "nodes"], ["c1", "yes", "gw-1, gw-2"], ["c2", "no", "-"]]


def test_routes_are_those_of_the_node_that_is_asked(cluster: Script, ran: Run):
    cluster.say("/-/routes", Said(page("routes", ROUTE, refused=[])))
    ran("routes")
    ran("routes", "--nodes", "all")
    assert cluster.lines() == ["GET /-/routes?limit=1000", "GET /-/routes?nodes=all&limit=1000"]


def test_what_ends_or_drains_names_its_node(cluster: Script, ran: Run):
    cluster.say("/-/exchanges/exchange-5", Said({"id": "exchange-5", "message": "ended"}, 202))
    cluster.say("/-/links/link-7/drain", Said({"message": "drained"}, 202))
    assert ran("exchanges", "--end", "exchange-5", "--nodes", "gw-2").out == "exchange-5: ended\n"
    assert ran("drain", "--link", "link-7", "--node", "gw-2").out == "drained\n"
    assert cluster.lines() == [
        "DELETE /-/exchanges/exchange-5?node=gw-2", "POST /-/links/link-7/drain?node=gw-2",
    ]  # fmt: skip
    told = ran("drain", "--node", "gw-2")
    assert (told.status, told.err) == (2, "tunnel-gateway drain: --node needs --link\n")


def test_events_of_all_nodes(cluster: Script, ran: Run):
    rows = of("aaa", EVENT), of("bbb", EVENT), of("ccc", EVENT)
    cluster.say("/-/events", Said(page("events", *rows, following="aaa:1,bbb:1", nodes=AWAY)))
    cluster.say("/-/nodes", Said(page("nodes", TOLD[0], TOLD[1])))
    assert ran("events").out.splitlines() == [
        "2026-01-01T00:00:00.000Z  gw-1  info     link_ready  link-7: ready",
        "2026-01-01T00:00:00.000Z  gw-2  info     link_ready  link-7: ready",
        "2026-01-01T00:00:00.000Z  ccc  info     link_ready  link-7: ready",
        "node gw-2 is missing: no answer within 3 s",
    ]
    assert "GET /-/events?nodes=all&limit=1000" in cluster.lines()


def test_a_number_is_one_of_the_node_that_is_asked(cluster: Script, ran: Run):
    cluster.say("/-/events", Said(page("events", following=7)))
    ran("events", "--after", "7")
    ran("events", "--after", "aaa:7")
    assert [line for line in cluster.lines() if "events" in line] == [
        "GET /-/events?after=7&limit=1000", "GET /-/events?after=aaa%3A7&nodes=all&limit=1000",
    ]  # fmt: skip


def test_a_gateway_that_is_one_node_is_asked_and_shown_as_ever(script: Script, ran: Run):
    script.say("/-/links", Said(page("links", LINK)))
    for status in (STATUS, {**STATUS, "node": None}):
        script.say("/-/status", Said(status))
        assert ran("links").out.splitlines()[0].startswith("link ")
    assert [line for line in script.lines() if "links" in line] == ["GET /-/links?limit=1000"] * 2
