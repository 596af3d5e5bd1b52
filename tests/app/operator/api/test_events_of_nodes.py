"""Events of several nodes in one list: by time, by pages, and each once to whoever watches."""

import asyncio
import json
from typing import Any

import pytest

from app.node.asking import Query, Reply
from app.observed.events import EventKind
from tests.app.operator.api.calls import request, told
from tests.app.operator.api.several import Nodes, nodes
from tests.app.operator.api.test_watchers import watchers
from tests.fakes.loop import dialogue, quiet


def happen(n: Nodes, node: str, *texts: str) -> None:
    for text in texts:
        n.stages[node].gateway.events.emit(EventKind.LINK_READY, text, cluster="c1")


def spaced(n: Nodes) -> None:
    """Event 1 on a, 2 on b, and so on in turns, a second apart."""
    now = [1_800_000_000.0]
    for s in n.stages.values():
        s.gateway.events._clock = lambda: now[0]
    for number, node in enumerate("abbabcca"):
        now[0] = 1_800_000_000.0 + number
        happen(n, node, f"{node}{number}")


def texts(page: Any) -> list[str]:
    return [event["message"] for event in page["events"]]


@dialogue
async def test_events_are_merged_by_time():
    async with nodes() as n:
        spaced(n)
        page = await told(n.stages["b"], "/-/events?nodes=all")
        assert texts(page) == ["a0", "b1", "b2", "a3", "b4", "c5", "c6", "a7"]
        assert (page["next"], page["total"]) == ("a:3,b:3,c:2", 8)
        assert [event["node"] for event in page["events"]] == list("abbabcca")


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 9])
@dialogue
async def test_pages_of_events_go_on_at_each_nodes_own_number(limit: int):
    async with nodes() as n:
        spaced(n)
        found, cursor = [], ""
        while True:
            page = await told(n.stages["a"], f"/-/events?nodes=all&limit={limit}{cursor}")
            found += texts(page)
            if len(page["events"]) < limit:
                break
            cursor = f"&after={page['next']}"
        assert found == ["a0", "b1", "b2", "a3", "b4", "c5", "c6", "a7"]


@dialogue
async def test_a_node_that_was_away_is_gone_on_with_where_it_was():
    async with nodes("a", "b") as n:
        happen(n, "a", "one")
        happen(n, "b", "two")
        first = await told(n.stages["a"], "/-/events?nodes=all")
        n.away["b"] = "no answer"
        happen(n, "a", "three")
        happen(n, "b", "four")
        second = await told(n.stages["a"], f"/-/events?nodes=all&after={first['next']}")
        assert texts(second) == ["three"]
        del n.away["b"]
        assert texts(await told(n.stages["a"], f"/-/events?nodes=all&after={second['next']}")) == ["four"]


@dialogue
async def test_a_node_that_says_the_same_events_again_is_told_once():
    async with nodes("a", "b") as n:
        happen(n, "b", "one", "two")
        reply = await n.answers["b"](Query(method="GET", target="/-/events"))

        async def answer(_: Query) -> Reply:
            return reply

        n.answers["b"] = answer  # type: ignore[assignment]
        page = await told(n.stages["a"], "/-/events?nodes=all&limit=1")
        assert texts(page) == ["one"]
        page = await told(n.stages["a"], f"/-/events?nodes=all&after={page['next']}")
        assert texts(page) == ["two"]
        page = await told(n.stages["a"], f"/-/events?nodes=all&after={page['next']}")
        assert (texts(page), page["next"]) == ([], "a:0,b:2")


@dialogue
async def test_who_watches_gets_each_event_of_every_node_once_and_may_come_again():
    async with nodes("a", "b") as n:
        happen(n, "a", "one")
        watching = request(n.stages["a"], "/-/events?nodes=all&watch=true")
        await quiet()
        happen(n, "b", "two")
        await asyncio.sleep(1.1)
        happen(n, "a", "three")
        await asyncio.sleep(1.1)
        blocks = [block for block in watching.answer.decode().split("\n\n") if block.startswith("id: ")]
        found = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
        assert [json.loads(each["data"])["message"] for each in found] == ["one", "two", "three"]
        assert [each["id"] for each in found] == ["a:1", "a:1,b:1", "a:2,b:1"]
        watching.leave()
        await quiet()
        again = request(n.stages["b"], "/-/events?nodes=all&watch=true", headers=[(b"last-event-id", b"a:1,b:1")])
        await quiet()
        assert again.answer.count(b"event: event") == 1
        assert b"three" in again.answer
        again.leave()
        await quiet()
        assert len(watchers(n.stages["a"])) == 0


@pytest.mark.parametrize("rows", [b'[{"number": "x", "at": ""}]', b'[{"at": ""}]', b"[1]", b"null"])
@dialogue
async def test_events_of_another_release_that_cannot_be_read(rows: bytes):
    async with nodes("a", "b") as n:
        happen(n, "a", "one")

        async def answer(_: Query) -> Reply:
            return Reply(200, b'{"events": ' + rows + b', "next": 1, "total": 1}')

        n.answers["b"] = answer  # type: ignore[assignment]
        page = await told(n.stages["a"], "/-/events?nodes=all")
        assert texts(page) == ["one"]
        assert [node["answered"] for node in page["nodes"]] == [True, False]
