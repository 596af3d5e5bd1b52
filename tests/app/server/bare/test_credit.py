"""Back-pressure through the bare door: credit for what was taken, and nothing that holds up the others."""

import asyncio

import pytest

from app.observed.metrics import Limit
from tests.app.server.bare.hop import BOTH, FIELDS, GET, JSON, UPGRADE, Hop, Socket, Telling, Writer
from tests.fakes.pipe import WINDOW_BYTES
from tests.tunnel.gateway.proxied.agent import Stage, conversation
from tunnel.websocket.frames import encode_frame

# --- credit


@BOTH
@conversation
async def test_the_asking_node_gets_credit_only_for_what_the_dialect_took(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    hop.service.reads = False
    size = 20 * 1024 * 1024
    exchange, sink = hop.ask(b"POST", fields=[*FIELDS, (b"content-length", b"%d" % size)], length=size)
    writables, welcome, sent = 0, True, 0
    while sent < size and (welcome or sink.calls.count("writable") > writables):
        writables = sink.calls.count("writable")
        welcome = exchange.send_data(b"x" * 65_536)
        sent += 65_536
        await hop.settle()
    assert sent < 2 * 1024 * 1024, "the pressure reaches the client"
    assert hop.far.held_bytes == WINDOW_BYTES, "what the dialect did not take has no credit"
    assert stage.account.held_bytes < 4 * WINDOW_BYTES
    await hop.end()


@pytest.mark.parametrize("chunked", [False, True])
@conversation
async def test_credit_goes_back_with_each_byte_that_was_taken(stage: Stage, chunked: bool):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    size = 3 * WINDOW_BYTES
    fields = FIELDS if chunked else [*FIELDS, (b"content-length", b"%d" % size)]
    exchange, _ = hop.ask(b"POST", fields=fields, length=None if chunked else size)
    await hop.settle()
    assert hop.far.acknowledged == len(hop.far.received)
    upstream.exchange.welcome = False
    exchange.send_data(b"x" * size)
    if chunked:
        exchange.end()
    await hop.settle()
    for _ in range(size):
        taken = sum(map(len, upstream.exchange.data))
        kept = len(hop.far.received) - hop.far.acknowledged
        if upstream.exchange.ended:
            break
        assert kept == WINDOW_BYTES or len(hop.far.received) == len(hop.near.written)
        before = hop.far.acknowledged
        upstream.exchange.drained()
        upstream.exchange.welcome = False
        await hop.settle()
        new = sum(map(len, upstream.exchange.data)) - taken
        assert hop.far.acknowledged - before in range(new, new + 100), "and its framing"
    assert (taken, kept) == (size, 0)
    await hop.end()


@conversation
async def test_what_is_not_understood_yet_has_no_credit(stage: Stage):
    hop = Hop(stage, JSON, upstream=Telling())
    hop.near.owner = Writer()
    hop.near.write(GET[:10])
    await hop.settle()
    assert hop.far.acknowledged == 0
    hop.near.write(GET[10:] + GET)
    await hop.settle()
    assert hop.far.acknowledged == len(GET), "the second request waits for the first one's answer"
    await hop.end()


@conversation
async def test_a_body_that_waits_waits_in_one_place(stage: Stage):
    """However small the pieces: where each came to the connection, it would be copied with each that follows."""
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    hop.near.frame_bytes = 1
    exchange, _ = hop.ask(b"POST", fields=[*FIELDS, (b"content-length", b"9000")], length=9000)
    await hop.settle()
    upstream.exchange.welcome = False
    exchange.send_data(b"x" * 9000)
    await hop.settle()
    assert hop.door is not None
    (connection,) = hop.door.connections
    assert (connection.unread_bytes, upstream.exchange.body) == (0, b"x")
    assert hop.far.held_bytes == 8999
    upstream.exchange.drained()
    await hop.settle()
    assert upstream.exchange.body == b"x" * 9000
    await hop.end()


@conversation
async def test_an_answer_is_counted_once_wherever_it_waits(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    hop.near.owner = Writer()
    hop.near.write(GET)
    await hop.settle()
    upstream.exchange.answer(200)
    upstream.exchange.bring(b"x" * 1_000_000)
    assert stage.account.held_bytes == 1_000_000
    assert upstream.exchange.paused
    await hop.settle()
    assert stage.account.held_bytes == hop.far.held_bytes
    assert len(hop.near.received) == WINDOW_BYTES
    upstream.exchange.bring(b"y" * 1_000)
    assert stage.account.held_bytes == hop.far.held_bytes + 1_000
    while hop.near.held_bytes:
        hop.near.acknowledge(hop.near.held_bytes)
        await hop.settle()
    assert stage.account.held_bytes == 0
    assert not upstream.exchange.paused
    await hop.end()


@conversation
async def test_frames_that_are_not_read_pause_the_exchange(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    hop.near.owner = Writer()
    hop.near.write(UPGRADE)
    await hop.settle()
    upstream.exchange.answer(101)
    while not upstream.exchange.paused:
        upstream.exchange.bring(b"x" * 16_000)
        await hop.settle()
        assert stage.account.held_bytes < WINDOW_BYTES
    hop.near.acknowledge(len(hop.near.received))
    await hop.settle()
    assert not upstream.exchange.paused
    await hop.end()


@BOTH
@conversation
async def test_an_answer_that_is_not_read_stops_where_it_is(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    exchange, sink = hop.ask()
    await hop.settle()
    hop.service.head(200)
    await hop.settle()
    exchange.pause()
    for _ in range(100):
        hop.service.data(b"x" * 32 * 1024)
        await hop.settle()
    assert stage.account.held_bytes < 3 * WINDOW_BYTES + 256 * 1024, "the rest is on the disk"
    exchange.resume()
    hop.service.end()
    for _ in range(30):
        await hop.settle()
    assert (len(sink.body), sink.outcome) == (100 * 32 * 1024, "end")
    await hop.end()


@BOTH
@conversation
async def test_a_websocket_holds_back_whom_the_agent_does_not_hear(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    hop.service.accept()
    await hop.settle()
    hop.service.reads = False
    sent = 0
    while socket.send(b"x" * 1000) and sent < 2000:
        sent += 1
        await hop.settle()
    assert sent < 2000
    assert hop.far.held_bytes > WINDOW_BYTES - 16 * 1024
    hop.service.reads = True
    for _ in range(60):
        await hop.settle()
    assert hop.far.held_bytes == 0
    assert len(hop.service.events) == sent + 1
    await hop.end()


@BOTH
@conversation
async def test_a_flood_of_tiny_frames_takes_many_turns(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    hop.service.accept()
    await hop.settle()
    socket.exchange.send_data(encode_frame(0x02, b"", masked=True) * 5_000)
    turns, before = 0, len(hop.service.events)
    while len(hop.service.events) < 5_000 and turns < 5_000:
        await asyncio.sleep(0)
        hop.service.pump()
        assert len(hop.service.events) - before <= 100, "in one turn"
        before = len(hop.service.events)
        turns += 1
    assert before == 5_000
    await hop.end()


# --- above the marks of the account


@conversation
async def test_who_keeps_whom_waiting(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    assert hop.door is not None
    (connection,) = hop.door.waiting()
    exchange, _ = hop.ask(b"POST", fields=[*FIELDS, (b"content-length", b"200000")], length=200_000)
    await hop.settle()
    upstream.exchange.hold(100_000, stage.account)
    exchange.send_data(b"x" * 100_000)
    await hop.settle()
    assert connection.held_bytes == 100_000
    assert connection.lags() == (None, None), "it moves"
    upstream.exchange.welcome = False
    exchange.send_data(b"x" * 90_000)
    await hop.settle()
    client, service = connection.lags()
    assert (client is None, service is not None) == (True, True)
    upstream.exchange.drained()
    await hop.settle()
    assert connection.lags() == (None, None)
    await hop.end()


@BOTH
@conversation
async def test_the_relief_sees_what_a_stream_holds_and_ends_it(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    exchange, sink = hop.ask()
    await hop.settle()
    hop.service.head(200)
    await hop.settle()
    exchange.pause()
    for _ in range(30):
        hop.service.data(b"x" * 32 * 1024)
        await hop.settle()
    assert hop.door is not None
    (connection,) = hop.door.waiting()
    assert connection.held_bytes > WINDOW_BYTES
    client, service = connection.lags()
    assert client is not None
    assert service is None
    connection.relieve(Limit.HELD_STALLED)
    await hop.settle()
    assert hop.far.was_reset
    assert hop.service.left
    assert sink.outcome != "end"
    await hop.end()
