"""Two connections against each other over a wire cut at random, and one against noise."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tunnel.websocket import (
    Closed,
    Connection,
    Event,
    Failed,
    FrameScanner,
    Message,
    Opcode,
    Ping,
    Pong,
    Role,
    State,
)
from tunnel.websocket.frames import encode_frame

texts = st.text(max_size=300)
payloads = st.one_of(st.binary(max_size=300), st.sampled_from([bytes(125), bytes(126), bytes(65535), bytes(65536)]))
controls = st.binary(max_size=125)
sayings = st.one_of(
    texts.map(Message),
    payloads.map(Message),
    controls.map(Ping),
    controls.map(Pong),
)
roles = st.sampled_from(Role)
cuts = st.lists(st.integers(1, 400), max_size=30)


def other(role: Role) -> Role:
    return Role.CLIENT if role is Role.SERVER else Role.SERVER


def say(connection: Connection, event: Event) -> bytes:
    if isinstance(event, Message):
        return connection.send_message(event.data)
    if isinstance(event, Ping):
        return connection.send_ping(event.payload)
    assert isinstance(event, Pong)
    return connection.send_pong(event.payload)


def in_pieces(wire: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(wire[:size])
        wire = wire[size:]
    return [piece for piece in (*pieces, wire) if piece]


@given(roles, st.lists(sayings, max_size=12), cuts)
@settings(deadline=None)
def test_what_one_says_the_other_hears(role: Role, said: list[Event], sizes: list[int]):
    sender, receiver = Connection(role), Connection(other(role))
    wire = b"".join(say(sender, event) for event in said) + sender.close(1000, "done")
    answers = b""
    heard: list[Event] = []
    for piece in in_pieces(wire, sizes):
        heard += receiver.receive_data(piece)
        answers += receiver.data_to_send()
    assert heard == [*said, Closed(1000, "done")]
    *pongs, closed = sender.receive_data(answers)
    assert closed == Closed(1000, "done")
    pinged = [Pong(event.payload) for event in said if isinstance(event, Ping)]
    # The pongs answer some of the pings, in order, the last one always.
    left = iter(pinged)
    assert all(pong in left for pong in pongs)
    assert pongs[-1:] == pinged[-1:]
    assert (sender.state, receiver.state) == (State.CLOSED, State.CLOSED)
    assert sender.buffered_bytes == receiver.buffered_bytes == 0


@given(roles, st.lists(st.tuples(texts, st.lists(st.integers(0, 40), max_size=5), controls), max_size=5), cuts)
@settings(deadline=None)
def test_fragments_cut_anywhere_make_the_message(
    role: Role, said: list[tuple[str, list[int], bytes]], sizes: list[int]
):
    masked = role is Role.CLIENT
    wire = b""
    expected: list[Event] = []
    for text, borders, ping in said:
        rest, opcode = text.encode(), Opcode.TEXT
        for size in borders:
            wire += encode_frame(opcode, rest[:size], masked=masked, fin=False)
            wire += encode_frame(Opcode.PING, ping, masked=masked)
            rest, opcode = rest[size:], Opcode.CONTINUATION
            expected.append(Ping(ping))
        wire += encode_frame(opcode, rest, masked=masked)
        expected.append(Message(text))
    receiver = Connection(other(role))
    heard = [event for piece in in_pieces(wire, sizes) for event in receiver.receive_data(piece)]
    assert heard == expected


@given(roles, st.lists(st.binary(max_size=60), max_size=8), st.integers(0, 200))
@examples(400)
def test_noise_never_raises_and_ends_at_the_first_fault(role: Role, pieces: list[bytes], cap: int):
    connection = Connection(role, max_message_bytes=cap)
    heard: list[Event] = []
    for piece in pieces:
        heard += connection.receive_data(piece)
        assert connection.buffered_bytes <= cap
    over = [event for event in heard if isinstance(event, Failed | Closed)]
    assert over == heard[len(heard) - len(over) :]
    assert len(over) == (connection.state is State.CLOSED)
    # Cut or whole, it is heard the same.
    assert Connection(role, max_message_bytes=cap).receive_data(b"".join(pieces)) == heard
    # What is owed is well-formed, and says what failed.
    answers = Connection(other(role)).receive_data(connection.data_to_send())
    ends = [(event.code, event.reason) for event in over if isinstance(event, Failed | Closed)]
    assert [answer for answer in answers if not isinstance(answer, Pong)] == [Closed(*end) for end in ends]


first_bytes = st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A])


@given(st.lists(st.tuples(first_bytes, st.binary(max_size=130)), max_size=10), cuts)
@examples(400)
def test_frames_in_any_order_are_heard_or_refused(frames: list[tuple[int, bytes]], sizes: list[int]):
    wire = b"".join(encode_frame(first & 0x0F, data, masked=False, fin=first > 0x7F) for first, data in frames)
    connection = Connection()
    heard = [event for piece in in_pieces(wire, sizes) for event in connection.receive_data(piece)]
    assert heard == Connection().receive_data(wire)
    answers = Connection(Role.SERVER).receive_data(connection.data_to_send())
    assert all(isinstance(answer, Pong | Closed) for answer in answers)
    assert any(isinstance(answer, Closed) for answer in answers) is (connection.state is State.CLOSED)


@given(
    role=roles,
    first=st.sampled_from([0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0xC2]),
    masked=st.booleans(),
    form=st.sampled_from(["shortest", 126, 127]),
    payload=st.one_of(st.binary(max_size=140), st.just(bytes(65_535)), st.just(bytes(65_536))),
    more=st.integers(-4, 4),
    cap=st.sampled_from([0, 100, 130, 1 << 20]),
)
@examples(400)
def test_a_message_taken_whole_is_the_one_that_its_bytes_make(role, first, masked, form, payload, more, cap):
    size = len(payload)
    bit = 0x80 if masked else 0
    if form == 127 or size > 65_535:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    elif form == 126 or size > 125:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | size])
    wire = head + (bytes(4) if masked else b"") + payload
    wire = wire[:more] if more < 0 else wire + bytes(more)
    message = Connection(role, max_message_bytes=cap).whole_message(wire)
    slow = Connection(role, max_message_bytes=cap)
    heard = [event for piece in (wire[:1], wire[1:]) for event in slow.receive_data(piece)]
    right = len(heard) == 1 and isinstance(heard[0], Message) and not more
    if message is None:
        assert not right or len(wire) < 6 or size > 65_535
    else:
        assert heard == [Message(message)]
        assert right


@given(st.binary(max_size=600), cuts, st.booleans())
@settings(deadline=None)
def test_the_scanner_sees_the_same_frames_however_the_stream_is_cut(wire: bytes, sizes: list[int], masked: bool):
    whole, cut = (FrameScanner(masked=masked, max_message_bytes=1 << 20) for _ in range(2))
    at_once = whole.scan(wire)
    passed, counted, end = b"", list[int](), None
    for piece in in_pieces(wire, sizes):
        found = cut.scan(piece)
        assert not found.rest
        passed, end = passed + found.passed, found.end
        counted += found.sizes
        if end is not None:
            break
    assert (passed, counted, end) == (at_once.passed, at_once.sizes, at_once.end)
    assert wire.startswith(passed)
    if end is None:
        assert (cut.left, cut.held_bytes) == (whole.left, whole.held_bytes)


@given(st.lists(st.tuples(first_bytes, st.binary(max_size=130)), max_size=12), cuts, st.integers(1, 4))
@examples(300)
def test_some_frames_at_a_time_are_heard_the_same(frames: list[tuple[int, bytes]], sizes: list[int], most: int):
    wire = b"".join(
        bytes([first, 0x80 | len(payload)] if len(payload) < 126 else [first, 0xFE, 0, len(payload)])
        + bytes(4)
        + payload
        for first, payload in frames
    )
    at_once, bounded = Connection(Role.SERVER), Connection(Role.SERVER)
    for piece in in_pieces(wire, sizes):
        heard: list[Event] = []
        at = 0
        while at < len(piece):
            events, then = bounded.receive_frames(piece, at, most)
            assert len(events) <= most + 1  # and the end of a frame that was under way
            assert at < then <= len(piece)
            heard += events
            at = then
        assert heard == at_once.receive_data(piece)
        assert repr(bounded) == repr(at_once)
