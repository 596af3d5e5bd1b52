"""One watch over a JetStream in memory: what breaks it, what it answers, and that it lets the loop on."""

import asyncio
import itertools
import logging

import pytest

from app.cluster.jetstream import JetStream
from app.cluster.requests import RefusedError
from app.cluster.watch import SILENCE_SECONDS, Delivery, Watch
from tests.fakes.jetstream import Connection, Delivered, Server
from tests.fakes.loop import VirtualLoop, dialogue, quiet


class Watching:
    """A watch that runs, and what it brought."""

    def __init__(self, server: Server, *, start: int = 1, headers_only: bool = False) -> None:
        server.is_there = True
        self.server = server
        self.connection: Connection = server.connect()
        self.taken: list[Delivery] = []
        self.caught_up = 0
        self.watch = Watch(
            JetStream(self.connection, server.name),  # type: ignore[arg-type]
            start=start,
            take=self.taken.append,
            caught_up=self._is_caught_up,
            headers_only=headers_only,
        )
        self.running = asyncio.ensure_future(self.watch.run())

    def _is_caught_up(self) -> None:
        self.caught_up += 1

    def send(self, message: Delivered) -> None:
        """Straight to the watch's inbox."""
        self.connection.deliver(next(iter(self.server.consumers.values())).inbox, message)

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])
        assert self.server.consumers == {}


@dialogue
async def test_it_brings_what_there_is_from_a_revision_on_and_then_what_comes():
    server = Server("b")
    for number in range(4):
        server.put(f"k{number}", b"%d" % number)
    watching = Watching(server, start=3)
    await quiet()
    server.put("k0", None)
    await quiet()
    assert [(each.key, each.value, each.revision, each.pending) for each in watching.taken] == [
        ("k2", b"2", 3, 1),
        ("k3", b"3", 4, 0),
        ("k0", None, 5, 0),
    ]
    assert watching.taken[0].written == 1_790_000_000
    assert watching.caught_up == 1
    await watching.end()


@dialogue
async def test_of_an_empty_bucket_it_has_all_at_once():
    watching = Watching(Server("b"))
    await quiet()
    assert (watching.taken, watching.caught_up) == ([], 1)
    await watching.end()


@dialogue
async def test_heads_alone_tell_the_markers():
    server = Server("b")
    server.put("a", b"long")
    server.put("b", None)
    watching = Watching(server, headers_only=True)
    await quiet()
    assert [(each.key, each.value) for each in watching.taken] == [("a", b""), ("b", None)]
    await watching.end()


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.KV_b.c.1.7.1.1790000000000000000.0",
        "$JS.ACK.domain.account.KV_b.c.1.7.1.1790000000000000000.0.token",
        "$JS.ACK._.account.KV_b.c.1.7.1.1790000000000000000.0",
    ],
)
@dialogue
async def test_both_forms_of_what_the_server_says_of_a_message(reply: str):
    watching = Watching(Server("b"))
    await quiet()
    watching.send(Delivered("$KV.b.k", reply, b"1"))
    await quiet()
    assert watching.taken == [Delivery("k", b"1", 7, 0, 1_790_000_000)]
    await watching.end()


@pytest.mark.parametrize("reply", ["", "_INBOX.x", "$JS.ACK.KV_b.c.1.7.x.1.0", "$JS.ACK.KV_b.c.1.7.1.1790.0.0.0.0.0.x"])
@dialogue
async def test_what_is_not_understood_breaks_it(reply: str):
    watching = Watching(Server("b"))
    await quiet()
    watching.send(Delivered("$KV.b.k", reply, b"1"))
    await quiet()
    assert watching.running.done()
    assert watching.taken == []
    assert watching.server.consumers == {}


@dialogue
async def test_a_missing_message_breaks_it_and_what_follows_is_not_taken():
    server = Server("b")
    watching = Watching(server)
    await quiet()
    server.swallow = 1
    for key in ("a", "b", "c"):
        server.put(key, b"1")
    await quiet()
    assert await watching.running == "message 1 of the watch is missing"
    assert watching.taken == []


@dialogue
async def test_a_heartbeat_tells_that_the_last_message_is_missing():
    server = Server("b")
    watching = Watching(server)
    await quiet()
    server.put("a", b"1")
    server.heartbeat()
    await quiet()
    assert not watching.running.done()
    server.swallow = 1
    server.put("b", b"1")
    server.heartbeat()
    assert await watching.running == "the watch has 1 of 2 messages"


@dialogue
async def test_silence_breaks_it():
    server = Server("b")
    watching = Watching(server)
    for _ in range(10):
        await asyncio.sleep(1)
        server.heartbeat()
    assert not watching.running.done()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await watching.running == "no heartbeat came"
    assert SILENCE_SECONDS < loop.time() - began <= SILENCE_SECONDS + 2


@dialogue
async def test_a_pause_of_this_process_breaks_it_and_it_was_last_whole_before():
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    watching = Watching(Server("b"))
    await asyncio.sleep(1)
    before = loop.time()
    loop.stand_still(100)
    watching.server.put("a", b"1")  # what came meanwhile, all at once
    watching.server.heartbeat()
    assert await watching.running == "this process stood still for 100 s"
    assert before - 1 < watching.watch.alive <= before


@dialogue
async def test_it_says_that_it_keeps_up():
    server = Server("b")
    watching = Watching(server)
    await quiet()
    watching.send(Delivered("inbox", "$JS.FC.KV_b.c.1", b"", {"Status": "100", "Description": "FlowControl Request"}))
    server.heartbeat(stalled="$JS.FC.KV_b.c.2")
    await quiet()
    assert watching.connection.published == ["$JS.FC.KV_b.c.1", "$JS.FC.KV_b.c.2"]
    await watching.end()


@dialogue
async def test_a_taker_that_fails_does_not_break_it(caplog: pytest.LogCaptureFixture):
    server = Server("b")
    watching = Watching(server)
    watching.watch._take = watching.taken.remove
    await quiet()
    with caplog.at_level(logging.ERROR, "gateway.cluster"):
        server.put("a", b"1")
        server.put("b", b"1")
        await quiet()
    assert len(caplog.records) == 2
    assert not watching.running.done()
    await watching.end()


@dialogue
async def test_a_bucket_that_is_not_there():
    server = Server("b")
    watching = Watching(server)
    server.is_there = False
    with pytest.raises(RefusedError, match="stream not found"):
        await watching.running


@dialogue
async def test_the_loop_is_let_on_in_a_burst(monkeypatch: pytest.MonkeyPatch):
    """Each message costs a millisecond here: after each five of them others have their turn."""
    clock = iter(range(1, 1_000_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock) / 1_000)
    server = Server("b")
    for number in range(100):
        server.put(f"k{number}", b"1")
    watching = Watching(server)
    turns: list[int] = []
    while len(watching.taken) < 100:
        await asyncio.sleep(0)
        turns.append(len(watching.taken))
    steps = [after - before for before, after in itertools.pairwise(turns)]
    assert 0 < max(steps) <= 6
    assert watching.watch.slices >= 15
    await watching.end()
