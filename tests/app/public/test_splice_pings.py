"""Pings through a spliced WebSocket: those of its two ends pass, and those of ours are answered to us alone."""

import pytest

from tests.app.public.spliced import PING_DOWN, Pair, close, closes, frame, frames_of, pong_of
from tests.fakes.loop import dialogue
from tunnel.websocket import Closed, Opcode, marked_ping


def pieces(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


@dialogue
async def test_ten_pings_are_ten_pings_and_ten_pongs():
    for masked in (True, False):
        pair = Pair()
        pings = b"".join(frame(b"%d" % number, Opcode.PING, masked=masked) for number in range(10))
        pongs = b"".join(frame(b"%d" % number, Opcode.PONG, masked=not masked) for number in range(10))
        (pair.client if masked else pair.stream).bring(pings)
        (pair.stream if masked else pair.client).bring(pongs)
        assert (pair.up, pair.down) == ((pings, pongs) if masked else (pongs, pings))
        assert pair.record.messages_up == pair.record.messages_down == 0
        pair.part()


@pytest.mark.parametrize("size", [1, 3, 9, 1000])
@dialogue
async def test_the_clients_pongs_to_our_pings_are_cut_out_wherever_they_come(size: int):
    pair = Pair()
    assert pair.splice.ping_client()
    assert pair.down == PING_DOWN
    ours = pong_of(PING_DOWN, masked=True)
    one, two = frame(b"one", masked=True, fin=False), frame(b"two", Opcode.CONTINUATION, masked=True)
    own = frame(b"own", Opcode.PONG, masked=True)
    pair.client.bring(*pieces(ours + one + ours + own + two + ours, size))
    assert pair.up == one + own + two
    assert (pair.record.messages_up, pair.record.bytes_up) == (1, 6)
    assert pair.account.held_bytes == 0
    pair.part()


@dialogue
async def test_our_pings_and_their_pongs_leave_both_directions_at_rest():
    pair = Pair()
    assert pair.splice.ping_client()
    pair.client.bring(pong_of(PING_DOWN, masked=True))
    pair.stream.bring(pong_of(marked_ping(masked=True), masked=False))
    assert repr(pair.splice) == "<Splice open, up at rest, down at rest>"
    assert (pair.up, pair.down, pair.stream.unacknowledged) == (b"", PING_DOWN, 0)
    pair.part()


@pytest.mark.parametrize("size", [1, 3, 9, 1000])
@dialogue
async def test_the_services_pongs_to_our_pings_are_cut_out_and_acknowledged(size: int):
    pair = Pair(idle_timeout=10)
    await pair.pass_time(5.5)
    assert [first for first, _ in frames_of(pair.up)] == [0x89]
    ours = pong_of(pair.up, masked=False)
    one, two = frame(b"one", fin=False), frame(b"two", Opcode.CONTINUATION)
    pair.stream.bring(*pieces(ours + one + ours + two, size))
    assert pair.down == one + two
    assert pair.stream.unacknowledged == 0
    pair.part()


@pytest.mark.parametrize("cut", range(2, 6))
@dialogue
async def test_a_client_is_not_pinged_inside_a_frame(cut: int):
    pair = Pair()
    down = frame(b"hello")
    pair.stream.bring(down[:1])
    assert pair.splice.ping_client(), "of the head nothing has passed"
    pair.stream.bring(down[1:cut])
    assert not pair.splice.ping_client()
    pair.stream.bring(down[cut:])
    assert pair.splice.ping_client()
    assert pair.down.replace(PING_DOWN, b"") == down
    pair.part()


@dialogue
async def test_a_client_that_was_closed_or_does_not_read_is_not_pinged():
    pair = Pair()
    pair.client.room = False
    pair.stream.bring(frame(b"x"))
    assert not pair.splice.ping_client()
    pair.client.drain()
    pair.splice.stop(now=False)
    assert not pair.splice.ping_client()
    assert PING_DOWN not in pair.down
    pair.part()


@dialogue
async def test_a_client_that_does_not_answer_is_told_why_and_recorded_as_gone():
    pair = Pair()
    pair.splice.client_silent()
    assert closes(pair.down) == [Closed(1011, "keepalive ping timeout")]
    assert closes(pair.up) == [Closed(1011, "client vanished")]
    assert (pair.client.ended, pair.ended) == ("hang up", ("client", 1006, ""))
    pair.stream.bring(close(1011))
    pair.stream.finish()
    pair.over()


@dialogue
async def test_a_service_that_answers_pings_stays_open():
    pair = Pair(idle_timeout=10)
    for number in range(5):
        await pair.pass_time(5.5)
        assert len(frames_of(pair.up)) == number + 1
        pair.stream.bring(pong_of(pair.up[-14:], masked=False))
    assert (pair.state, pair.down, pair.hits) == ("OPEN", b"", {})
    await pair.pass_time(10.5)
    assert closes(pair.down) == [Closed(1001, "idle")]
    assert closes(pair.up) == [Closed(1001, "")]
    assert (pair.ended, pair.hits) == (("gateway", 1001, "timeout_idle"), {"timeout_idle": 1})
    pair.part()


@dialogue
async def test_a_clients_pong_to_our_ping_does_not_break_the_silence():
    pair = Pair(idle_timeout=10)
    for _ in range(20):
        await pair.pass_time(0.5)
        pair.client.bring(pong_of(PING_DOWN, masked=True))
    assert pair.state == "OPEN"
    await pair.pass_time(1)
    assert closes(pair.down) == [Closed(1001, "idle")]
    pair.part()


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.BINARY])
@dialogue
async def test_whatever_passes_breaks_the_silence(opcode: Opcode):
    for masked in (True, False):
        pair = Pair(idle_timeout=10)
        for _ in range(6):
            await pair.pass_time(4)
            (pair.client if masked else pair.stream).bring(frame(b"x", opcode, masked=masked))
        assert (pair.state, pair.hits) == ("OPEN", {})
        assert len(frames_of(pair.up)) == (6 if masked else 0), "no ping of ours"
        pair.part()


@dialogue
async def test_a_service_is_pinged_once_the_clients_frame_has_ended():
    pair = Pair(idle_timeout=100)
    up = frame(b"hello", masked=True)
    pair.client.bring(up[:8])
    await pair.pass_time(60)
    assert pair.up == up[:8]
    pair.client.bring(up[8:])
    await pair.pass_time(50.5)
    assert [first for first, _ in frames_of(pair.up)] == [0x82, 0x89]
    pair.part()


@dialogue
async def test_a_quiet_one_says_when_to_look_again_and_wakes_the_ledger():
    pair = Pair(idle_timeout=100)
    assert pair.tick() == 1_000.0 + 50
    assert pair.wakes == 0
    pair.client.bring(frame(b"x", masked=True))
    assert pair.wakes == 1
    pair.tick()
    pair.stream.bring(frame(b"x"))
    assert pair.wakes == 2
    pair.tick()
    pair.client.bring(frame(b"x", masked=True)[:1])
    assert pair.wakes == 3
    assert pair.tick() is None, "it holds something"
    pair.client.bring(frame(b"x", masked=True)[1:])
    pair.tick()
    pair.splice.stop(now=False)
    assert pair.wakes == 4
    pair.part()


def test_our_pings_are_masked_towards_a_service_only():
    assert frames_of(marked_ping(masked=True)) == frames_of(PING_DOWN)
    assert len(marked_ping(masked=True)) == len(PING_DOWN) + 4
