"""Faults of either side of a spliced WebSocket, ends that come late, early, or within a call, and what they leave."""

import asyncio

import pytest

from tests.app.public.spliced import Pair, close, closes, frame, frames_of
from tests.fakes.loop import dialogue, left_behind
from tunnel.errors import LinkLostError
from tunnel.websocket import Closed

HELD = frame(bytes(100))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (frame(b"x"), "a frame without a mask"),
        (b"\xc1\x81\0\0\0\0x", "reserved bits without an extension"),
        (b"\x83\x80\0\0\0\0", "an unknown opcode"),
        (b"\x80\x80\0\0\0\0", "a continuation of nothing"),
        (b"\x09\x80\0\0\0\0", "a control frame that is fragmented or too long"),
        (b"\x82\xff" + b"\xff" * 8, "a length with its highest bit set"),
        (b"\x88\x81\0\0\0\0x", "a close frame without a valid code"),
    ],
)
@dialogue
async def test_a_client_that_breaks_the_protocol_is_1002_to_both(wrong: bytes, reason: str):
    pair = Pair()
    pair.client.bring(frame(b"right", masked=True) + wrong + frame(b"late", masked=True))
    assert closes(pair.down) == [Closed(1002, reason)]
    assert closes(pair.up) == [Closed(1002, reason)]
    assert frames_of(pair.up)[0] == (0x82, b"right")
    assert len(frames_of(pair.up)) == 2
    assert pair.client.ended == "hang up"
    assert pair.ended == ("client", 1002, "")
    pair.stream.bring(close(1002))
    pair.stream.finish()
    pair.over()


@dialogue
async def test_a_service_that_breaks_the_protocol_is_1011_to_the_client():
    pair = Pair()
    pair.stream.bring(frame(b"right") + frame(b"x", masked=True) + frame(b"late"))
    assert pair.down == frame(b"right") + close(1011, "a frame with a mask")
    assert closes(pair.up) == [Closed(1002, "a frame with a mask")]
    assert pair.stream.ended == 1
    assert pair.ended == ("gateway", 1011, "")
    pair.client.bring(close(1011, masked=True))
    assert pair.client.ended == "hang up"
    pair.stream.finish()
    pair.over()


# --- time


@dialogue
async def test_two_sides_that_do_not_end_have_ten_seconds():
    pair = Pair()
    pair.client.bring(close(1000, masked=True))
    await asyncio.sleep(9.9)
    assert (pair.state, pair.client.ended) == ("PARTING", "")
    await asyncio.sleep(0.2)
    pair.over()
    assert pair.stream.state == "reset"
    assert pair.client.ended == "hang up"


@dialogue
async def test_a_drop_leaves_nothing_and_is_told_to_nobody():
    for reach in (lambda _: None, lambda pair: pair.stream.bring(HELD[:50]), lambda pair: pair.splice.stop(now=False)):
        pair = Pair()
        reach(pair)
        pair.client.room = pair.stream.is_writable = False
        pair.stream.bring(HELD, HELD)
        pair.client.bring(frame(b"x", masked=True), frame(b"y", masked=True))
        pair.splice.drop()
        pair.splice.drop()
        assert (pair.state, pair.overs, pair.closed, pair.stream.state) == ("OVER", 0, 1, "reset")
        assert pair.client.log.count("leave") == 1
        assert (pair.account.held_bytes, pair.stream.unacknowledged) == (0, 0)
        assert left_behind() == []


@pytest.mark.parametrize("waiting", [b"", frame(b"waiting")])
@dialogue
async def test_an_exchange_that_ended_before_the_beginning(waiting: bytes):
    pair = Pair(early=frame(b"early"), waiting=waiting, before=lambda stream: stream.finish())
    assert pair.down == frame(b"early") + waiting + close(1011, "service vanished")
    assert pair.ended == ("service", 1011, "")
    pair.client.bring(close(1000, masked=True))
    pair.over()
    assert pair.stream.state == "ended"


@dialogue
async def test_an_exchange_that_was_lost_before_the_beginning():
    pair = Pair(early=frame(b"early"), before=lambda stream: stream.lose(LinkLostError("gone")))
    assert pair.down == frame(b"early") + close(1012, "connection to the cluster lost")
    assert pair.ended == ("gateway", 1012, "")
    pair.client.bring(close(1000, masked=True))
    pair.over()


# --- what is lost within a call


@pytest.mark.parametrize("code", [1000, 4321])
@dialogue
async def test_a_client_that_is_lost_as_it_is_hung_up(code: int):
    pair = Pair()
    pair.client.is_sudden = True
    pair.client.bring(close(code, masked=True))
    pair.stream.bring(close(code))
    assert pair.client.lost
    pair.stream.finish()
    pair.over()
    assert pair.ended == ("client", code, "")


@pytest.mark.parametrize("how", ["silent", "stop", "stop now", "relieve", "server stops", "late", "vanished"])
@dialogue
async def test_a_client_that_is_lost_within_the_call_that_ends_it(how: str):
    pair = Pair()
    pair.client.is_sudden = True
    pair.client.room = False
    pair.stream.bring(frame(b"hello"), frame(b"more"))
    if how == "silent":
        pair.splice.client_silent()
    elif how == "stop":
        pair.splice.stop(now=False)
    elif how == "stop now":
        pair.splice.stop(now=True)
    elif how == "relieve":
        pair.splice.relieve()
    elif how == "server stops":
        pair.splice.server_stops()
    elif how == "late":
        await pair.pass_time(11)
    else:
        pair.stream.bring(frame(b"open")[:3])
        pair.stream.finish()
        pair.client.drain()
    if pair.state != "OVER":
        pair.stream.bring(close(1000))
        pair.stream.finish()
        pair.client.bring(close(1000, masked=True))
    pair.over()
