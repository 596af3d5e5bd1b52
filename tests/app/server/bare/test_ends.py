"""How a stream at the bare door ends: by the asking node, its link, the node's own end, and the last bounds."""

import asyncio
import gc
import weakref

import pytest

from app.server.bare.connection import IDLE_SECONDS, LAST_SECONDS, LEAVING_SECONDS
from app.server.bare.door import BareDoor
from tests.app.server.bare.hop import BOTH, FIELDS, GET, JSON, UPGRADE, Hop, Socket, Telling, Writer, ok
from tests.fakes.loop import quiet
from tests.fakes.pipe import WINDOW_BYTES, PipeEnd
from tests.tunnel.gateway.proxied.agent import Stage, conversation
from tunnel.errors import EndedForRoomError, ServiceUnreachableError

# --- ends


@BOTH
@conversation
async def test_an_asking_node_that_ends_its_direction_still_gets_its_answer(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    got = Writer()
    hop.near.owner = got
    hop.near.write(GET)
    hop.near.write_end()
    await hop.settle()
    await asyncio.sleep(100.0)
    ok(hop)
    await hop.settle()
    assert got.data.endswith(b"\r\n\r\nok")
    assert got.ended
    assert hop.door is not None
    assert not hop.door.connections
    await hop.end()


@BOTH
@conversation
async def test_a_request_that_ends_short_is_reset_at_both_ends(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    got = Writer()
    hop.near.owner = got
    hop.near.write(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9000000\r\n\r\nhalf")
    await hop.settle()
    hop.near.write_end()
    await hop.settle()
    assert hop.service.left
    assert hop.far.was_reset
    await hop.end()


@BOTH
@conversation
async def test_a_websocket_whose_asking_node_ends_without_a_close_is_over(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    hop.service.accept()
    await hop.settle()
    socket.exchange.end()
    await hop.settle()
    assert hop.service.left
    assert hop.far.was_reset
    await hop.end()


@conversation
async def test_an_asking_node_that_ends_before_the_101_wants_no_websocket(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    hop.near.owner = Writer()
    hop.near.write(UPGRADE)
    hop.near.write_end()
    await hop.settle()
    upstream.exchange.answer(101)
    await hop.settle()
    assert (hop.far.was_reset, upstream.exchange.resets) == (True, 1)
    await hop.end()


@BOTH
@conversation
async def test_a_lost_link_breaks_off_what_runs_and_says_why(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    socket = Socket(hop)
    await hop.settle()
    hop.service.accept()
    hop.service.say("last word")
    await hop.settle()
    assert hop.agent is not None
    hop.agent.lose()
    await hop.settle()
    assert socket.sink.outcome == "LinkLostError"
    assert socket.heard() == ["Message(data='last word')"]
    await hop.end()


@pytest.mark.parametrize("length", [10, None])
@conversation
async def test_a_broken_answer_is_reset_after_what_came_of_it(stage: Stage, length: int | None):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    _, sink = hop.ask()
    await hop.settle()
    upstream.exchange.answer(200, [(b"content-length", b"%d" % length)] if length else [])
    upstream.exchange.bring(b"hello")
    upstream.exchange.fail(EndedForRoomError("no room"))
    await hop.settle()
    assert (sink.statuses, sink.body, sink.outcome) == ([200], b"hello", "EndedForRoomError")
    assert (hop.far.was_reset, hop.far.has_ended) == (True, False)
    await hop.end()


@conversation
async def test_without_a_way_to_say_why_it_is_reset_all_the_same(stage: Stage):
    near, far = PipeEnd.pair(stage.account)
    got = near.owner = Writer()
    upstream = Telling()
    door = BareDoor(stage.account, asyncio.get_running_loop())
    door.attach(far, upstream, lambda _: None, peer="n1")
    near.write(GET)
    await quiet()
    upstream.exchange.fail(ServiceUnreachableError("nobody"))
    await quiet()
    assert (got.data, near.is_lost, far.was_reset) == (b"", True, True)
    assert not door.connections


@conversation
async def test_a_service_that_does_not_answer_a_close_is_left(stage: Stage):
    upstream = Telling()
    hop = Hop(stage, JSON, upstream=upstream)
    socket = Socket(hop)
    await hop.settle()
    upstream.exchange.answer(101, [(b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")])
    await hop.settle()
    socket.exchange.send_data(socket.codec.close(1000))
    socket.exchange.end()
    await hop.settle()
    assert (upstream.exchange.ended, upstream.exchange.resets) == (1, 0)
    await asyncio.sleep(LEAVING_SECONDS - 1.0)
    assert not hop.far.is_over
    await asyncio.sleep(LEAVING_SECONDS + 2.0)
    assert (hop.far.was_reset, upstream.exchange.resets) == (True, 1)
    await hop.end()


@BOTH
@conversation
async def test_a_drain_ends_idle_streams_now_and_others_after_their_answer(stage: Stage, kind: str):
    hop, idle = Hop(stage, kind), Hop(stage, kind)
    idle.ask()
    await idle.settle()
    ok(idle)
    await idle.settle()
    _, sink = hop.ask()
    await hop.settle()
    for each in (hop, idle):
        assert each.door is not None
        each.door.finish()
    await hop.settle()
    assert (idle.fates[-1], hop.fates) == ("closed", [])
    assert idle.door is not None
    assert not idle.door.connections, "both directions have ended"
    ok(hop)
    await hop.settle()
    assert (sink.body, sink.outcome, hop.fates) == (b"ok", "end", ["closed"])
    await hop.end()
    await idle.end()


@BOTH
@conversation
async def test_the_end_of_the_node_resets_everything(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    _, sink = hop.ask()
    await hop.settle()
    assert hop.door is not None
    hop.door.close()
    await hop.settle()
    assert sink.outcome == "StoppingError"
    assert hop.service.left
    await hop.end()


@BOTH
@pytest.mark.parametrize("in_order", [False, True])
@conversation
async def test_what_is_over_is_freed_at_once(stage: Stage, kind: str, in_order: bool):
    hop = Hop(stage, kind)
    assert hop.door is not None
    (connection,) = hop.door.connections
    freed = weakref.ref(connection)
    del connection
    for _ in range(2):
        hop.ask()
        await hop.settle()
        ok(hop)
        await hop.settle()
    gc.collect()
    gc.disable()
    try:
        if in_order:
            hop.near.owner = Writer()
            hop.near.write_end()
            await hop.settle()
            assert hop.far.state == "ended"
        else:
            await hop.end()
        assert freed() is None, "without the collector"
    finally:
        gc.enable()
    await hop.end()


# --- the last bounds: deadlines are the asking node's


@BOTH
@conversation
async def test_an_exchange_may_take_any_time(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    exchange, sink = hop.ask(b"POST", fields=[*FIELDS, (b"content-length", b"2")], length=2)
    await asyncio.sleep(300.0)
    exchange.send_data(b"h")
    await asyncio.sleep(300.0)
    exchange.send_data(b"i")
    await hop.settle()
    await asyncio.sleep(2_500.0)
    ok(hop)
    await hop.settle()
    assert (sink.statuses, sink.outcome) == ([200], "end")
    await hop.end()


@BOTH
@pytest.mark.parametrize(
    ("sent", "seconds"),
    [(b"", IDLE_SECONDS), (GET[:10], LAST_SECONDS),
     (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe", LAST_SECONDS)],
    ids=["nothing", "half a head", "half a body"],
)  # fmt: skip
@conversation
async def test_nothing_is_left_for_ever(stage: Stage, kind: str, sent: bytes, seconds: float):
    hop = Hop(stage, kind)
    hop.near.owner = Writer()
    if sent:
        hop.near.write(sent)
    await asyncio.sleep(seconds - 1.0)
    assert not hop.far.is_over
    await asyncio.sleep(130.0)
    assert hop.far.was_reset
    await hop.end()


@BOTH
@conversation
async def test_an_idle_stream_ends_in_order(stage: Stage, kind: str):
    hop = Hop(stage, kind)
    got = Writer()
    hop.near.owner = got
    hop.near.write(GET)
    await hop.settle()
    ok(hop)
    await asyncio.sleep(IDLE_SECONDS - 1.0)
    assert not got.ended
    for _ in range(130):
        await asyncio.sleep(1.0)
        if got.ended:
            break
    assert (got.ended, hop.far.is_over) == (True, False)
    hop.near.write(GET)
    await hop.settle()
    assert (hop.service.requests, hop.far.held_bytes) == (1, 0), "too late, and dropped"
    await asyncio.sleep(3 * LEAVING_SECONDS)
    assert hop.far.was_reset, "the asking node did not end its own direction"
    await hop.end()


@BOTH
@conversation
async def test_a_long_answer_that_is_complete_may_be_read_slowly(stage: Stage, kind: str):
    """The stream ends with it, and what waits for the asking node is not cut off."""
    hop = Hop(stage, kind)
    exchange, sink = hop.ask()
    await hop.settle()
    assert hop.door is not None
    hop.door.finish()
    exchange.pause()
    hop.service.head(200, [(b"content-length", b"%d" % (WINDOW_BYTES + 40_000))])
    hop.service.data(b"x" * (WINDOW_BYTES + 40_000))
    hop.service.end()
    await hop.settle()
    await asyncio.sleep(LAST_SECONDS / 2)
    exchange.resume()
    await hop.settle()
    assert (len(sink.body), sink.outcome) == (WINDOW_BYTES + 40_000, "end")
    await hop.end()
