"""Closes of ours in a spliced WebSocket: at a border at once, inside a frame behind it; nothing passes after one."""

from collections.abc import Callable

import pytest

from tests.app.public.spliced import Pair, close, closes, frame, frames_of
from tests.fakes.loop import dialogue
from tunnel.websocket import Closed, Opcode

UP, DOWN = frame(b"hello", masked=True), frame(b"hello")

OURS: dict[str, tuple[Callable[[Pair], object], Closed, Closed, tuple[str, int, str]]] = {
    "stop": (
        lambda pair: pair.splice.stop(now=False),
        Closed(1012, "gateway is restarting"), Closed(1001, ""), ("gateway", 1012, ""),
    ),
    "idle": (
        lambda pair: pair.splice.tick(1_000_000.0),
        Closed(1001, "idle"), Closed(1001, ""), ("gateway", 1001, "timeout_idle"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", OURS)
@dialogue
async def test_at_a_border_both_are_told_at_once(how: str):
    pair = Pair()
    act, to_client, to_service, ended = OURS[how]
    pair.client.bring(UP)
    pair.stream.bring(DOWN)
    act(pair)
    assert pair.down == DOWN + close(to_client.code, to_client.reason)
    assert closes(pair.up) == [to_service]
    assert pair.ended == ended
    assert pair.hits == ({ended[2]: 1} if ended[2] else {})
    assert (pair.state, pair.client.ended, pair.stream.state) == ("PARTING", "", "open")
    up, down = pair.up, pair.down
    pair.client.bring(UP, frame(b"?", Opcode.PING, masked=True), close(1000, masked=True))
    pair.stream.bring(DOWN, frame(b"?", Opcode.PING), close(1000))
    assert (pair.up, pair.down) == (up, down), "nothing passes, and the answers are swallowed"
    assert (pair.client.ended, pair.stream.state) == ("hang up", "ended")
    pair.stream.finish()
    pair.over()
    assert pair.ended == ended


@pytest.mark.parametrize("cut", range(2, 7))
@pytest.mark.parametrize("how", OURS)
@dialogue
async def test_inside_a_frame_the_close_goes_in_behind_it(how: str, cut: int):
    pair = Pair()
    act, to_client, to_service, _ = OURS[how]
    pair.client.bring(UP[: 4 + cut])
    pair.stream.bring(DOWN[:cut])
    act(pair)
    assert (pair.up, pair.down) == (UP[: 4 + cut], DOWN[:cut])
    pair.client.bring(UP[4 + cut :] + UP)
    pair.stream.bring(DOWN[cut:] + DOWN)
    assert pair.up.startswith(UP)
    assert len(frames_of(pair.up)) == len(frames_of(pair.down)) == 2
    assert closes(pair.up) == [to_service]
    assert pair.down == DOWN + close(to_client.code, to_client.reason)
    assert (pair.record.messages_up, pair.record.messages_down) == (1, 1)
    pair.client.bring(close(1000, masked=True))
    pair.stream.bring(close(1000))
    pair.client.turns()
    pair.client.flow()
    assert pair.client.ended == "hang up"
    pair.stream.finish()
    pair.over()


@dialogue
async def test_a_frame_that_ends_a_byte_at_a_time():
    pair = Pair()
    pair.stream.bring(DOWN[:3])
    pair.splice.stop(now=False)
    for at in range(3, len(DOWN)):
        assert pair.down == DOWN[:at]
        pair.stream.bring(DOWN[at : at + 1])
    assert pair.down == DOWN + close(1012, "gateway is restarting")
    pair.part()


@dialogue
async def test_a_close_goes_in_between_fragments():
    pair = Pair()
    pair.stream.bring(frame(b"one", fin=False))
    pair.splice.stop(now=False)
    pair.stream.bring(frame(b"two", Opcode.CONTINUATION))
    assert pair.down == frame(b"one", fin=False) + close(1012, "gateway is restarting")
    assert pair.record.messages_down == 0
    pair.part()


@dialogue
async def test_a_client_whose_frame_does_not_end_is_reset_towards_the_service():
    pair = Pair(websocket_write_timeout=5)
    pair.client.bring(UP[:8])
    pair.splice.stop(now=False)
    await pair.pass_time(5)
    assert (pair.stream.state, closes(pair.down)) == ("open", [Closed(1012, "gateway is restarting")])
    await pair.pass_time(0.5)
    assert (pair.stream.state, pair.up) == ("reset", UP[:8])
    pair.client.bring(UP[8:], close(1000, masked=True))
    pair.over()
    assert pair.ended == ("gateway", 1012, "")


@dialogue
async def test_a_service_whose_frame_does_not_end_costs_the_client_its_connection():
    pair = Pair(websocket_write_timeout=5)
    pair.stream.bring(DOWN[:4])
    pair.splice.stop(now=False)
    await pair.pass_time(5)
    assert pair.client.ended == ""
    await pair.pass_time(0.5)
    assert (pair.client.ended, pair.down) == ("abort", DOWN[:4])
    assert closes(pair.up) == [Closed(1001, "")]
    pair.stream.bring(DOWN[4:], close(1001))
    pair.stream.finish()
    pair.over()
    assert pair.ended == ("gateway", 1012, "")


@dialogue
async def test_none_is_sent_where_one_has_passed():
    pair = Pair()
    pair.client.bring(close(4321, masked=True))
    pair.splice.stop(now=False)
    assert closes(pair.up) == [Closed(4321, "")]
    assert pair.down == b"", "the service has the time to answer"
    pair.stream.bring(close(4321))
    pair.splice.stop(now=False)
    assert pair.down == close(4321)
    pair.stream.finish()
    pair.over()


@pytest.mark.parametrize("inside", [False, True])
@dialogue
async def test_a_stop_that_does_not_wait(inside: bool):
    pair = Pair()
    if inside:
        pair.client.bring(UP[:8])
        pair.stream.bring(DOWN[:3])
    pair.splice.stop(now=True)
    assert closes(b"" if inside else pair.up) == ([] if inside else [Closed(1001, "")])
    assert pair.down == (DOWN[:3] if inside else close(1012, "gateway is restarting"))
    assert pair.stream.state == "reset"
    assert pair.client.ended == ("abort" if inside else "hang up")
    pair.over()
    assert pair.ended == ("gateway", 1012, "")


@pytest.mark.parametrize("stuck", [False, True])
@dialogue
async def test_relief_ends_it_now_and_aborts_a_client_that_does_not_read(stuck: bool):
    pair = Pair()
    pair.client.room = not stuck
    pair.stream.bring(DOWN, DOWN)
    pair.splice.relieve()
    assert pair.down == DOWN * (1 if stuck else 2) + close(1013, "gateway is out of room")
    assert pair.client.ended == ("abort" if stuck else "hang up")
    assert pair.stream.state == "reset"
    pair.over()
    assert (pair.ended, pair.hits) == (("gateway", 1013, "held_hard"), {"held_hard": 1})


# --- limits


@pytest.mark.parametrize("fragments", [1, 3])
@dialogue
async def test_too_large_a_message_is_1009_to_both_whoever_sends_it(fragments: int):
    for by_client in (True, False):
        pair = Pair(max_message_bytes=300)
        if fragments == 1:
            parts = [frame(bytes(301), masked=by_client)[: 8 if by_client else 4]]  # its head is enough
        else:
            parts = [
                frame(bytes(100), masked=by_client, fin=False),
                frame(bytes(100), Opcode.CONTINUATION, masked=by_client, fin=False),
                frame(bytes(101), Opcode.CONTINUATION, masked=by_client)[:8],
            ]
        (pair.client if by_client else pair.stream).bring(*parts)
        assert closes(pair.down)[-1:] == [Closed(1009, "message too large")]
        assert closes(pair.up)[-1:] == [Closed(1009, "")]
        assert (pair.ended, pair.hits) == (("gateway", 1009, "message_size"), {"message_size": 1})
        pair.part()


@dialogue
async def test_a_message_of_just_the_limit_passes():
    pair = Pair(max_message_bytes=300)
    whole = [frame(bytes(300)), frame(bytes(100), fin=False), frame(b"?", Opcode.PING)]
    whole.append(frame(bytes(200), Opcode.CONTINUATION))
    pair.stream.bring(*whole)
    assert pair.down == b"".join(whole)
    pair.part()


@pytest.mark.parametrize("limit", [{"messages_per_second": 3}, {"bytes_per_second": 15}])
@dialogue
async def test_a_rate_that_is_exceeded_is_1008_to_both_whoever_exceeds_it(limit: dict[str, int]):
    for by_client in (True, False):
        pair = Pair(**limit)
        one = UP if by_client else DOWN
        (pair.client if by_client else pair.stream).bring(one, one * 3)
        assert closes(pair.down) == [Closed(1008, "rate limit exceeded")]
        assert closes(pair.up) == [Closed(1008, "")]
        assert len(frames_of(pair.up if by_client else pair.down)) == 4
        assert pair.record.messages_up + pair.record.messages_down == 3
        assert (pair.ended, pair.hits) == (("gateway", 1008, "messages_rate"), {"messages_rate": 1})
        pair.part()


@dialogue
async def test_what_is_dropped_after_a_close_of_ours_meets_no_limit():
    pair = Pair(messages_per_second=2, max_message_bytes=50)
    pair.client.bring(UP[:8])
    pair.splice.stop(now=False)
    pair.client.bring(UP[8:], UP * 10, frame(bytes(100), masked=True), close(1000, masked=True))
    pair.stream.bring(DOWN * 10, frame(bytes(100)), close(1000))
    assert (pair.ended, pair.hits) == (("gateway", 1012, ""), {})
    pair.stream.finish()
    pair.over()
