"""How a spliced WebSocket ends: who closed with which code, who vanished, and what each side is told."""

import pytest

from tests.app.public.spliced import Pair, close, closes, frame, frames_of
from tests.fakes.loop import dialogue
from tunnel.errors import LinkLostError, StreamRefusedError
from tunnel.websocket import Closed

CODES = [(1000, ""), (4321, "grüße"), (None, "")]
HELD = frame(bytes(100))


@pytest.mark.parametrize(("code", "reason"), CODES)
@dialogue
async def test_the_client_closes_and_the_service_answers(code: int | None, reason: str):
    pair = Pair()
    wire = frame(b"last", masked=True) + close(code, reason, masked=True)
    for at in range(len(wire)):
        pair.client.bring(wire[at : at + 1])
    assert pair.up == wire
    assert pair.ended == ("client", code or 1005, "")
    assert (pair.state, pair.client.ended, pair.stream.ended) == ("PARTING", "", 0)
    pair.stream.bring(close(code, reason))
    assert pair.down == close(code, reason)
    assert pair.client.ended == "hang up"
    assert (pair.stream.ended, pair.state) == (1, "PARTING")
    pair.stream.finish()
    pair.over()
    assert pair.stream.state == "ended"
    assert pair.ended == ("client", code or 1005, "")


@pytest.mark.parametrize(("code", "reason"), CODES)
@dialogue
async def test_the_service_closes_and_the_client_answers(code: int | None, reason: str):
    pair = Pair()
    wire = frame(b"last") + close(code, reason)
    for at in range(len(wire)):
        pair.stream.bring(wire[at : at + 1])
    assert pair.down == wire
    assert pair.ended == ("service", code or 1005, "")
    assert pair.client.ended == ""
    answer = frame(b"still", masked=True) + close(code, masked=True)
    pair.client.bring(answer)
    assert pair.up == answer
    assert (pair.client.ended, pair.stream.ended) == ("hang up", 1)
    pair.stream.finish()
    pair.over()


@dialogue
async def test_both_close_at_once_and_the_first_is_recorded():
    pair = Pair()
    pair.stream.bring(close(4001, "service"))
    pair.client.bring(close(4002, "client", masked=True))
    assert (closes(pair.down), closes(pair.up)) == ([Closed(4001, "service")], [Closed(4002, "client")])
    assert pair.ended == ("service", 4001, "")
    pair.stream.finish()
    pair.over()


@dialogue
async def test_a_service_that_ends_after_the_clients_close_answers_it_so():
    pair = Pair()
    pair.client.bring(close(4321, "bye", masked=True))
    pair.stream.finish()
    assert closes(pair.down) == [Closed(4321, "")]
    pair.over()
    assert pair.ended == ("client", 4321, "")


@dialogue
async def test_a_service_that_is_reset_after_the_clients_close_answers_it_so():
    pair = Pair()
    pair.client.bring(close(None, masked=True))
    pair.stream.lose(StreamRefusedError("reset"))
    assert closes(pair.down) == [Closed(1005, "")]
    pair.over()
    assert pair.ended == ("client", 1005, "")


# --- who vanishes


@dialogue
async def test_a_client_that_vanishes_is_1011_to_the_service():
    pair = Pair()
    pair.client.vanish()
    assert closes(pair.up) == [Closed(1011, "client vanished")]
    assert frames_of(pair.up)[0][0] == 0x88
    assert pair.up[1] & 0x80, "towards a service frames are masked"
    assert pair.ended == ("client", 1006, "")
    pair.stream.bring(frame(b"for nobody"), close(1011))
    assert pair.stream.unacknowledged == 0
    assert (pair.down, pair.stream.ended) == (b"", 1)
    pair.stream.finish()
    pair.over()


@dialogue
async def test_a_client_that_vanishes_inside_a_frame_resets_the_service():
    pair = Pair()
    pair.client.bring(frame(b"hello", masked=True)[:-1])
    pair.client.vanish()
    assert pair.stream.state == "reset"
    assert closes(pair.up + b"o") == []
    pair.over()
    assert pair.ended == ("client", 1006, "")


@pytest.mark.parametrize("head", [1, 5])
@dialogue
async def test_a_client_that_vanishes_inside_a_head_is_1011_too(head: int):
    """Nothing of the frame has passed."""
    pair = Pair()
    pair.client.bring(frame(b"hello", masked=True)[:head])
    pair.client.vanish()
    assert closes(pair.up) == [Closed(1011, "client vanished")]
    pair.part()


@dialogue
async def test_a_client_that_vanishes_after_its_close_has_closed():
    pair = Pair()
    pair.client.bring(close(1001, "away", masked=True))
    pair.client.vanish()
    assert closes(pair.up) == [Closed(1001, "away")]
    assert pair.ended == ("client", 1001, "")
    pair.stream.finish()
    pair.over()


@dialogue
async def test_what_a_client_sent_before_it_vanished_passes():
    pair = Pair()
    burst = frame(b"", masked=True) * 1500 + close(1001, masked=True)
    pair.client.bring(burst)
    pair.client.vanish()
    assert pair.client.turns() == 2
    assert pair.up == burst
    pair.stream.finish()
    pair.over()


@dialogue
async def test_what_a_client_sent_before_it_vanished_passes_through_a_stream_that_was_full():
    pair = Pair()
    pair.stream.is_writable = False
    pair.client.bring(frame(b"one", masked=True), frame(b"two", masked=True))
    pair.client.vanish()
    assert len(frames_of(pair.up)) == 1
    pair.drain_stream()
    assert [payload for _, payload in frames_of(pair.up)][:2] == [b"one", b"two"]
    assert closes(pair.up) == [Closed(1011, "client vanished")]
    pair.part()


@dialogue
async def test_a_service_that_vanishes_is_1011_to_the_client():
    pair = Pair()
    pair.stream.bring(frame(b"last"))
    pair.stream.finish()
    assert pair.down == frame(b"last") + close(1011, "service vanished")
    assert pair.ended == ("service", 1011, "")
    assert pair.client.ended == ""
    pair.client.bring(close(1011, masked=True))
    pair.over()
    assert pair.stream.state == "ended"


@dialogue
async def test_a_service_that_vanishes_inside_a_frame_cuts_the_client_off():
    pair = Pair()
    pair.stream.bring(frame(b"hello")[:-1])
    pair.stream.finish()
    assert pair.client.ended == "abort"
    assert pair.down == frame(b"hello")[:-1]
    pair.over()
    assert pair.ended == ("service", 1011, "")


@pytest.mark.parametrize(
    ("error", "code", "reason", "by"),
    [
        (LinkLostError("gone"), 1012, "connection to the cluster lost", "gateway"),
        (StreamRefusedError("reset"), 1011, "connection to the service lost", "service"),
    ],
)
@dialogue
async def test_a_stream_that_is_lost(error: LinkLostError, code: int, reason: str, by: str):
    pair = Pair()
    pair.stream.bring(frame(b"last"))
    pair.stream.lose(error)
    assert pair.down == frame(b"last") + close(code, reason)
    assert pair.ended == (by, code, "")
    pair.client.bring(frame(b"x", masked=True), close(code, masked=True))
    assert pair.up == b""
    pair.over()


@dialogue
async def test_a_stream_that_is_lost_inside_a_frame_cuts_the_client_off():
    pair = Pair()
    pair.stream.bring(HELD[:50])
    pair.stream.lose(LinkLostError("gone"))
    assert pair.client.ended == "abort"
    pair.over()
    assert pair.ended == ("gateway", 1012, "")


@pytest.mark.parametrize("how", ["lost", "ended"])
@dialogue
async def test_what_waits_for_the_client_passes_before_the_close(how: str):
    pair = Pair()
    pair.client.room = False
    pair.stream.bring(frame(b"one"), frame(b"two"), frame(b"three"))
    if how == "lost":
        pair.stream.lose(LinkLostError("gone"))
    else:
        pair.stream.finish()
    assert pair.down == frame(b"one")
    pair.client.drain()
    reason = close(1012, "connection to the cluster lost") if how == "lost" else close(1011, "service vanished")
    assert pair.down == frame(b"one") + frame(b"two") + frame(b"three") + reason
    assert pair.record.messages_down == 3
    pair.client.bring(close(1000, masked=True))
    pair.over()


@dialogue
async def test_a_clients_close_that_waited_for_a_stream_that_is_lost_is_found():
    pair = Pair()
    pair.stream.is_writable = False
    pair.client.bring(frame(b"one", masked=True), frame(b"two", masked=True))
    assert not pair.client.reading
    pair.client.bring(close(4321, masked=True))
    pair.stream.lose(LinkLostError("gone"))
    assert pair.client.reading, "it may answer our close"
    assert closes(pair.down) == [Closed(1012, "connection to the cluster lost")]
    assert pair.account.held_bytes == 0
    pair.client.flow()
    pair.over()
    assert pair.hits == {}


@dialogue
async def test_a_service_close_that_waits_for_a_client_that_vanishes_is_found():
    pair = Pair()
    pair.client.room = False
    pair.stream.bring(frame(b"one"), frame(b"two") + close(1000))
    pair.client.vanish()
    assert pair.stream.unacknowledged == 0
    assert (closes(pair.up), pair.stream.ended) == ([Closed(1011, "client vanished")], 1)
    pair.stream.finish()
    pair.over()
    assert pair.record.messages_down == 0, "it had taken nothing"
