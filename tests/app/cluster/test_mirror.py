"""A mirror over a JetStream in memory: what it goes on from, what it forgets, and what it says of writes."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from app.cluster.bucket import AwayError, Entry
from app.cluster.mirror import TRUSTED_SECONDS
from tests.app.cluster import bucket_contract
from tests.app.cluster.mirrors import FIRST, SECOND, Told, connected, held, lose
from tests.fakes.jetstream import Server
from tests.fakes.loop import dialogue, quiet


async def soon(condition: Callable[[], object]) -> None:
    await quiet()
    assert condition()


@pytest.mark.parametrize("part", bucket_contract.PARTS)
@dialogue
async def test_the_contract(part: bucket_contract.Part):
    server = Server("b")
    one, _ = await connected(server)
    two, _ = await connected(server)
    await part(one, two, soon)
    await one.aclose()
    await two.aclose()


@dialogue
async def test_it_lists_a_bucket_and_is_synced_then():
    server = Server("b")
    server.is_there = True
    for number in range(5):
        server.put(f"k{number}", b"1")
    server.put("k3", None)
    mirror, _ = await connected(server)
    assert held(mirror) == dict.fromkeys(["k0", "k1", "k2", "k4"], b"1")
    assert (mirror.synced, mirror.revision, mirror.lag, mirror.created) == (True, 6, 0, FIRST)
    assert repr(mirror) == "<Mirror b: 4 entries at 6, synced>"
    await mirror.aclose()
    assert not mirror.synced
    assert len(mirror) == 4, "what it holds can still be read"
    await mirror.aclose()


@dialogue
async def test_what_is_written_now_says_how_far_the_clock_is_ahead(monkeypatch: pytest.MonkeyPatch):
    """What is listed was written some time ago, and says nothing."""
    server = Server("b")
    server.is_there = True
    server.put("k", b"1")
    mirror, _ = await connected(server)
    assert mirror.ahead_seconds is None
    server.put("k", b"2")
    await quiet()
    loop = asyncio.get_running_loop()
    written = 1_790_000_000.0 - loop.time()  # as the fake says
    monkeypatch.setattr("time.time", lambda: written + loop.time() + 7.0)
    assert mirror.ahead_seconds == pytest.approx(7.0)
    await asyncio.sleep(100)
    assert mirror.ahead_seconds == pytest.approx(7.0)
    await mirror.aclose()


@dialogue
async def test_a_bucket_that_somebody_else_makes_at_the_same_time_is_taken():
    server = Server("b")
    made = server._made

    def by_another() -> object:
        made()
        return {"error": {"code": 400, "err_code": 10058, "description": "stream name already in use"}}

    server._made = by_another  # type: ignore[method-assign]
    mirror, _ = await connected(server)
    assert mirror.synced
    await mirror.aclose()


@dialogue
async def test_after_a_loss_it_goes_on_from_its_last_revision():
    server = Server("b")
    mirror, connection = await connected(server)
    server.put("a", b"1")
    server.put("b", b"1")
    await quiet()
    await lose(mirror, connection)
    assert not mirror.synced
    assert held(mirror) == {"a": b"1", "b": b"1"}
    server.put("a", b"2")
    server.put("b", None)
    told = Told(mirror)
    mirror, _ = await connected(server, mirror)
    assert told.all == [Entry("a", b"2", 3, FIRST), Entry("b", None, 4, FIRST)]
    assert mirror.listings == 1
    await mirror.aclose()


@pytest.mark.parametrize(("away", "listings"), [(TRUSTED_SECONDS - 1, 1), (TRUSTED_SECONDS + 1, 2)])
@dialogue
async def test_after_long_it_lists_all_because_markers_may_be_gone(away: float, listings: int):
    server = Server("b")
    mirror, connection = await connected(server)
    server.put("a", b"1")
    server.put("b", b"1")
    await quiet()
    await lose(mirror, connection)
    server.put("b", None)
    if listings == 2:
        del server.messages[server.subject("b")]  # another node purged the marker
    told = Told(mirror)
    await asyncio.sleep(away)
    mirror, _ = await connected(server, mirror)
    assert held(mirror) == {"a": b"1"}
    assert mirror.listings == listings
    assert told.all == [Entry("b", None, 3 if listings == 1 else 0, FIRST)], "and nobody is told of what is as it was"
    await mirror.aclose()


@dialogue
async def test_a_bucket_made_anew_is_told_first_and_then_each_difference():
    server = Server("b")
    mirror, connection = await connected(server)
    for key in ("same", "other", "gone"):
        server.put(key, b"1")
    await quiet()
    await lose(mirror, connection)
    server.make_anew()
    server.put("same", b"1")
    server.put("other", b"2")
    told = Told(mirror)
    before = held(mirror)
    mirror.on_anew = lambda: told.all.append("anew" if held(mirror) == before else "too late")
    mirror, _ = await connected(server, mirror)
    assert told.all == [
        "anew",
        Entry("same", b"1", 1, SECOND),
        Entry("other", b"2", 2, SECOND),
        Entry("gone", None, 0, SECOND),
    ]
    assert (mirror.synced, mirror.created, mirror.revision) == (True, SECOND, 2)
    await mirror.aclose()


@dialogue
async def test_a_bucket_that_lost_its_last_writes_is_listed():
    server = Server("b")
    mirror, connection = await connected(server)
    for key in ("a", "b"):
        server.put(key, b"1")
    await quiet()
    await lose(mirror, connection)
    del server.messages[server.subject("b")]
    server.last = 1
    told = Told(mirror)
    mirror, _ = await connected(server, mirror)
    assert told.all == ["anew", Entry("b", None, 0, FIRST)]
    await mirror.aclose()


@dialogue
async def test_a_listing_that_breaks_off_goes_on_where_it_was():
    server = Server("b")
    mirror, connection = await connected(server)
    for key in ("a", "b", "c"):
        server.put(key, b"1")
    await quiet()
    await lose(mirror, connection)
    server.make_anew()
    for key in ("b", "c", "d"):
        server.put(key, b"2")
    mirror.connected(broken := server.connect())
    deliver = broken.deliver

    def first_only(inbox: str, message: object) -> None:
        deliver(inbox, message)  # type: ignore[arg-type]
        broken.deliver = lambda *_: None  # type: ignore[method-assign]

    broken.deliver = first_only  # type: ignore[method-assign, assignment]
    await quiet()
    assert (mirror.synced, mirror.revision) == (False, 1)
    assert held(mirror) == {"a": b"1", "b": b"2", "c": b"1"}
    await lose(mirror, broken)
    mirror, _ = await connected(server, mirror)
    assert held(mirror) == {"b": b"2", "c": b"2", "d": b"2"}
    assert (mirror.synced, mirror.revision) == (True, 3)
    await mirror.aclose()


@dialogue
async def test_a_missing_message_makes_the_watch_anew_and_nothing_is_left_out():
    server = Server("b")
    mirror, _ = await connected(server)
    server.put("a", b"1")
    server.swallow = 1
    server.put("b", b"1")
    server.put("c", b"1")
    await quiet()
    assert held(mirror) == {"a": b"1"}
    assert not mirror.synced
    await asyncio.sleep(0.5)
    assert held(mirror) == {"a": b"1", "b": b"1", "c": b"1"}
    assert (mirror.synced, mirror.listings) == (True, 1)
    await mirror.aclose()


@dialogue
async def test_frozen_it_takes_what_is_put_and_forgets_nothing():
    server = Server("b")
    mirror, _ = await connected(server)
    for key in ("a", "b", "c", "own"):
        await mirror.put(key, b"1")
    mirror.freeze()
    told = Told(mirror)
    server.put("a", None)
    server.put("b", None)
    server.put("b", b"2")
    server.put("c", None)
    server.put("d", b"1")
    await mirror.delete("own")
    await quiet()
    assert held(mirror) == {"a": b"1", "b": b"2", "c": b"1", "d": b"1"}
    assert "frozen" in repr(mirror)
    await mirror.put("c", b"3")
    mirror.thaw()
    assert held(mirror) == {"b": b"2", "c": b"3", "d": b"1"}
    assert told.all[-1] == Entry("a", None, 5, FIRST)
    mirror.thaw()
    await mirror.aclose()


@dialogue
async def test_frozen_when_the_bucket_was_made_anew_it_keeps_all_until_it_thaws():
    server = Server("b")
    mirror, connection = await connected(server)
    for number in range(200):
        server.put(f"k{number}", b"1")
    await quiet()
    await lose(mirror, connection)
    server.make_anew()
    server.put("k7", b"2")
    mirror.on_anew = mirror.freeze
    mirror, _ = await connected(server, mirror)
    assert mirror.synced
    assert len(mirror) == 200
    server.put("k8", b"2")
    await quiet()
    mirror.thaw()
    assert len(mirror) > 2, "in slices"
    await quiet()
    assert held(mirror) == {"k7": b"2", "k8": b"2"}
    await mirror.aclose()


@dialogue
async def test_a_bucket_that_cannot_be_had_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture):
    server = Server("b")
    server.refusal = (10074, "replicas > 1 not supported in non-clustered mode")
    with caplog.at_level(logging.WARNING, "gateway.cluster"):
        mirror, _ = await connected(server)
        await asyncio.sleep(30)
    (record,) = [record for record in caplog.records if record.name == "gateway.cluster"]
    assert "error 10074" in record.getMessage()
    assert mirror.problem is not None
    assert "error 10074); set replicas in [cluster]" in mirror.problem
    with pytest.raises(AwayError, match="10074"):
        await mirror.put("k", b"1")
    server.refusal = None
    await asyncio.sleep(1.1)
    assert (mirror.synced, mirror.problem) == (True, None)
    await mirror.aclose()


@dialogue
async def test_a_listener_that_fails_is_told_and_costs_nobody_else(caplog: pytest.LogCaptureFixture):
    server = Server("b")
    mirror, _ = await connected(server)
    told: list[Entry] = []
    mirror.on_change = told.remove
    with caplog.at_level(logging.ERROR, "gateway.cluster"):
        await mirror.put("k", b"1")
        server.put("l", b"1")
        await quiet()
    assert held(mirror) == {"k": b"1", "l": b"1"}
    assert len(caplog.records) == 2
    assert mirror.synced
    await mirror.aclose()
