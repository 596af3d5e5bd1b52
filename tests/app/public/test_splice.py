"""What passes through a spliced WebSocket: all of it, as it came, however it is cut, and each message counted."""

import logging

import pytest

from tests.app.public.spliced import Pair, close, frame
from tests.fakes.loop import dialogue
from tunnel.websocket import Opcode

CUTS = [1, 2, 3, 7, 14, 1000, 1 << 20]


def talk(*, masked: bool) -> tuple[bytes, list[int]]:
    """Frames of every kind, and the sizes of the messages in them."""
    wire = b"".join([
        frame("grüße".encode(), Opcode.TEXT, masked=masked),
        frame(b"", masked=masked),
        frame(bytes(126), masked=masked),
        frame(b"", masked=masked, fin=False),
        frame(b"between", Opcode.PING, masked=masked),
        frame(bytes(70_000), Opcode.CONTINUATION, masked=masked, fin=False),
        frame(b"unasked", Opcode.PONG, masked=masked),
        frame(b"end", Opcode.CONTINUATION, masked=masked),
        frame(bytes(65_536), masked=masked),
    ])  # fmt: skip
    return wire, [7, 0, 126, 70_003, 65_536]


def pieces(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


@pytest.mark.parametrize("size", CUTS)
@dialogue
async def test_frames_pass_both_ways_as_they_came(size: int):
    pair = Pair()
    up, sizes = talk(masked=True)
    down, _ = talk(masked=False)
    pair.client.bring(*pieces(up, size))
    pair.client.turns()
    assert pair.up == up
    pair.stream.bring(*pieces(down, size))
    pair.client.turns()
    assert pair.down == down
    assert pair.stream.unacknowledged == 0
    record = pair.record
    assert (record.messages_up, record.bytes_up) == (len(sizes), sum(sizes))
    assert (record.messages_down, record.bytes_down) == (len(sizes), sum(sizes))
    assert (pair.metrics.client_to_service.messages, pair.metrics.client_to_service.bytes) == (len(sizes), sum(sizes))
    assert (pair.metrics.service_to_client.messages, pair.metrics.service_to_client.bytes) == (len(sizes), sum(sizes))
    pair.part()
    assert pair.ended == ("client", 1000, "")


@dialogue
async def test_a_whole_message_passes_in_one_write_without_a_turn():
    pair = Pair()
    for size in (0, 1, 125, 126, 65_535, 65_536, 300_000):
        up, down = frame(bytes(size), masked=True), frame(bytes(size))
        sent, writes = len(pair.up), pair.client.writes
        pair.client.bring(up)
        assert pair.up[sent:] == up
        pair.stream.bring(down)
        assert pair.down.endswith(down)
        assert pair.client.writes == writes + 1
        assert pair.stream.unacknowledged == 0
    assert pair.client.steps == type(pair.client.steps)()
    pair.part()


@dialogue
async def test_the_parts_of_a_frame_pass_as_they_come():
    """Nobody waits for the rest of a payload, only for the rest of a head."""
    pair = Pair()
    large = frame(bytes(range(256)) * 4, masked=True)
    pair.client.bring(large[:3])
    assert (pair.up, pair.splice.held_bytes, pair.account.held_bytes) == (b"", 3, 3)
    pair.client.bring(large[3:500])
    assert (pair.up, pair.splice.held_bytes, pair.account.held_bytes) == (large[:500], 0, 0)
    assert pair.record.messages_up == 0
    pair.client.bring(large[500:])
    assert (pair.up, pair.record.messages_up) == (large, 1)
    pair.part()


@pytest.mark.parametrize("size", CUTS)
@dialogue
async def test_what_came_with_the_101_and_while_the_client_was_accepted_comes_first(size: int):
    down, sizes = talk(masked=False)
    wire = down + frame(b"later")
    pair = Pair(early=wire[:size], waiting=wire[size : size + 50_000], begins=False)
    assert pair.stream.unacknowledged > 0
    pair.begin()
    rest = wire[size + 50_000 :]
    if rest:
        pair.stream.bring(rest)
    pair.client.turns()
    assert pair.down == wire
    assert pair.record.messages_down == len(sizes) + 1
    assert pair.stream.unacknowledged == 0
    pair.part()


@dialogue
async def test_only_a_head_that_came_early_is_acknowledged_too():
    pair = Pair(early=b"\x82", begins=False)
    pair.begin()
    assert (pair.stream.unacknowledged, pair.down) == (0, b"")
    pair.stream.bring(b"\x01x")
    assert pair.down == b"\x82\x01x"
    pair.part()


@dialogue
async def test_what_waited_comes_without_anything_early():
    pair = Pair(waiting=frame(b"one"))
    assert (pair.down, pair.stream.unacknowledged) == (frame(b"one"), 0)
    pair.part()


@dialogue
async def test_nothing_passes_after_a_close():
    pair = Pair()
    up, down = close(4321, "grüße", masked=True), close(1000)
    pair.client.bring(up + frame(b"late", masked=True), frame(b"later", masked=True))
    pair.stream.bring(down + frame(b"late"), frame(b"later"))
    assert (pair.up, pair.down) == (up, down)
    assert (pair.record.messages_up, pair.record.messages_down) == (0, 0)
    pair.stream.finish()
    pair.over()


@pytest.mark.parametrize("bits", [0x10, 0x20, 0x40])
@pytest.mark.parametrize("reserved", [0, 0x40, 0x70])
@dialogue
async def test_reserved_bits_pass_where_an_extension_may_set_them(bits: int, reserved: int):
    pair = Pair(reserved=reserved)
    up, down = frame(b"x", masked=True), frame(b"x")
    up, down = bytes((up[0] | bits,)) + up[1:], bytes((down[0] | bits,)) + down[1:]
    allowed = not bits & ~reserved
    pair.stream.bring(down)
    if allowed:
        pair.client.bring(up)
        assert (pair.up, pair.down) == (up, down)
    else:
        assert pair.down == close(1011, "reserved bits without an extension")
        assert pair.ended == ("gateway", 1011, "")
    pair.part()


@dialogue
async def test_each_message_is_a_line_at_level_debug(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "gateway.messages")
    pair = Pair(reserved=0x40)
    squeezed = frame(b"\xaa\x56\x4a", masked=True)
    pair.client.bring(bytes((squeezed[0] | 0x40,)) + squeezed[1:])
    pair.stream.bring(frame(bytes(1000), fin=False), frame(bytes(500), Opcode.CONTINUATION))
    lines = [record.__dict__["fields"] for record in caplog.records if record.name == "gateway.messages"]
    assert [(line["direction"], line["bytes"]) for line in lines] == [
        ("client_to_service", 3), ("service_to_client", 1500),
    ]  # fmt: skip
    pair.part()


@dialogue
async def test_what_it_says_of_itself():
    pair = Pair()
    assert repr(pair.splice) == ("<Splice open, up at rest, down at rest>")
    pair.client.room = False
    pair.stream.bring(frame(b"hello")[:4])
    pair.splice.stop(now=False)
    assert repr(pair.splice) == (
        "<Splice parting, up <Way closed, <FrameScanner at a border, 0 bytes held>>, "
        "down <Way ending, blocked, <FrameScanner 3 bytes of a frame left, 0 bytes held>>>"
    )
    pair.stream.bring(b"llo")
    pair.part()
