"""Floods of tiny frames through a spliced WebSocket: worked off in turns, in order, and nothing is read meanwhile."""

import pytest

from tests.app.public.spliced import Pair, close, closes, frame, frames_of
from tests.fakes.loop import dialogue
from tunnel.websocket import Closed
from tunnel.websocket.scanner import FRAMES_AT_ONCE

FLOOD_BYTES = 256 * 1024


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("times", [1, 4])
@dialogue
async def test_a_flood_of_tiny_frames_is_worked_off_in_turns(times: int, direction: str):
    pair = Pair()
    one = frame(b"", masked=direction == "up")
    count = times * FLOOD_BYTES // 4 // len(one)
    flood = one * count
    turns = (count - 1) // FRAMES_AT_ONCE
    if direction == "down":
        pair.stream.bring(flood)
        assert len(pair.down) == FRAMES_AT_ONCE * len(one)
        assert pair.stream.unacknowledged == len(flood)
    else:
        pair.client.bring(flood)
        assert len(pair.up) == FRAMES_AT_ONCE * len(one)
        assert not pair.client.reading
        assert pair.account.held_bytes == len(flood) - len(pair.up)
    for number in range(turns):
        assert len(pair.client.steps) == 1, f"one step a turn, in turn {number}"
        pair.client.turn()
    assert not pair.client.steps
    assert (pair.down if direction == "down" else pair.up) == flood
    assert pair.client.reading
    assert (pair.stream.unacknowledged, pair.account.held_bytes) == (0, 0)
    pair.part()


@dialogue
async def test_what_comes_behind_a_flood_comes_behind_it():
    pair = Pair()
    flood = frame(b"") * 2000
    pair.stream.bring(flood, frame(b"next"))
    pair.stream.finish()
    pair.client.turns()
    assert pair.down == flood + frame(b"next") + close(1011, "service vanished")
    pair.client.bring(close(1000, masked=True))
    pair.over()


@dialogue
async def test_a_close_of_ours_does_not_wait_for_a_flood():
    pair = Pair()
    flood = frame(b"") * 2000
    pair.stream.bring(flood)
    pair.client.bring(frame(b"", masked=True) * 2000)
    pair.splice.stop(now=False)
    assert pair.down == flood[: 2 * FRAMES_AT_ONCE] + close(1012, "gateway is restarting")
    assert closes(pair.up) == [Closed(1001, "")]
    assert len(frames_of(pair.up)) == FRAMES_AT_ONCE + 1
    pair.client.turns()
    assert pair.stream.unacknowledged == 0
    assert pair.client.reading
    pair.part()


@dialogue
async def test_a_full_side_that_drains_within_a_flood_has_one_turn_at_a_time():
    pair = Pair()
    pair.stream.bring(frame(b"") * 3000)
    pair.client.bring(frame(b"", masked=True) * 3000)
    assert len(pair.client.steps) == 2
    pair.splice.client_writable()
    pair.stream.owner.stream_writable()
    assert len(pair.client.steps) == 2
    pair.client.turns()
    pair.part()


@dialogue
async def test_the_turns_of_what_is_over_do_nothing():
    pair = Pair()
    pair.stream.bring(frame(b"") * 2000)
    pair.client.bring(frame(b"", masked=True) * 2000)
    pair.splice.stop(now=True)
    up, down = pair.up, pair.down
    assert pair.client.turns() == 1
    assert (pair.up, pair.down) == (up, down)
    pair.over()
