"""`/-/nodes`: what the node that is asked knows of all of them; and of itself, where it is the only one."""

import asyncio

import pytest

from app.node.nodes import Nodes
from tests.app.operator.api.calls import ask, pages_of, request, stage, told
from tests.app.operator.api.some_nodes import SomeNodes, other
from tests.app.operator.api.test_openapi import check
from tests.app.operator.api.test_watchers import events
from tests.app.stage import Stage
from tests.fakes.loop import dialogue, quiet
from tunnel.version import VERSION


def among(s: Stage, *others: str) -> SomeNodes:
    nodes = SomeNodes([other("me", "connected"), *(other(node) for node in others)])
    typed: Nodes = nodes
    s.gateway.nodes = typed
    return nodes


@dialogue
async def test_one_node_without_a_cluster_says_so():
    async with stage(links=2) as s:
        page = await told(s, "/-/nodes")
        (row,) = page["nodes"]
        assert (page["cluster"], page["next"], page["total"]) == (None, None, 1)
        assert (row["node"], row["state"], row["is_self"], row["build"]) == (None, "alone", True, VERSION)
        assert row["about"] == "This gateway is one node: it has no [cluster]."
        assert (row["links"], row["exchanges"], row["draining"]) == (2, 0, False)
        status, answer = await ask(s, "/-/nodes/me")
        assert (status, answer["message"]) == (404, "this gateway is one node, without an id: it has no [cluster]")
        assert (await told(s, "/-/status"))["node"] is None


@dialogue
async def test_all_nodes_and_what_is_between_them():
    async with stage() as s:
        among(s, "aa", "bb")
        page = await told(s, "/-/nodes")
        assert [row["node"] for row in page["nodes"]] == ["me", "aa", "bb"]
        assert page["total"] == 3
        assert page["cluster"]["engine"]["server"] == "nats://127.0.0.1:4222"
        assert page["cluster"]["buckets"][0]["bucket"] == "tunnel_nodes"


@dialogue
async def test_pages_and_filters():
    async with stage() as s:
        nodes = among(s, "aa", "bb", "zz")
        nodes.known[2] = other("bb", "gone")
        found = [row["node"] async for page in pages_of(s, "/-/nodes?limit=1") for row in page["nodes"]]
        assert found == ["me", "aa", "bb", "zz"]
        assert [row["node"] for row in (await told(s, "/-/nodes?state=gone"))["nodes"]] == ["bb"]
        status, answer = await ask(s, "/-/nodes?state=dead")
        assert (status, answer["parameter"]) == (400, "state")


@dialogue
async def test_one_of_them():
    async with stage() as s:
        among(s, "aa")
        assert (await told(s, "/-/nodes/aa"))["state"] == "live"
        status, answer = await ask(s, "/-/nodes/zz")
        assert status == 404
        assert "GET /-/nodes lists those" in answer["message"]


@dialogue
async def test_the_answers_are_as_described():
    async with stage() as s:
        among(s, "aa")
        document = await told(s, "/-/openapi.json")
        check(document, "/-/nodes", "GET", 200, await told(s, "/-/nodes"))
        check(document, "/-/nodes/{node}", "GET", 200, await told(s, "/-/nodes/aa"))
        check(document, "/-/status", "GET", 200, await told(s, "/-/status"))
        status, answer = await ask(s, "/-/nodes/zz")
        check(document, "/-/nodes/{node}", "GET", status, answer)


@dialogue
async def test_watchers_are_told_of_nodes_and_not_of_each_beat():
    async with stage() as s:
        nodes = among(s, "aa")
        watcher = request(s, "/-/nodes?watch=true")
        await quiet()
        for _ in range(5):
            nodes.revision += 1
            await asyncio.sleep(1.1)
        nodes.known.append(other("bb"))
        await asyncio.sleep(1.1)
        assert [(name, len(page["nodes"])) for name, page in events(watcher)] == [("snapshot", 2), ("change", 3)]


@dialogue
async def test_the_status_says_what_this_node_is_among_others():
    async with stage() as s:
        nodes = among(s, "aa")
        nodes.known.append(other("bb", "gone"))
        nodes.told = ["NATS is away"]
        found = await told(s, "/-/status")
        assert found["node"] == {"node": "me", "state": "connected", "about": "well", "nats": "connected", "nodes": 2}
        assert found["warnings"][-1] == "NATS is away"


@pytest.mark.parametrize("query", ["", "?cluster=c1"])
@dialogue
async def test_a_node_that_is_cut_off_is_ready_and_says_so(query: str):
    async with stage(links=1) as s:
        nodes = among(s)
        answered = await request(s, f"/readyz{query}").over()
        assert (answered.status, answered.answer) == (200, b"ready\n")
        nodes.trouble = "cut off from the other nodes: NATS is away"
        answered = await request(s, f"/readyz{query}").over()
        assert (answered.status, answered.answer) == (200, b"ready, but cut off from the other nodes: NATS is away\n")
