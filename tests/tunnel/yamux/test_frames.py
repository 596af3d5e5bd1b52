"""The header codec, four ways: encoded, decoded, byte by byte, all at once."""

import struct

import pytest

from tests.tunnel.yamux.wire import data, frames, go_away, ping, window
from tunnel.yamux import (
    DataReceived,
    Event,
    GoAwayReceived,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from tunnel.yamux.frames import ACK, DATA, FIN, GO_AWAY, HEADER, PING, RST, SYN, WINDOW_UPDATE, encode_header

CASES = [
    pytest.param((DATA, 0, 1, 5), "000000000000000100000005", id="data"),
    pytest.param((DATA, SYN, 3, 0), "000000010000000300000000", id="data-syn"),
    pytest.param((WINDOW_UPDATE, SYN, 2, 0), "000100010000000200000000", id="window-syn"),
    pytest.param((WINDOW_UPDATE, ACK, 2, 262_144), "000100020000000200040000", id="window-ack"),
    pytest.param((WINDOW_UPDATE, FIN, 4, 0), "000100040000000400000000", id="window-fin"),
    pytest.param((WINDOW_UPDATE, RST, 0xFFFF_FFFF, 0), "00010008ffffffff00000000", id="window-rst"),
    pytest.param((PING, SYN, 0, 0xDEADBEEF), "0002000100000000deadbeef", id="ping"),
    pytest.param((PING, ACK, 0, 1), "000200020000000000000001", id="pong"),
    pytest.param((GO_AWAY, 0, 0, 1), "000300000000000000000001", id="go-away"),
]


@pytest.mark.parametrize(("fields", "wire"), CASES)
def test_header_encodes(fields, wire):
    assert encode_header(*fields).hex() == wire


@pytest.mark.parametrize(("fields", "wire"), CASES)
def test_header_decodes(fields, wire):
    assert HEADER.unpack(bytes.fromhex(wire)) == (0, *fields)


def test_header_refuses_what_does_not_fit():
    with pytest.raises(struct.error):
        encode_header(DATA, 0, 1, 2**32)


CONVERSATION: list[tuple[bytes, list[Event]]] = [
    (window(1, flags=SYN), [StreamOpened(1)]),
    (data(1, b"hello"), [DataReceived(1, b"hello")]),
    (ping(7), []),
    (data(3, b"world", SYN), [StreamOpened(3), DataReceived(3, b"world")]),
    (data(3, b""), []),
    (data(99, b"nobody"), []),
    (data(1, b"last", FIN), [DataReceived(1, b"last"), StreamEnded(1)]),
    (window(3, 100), []),
    (data(3, b"lost", RST), [StreamReset(3)]),
    (window(5, flags=SYN | FIN), [StreamOpened(5), StreamEnded(5)]),
    (window(7, flags=SYN | RST), [StreamOpened(7), StreamReset(7)]),
    (go_away(), [GoAwayReceived(0)]),
]
WIRE = b"".join(wire for wire, _ in CONVERSATION)
EVENTS = [event for _, events in CONVERSATION for event in events]


def joined(events):
    """The events with neighbouring pieces of data put together."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, DataReceived) and isinstance(last, DataReceived) and last.stream_id == event.stream_id:
            result[-1] = DataReceived(event.stream_id, last.data + event.data)
        else:
            result.append(event)
    return result


def test_frame_by_frame():
    session = Session(Role.SERVER)
    for wire, events in CONVERSATION:
        assert session.receive_data(wire, 0.0) == events


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_all_at_once(kind):
    events = Session(Role.SERVER).receive_data(kind(WIRE), 0.0)

    assert events == EVENTS
    assert {type(event.data) for event in events if isinstance(event, DataReceived)} == {bytes}


@pytest.mark.parametrize("size", [1, 2, 5, 11, 12, 13, 16])
def test_cut_anywhere(size):
    session = Session(Role.SERVER)
    events = []
    for start in range(0, len(WIRE), size):
        events += session.receive_data(WIRE[start : start + size], 0.0)
    assert joined(events) == EVENTS


def test_a_part_of_a_body_is_handed_on_at_once():
    session = Session(Role.SERVER)
    session.receive_data(window(1, flags=SYN) + data(1, b"abcdef")[:13], 0.0)

    assert session.receive_data(b"bc", 0.0) == [DataReceived(1, b"bc")]
    assert session.receive_data(b"def" + window(3, flags=SYN), 0.0) == [DataReceived(1, b"def"), StreamOpened(3)]


def test_what_was_received_does_not_change_with_the_callers_buffer():
    session = Session(Role.SERVER)
    buffer = bytearray(data(1, b"hello", SYN))
    events = session.receive_data(buffer, 0.0)
    buffer[:] = bytes(len(buffer))

    assert events == [StreamOpened(1), DataReceived(1, b"hello")]


def test_the_answer_to_the_conversation():
    session = Session(Role.SERVER)
    session.receive_data(WIRE, 0.0)

    assert [str(frame) for frame in frames(session.data_to_send())] == ["PING|ACK 0 7"]
