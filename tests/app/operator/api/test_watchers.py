"""`?watch=true`: what a watcher is sent and when, what waits for one that does not read, and how all of them end."""

import asyncio
import json
from typing import Any

import pytest

from app.operator.api.watchers import COMMENT, MOST_WATCHERS, PATIENCE_SECONDS, PIECE_BYTES, WATCHED_BYTES
from tests.app.operator.api.calls import ask, request, stage
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import FakeLink
from tests.fakes.loop import dialogue, quiet

UNREAD_BYTES = 256 * 1024


def add(s: Stage, number: int) -> FakeLink:
    link = FakeLink(f"agent-{number}", cluster=f"c{number}")
    link.name = f"link-{number}"
    s.gateway.registry.add(link)  # type: ignore[arg-type]
    return link


def events(watcher: Request) -> list[tuple[str, Any]]:
    """Name and JSON of each event, and `comment` for a comment."""
    found = []
    for block in watcher.answer.decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            found.append(("comment", None))
            continue
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["event"], json.loads(fields["data"])))
    return found


def names(page: Any) -> list[str]:
    return [item["link"] for item in page["links"]]


def watchers(s: Stage) -> Any:
    return s.app.state.node.watchers  # type: ignore[attr-defined]


# --- what is sent


@dialogue
async def test_a_snapshot_and_then_a_change_when_there_is_one():
    async with stage() as s:
        first = add(s, 1)
        watcher = request(s, "/-/links?watch=true")
        await quiet()
        assert watcher.status == 200
        assert watcher.header(b"content-type") == b"text/event-stream; charset=utf-8"
        assert [(name, names(page)) for name, page in events(watcher)] == [("snapshot", ["link-1"])]
        add(s, 2)
        add(s, 3)
        await asyncio.sleep(1.1)
        assert [name for name, _ in events(watcher)] == ["snapshot", "change"], "once a second, whatever happened"
        assert names(events(watcher)[1][1]) == ["link-1", "link-2", "link-3"]
        s.gateway.registry.remove(first)  # type: ignore[arg-type]
        await asyncio.sleep(1.0)
        assert names(events(watcher)[2][1]) == ["link-2", "link-3"]
        watcher.leave()
        await watcher.over()


@pytest.mark.parametrize("path", ["/-/status", "/-/links", "/-/clusters"])
@dialogue
async def test_time_alone_is_no_change_and_silence_is_broken_by_comments(path: str):
    async with stage() as s:
        add(s, 1)
        watcher = request(s, f"{path}?watch=true")
        await asyncio.sleep(40.5)
        assert [name for name, _ in events(watcher)] == ["snapshot", "comment", "comment"]
        watcher.leave()
        await watcher.over()


@dialogue
async def test_a_filter_and_a_limit_hold_for_a_watcher_too():
    async with stage() as s:
        for number in range(1, 6):
            add(s, number)
        watcher = request(s, "/-/links?watch=true&limit=2")
        await quiet()
        ((_, page),) = events(watcher)
        assert names(page) == ["link-1", "link-2"]
        assert page["next"] is not None
        await asyncio.sleep(1.1)
        s.gateway.registry.remove(next(iter(s.gateway.registry.links("c5"))))
        await asyncio.sleep(1.1)
        assert len(events(watcher)) == 2, "the total is in it"
        watcher.leave()
        await watcher.over()


@pytest.mark.parametrize("query", ["watch=true&after=!", "watch=true&limit=0", "watch=yes"])
@dialogue
async def test_what_is_wrong_is_answered_as_without_watch(query: str):
    async with stage() as s:
        status, body = await ask(s, f"/-/links?{query}")
        assert (status, body["code"]) == (400, "bad_request")
        assert len(watchers(s)) == 0


# --- what waits


@dialogue
async def test_a_watched_page_has_a_bound_and_says_where_it_was_cut():
    async with stage() as s:
        for number in range(1, 1_001):
            add(s, number)
        watcher = request(s, "/-/links?watch=true")
        await quiet()
        ((_, page),) = events(watcher)
        assert len(watcher.answer) <= WATCHED_BYTES + 200
        assert page["next"] is not None
        assert page["total"] == 1_000
        assert 100 < len(page["links"]) < 1_000
        rest = await request(s, f"/-/links?after={page['next']}").over()
        assert names(page)[-1] != names(json.loads(rest.answer))[0] == f"link-{len(page['links']) + 1}"
        watcher.leave()
        await watcher.over()


@dialogue
async def test_ten_that_never_read_hold_a_bounded_amount_and_are_ended():
    async with stage() as s:
        for number in range(1, 1_001):
            add(s, number)
        stuck = [request(s, "/-/links?watch=true") for _ in range(10)]
        await quiet()
        read = len(stuck[0].answer)
        for watcher in stuck:
            watcher.hold()
        for second in range(int(PATIENCE_SECONDS)):
            add(s, 2_000 + second)
            await asyncio.sleep(1)
            assert len(watchers(s)) == 10
            for watching in watchers(s)._running:
                assert watching.held_bytes + PIECE_BYTES < UNREAD_BYTES
            held = watchers(s).held_bytes
            assert 10 * PIECE_BYTES < held <= 10 * (WATCHED_BYTES + 200)
            assert s.gateway.account.held_bytes == held
        await asyncio.sleep(1.5)
        assert len(watchers(s)) == 0
        assert s.gateway.account.held_bytes == 0
        for watcher in stuck:
            await watcher.over()
            assert len(watcher.answer) <= read + PIECE_BYTES
            assert not watcher.complete, "the server cuts it off"


@dialogue
async def test_one_that_never_takes_the_head_is_ended_too():
    async with stage() as s:
        watcher = request(s, "/-/links?watch=true")
        watcher.hold()
        await asyncio.sleep(PATIENCE_SECONDS + 0.1)
        assert watcher.is_over
        assert len(watchers(s)) == 0


@dialogue
async def test_one_that_reads_slowly_stays_and_never_has_two_answers_waiting():
    async with stage() as s:
        watcher = request(s, "/-/links?watch=true")
        await quiet()
        watcher.hold()
        for number in range(1, 5):
            add(s, number)
            await asyncio.sleep(5)
        watcher.release()
        await asyncio.sleep(1.1)
        pages = [names(page) for _, page in events(watcher)]
        assert pages == [[], ["link-1"], ["link-1", "link-2", "link-3", "link-4"]]
        watcher.leave()
        await watcher.over()


@dialogue
async def test_there_is_room_for_32():
    async with stage() as s:
        running = [request(s, "/-/status?watch=true") for _ in range(MOST_WATCHERS)]
        await quiet()
        answered = await request(s, "/-/status?watch=true").over()
        assert (answered.status, json.loads(answered.answer)["code"]) == (503, "busy")
        assert answered.header(b"retry-after") == b"5"
        running[0].leave()
        await running[0].over()
        again = request(s, "/-/status?watch=true")
        await quiet()
        assert again.status == 200
        for watcher in [*running[1:], again]:
            watcher.leave()
            await watcher.over()


# --- the end


@pytest.mark.parametrize("path", ["/-/status", "/-/links", "/-/clusters"])
@dialogue
async def test_they_end_when_the_drain_begins_to_close_and_not_before(path: str):
    async with stage(drain_delay=5.0, shutdown_grace=1.0) as s:
        watcher = request(s, f"{path}?watch=true")
        await quiet()
        drain = s.gateway.begin_drain()
        await asyncio.sleep(4.9)
        assert not watcher.is_over
        await asyncio.sleep(0.2)
        assert watcher.is_over
        assert watcher.complete
        late, body = await ask(s, f"{path}?watch=true")
        assert (late, body["code"]) == (503, "busy")
        assert (await ask(s, path))[0] == 200
        await drain


@pytest.mark.parametrize("reads", [True, False])
@dialogue
async def test_after_the_close_of_the_gateway_none_runs(reads: bool):
    async with stage() as s:
        running = [request(s, "/-/links?watch=true") for _ in range(3)]
        await quiet()
        if not reads:
            for watcher in running:
                watcher.hold()
            add(s, 1)
            await asyncio.sleep(1.1)
            assert watchers(s).held_bytes > 0
        await s.gateway.aclose()
        assert all(watcher.is_over for watcher in running)
        assert [watcher.complete for watcher in running] == [reads] * 3
        assert len(watchers(s)) == 0


@dialogue
async def test_one_that_leaves_before_anything_was_sent_leaves_nothing():
    async with stage() as s:
        watcher = request(s, "/-/links?watch=true")
        watcher.leave()
        await asyncio.sleep(1.5)
        assert watcher.is_over
        assert len(watchers(s)) == 0


@dialogue
async def test_while_nobody_watches_nothing_runs():
    async with stage() as s:
        s.gateway.open()
        before = len(asyncio.all_tasks())
        watcher = request(s, "/-/links?watch=true")
        await quiet()
        assert len(asyncio.all_tasks()) == before + 2, "its call, and who hears that the client leaves"
        watcher.leave()
        await watcher.over()
        await quiet()
        assert len(asyncio.all_tasks()) == before
        assert COMMENT.startswith(b":")
