"""Who waits for whom in a spliced WebSocket: a client that does not read, and a service that does not."""

import pytest

from app.observed.metrics import Metrics
from tests.app.public.spliced import Pair, close, closes, frame, frames_of
from tests.fakes.loop import dialogue
from tunnel.websocket import Closed

SMALL = frame(b"x")


# --- a client that does not read


@dialogue
async def test_nothing_is_acknowledged_while_the_client_takes_nothing():
    pair = Pair()
    pair.client.room = False
    pair.stream.bring(frame(b"one"))
    assert pair.stream.unacknowledged == 5
    pair.stream.bring(frame(b"two")[:2], frame(b"two")[2:] + frame(b"three"))
    assert pair.down == frame(b"one"), "nothing more is written"
    assert (pair.stream.unacknowledged, pair.splice.held_bytes) == (17, 17)
    assert pair.record.messages_down == 0
    pair.client.drain()
    assert pair.down == frame(b"one") + frame(b"two") + frame(b"three")
    assert (pair.stream.unacknowledged, pair.record.messages_down) == (0, 3)
    pair.part()


@dialogue
async def test_a_client_that_is_full_again_waits_again():
    pair = Pair()
    pair.client.room = False
    large = frame(bytes(50_000))
    pair.stream.bring(*[large] * 4)
    for passed in (1, 3, 4):  # 64 KiB at once, and the piece that crosses it
        assert pair.down == large * passed
        assert pair.stream.unacknowledged == len(large) * 4
        pair.client.drain(room=False)
    assert pair.stream.unacknowledged == 0
    pair.part()


@dialogue
async def test_a_client_that_does_not_read_is_read_itself():
    pair = Pair()
    pair.client.room = False
    pair.stream.bring(SMALL)
    pair.client.bring(frame(b"up", masked=True))
    assert pair.client.reading
    assert [payload for _, payload in frames_of(pair.up)] == [b"up"]
    pair.part()


@dialogue
async def test_what_came_with_the_101_waits_for_a_client_too():
    pair = Pair(early=frame(b"early"), waiting=frame(b"waiting"), begins=False, websocket_write_timeout=10)
    pair.client.room = False
    pair.begin()
    assert pair.down == frame(b"early") + frame(b"waiting")
    assert pair.stream.unacknowledged > 0
    assert pair.tick() is None, "the ledger goes on looking"
    await pair.pass_time(11)
    assert pair.client.ended == "abort"
    assert pair.stream.unacknowledged == 0
    pair.part()


@dialogue
async def test_a_client_that_takes_nothing_is_cut_off_after_the_write_timeout():
    pair = Pair(websocket_write_timeout=10)
    pair.client.room = False
    pair.stream.bring(SMALL, SMALL)
    await pair.pass_time(10)
    assert pair.client.ended == ""
    await pair.pass_time(0.5)
    assert pair.client.ended == "abort"
    assert (pair.ended, pair.hits) == (("gateway", 1006, "timeout_write"), {"timeout_write": 1})
    assert closes(pair.up) == [Closed(1011, "client vanished")]
    assert pair.stream.unacknowledged == 0
    await pair.pass_time(5)
    assert pair.hits == {"timeout_write": 1}, "counted once"
    pair.stream.bring(close(1011))
    pair.stream.finish()
    pair.over()
    assert pair.record.stalled_by_client_seconds == pytest.approx(10.5)


@dialogue
async def test_a_client_that_takes_a_little_lives_on():
    pair = Pair(websocket_write_timeout=10)
    pair.client.room = False
    pair.stream.bring(frame(bytes(10_000)))
    for _ in range(5):
        await pair.pass_time(9)
        pair.client.unsent_bytes -= 100
    assert pair.client.ended == ""
    await pair.pass_time(11)
    assert pair.client.ended == "abort"
    pair.part()


@dialogue
async def test_a_client_that_vanishes_while_it_takes_nothing_is_nobodys_fault():
    pair = Pair(websocket_write_timeout=5)
    pair.client.room = False
    pair.stream.bring(SMALL, SMALL)
    pair.client.vanish()
    assert pair.stream.unacknowledged == 0
    pair.stream.bring(SMALL)
    assert pair.stream.unacknowledged == 0
    await pair.pass_time(8)
    assert (pair.ended, pair.hits) == (("client", 1006, ""), {})
    await pair.pass_time(3)
    pair.over()


# --- a service that does not read


@dialogue
async def test_a_client_is_not_read_while_the_stream_is_full():
    pair = Pair()
    pair.stream.is_writable = False
    pair.client.bring(frame(b"one", masked=True))
    assert pair.client.reading, "until more comes, so that one that leaves is noticed"
    two = frame(b"two", masked=True)
    pair.client.bring(two)
    assert not pair.client.reading
    assert (pair.splice.held_bytes, pair.account.held_bytes) == (len(two), len(two))
    assert [payload for _, payload in frames_of(pair.up)] == [b"one"]
    assert pair.record.messages_up == 0
    pair.client.bring(frame(b"three", masked=True))
    pair.drain_stream()
    assert pair.client.reading
    assert (pair.splice.held_bytes, pair.account.held_bytes) == (0, 0)
    pair.client.flow()
    assert [payload for _, payload in frames_of(pair.up)] == [b"one", b"two", b"three"]
    assert pair.record.messages_up == 3
    pair.part()


@dialogue
async def test_a_stream_that_is_full_again_stops_the_client_again():
    pair = Pair()
    pair.stream.is_writable = False
    pair.client.bring(frame(b"one", masked=True), frame(b"two", masked=True))
    pair.stream.owner.stream_writable()
    assert len(frames_of(pair.up)) == 2
    pair.client.flow()
    assert not pair.client.reading
    pair.client.bring(frame(b"three", masked=True))
    assert len(frames_of(pair.up)) == 2
    pair.part()


@dialogue
async def test_a_service_that_does_not_read_is_reset_after_the_write_timeout():
    pair = Pair(websocket_write_timeout=10)
    pair.stream.is_writable = False
    pair.client.bring(frame(b"one", masked=True), frame(b"two", masked=True))
    await pair.pass_time(10)
    assert pair.stream.state == "open"
    await pair.pass_time(0.5)
    assert pair.stream.state == "reset"
    assert closes(pair.down) == [Closed(1011, "the service does not read")]
    assert (pair.ended, pair.hits) == (("gateway", 1011, "timeout_write"), {"timeout_write": 1})
    assert pair.client.reading, "it may answer our close"
    assert pair.account.held_bytes == 0
    await pair.pass_time(3)
    assert pair.hits == {"timeout_write": 1}
    pair.client.bring(close(1011, masked=True))
    pair.over()


@dialogue
async def test_a_service_that_does_not_read_and_speaks_meanwhile():
    """Inside a frame of its own: that will never end."""
    pair = Pair(websocket_write_timeout=10)
    pair.stream.is_writable = False
    pair.client.bring(frame(b"one", masked=True))
    pair.stream.bring(frame(b"hello")[:3])
    await pair.pass_time(10.5)
    assert (pair.stream.state, pair.client.ended) == ("reset", "abort")
    pair.over()


# --- counts and times


def durations(metrics: Metrics, direction: str) -> tuple[int, float]:
    """How many messages were timed, and the seconds of all."""
    found = (metrics.service_to_client if direction == "down" else metrics.client_to_service).durations
    return sum(found.counts), found.total


@pytest.mark.parametrize("direction", ["down", "up"])
@dialogue
async def test_64_messages_that_wait_are_timed_each_and_the_rest_as_long_as_it_waited(direction: str):
    pair = Pair(websocket_write_timeout=1000)
    one = frame(b"x", masked=direction == "up")
    if direction == "down":
        pair.client.room = False
        pair.stream.bring(one * 10)
    else:
        pair.stream.is_writable = False
        pair.client.bring(one * 10)
    await pair.pass_time(1)
    assert durations(pair.metrics, direction) == (0, 0.0)
    # A turn of the receiver brings the rest into the way; it is full again at once.
    if direction == "down":
        pair.stream.bring(one * 90)
        pair.client.drain()
    else:
        pair.client.bring(one * 90)
        pair.drain_stream()
    count, total = durations(pair.metrics, direction)
    assert (count, total) == (100, pytest.approx(10 * 1.0, rel=0.01))
    pair.part()


@pytest.mark.parametrize("count", [63, 64, 65, 200])
@dialogue
async def test_what_is_beyond_64_marks_counts_at_once(count: int):
    pair = Pair(websocket_write_timeout=1000)
    pair.client.room = False
    pair.stream.bring(SMALL * count)
    beyond = max(0, count - 64)
    assert (pair.record.messages_down, durations(pair.metrics, "down")[0]) == (beyond, beyond)
    await pair.pass_time(2)
    pair.client.drain()
    found, total = durations(pair.metrics, "down")
    assert (pair.record.messages_down, found) == (count, count)
    assert total == pytest.approx(2.0 * min(count, 64), rel=0.01)
    pair.part()
