"""How a stream at the bare door ends: by the asking node, its link, the node's own end, and the last bounds."""

import asyncio

import pytest

from app.server.bare.connection import IDLE_SECONDS, LAST_SECONDS, LEAVING_SECONDS
from tests.app.server.bare.hop import BOTH, FIELDS, GET, Hop, Socket, Writer, ok
from tests.fakes.pipe import WINDOW_BYTES
from tests.tunnel.gateway.proxied.agent import Stage, conversation

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
