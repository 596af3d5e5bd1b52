"""The scanner against hand-made streams: heads, borders and offsets, however the bytes are cut."""

import pytest

from tunnel.websocket import FrameHead, FrameScanner, Opcode
from tunnel.websocket.frames import encode_frame

FRAMES = [
    encode_frame(Opcode.TEXT, b"Hello", masked=False),
    encode_frame(Opcode.BINARY, bytes(126), masked=True),
    encode_frame(Opcode.BINARY, b"", masked=True, fin=False),
    encode_frame(Opcode.CONTINUATION, bytes(65536), masked=True),
    bytes((0x80 | 0x40 | 0x1, 2)) + b"zz",  # compressed: an extension's bit
    encode_frame(Opcode.CLOSE, b"", masked=False),
]
WIRE = b"".join(FRAMES)
BORDERS = [sum(map(len, FRAMES[:n])) for n in range(len(FRAMES) + 1)]
HEADS = [
    FrameHead(0x1, True, 0, False, 5, BORDERS[0]),
    FrameHead(0x2, True, 0, True, 126, BORDERS[1]),
    FrameHead(0x2, False, 0, True, 0, BORDERS[2]),
    FrameHead(0x0, True, 0, True, 65536, BORDERS[3]),
    FrameHead(0x1, True, 4, False, 2, BORDERS[4]),
    FrameHead(0x8, True, 0, False, 0, BORDERS[5]),
]


def test_all_at_once():
    scanner = FrameScanner()
    assert scanner.at_border
    assert scanner.feed(WIRE) == HEADS
    assert scanner.at_border
    assert scanner.border == scanner.received_bytes == len(WIRE)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 13, 14, 64, 1000, 65536])
def test_cut_anywhere(size: int):
    scanner = FrameScanner()
    heads: list[FrameHead] = []
    for at in range(0, len(WIRE), size):
        heads += scanner.feed(WIRE[at : at + size])
        received = min(at + size, len(WIRE))
        assert scanner.received_bytes == received
        assert scanner.border == max(border for border in BORDERS if border <= received)
        assert scanner.at_border is (received in BORDERS)
    assert heads == HEADS


def test_repr_says_where_it_is():
    scanner = FrameScanner()
    scanner.feed(FRAMES[0])
    assert repr(scanner) == "<FrameScanner 7 bytes, at a border>"
    scanner.feed(b"\x81")
    assert repr(scanner) == "<FrameScanner 8 bytes, in a frame since 7>"


def test_a_frame_of_any_size_costs_nothing():
    scanner = FrameScanner()
    [head] = scanner.feed(b"\x82\x7f" + b"\xff" * 8)
    assert head.length == (1 << 64) - 1
    piece = bytes(65536)
    for _ in range(1000):
        assert scanner.feed(piece) == []
    assert scanner.border == 0
    assert not scanner.at_border
