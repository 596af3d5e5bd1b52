"""`/-/events`: what is remembered, by pages and filters; and each event once to whoever watches."""

import asyncio
import json
from typing import Any

import pytest

from app.observed.events import KEPT, EventKind
from app.operator.api.watchers import PATIENCE_SECONDS
from tests.app.operator.api.calls import request, stage, told
from tests.app.operator.api.test_watchers import watchers
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue, quiet


def happen(s: Stage, *names: str, kind: str = EventKind.LINK_READY, **fields: Any) -> None:
    for name in names:
        s.gateway.events.emit(kind, name, **fields)


def heard(watcher: Request) -> list[tuple[int, str]]:
    """Id and message of each event so far."""
    found = []
    for block in watcher.answer.decode().split("\n\n")[:-1]:
        if not block.startswith(":"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            body = json.loads(fields["data"])
            assert (fields["event"], int(fields["id"])) == ("event", body["number"])
            found.append((body["number"], body["message"]))
    return found


# --- the list


@dialogue
async def test_what_is_said_of_an_event():
    async with stage() as s:
        happen(s, "agent a serves cluster c1", cluster="c1", agent="a", link="link-1", address="192.0.2.1",
               token="sha256:1a2b3c4d")  # fmt: skip
        page = await told(s, "/-/events")
        (event,) = page["events"]
        assert event.pop("at").endswith("Z")
        assert event == {
            "number": 1, "kind": "link_ready", "level": "info", "message": "agent a serves cluster c1",
            "cluster": "c1", "agent": "a", "link": "link-1", "address": "192.0.2.1", "code": None,
            "token": "sha256:1a2b3c4d",
        }  # fmt: skip
        assert (page["next"], page["total"]) == (1, 1)


@pytest.mark.parametrize(
    ("query", "numbers", "following"),
    [
        ("", [1, 2, 3, 4], 4),
        ("?limit=2", [1, 2], 2),
        ("?after=2", [3, 4], 4),
        ("?after=4", [], 4),
        ("?after=9", [1, 2, 3, 4], 4),
        ("?after=1&limit=2", [2, 3], 3),
        ("?kind=limit_hit", [3], 4),
        ("?cluster=c1", [1, 3], 4),
        ("?cluster=c1&limit=1", [1], 1),
        ("?level=warning", [3], 4),
        ("?level=error", [], 4),
    ],
)
@dialogue
async def test_pages_and_filters(query: str, numbers: list[int], following: int):
    async with stage() as s:
        happen(s, "one", cluster="c1")
        happen(s, "two", cluster="c2")
        happen(s, "three", cluster="c1", level="warning", kind=EventKind.LIMIT_HIT)
        happen(s, "four")
        page = await told(s, f"/-/events{query}")
        assert [event["number"] for event in page["events"]] == numbers
        assert (page["next"], page["total"]) == (following, 4)


# --- watched


@dialogue
async def test_those_that_are_remembered_come_first_and_then_each_as_it_happens():
    async with stage() as s:
        happen(s, "one", "two")
        watcher = request(s, "/-/events?watch=true")
        await quiet()
        assert heard(watcher) == [(1, "one"), (2, "two")]
        happen(s, "three", "four")
        await quiet()
        assert heard(watcher)[2:] == [(3, "three"), (4, "four")]
        await asyncio.sleep(15.1)
        assert watcher.answer.endswith(b": still here\n\n")
        assert len(heard(watcher)) == 4
        watcher.leave()
        await watcher.over()
        assert "0 subscribers" in repr(s.gateway.events)


@pytest.mark.parametrize(
    ("query", "last", "numbers"),
    [("&after=2", b"", [3]), ("", b"1", [2, 3]), ("&after=2", b"1", [2, 3]), ("", b"3", []), ("", b"x", [1, 2, 3]),
     ("&limit=1", b"", [1, 2, 3]), ("&cluster=c1", b"", [2])],
)  # fmt: skip
@dialogue
async def test_one_that_comes_again_goes_on_where_it_was(query: str, last: bytes, numbers: list[int]):
    async with stage() as s:
        happen(s, "one")
        happen(s, "two", cluster="c1")
        happen(s, "three")
        headers = [(b"last-event-id", last)] if last else []
        watcher = request(s, f"/-/events?watch=true{query}", headers=headers)
        await quiet()
        assert [number for number, _ in heard(watcher)] == numbers
        watcher.leave()
        await watcher.over()


@pytest.mark.parametrize(("query", "last"), [("", b"9"), ("&after=9", b"")])
@dialogue
async def test_one_that_comes_again_after_a_restart_is_told_all(query: str, last: bytes):
    """Numbers begin anew with the process: it must not be ended at each event until they reach its own."""
    async with stage() as s:
        happen(s, "one", "two")
        watcher = request(s, f"/-/events?watch=true{query}", headers=[(b"last-event-id", last)] if last else [])
        await quiet()
        happen(s, "three")
        await quiet()
        assert not watcher.is_over
        assert [number for number, _ in heard(watcher)] == [1, 2, 3]
        watcher.leave()
        await watcher.over()


@dialogue
async def test_a_flood_reaches_one_that_reads_whole_and_in_order():
    async with stage() as s:
        watcher = request(s, "/-/events?watch=true")
        for turn in range(30):
            happen(s, *(f"{turn}-{number}" for number in range(100)))
            await quiet()
        assert [number for number, _ in heard(watcher)] == list(range(1, 3_001))
        watcher.leave()
        await watcher.over()


@dialogue
async def test_one_that_fell_behind_the_ring_is_ended_and_held_next_to_nothing():
    async with stage() as s:
        watcher = request(s, "/-/events?watch=true")
        await quiet()
        watcher.hold()
        happen(s, *(f"{number}" + "x" * 500 for number in range(200)))
        await quiet()
        happen(s, *(f"{number}" + "x" * 500 for number in range(3 * KEPT)))
        await asyncio.sleep(1)
        assert watchers(s).held_bytes <= 64 * 1024 + 8_192
        watcher.release()
        await quiet()
        assert watcher.is_over
        assert watcher.complete, "its client comes again, with the last id"
        numbers = [number for number, _ in heard(watcher)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert "0 subscribers" in repr(s.gateway.events)


@dialogue
async def test_one_that_never_reads_is_ended():
    async with stage() as s:
        watcher = request(s, "/-/events?watch=true")
        await quiet()
        watcher.hold()
        happen(s, "one")
        await asyncio.sleep(PATIENCE_SECONDS + 0.1)
        assert watcher.is_over
        assert s.gateway.account.held_bytes == 0
        assert "0 subscribers" in repr(s.gateway.events)


@dialogue
async def test_a_drain_is_seen_until_it_closes():
    async with stage(drain_delay=2.0) as s:
        watcher = request(s, "/-/events?watch=true&kind=drain_began")
        await quiet()
        drain = s.gateway.begin_drain()
        await quiet()
        assert len(heard(watcher)) == 1
        await drain
        await quiet()
        assert watcher.is_over
        assert watcher.complete


@dialogue
async def test_comments_come_in_silence_only_also_while_others_are_filtered_out():
    async with stage() as s:
        watcher = request(s, "/-/events?watch=true&cluster=c1")
        await quiet()
        assert watcher.answer.count(b": still here") == 1, "the first, with the head"
        for _ in range(10):
            happen(s, "mine", cluster="c1")
            await asyncio.sleep(1)
        assert watcher.answer.count(b": still here") == 1
        for _ in range(31):
            happen(s, "another's", cluster="c2")
            await asyncio.sleep(1)
        assert watcher.answer.count(b": still here") == 3
        watcher.leave()
        await watcher.over()
