"""Lists and calls over several nodes: whose row it is, pages, who did not answer, and one node by its name."""

import asyncio
import json
from typing import Any

import pytest

from app.node.asking import Query, Reply
from app.operator.api.resources import NODE, NODES, Resource, parameters_of
from app.operator.api.table import RESOURCES
from app.settings import Grant, token_hash
from tests.app.operator.api.calls import ask, request, stage, told
from tests.app.operator.api.several import Nodes, nodes
from tests.fakes.asgi import CLIENT
from tests.fakes.loop import dialogue, quiet


def links_of(page: Any) -> list[tuple[str, str]]:
    return [(row["node"], row["link"]) for row in page["links"]]


def answered(*names: str) -> list[dict[str, Any]]:
    return [{"node": name, "name": f"gw-{name}", "answered": True, "why": None} for name in names]


def some_links(n: Nodes, **counts: int) -> None:
    for node, count in counts.items():
        for number in range(1, count + 1):
            n.link(node, f"link-{number}")


# --- lists


@dialogue
async def test_the_links_of_all_nodes_each_with_its_node():
    async with nodes() as n:
        some_links(n, a=1, b=2)
        for asked in n.stages.values():
            page = await told(asked, "/-/links?nodes=all")
            assert links_of(page) == [("a", "link-1"), ("b", "link-1"), ("b", "link-2")]
            assert (page["total"], page["next"], page["nodes"]) == (3, None, answered("a", "b", "c"))
        assert {query.client for _, query in n.asked} == {CLIENT[0]}


@dialogue
async def test_one_node_by_id_or_name_whichever_is_asked():
    async with nodes() as n:
        some_links(n, a=1, b=2)
        for wanted in ("b", "gw-b"):
            for asked in n.stages.values():
                page = await told(asked, f"/-/links?nodes={wanted}")
                assert links_of(page) == [("b", "link-1"), ("b", "link-2")]
                assert page["nodes"] == answered("b")


@dialogue
async def test_nothing_is_added_and_nobody_asked_without_the_parameter():
    async with nodes() as n:
        some_links(n, a=1, b=2)
        page = await told(n.stages["a"], "/-/links")
        assert "nodes" not in page
        assert "node" not in page["links"][0]
        assert n.asked == []


@dialogue
async def test_a_node_that_does_not_answer_is_named_and_the_others_are_shown():
    async with nodes() as n:
        some_links(n, a=1, b=1, c=1)
        n.away["b"] = "no answer within 3 s"
        page = await told(n.stages["a"], "/-/links?nodes=all")
        assert links_of(page) == [("a", "link-1"), ("c", "link-1")]
        assert page["nodes"][1] == {"node": "b", "name": "gw-b", "answered": False, "why": "no answer within 3 s"}
        assert page["total"] == 2


@pytest.mark.parametrize(("reply", "why"), [
    ((200, b"{"), "its answer cannot be read"),
    ((200, b"\xff"), "its answer cannot be read"),
    ((200, b"[]"), "its answer cannot be read"),
    ((200, b"{}"), "its answer cannot be read"),
    ((200, b'{"links": 1, "next": null, "total": 1}'), "its answer cannot be read"),
    ((200, b'{"links": [1], "next": null, "total": 1}'), "its answer cannot be read"),
    ((200, b'{"links": [{}], "next": null, "total": 1}'), "its answer cannot be read"),
    ((200, b'{"links": [], "next": [], "total": 1}'), "its answer cannot be read"),
    ((200, b'{"links": [], "next": null, "total": "1"}'), "its answer cannot be read"),
    ((400, b'{"message": "there is no parameter"}'), "it answered 400: there is no parameter"),
    ((500, b"oh"), "it answered 500: without a reason"),
    ((500, b"[]"), "it answered 500: without a reason"),
])  # fmt: skip
@dialogue
async def test_what_another_release_may_answer(reply: tuple[int, bytes], why: str):
    async with nodes("a", "b") as n:

        async def answer(_: Query) -> Reply:
            return Reply(*reply)

        n.answers["b"] = answer  # type: ignore[assignment]
        (_, other) = (await told(n.stages["a"], "/-/links?nodes=all"))["nodes"]
        assert (other["answered"], other["why"]) == (False, why)
        (_, other) = (await told(n.stages["a"], "/-/clusters?nodes=all"))["nodes"]
        assert not other["answered"]


async def all_pages(n: Nodes, target: str, *askers: str) -> list[Any]:
    """Pages one after the other, each asked of another node."""
    found, cursor, number = [], "", 0
    while True:
        page = await told(n.stages[askers[number % len(askers)]], target + cursor)
        found.append(page)
        if page["next"] is None:
            return found
        cursor, number = f"&after={page['next']}", number + 1


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100])
@dialogue
async def test_pages_have_each_row_once_whichever_node_is_asked(limit: int):
    async with nodes() as n:
        some_links(n, a=5, c=3)
        pages = await all_pages(n, f"/-/links?nodes=all&limit={limit}", "a", "b", "c")
        found = [row for page in pages for row in links_of(page)]
        assert found == [("a", f"link-{x}") for x in range(1, 6)] + [("c", f"link-{x}") for x in range(1, 4)]
        assert all(0 < len(page["links"]) <= limit for page in pages)
        assert {page["total"] for page in pages} == {8}


@dialogue
async def test_a_node_that_goes_between_two_pages_is_passed_over():
    async with nodes() as n:
        some_links(n, a=1, b=3, c=1)
        first = await told(n.stages["a"], "/-/links?nodes=all&limit=2")
        assert links_of(first) == [("a", "link-1")]
        n.gone.add("b")
        second = await told(n.stages["a"], f"/-/links?nodes=all&limit=2&after={first['next']}")
        assert links_of(second) == [("c", "link-1")]
        assert second["next"] is None


@dialogue
async def test_filters_reach_every_node_percent_encoded():
    async with nodes() as n:
        n.link("a", "link-1", cluster="c 1&x=ü")
        n.link("b", "link-1", cluster="c 1&x=ü")
        n.link("b", "link-2", cluster="c2")
        page = await told(n.stages["a"], "/-/links?nodes=all&cluster=c%201%26x%3D%C3%BC&state=ready")
        assert links_of(page) == [("a", "link-1"), ("b", "link-1")]


@dialogue
async def test_a_cursor_that_is_none_of_ours():
    async with nodes() as n:
        status, body = await ask(n.stages["a"], "/-/links?nodes=all&after=%21")
        assert (status, body["parameter"]) == (400, "after")


@dialogue
async def test_routes_say_whose_they_are_and_refusals_come_once():
    async with nodes("a", "b") as n:
        pages = await all_pages(n, "/-/routes?nodes=all&limit=1", "a", "b")
        assert [(row["node"], row["host"]) for page in pages for row in page["routes"]] == [
            ("a", "app.example.test"), ("b", "app.example.test"),
        ]  # fmt: skip
        assert all(page["refused"] == [] for page in pages)


@dialogue
async def test_a_list_is_watched_over_all_nodes():
    async with nodes("a", "b") as n:
        watching = request(n.stages["a"], "/-/exchanges?nodes=all&watch=true")
        await quiet()
        n.away["b"] = "it is stopping"
        await asyncio.sleep(1.1)
        assert b"event: change" in watching.answer
        assert b"it is stopping" in watching.answer
        watching.leave()
        await quiet()


# --- clusters


@dialogue
async def test_a_cluster_is_one_row_with_the_nodes_that_have_it():
    async with nodes(grants={token_hash("t"): Grant(("c1", "c2", "c3"))}) as n:
        n.link("a", "link-1")
        n.link("b", "link-1")
        n.link("b", "link-2", cluster="c2")
        page = await told(n.stages["c"], "/-/clusters?nodes=all")
        rows = {row["cluster"]: row for row in page["clusters"]}
        assert list(rows) == ["c1", "c2", "c3"]
        assert {name: (row["connected"], row["links"], row["nodes"]) for name, row in rows.items()} == {
            "c1": (True, 2, ["a", "b"]), "c2": (True, 1, ["b"]), "c3": (False, 0, []),
        }  # fmt: skip
        assert rows["c2"]["why_not"] is None
        assert rows["c3"]["why_not"].startswith("no agent has connected")
        assert (page["total"], page["next"]) == (3, None)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@dialogue
async def test_pages_of_clusters_that_not_every_node_knows(limit: int):
    async with nodes() as n:
        for node, names in (("a", ("c1", "c3", "c5")), ("b", ("c2", "c3", "c6")), ("c", ())):
            for number, name in enumerate(names, 1):
                n.link(node, f"link-{number}", cluster=name)
        pages = await all_pages(n, f"/-/clusters?nodes=all&limit={limit}", "a", "b", "c")
        found = [(row["cluster"], row["nodes"]) for page in pages for row in page["clusters"]]
        assert found == [("c1", ["a"]), ("c2", ["b"]), ("c3", ["a", "b"]), ("c5", ["a"]), ("c6", ["b"])]
        assert all(len(page["clusters"]) <= limit for page in pages)


@dialogue
async def test_connected_counts_wherever_it_is():
    names = tuple(f"c{number}" for number in range(1, 10))
    async with nodes("a", "b", grants={token_hash("t"): Grant(names)}) as n:
        for number, name in enumerate(names[:-1], 1):
            n.link("b" if number % 2 else "a", f"link-{number}", cluster=name)
        pages = await all_pages(n, "/-/clusters?nodes=all&connected=false&limit=2", "a")
        assert [row["cluster"] for page in pages for row in page["clusters"]] == ["c9"]
        pages = await all_pages(n, "/-/clusters?nodes=all&connected=true&limit=3", "b")
        assert [row["cluster"] for page in pages for row in page["clusters"]] == list(names[:-1])


@dialogue
async def test_a_filter_that_finds_little_costs_few_calls_of_other_nodes():
    names = tuple(f"c{number:03}" for number in range(200))
    async with nodes("a", "b", grants={token_hash("t"): Grant(names)}) as n:
        n.link("b", "link-1", cluster=names[-1])
        page = await told(n.stages["a"], "/-/clusters?nodes=all&connected=true&limit=1")
        assert [row["cluster"] for row in page["clusters"]] == [names[-1]]
        assert len(n.asked) == 1


@dialogue
async def test_a_node_that_says_the_same_page_again_and_again_ends_no_less():
    async with nodes("a", "b", grants={token_hash("t"): Grant(("c1", "c2"))}) as n:
        (row, _) = (await told(n.stages["a"], "/-/clusters"))["clusters"]
        stuck = json.dumps({"clusters": [row], "next": "c1", "total": 2}).encode()

        async def answer(_: Query) -> Reply:
            return Reply(200, stuck)

        n.answers["b"] = answer  # type: ignore[assignment]
        async with asyncio.timeout(30):
            page = await told(n.stages["a"], "/-/clusters?nodes=all&connected=true")
        assert (page["clusters"], page["next"]) == ([], None)


@dialogue
async def test_a_holder_that_does_not_answer_is_believed_to_have_it():
    async with nodes() as n:
        n.away["b"] = "no answer"
        n.holding["c1"] = ["b"]
        (row,) = (await told(n.stages["a"], "/-/clusters?nodes=all"))["clusters"]
        assert (row["cluster"], row["connected"], row["nodes"]) == ("c1", True, ["b"])
        del n.away["b"]
        (row,) = (await told(n.stages["a"], "/-/clusters?nodes=all"))["clusters"]
        assert (row["connected"], row["nodes"]) == (False, [])


@dialogue
async def test_a_node_without_an_agent_says_who_has_one():
    async with nodes() as n:
        n.holding["c1"] = ["b", "c"]
        (row,) = (await told(n.stages["a"], "/-/clusters"))["clusters"]
        assert (row["connected"], row["nodes"]) == (False, ["b", "c"])
        assert row["why_not"] == (
            "its agents are connected to nodes gw-b (b) and gw-c (c); requests that come here are passed on"
        )
        n.link("a", "link-1")
        (row,) = (await told(n.stages["a"], "/-/clusters"))["clusters"]
        assert (row["connected"], row["nodes"], row["why_not"]) == (True, ["a", "b", "c"], None)


@dialogue
async def test_one_cluster_wherever_it_is():
    async with nodes("a", "b") as n:
        n.holding["far"] = ["b"]
        found = await told(n.stages["a"], "/-/clusters/far")
        assert (found["cluster"], found["configured"], found["nodes"]) == ("far", False, ["b"])
        assert (await told(n.stages["a"], "/-/clusters/c1"))["links"] == 0
        n.link("b", "link-1")
        assert (await told(n.stages["a"], "/-/clusters/c1?node=b"))["links"] == 1
        for name in ("nowhere", "c" * 254):
            status, body = await ask(n.stages["a"], f"/-/clusters/{name}")
            assert (status, body["code"]) == (404, "not_found")


# --- calls about one node


@dialogue
async def test_a_link_of_another_node_is_shown_and_drained_there():
    async with nodes("a", "b") as n:
        link = n.link("b", "link-7")
        assert (await told(n.stages["a"], "/-/links/link-7?node=gw-b"))["link"] == "link-7"
        assert (await ask(n.stages["a"], "/-/links/link-7"))[0] == 404
        status, body = await ask(n.stages["a"], "/-/links/link-7/drain?node=b&grace=2.5", "POST")
        assert (status, body["link"]) == (202, "link-7")
        assert link.retired == [2.5]
        assert n.asked[-1][1].method == "POST"
        status, body = await ask(n.stages["a"], "/-/links/link-9?node=b")
        assert (status, body["code"]) == (404, "not_found")


@dialogue
async def test_a_call_that_gets_no_answer():
    async with nodes("a", "b") as n:
        n.away["b"] = "no answer within 3 s"
        status, body = await ask(n.stages["a"], "/-/exchanges/exchange-1?node=b", "DELETE")
        assert (status, body["code"]) == (504, "no_answer")
        assert body["message"] == "node gw-b did not answer: no answer within 3 s"


WRONG = [
    ("/-/links?nodes=nobody", "nodes", "names no node that this one knows"),
    ("/-/status?node=nobody", "node", "names no node that this one knows"),
    ("/-/status?node=all", "node", "is for one node"),
    ("/-/events?after=a:1,b:2", "after", "is a position of several nodes"),
    ("/-/events?nodes=all&after=7", "after", "is a number of one node"),
    ("/-/events?nodes=all&after=a:", "after", "is not a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "parameter", "text"), WRONG)
@dialogue
async def test_what_is_not_valid(target: str, parameter: str, text: str):
    async with nodes("a", "b") as n:
        status, body = await ask(n.stages["a"], target)
        assert (status, body["parameter"]) == (400, parameter)
        assert text in body["message"]
        status, body = await ask(n.stages["a"], target.replace("?", "?watch=true&"))
        assert (status, body["parameter"]) in ((400, parameter), (400, "watch"))


@dialogue
async def test_a_name_that_two_nodes_have():
    async with nodes("a", "b") as n:
        n.name = lambda node: type(Nodes.name(n, node))(node=node, name="gw")  # type: ignore[method-assign]
        status, body = await ask(n.stages["a"], "/-/status?node=gw")
        assert (status, body["parameter"]) == (400, "node")
        assert "several nodes have this name" in body["message"]
        assert len((await told(n.stages["a"], "/-/links?nodes=gw"))["nodes"]) == 2


@dialogue
async def test_one_node_without_a_cluster():
    async with stage(links=1) as s:
        assert await told(s, "/-/links?nodes=all") == await told(s, "/-/links")
        for target, parameter in (("/-/links?nodes=b", "nodes"), ("/-/status?node=b", "node")):
            status, body = await ask(s, target)
            assert (status, body["parameter"]) == (400, parameter)
            assert "this gateway is one node" in body["message"]


# --- what a node answers others


@dialogue
async def test_a_node_answers_for_itself_only_and_only_some_calls():
    async with nodes("a", "b") as n:
        answers = n.answers["a"]
        for target in ("/-/links?nodes=all", "/-/status?node=b", "/-/links?watch=true"):
            reply = await answers(Query(method="GET", target=target))
            assert reply.status == 400
        for method, target, status in (
            ("POST", "/-/drain", 404), ("GET", "/-/openapi.json", 404), ("GET", "/metrics", 404), ("GET", "", 404),
            ("DELETE", "/-/links", 405), ("GET", "/-/links/a/b", 404), ("GET", "/-/links/%ff", 404),
            ("GET", "/-/links?limit=\u00e9", 400), ("PUT", "/-/links/link-1/drain", 405),
        ):  # fmt: skip
            reply = await answers(Query(method=method, target=target))
            assert reply.status == status, target
            assert json.loads(reply.body)["status"] == status
        assert not n.stages["a"].gateway.draining


@pytest.mark.parametrize("row", RESOURCES, ids=lambda row: f"{row.method} {row.path}")
def test_a_row_has_one_of_the_two_parameters_or_none(row: Resource):
    names = {parameter.name for parameter in parameters_of(row)} & {NODES.name, NODE.name}
    assert len(names) <= 1
    assert (NODES.name in names) == bool(row.rows)
