"""What a mirror says of its own writes, and what they are when the watch or a bucket made anew comes between."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.cluster.bucket import AwayError, BucketError, ConflictError, Entry, UncertainError
from app.observed.metrics import WriteEnd
from tests.app.cluster.mirrors import FIRST, SECOND, Told, connected, held, lose
from tests.fakes.jetstream import Server
from tests.fakes.loop import dialogue, quiet


@dialogue
async def test_what_the_watch_brings_late_is_not_taken_for_news():
    """The answer of a write and the watch are two ways: either may be first."""
    server = Server("b")
    mirror, _ = await connected(server)
    told = Told(mirror)
    server.swallow = 0
    early = asyncio.ensure_future(mirror.put("k", b"mine"))
    server.put("k", b"theirs")  # before ours
    await quiet()
    assert await early == 2
    assert mirror.get("k") == Entry("k", b"mine", 2, FIRST)
    server.put("k", b"later")
    await quiet()
    assert mirror.get("k") == Entry("k", b"later", 3, FIRST)
    revisions = [entry.revision for entry in told.all if isinstance(entry, Entry)]
    assert revisions == sorted(set(revisions))
    assert mirror._ahead == {}
    await mirror.aclose()


@dialogue
async def test_an_old_revision_for_a_new_write_means_a_bucket_made_anew():
    server = Server("b")
    mirror, _ = await connected(server)
    for _ in range(3):
        await mirror.put("k", b"1")
    await quiet()
    server.make_anew()
    told = Told(mirror)
    with pytest.raises(UncertainError, match="made anew"):
        await mirror.put("k", b"2")
    await asyncio.sleep(0.5)
    assert told.all == ["anew", Entry("k", b"2", 1, SECOND)]
    await mirror.aclose()


async def is_silent(server: Server) -> None:
    server.is_silent = True


async def is_refused(server: Server) -> None:
    server.refusal = (10047, "insufficient storage resources available")


async def has_no_jetstream(server: Server) -> None:
    server.has_jetstream = False


@pytest.mark.parametrize(
    ("trouble", "error", "says"),
    [
        (is_silent, UncertainError, "no answer"),
        (is_refused, AwayError, "insufficient storage"),
        (has_no_jetstream, AwayError, "nobody answers"),
    ],
)
@dialogue
async def test_a_write_that_fails(trouble: Callable[[Server], Awaitable[None]], error: type[BucketError], says: str):
    server = Server("b")
    mirror, _ = await connected(server)
    await trouble(server)
    calls = len(server.calls)
    writes = mirror.put("k", b"1"), mirror.create("k", b"1"), mirror.update("k", b"1", 1), mirror.delete("k")
    for failed in await asyncio.gather(*writes, return_exceptions=True):
        assert isinstance(failed, error)
        assert says in str(failed)
    assert len([call for call in server.calls[calls:] if call.startswith("$KV")]) == 4, "tried once each"
    end = WriteEnd.UNCERTAIN if error is UncertainError else WriteEnd.AWAY
    assert (mirror.writes, mirror.failed) == (0, dict.fromkeys(WriteEnd, 0) | {end: 4})
    server.is_silent, server.refusal, server.has_jetstream = False, None, True
    await mirror.aclose()


@dialogue
async def test_a_write_whose_connection_ends_is_uncertain_and_one_after_it_away():
    server = Server("b")
    mirror, connection = await connected(server)
    server.is_silent = True
    write = asyncio.ensure_future(mirror.put("k", b"1"))
    await quiet()
    await lose(mirror, connection)
    with pytest.raises(UncertainError):
        await write
    with pytest.raises(AwayError, match="NATS is away"):
        await mirror.put("k", b"1")
    with pytest.raises(AwayError):
        await mirror.purge_markers()


@dialogue
async def test_create_over_a_marker_that_another_takes_first():
    server = Server("b")
    mirror, _ = await connected(server)
    await mirror.put("k", b"1")
    await mirror.delete("k")
    last = server._last

    def taken(subject: str) -> object:
        answer = last(subject)
        server.put("k", b"theirs")
        return answer

    server._last = taken  # type: ignore[method-assign]
    with pytest.raises(ConflictError):
        await mirror.create("k", b"2")
    await quiet()
    assert held(mirror) == {"k": b"theirs"}
    assert (mirror.writes, mirror.failed[WriteEnd.CONFLICT]) == (2, 2)
    await mirror.aclose()


@dialogue
async def test_it_purges_old_markers_and_nothing_else():
    server = Server("b")
    mirror, _ = await connected(server)
    for key in ("a", "b", "c"):
        await mirror.put(key, b"1")
    await quiet()
    assert await mirror.purge_markers() == 0
    assert not [call for call in server.calls[-2:] if "CONSUMER" in call], "nothing to look for"
    await mirror.delete("a")
    await mirror.delete("b")
    await quiet()
    purge = asyncio.ensure_future(mirror.purge_markers(0))
    listed = server._purged

    def written_meanwhile(subject: str, before: int) -> object:
        if subject.endswith(".a"):
            server.put("a", b"2")
        return listed(subject, before)

    server._purged = written_meanwhile  # type: ignore[method-assign]
    assert await purge == 1
    await quiet()
    assert held(mirror) == {"a": b"2", "c": b"1"}
    assert len(server.consumers) == 1
    await mirror.aclose()
    assert server.consumers == {}
