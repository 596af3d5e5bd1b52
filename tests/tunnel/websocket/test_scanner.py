"""The scanner against hand-made streams, however the bytes are cut, and against the codec."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.websocket import (
    LOOK,
    NO_MESSAGE,
    Closed,
    Connection,
    Failed,
    FrameScanner,
    Message,
    Opcode,
    Role,
    marked_ping,
    whole_messages,
)
from tunnel.websocket.frames import apply_mask, encode_frame, parse_head

LIMIT = 100_000


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = False, bits: int = 0) -> bytes:
    encoded = encode_frame(opcode, payload, masked, fin)
    return bytes((encoded[0] | bits,)) + encoded[1:]


def pong_of(ping: bytes, *, masked: bool) -> bytes:
    """What the peer answers to a marked ping."""
    head = parse_head(ping, 0)
    assert head is not None
    _, second, _, at = head
    payload = apply_mask(ping[at:], ping[at - 4 : at]) if second & 0x80 else ping[at:]
    return frame(Opcode.PONG, payload, masked=masked)


def stream(*, masked: bool) -> tuple[list[bytes], list[int]]:
    """Frames of every kind, and the sizes of the messages in them."""
    frames = [
        frame(Opcode.TEXT, b"Hello", masked=masked),
        frame(Opcode.BINARY, bytes(126), masked=masked),
        frame(Opcode.BINARY, b"", masked=masked, fin=False),
        frame(Opcode.PING, b"between", masked=masked),
        frame(Opcode.CONTINUATION, bytes(70_000), masked=masked, fin=False),
        frame(Opcode.PONG, b"unasked", masked=masked),
        frame(Opcode.CONTINUATION, b"end", masked=masked),
        frame(Opcode.TEXT, b"", masked=masked),
        frame(Opcode.CLOSE, b"\x10\xe1why", masked=masked),
    ]
    return frames, [5, 126, 70_003, 0]


def fed(scanner: FrameScanner, wire: bytes, cuts: list[int], most_frames: int = 512) -> tuple[bytes, list[int], object]:
    """What the scanner passes, the messages it counts and how it ends, with the wire cut so."""
    passed, sizes = b"", list[int]()
    for begin, end in pairwise((0, *cuts, len(wire))):
        rest = wire[begin:end]
        while rest:
            found = scanner.scan(rest, most_frames)
            passed += found.passed
            sizes += found.sizes
            rest = found.rest
            if found.end is not None:
                return passed, sizes, found.end
    return passed, sizes, None


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 13, 14, 64, 1000, 65536, 1 << 20])
def test_all_passes_as_it_came_however_it_is_cut(size: int, *, masked: bool):
    frames, sizes = stream(masked=masked)
    wire = b"".join(frames)
    scanner = FrameScanner(masked=masked, max_message_bytes=LIMIT)
    assert fed(scanner, wire, list(range(size, len(wire), size))) == (wire, sizes, Closed(4321, "why"))


@pytest.mark.parametrize("masked", [False, True])
@given(cuts=st.lists(st.integers(1, 70_300), max_size=12), seed=st.integers(0, 1 << 32), most=st.integers(1, 4))
def test_our_pongs_are_cut_out_wherever_they_come(cuts: list[int], seed: int, most: int, *, masked: bool):
    frames, sizes = stream(masked=masked)
    wire = b"".join(frames)
    ours = pong_of(marked_ping(masked=not masked), masked=masked)
    chooser = random.Random(seed)
    mixed = b"".join(ours * chooser.randrange(3) + each for each in frames)
    scanner = FrameScanner(masked=masked, max_message_bytes=LIMIT)
    assert fed(scanner, mixed, sorted({min(cut, len(mixed)) for cut in cuts}), most) == (
        wire, sizes, Closed(4321, "why"),
    )  # fmt: skip


@pytest.mark.parametrize("masked", [False, True])
def test_our_pong_alone_is_known_and_nothing_else_is(*, masked: bool):
    whole = whole_messages(masked=masked, max_message_bytes=LIMIT, reserved=0)
    ours = pong_of(marked_ping(masked=not masked), masked=masked)
    assert whole.is_marked_pong(ours)
    mask, payload = (ours[2:6], apply_mask(ours[6:], ours[2:6])) if masked else (b"", ours[2:])
    others = [
        b"", ours[:1], ours[:-1], ours + b"x", ours + ours, pong_of(marked_ping(masked=masked), masked=not masked),
        frame(Opcode.PING, payload, masked=masked), frame(Opcode.BINARY, payload, masked=masked),
        frame(Opcode.PONG, payload[::-1], masked=masked), frame(Opcode.PONG, payload, masked=masked, bits=0x40),
        frame(Opcode.PONG, mask + payload, masked=not masked),
    ]  # fmt: skip
    assert not any(whole.is_marked_pong(each) for each in others)


@given(cut=st.integers(1, 70_300))
def test_what_was_passed_ends_at_a_border_or_in_a_payload(cut: int):
    frames, _ = stream(masked=True)
    wire = b"".join(frames)
    borders = [sum(map(len, frames[:number])) for number in range(len(frames) + 1)]
    scanner = FrameScanner(masked=True, max_message_bytes=LIMIT)
    passed = len(scanner.scan(wire[:cut]).passed)
    assert (scanner.left == 0) is (passed in borders)
    assert passed + scanner.held_bytes == min(cut, len(wire))
    assert scanner.held_bytes <= 138


FAULTS = [
    (b"\x81\x01a", True, 1002, "a frame without a mask"),
    (b"\x81\x81maska", False, 1002, "a frame with a mask"),
    (frame(1, b"a", bits=0x40), False, 1002, "reserved bits without an extension"),
    (frame(9, b"a", bits=0x10), False, 1002, "reserved bits without an extension"),
    (b"\x83\x00", False, 1002, "an unknown opcode"),
    (b"\x87\x00", False, 1002, "an unknown opcode"),
    (b"\x8b\x00", False, 1002, "an unknown opcode"),
    (b"\x8f\x00", False, 1002, "an unknown opcode"),
    (b"\x09\x00", False, 1002, "a control frame that is fragmented or too long"),
    (b"\x89\x7e\x00\x7e", False, 1002, "a control frame that is fragmented or too long"),
    (b"\x88\x7f" + (200).to_bytes(8), False, 1002, "a control frame that is fragmented or too long"),
    (b"\x80\x01a", False, 1002, "a continuation of nothing"),
    (b"\x01\x01a\x81\x01a", False, 1002, "a message inside a message"),
    (b"\x82\x7f\x80" + bytes(7), False, 1002, "a length with its highest bit set"),
    (b"\x82\x7f\x7f" + b"\xff" * 7, False, 1009, "message too large"),
    (b"\x82\x7f" + (LIMIT + 1).to_bytes(8), False, 1009, "message too large"),
    (frame(2, bytes(LIMIT), fin=False) + b"\x80\x01", False, 1009, "message too large"),
    (b"\x88\x01a", False, 1002, "a close frame without a valid code"),
    (b"\x88\x02\x03\xed", False, 1002, "a close frame without a valid code"),
    (b"\x88\x02\x00\x00", False, 1002, "a close frame without a valid code"),
]


@pytest.mark.parametrize(("wire", "masked", "code", "why"), FAULTS)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_fault_ends_it_before_the_frame(wire: bytes, masked: bool, code: int, why: str, size: int):
    before = frame(1, b"fine", masked=masked)
    scanner = FrameScanner(masked=masked, max_message_bytes=LIMIT)
    whole = before + wire
    passed, sizes, end = fed(scanner, whole, list(range(size, len(whole), size)))
    assert end == Failed(code, why)
    assert passed.startswith(before)
    assert sizes[0] == 4
    assert scanner.left == 0  # a close of ours may go in here


def test_a_message_as_large_as_the_limit_passes():
    wire = frame(2, bytes(LIMIT - 1), fin=False) + frame(0, b"a")
    assert fed(FrameScanner(masked=False, max_message_bytes=LIMIT), wire, []) == (wire, [LIMIT], None)


def test_an_agreed_extension_may_set_its_bits():
    wire = frame(1, b"zz", bits=0x40) + frame(2, b"zz", fin=False, bits=0x40) + frame(0, b"z")
    scanner = FrameScanner(masked=False, max_message_bytes=LIMIT, reserved=0x40)
    assert scanner.glance(frame(1, b"zz", bits=0x40)) == 2
    assert fed(scanner, wire, [3]) == (wire, [2, 3], None)
    _, _, end = fed(scanner, frame(1, b"zz", bits=0x20), [])
    assert end == Failed(1002, "reserved bits without an extension")


def test_who_admits_is_asked_at_the_head_of_a_messages_last_frame():
    asked: list[int] = []

    def admits(size: int) -> bool:
        asked.append(size)
        return len(asked) < 3

    first = frame(1, b"one") + frame(1, b"tw", fin=False) + frame(0, b"o")
    scanner = FrameScanner(masked=False, max_message_bytes=LIMIT, admits=admits)
    assert not scanner.is_plain
    passed, sizes, end = fed(scanner, first + frame(1, b"three"), [])
    assert (passed, sizes, end) == (first, [3, 3], Failed(1008, "rate limit exceeded"))
    assert asked == [3, 3, 5]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, LIMIT])
def test_one_whole_message_takes_the_short_way(size: int, *, masked: bool):
    scanner = FrameScanner(masked=masked, max_message_bytes=LIMIT)
    wire = frame(2, bytes(size), masked=masked)
    assert scanner.is_plain
    assert scanner.glance(wire) == size
    for other in (wire + b"\x81", frame(2, bytes(size), masked=not masked), wire[:1], b""):
        assert scanner.glance(other) == LOOK
    assert scanner.is_plain


@pytest.mark.parametrize("masked", [False, True])
@given(size=st.integers(0, LIMIT), cuts=st.lists(st.integers(0, LIMIT + 14), max_size=4))
def test_a_message_in_pieces_takes_it_from_its_whole_head_on(size: int, cuts: list[int], *, masked: bool):
    scanner, wire = FrameScanner(masked=masked, max_message_bytes=LIMIT), frame(2, bytes(size), masked=masked)
    head = parse_head(wire, 0)
    assert head is not None
    ends = sorted({min(max(cut, head[3]), len(wire)) for cut in cuts} | {len(wire)})
    found = [scanner.glance(wire[begin:end]) for begin, end in pairwise((0, *ends))]
    assert found == [NO_MESSAGE] * (len(ends) - 1) + [size]
    assert scanner.is_plain
    assert scanner.scan(frame(1, b"next", masked=masked)).sizes == [4]


def test_a_piece_with_half_a_head_or_the_next_frame_is_left_to_the_scan():
    wire = frame(2, bytes(70_000), masked=True)
    for cut in range(14):
        scanner = FrameScanner(masked=True, max_message_bytes=LIMIT)
        assert scanner.glance(wire[:cut]) == LOOK
        assert (scanner.scan(wire[:cut]).passed, scanner.left) == (b"", 0)
        assert scanner.scan(wire[cut:]).sizes == [70_000]
    scanner = FrameScanner(masked=True, max_message_bytes=LIMIT)
    assert scanner.glance(wire[:1000]) == NO_MESSAGE
    assert scanner.glance(wire[1000:] + wire) == LOOK
    assert scanner.scan(wire[1000:] + wire).sizes == [70_000, 70_000]


@given(cuts=st.lists(st.integers(1, 70_300), max_size=12))
def test_both_ways_see_the_same(cuts: list[int]):
    frames, sizes = stream(masked=True)
    wire = b"".join(frames)
    scanner = FrameScanner(masked=True, max_message_bytes=LIMIT)
    passed, counted = b"", list[int]()
    for begin, end in pairwise((0, *sorted({min(cut, len(wire)) for cut in cuts}), len(wire))):
        size = scanner.glance(wire[begin:end])
        if size == LOOK:
            found = scanner.scan(wire[begin:end])
            passed, counted = passed + found.passed, counted + found.sizes
        else:
            passed += wire[begin:end]
            counted += [size] if size != NO_MESSAGE else []
    assert (passed, counted) == (wire, sizes)


@pytest.mark.parametrize("wire", [
    frame(1, b"a", fin=False), frame(9), frame(8), frame(10, b"a"), frame(2, bytes(LIMIT + 1)), frame(1, bits=0x40),
    frame(1, b"a", fin=False) + frame(0, b"a"), frame(1, b"a") + frame(1, b"b"),
])  # fmt: skip
def test_anything_else_does_not(wire: bytes):
    assert FrameScanner(masked=False, max_message_bytes=LIMIT).glance(wire) == LOOK


@pytest.mark.parametrize("wire", [b"\x01\x01a", b"\x81\x05a", b"\x81", b"\x89\x05a"])
def test_while_something_is_open_or_held_it_is_not_plain(wire: bytes):
    scanner = FrameScanner(masked=False, max_message_bytes=LIMIT)
    scanner.scan(wire)
    assert not scanner.is_plain


def test_finishing_a_frame_reads_nothing_after_it():
    scanner = FrameScanner(masked=False, max_message_bytes=LIMIT)
    scanner.scan(b"\x81\x05he")
    assert scanner.left == 3
    assert (scanner.finish_frame(b"l"), scanner.left) == ((b"l", [], None, b""), 2)
    assert (scanner.finish_frame(b"lo\x81\x01a"), scanner.left) == ((b"lo", [5], None, b"\x81\x01a"), 0)


def test_the_end_of_a_fragment_ends_no_message():
    scanner = FrameScanner(masked=False, max_message_bytes=LIMIT)
    scanner.scan(b"\x01\x05he")
    assert scanner.finish_frame(b"llo") == (b"llo", [], None, b"")
    assert scanner.scan(b"\x80\x01!").sizes == [6]


def test_who_only_looks_for_a_close_has_no_limits():
    refused: list[int] = []
    scanner = FrameScanner(masked=False, max_message_bytes=10, admits=lambda size: refused.append(size) is not None)
    scanner.look_for_close()
    wire = frame(Opcode.BINARY, bytes(5)) + frame(Opcode.BINARY, bytes(11)) + b"\x82\x7f" + (1 << 40).to_bytes(8)
    found = scanner.scan(wire)
    assert (found.sizes, found.end, scanner.left, refused) == ([5, 11], None, 1 << 40, [])
    scanner = FrameScanner(masked=False, max_message_bytes=10)
    scanner.look_for_close()
    assert scanner.scan(frame(Opcode.CLOSE, b"\x03\xe8")).end == Closed(1000, "")
    scanner = FrameScanner(masked=False, max_message_bytes=10)
    scanner.look_for_close()
    assert scanner.scan(frame(Opcode.TEXT, b"x", masked=True)).end == Failed(1002, "a frame with a mask")


def test_repr_says_where_it_is():
    scanner = FrameScanner(masked=False, max_message_bytes=LIMIT)
    scanner.scan(b"\x81\x05he")
    assert repr(scanner) == "<FrameScanner 3 bytes of a frame left, 0 bytes held>"
    scanner.scan(b"llo\x81")
    assert repr(scanner) == "<FrameScanner at a border, 1 bytes held>"


def test_a_head_is_read_once_whatever_the_size_of_its_frame(monkeypatch: pytest.MonkeyPatch):
    heads: list[int] = []

    def counted(data: bytes, at: int) -> tuple[int, int, int, int] | None:
        heads.append(at)
        return parse_head(data, at)

    monkeypatch.setattr("tunnel.websocket.scanner.parse_head", counted)
    scanner = FrameScanner(masked=False, max_message_bytes=1 << 30)
    wire = frame(2, bytes(1 << 20))
    assert fed(scanner, wire, list(range(4096, len(wire), 4096))) == (wire, [1 << 20], None)
    assert len(heads) == 1


def test_against_the_codec():
    """Mutated streams: as long as the codec finds no fault, the scanner passes all and counts the same messages."""
    chooser = random.Random(20_261_128)
    faults = 0
    for _ in range(2_000):
        frames, _ = stream(masked=False)
        wire = bytearray(b"".join(each for each in frames if len(each) < 1000))
        for _ in range(chooser.randrange(3)):
            wire[chooser.randrange(len(wire))] = chooser.randrange(256)
        cut = chooser.randrange(1, len(wire))
        codec = Connection(Role.CLIENT, max_message_bytes=LIMIT)
        events = [*codec.receive_data(bytes(wire[:cut])), *codec.receive_data(bytes(wire[cut:]))]
        passed, sizes, end = fed(FrameScanner(masked=False, max_message_bytes=LIMIT), bytes(wire), [cut])
        messages = [event.data for event in events if isinstance(event, Message)]
        found = [len(data.encode() if isinstance(data, str) else data) for data in messages]
        if events and isinstance(events[-1], Failed):
            faults += 1
            # What is in a payload is the ends' matter: the codec may find a fault there that the scanner passes.
            assert sizes[: len(found)] == found
            assert isinstance(end, Failed) or events[-1].code == 1007 or passed
        else:
            assert sizes == found
            assert passed == bytes(wire)[: len(passed)]
            assert isinstance(end, Closed) is (bool(events) and isinstance(events[-1], Closed))
    assert 200 < faults < 1_800
