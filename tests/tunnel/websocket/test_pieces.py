"""Binary messages in the pieces in which they come: nothing lost, nothing reordered, nothing copied twice."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunnel.websocket import Connection, Event, Failed, Message, PieceReader, Ping, Role
from tunnel.websocket.events import Closed, Piece
from tunnel.websocket.frames import Opcode, encode_frame, encode_in_parts

KIB = 1024


def read(data: bytes, *, cuts: list[int] | None = None, step: int = 1 << 20, limit: int = 1 << 20) -> list[Event]:
    """What a server is told of these bytes, cut at these places, and parsed in steps."""
    codec = Connection(Role.SERVER, max_message_bytes=limit)
    reader = PieceReader(codec)
    events: list[Event] = []
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for begin, end in pairwise(borders):
        part, at = data[begin:end], 0
        while at < len(part):
            found, after = reader.receive_data(part, at, min(at + step, len(part)))
            assert after > at
            at = after
            events += found
    return events


def told(events: list[Event]) -> list[object]:
    """Binary data joined between other things, which are themselves."""
    result: list[object] = []
    for event in events:
        data = event.data if isinstance(event, Message | Piece) else None
        if not isinstance(data, bytes):
            result.append(event)
        elif result and isinstance(result[-1], bytes):
            result[-1] += data
        else:
            result.append(data)
    return result


def test_a_long_frame_comes_as_its_head_and_the_rest():
    body = random.Random(1).randbytes(60_000)
    events = read(encode_frame(Opcode.BINARY, body, masked=True))
    assert events == [Piece(body[:12]), Piece(body[12:])]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["binary", "text", "ping", "parts"]), st.integers(0, 9000)), max_size=8),
    st.lists(st.integers(0, 100_000), max_size=12),
    st.sampled_from([1, 700, 32 * KIB]),
)
def test_cut_anywhere_it_says_the_same_as_whole_messages(messages: list[tuple[str, int]], cuts: list[int], step: int):
    wire, expected = b"", []
    for number, (kind, size) in enumerate(messages):
        body = bytes((number + position) % 251 for position in range(size))
        if kind == "binary":
            wire += encode_frame(Opcode.BINARY, body, masked=True)
            expected.append(Message(body))
        elif kind == "text":
            wire += encode_frame(Opcode.TEXT, b"t" * size, masked=True)
            expected.append(Message("t" * size))
        elif kind == "ping":
            wire += encode_frame(Opcode.PING, body[:125], masked=True)
            expected.append(Ping(body[:125]))
        else:
            wire += encode_frame(Opcode.BINARY, body[: size // 2], masked=True, fin=False)
            wire += encode_frame(Opcode.CONTINUATION, body[size // 2 :], masked=True)
            expected.append(Message(body))
    wanted = [entry for entry in told(expected) if entry != b""]
    assert [entry for entry in told(read(wire, cuts=cuts, step=step)) if entry != b""] == wanted


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (encode_frame(Opcode.BINARY, b"x" * 5000, masked=False), 1002),
        (b"\xc2\x81\0\0\0\0x", 1002),
        (b"\x82\xfe\0\x05\0\0\0\0hello", 1002),
        (b"\x82\xff" + (5).to_bytes(8, "big") + b"\0\0\0\0hello", 1002),
        (b"\x82\xff" + (1 << 63).to_bytes(8, "big") + bytes(4), 1002),
        (encode_frame(Opcode.BINARY, bytes(2000), masked=True), 1009),
    ],
)
def test_what_breaks_a_rule_ends_it_as_for_the_connection(wire: bytes, code: int):
    before = encode_frame(Opcode.BINARY, b"before", masked=True)
    events = read(before + wire + before, limit=1000)
    assert events[0] == Piece(b"before")
    assert [type(event) for event in events[1:]] == [Failed]
    assert isinstance(events[1], Failed)
    assert events[1].code == code


def test_nothing_follows_a_close():
    data = encode_frame(Opcode.BINARY, b"last", masked=True)
    events = read(data + encode_frame(Opcode.CLOSE, b"\x03\xe8", masked=True) + data)
    assert events == [Piece(b"last"), Closed(1000, "")]


def test_a_frame_longer_than_a_step_is_passed_on_step_by_step():
    body = random.Random(2).randbytes(200_000)
    data = encode_frame(Opcode.BINARY, body, masked=True)
    reader = PieceReader(Connection(Role.SERVER))
    at, lengths, passed = 0, [], b""
    while at < len(data):
        events, at = reader.receive_data(data, at, at + 1000)
        lengths.append(sum(len(event.data) for event in events if isinstance(event, Piece)))
        passed += b"".join(event.data for event in events if isinstance(event, Piece))
    assert passed == body
    assert max(lengths) == 64 * KIB + 12


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10), st.booleans())
def test_a_frame_in_parts_is_the_frame_of_all_of_them(pieces: list[bytes], masked: bool):
    body = b"".join(pieces)
    parts = encode_in_parts(Opcode.BINARY, [memoryview(piece) for piece in pieces], len(body), masked)
    peer = Connection(Role.SERVER if masked else Role.CLIENT)
    assert peer.receive_data(b"".join(parts)) == [Message(body)]
    assert parts[1:] == list(pieces) or masked
