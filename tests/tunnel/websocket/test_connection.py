"""Two ends talk: messages, fragments, pings, the closing handshake, and the cap."""

import pytest

from tunnel.websocket import Closed, Connection, Event, Failed, Message, Opcode, Ping, Pong, Role, State
from tunnel.websocket.connection import OWED_PONGS_BYTES
from tunnel.websocket.frames import encode_frame


def pair() -> tuple[Connection, Connection]:
    return Connection(), Connection(Role.SERVER)


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return encode_frame(opcode, payload, masked=False, fin=fin)


def test_messages_both_ways():
    client, server = pair()
    for sender, receiver in ((client, server), (server, client)):
        wire = sender.send_message("grüße 🚀") + sender.send_message(b"\x00\xff") + sender.send_message("")
        events = receiver.receive_data(wire)
        assert events == [Message("grüße 🚀"), Message(b"\x00\xff"), Message("")]
        assert [isinstance(event.data, str) for event in events if isinstance(event, Message)] == [True, False, True]


@pytest.mark.parametrize("message", ["", "grüße", "t" * 126, b"", b"\x00" * 125, b"\xff" * 65_535])
def test_a_whole_message_in_one_frame_is_taken_without_events(message: bytes | str):
    client, server = pair()
    for sender, receiver in ((client, server), (server, client)):
        wire = sender.send_message(message)
        # Below six bytes (and above 16 bits of length) it is not looked at: `receive_data` takes all there is.
        assert receiver.whole_message(wire) == (message if len(wire) >= 6 else None)
        assert receiver.buffered_bytes == 0


def test_what_is_not_one_whole_message_is_left_to_receive_data():
    client = Connection(max_message_bytes=1000)
    message = frame(Opcode.TEXT, b"message")
    for wire in (
        message[:-1],
        message + b"\x81",
        frame(Opcode.PING, b"ping"),
        frame(Opcode.TEXT, b"part", fin=False),
        frame(Opcode.TEXT, b"\xff\xff\xff\xff"),
        frame(Opcode.BINARY, bytes(1001)),
        encode_frame(Opcode.TEXT, b"message", masked=True),
    ):
        assert client.whole_message(wire) is None
        assert client.state is State.OPEN
    for begun in (message[:1], message[:4], frame(Opcode.TEXT, fin=False)):
        client = Connection()
        assert client.receive_data(begun) == []
        assert client.whole_message(message) is None, "it belongs to what is under way"
    client = Connection()
    assert client.receive_data(frame(Opcode.CLOSE)) == [Closed(1005, "")]
    assert client.whole_message(message) is None


@pytest.mark.parametrize("size", [100, 126, 1000])
def test_a_cut_frame_with_a_mask_is_no_whole_one_without(size: int):
    """Its first bytes and its size alone would do for a frame without a mask."""
    wire = encode_frame(Opcode.BINARY, bytes(size), masked=True)[:-4]
    assert Connection().whole_message(wire) is None
    assert Connection(Role.SERVER).whole_message(wire) is None


def test_control_frames_between_fragments():
    client = Connection()
    wire = frame(Opcode.TEXT, "é".encode()[:1], fin=False)
    wire += frame(Opcode.PING, b"p") + frame(Opcode.CONTINUATION, "é".encode()[1:], fin=False)
    wire += frame(Opcode.PONG, b"q") + frame(Opcode.CONTINUATION)
    assert client.receive_data(wire) == [Ping(b"p"), Pong(b"q"), Message("é")]


def test_buffered_bytes_follow_the_message():
    client = Connection()
    assert client.receive_data(frame(Opcode.BINARY, b"abc", fin=False)) == []
    assert client.buffered_bytes == 3
    last = frame(Opcode.CONTINUATION, b"defgh")
    assert client.receive_data(last[:4]) == []
    assert client.buffered_bytes == 5
    assert repr(client) == "<WebSocket client open, 5 bytes held>"
    # A control frame's payload is not the message's.
    assert client.receive_data(last[4:]) == [Message(b"abcdefgh")]
    assert client.buffered_bytes == 0
    assert client.receive_data(frame(Opcode.PING, b"1234")[:4]) == []
    assert client.buffered_bytes == 0


def test_every_ping_is_answered_in_order():
    client, server = pair()
    events = client.receive_data(b"".join(server.send_ping(b"%d" % n) for n in range(1000)))
    assert events == [Ping(b"%d" % n) for n in range(1000)]
    assert server.receive_data(client.data_to_send()) == [Pong(b"%d" % n) for n in range(1000)]
    assert client.data_to_send() == b""


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("size", [0, 1, 5, 125])
def test_of_pongs_that_are_not_sent_the_oldest_are_dropped(role: Role, size: int):
    """A peer that sends pings and does not read costs a bounded number of bytes."""
    client, server = pair()
    flooded, flooding = (client, server) if role is Role.CLIENT else (server, client)
    fit = OWED_PONGS_BYTES // len(flooded.send_pong(bytes(size)))
    payloads = [(b"%0125d" % number)[125 - size :] for number in range(fit + 10)]
    for payload in payloads:
        flooded.receive_data(flooding.send_ping(payload))
        assert flooded.owed_bytes <= OWED_PONGS_BYTES
    assert flooding.receive_data(flooded.data_to_send()) == [Pong(payload) for payload in payloads[-fit:]]
    assert flooded.owed_bytes == 0


def test_pings_that_are_answered_elsewhere():
    server = Connection(Role.SERVER, answers_pings=False)
    assert server.receive_data(Connection().send_ping(b"p")) == [Ping(b"p")]
    assert server.data_to_send() == b""


def test_an_empty_ping_is_answered():
    client, server = pair()
    assert client.receive_data(server.send_ping()) == [Ping(b"")]
    assert server.receive_data(client.data_to_send()) == [Pong(b"")]


def test_pings_hold_125_bytes_and_no_more():
    client, server = pair()
    assert server.receive_data(client.send_ping(bytes(125)) + client.send_pong(bytes(125))) == [
        Ping(bytes(125)),
        Pong(bytes(125)),
    ]
    with pytest.raises(ValueError, match="125"):
        client.send_ping(bytes(126))
    with pytest.raises(ValueError, match="125"):
        client.send_pong(bytes(126))


def test_closing_handshake():
    client, server = pair()
    wire = client.close(4001, "bye")
    assert client.state is State.CLOSING
    assert server.receive_data(wire) == [Closed(4001, "bye")]
    assert server.state is State.CLOSED
    assert client.receive_data(server.data_to_send()) == [Closed(4001, "bye")]
    assert client.state is State.CLOSED
    assert client.data_to_send() == b""
    assert repr(client) == "<WebSocket client closed, 0 bytes held>"


def test_a_close_without_a_code():
    client, server = pair()
    assert client.close(None)[:2] == b"\x88\x80"
    assert server.receive_data(Connection().close(None)) == [Closed(1005, "")]
    assert server.data_to_send() == b"\x88\x00"
    with pytest.raises(ValueError, match="reason"):
        Connection().close(None, "why")


def test_both_close_at_once():
    client, server = pair()
    from_client, from_server = client.close(1000), server.close(1001, "going")
    assert client.receive_data(from_server) == [Closed(1001, "going")]
    assert server.receive_data(from_client) == [Closed(1000, "")]
    assert (client.data_to_send(), server.data_to_send()) == (b"", b"")
    assert (client.state, server.state) == (State.CLOSED, State.CLOSED)


def test_nothing_leaves_after_our_close():
    client, server = pair()
    client.close(1000)
    assert client.receive_data(server.send_ping(b"late")) == [Ping(b"late")]
    sent = [client.send_message("x"), client.send_ping(), client.send_pong(), client.close(1000), client.data_to_send()]
    assert sent == [b""] * 5


def test_what_was_under_way_arrives_after_our_close():
    client, server = pair()
    client.close(1000)
    assert client.receive_data(server.send_message("late") + server.close(1000)) == [
        Message("late"),
        Closed(1000, ""),
    ]


def test_a_fault_after_our_close_owes_no_second_one():
    client, _ = pair()
    client.close(1000)
    [failed] = client.receive_data(b"\xff\x00")
    assert isinstance(failed, Failed)
    assert client.data_to_send() == b""
    assert client.state is State.CLOSED


def test_a_pong_owed_leaves_before_our_close():
    client, server = pair()
    client.receive_data(server.send_ping(b"first"))
    assert server.receive_data(client.close(1000)) == [Pong(b"first"), Closed(1000, "")]


def test_data_after_a_close_is_ignored():
    client, server = pair()
    wire = server.send_message("before") + server.close(1000) + frame(Opcode.TEXT, b"after") + b"\xff\xff\xff"
    assert client.receive_data(wire) == [Message("before"), Closed(1000, "")]
    assert client.receive_data(b"\xff" * 1000) == []
    assert server.receive_data(client.data_to_send()) == [Closed(1000, "")]


def test_a_stream_that_broke_off_holds_nothing_and_takes_nothing():
    client = Connection()
    client.receive_data(frame(Opcode.TEXT, b"half", fin=False) + frame(Opcode.PING))
    assert client.buffered_bytes == 4
    for _ in range(2):
        client.lose()
        assert (client.state, client.buffered_bytes) == (State.CLOSED, 0)
    assert client.receive_data(frame(Opcode.CONTINUATION, b"rest")) == []
    assert client.send_message("x") == b""


@pytest.mark.parametrize("size", [1, 100, 70_000])
@pytest.mark.parametrize("role", Role)
def test_a_stream_that_broke_off_takes_no_message_either(role: Role, size: int):
    peer = Connection(Role.SERVER if role is Role.CLIENT else Role.CLIENT)
    wire = peer.send_message(bytes(size))
    for cut in (0, 1, 2, len(wire) - 1):
        end = Connection(role)
        assert end.receive_data(wire[:cut]) == []
        end.lose()
        assert end.whole_message(wire) is None
        assert end.receive_data(wire[cut:]) == []
        assert end.receive_data(wire) == []
        assert end.buffered_bytes == 0


def test_a_close_drops_the_unfinished_message():
    client = Connection()
    assert client.receive_data(frame(Opcode.TEXT, b"half", fin=False) + frame(Opcode.CLOSE)) == [Closed(1005, "")]
    assert client.buffered_bytes == 0


@pytest.mark.parametrize(
    ("reason", "arrives"),
    [
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" + "é" * 61, "x" + "é" * 61),
        ("🚀" * 31, "🚀" * 30),
    ],
)
def test_a_long_reason_is_cut_between_characters(reason: str, arrives: str):
    client, server = pair()
    assert server.receive_data(client.close(1000, reason)) == [Closed(1000, arrives)]


def test_text_that_utf8_cannot_hold_is_refused():
    with pytest.raises(UnicodeEncodeError):
        Connection().send_message("\ud800")


CAP = 1000


def capped() -> Connection:
    return Connection(max_message_bytes=CAP)


@pytest.mark.parametrize("sizes", [(CAP,), (1, CAP - 1), (CAP, 0), (0, CAP), (400, 300, 300)])
def test_a_message_as_large_as_the_cap(sizes: tuple[int, ...]):
    client = capped()
    wire = b"".join(
        frame(Opcode.CONTINUATION if n else Opcode.BINARY, bytes(size), fin=n == len(sizes) - 1)
        for n, size in enumerate(sizes)
    )
    assert client.receive_data(wire) == [Message(bytes(CAP))]
    # The next message starts from nothing.
    assert client.receive_data(wire) == [Message(bytes(CAP))]


@pytest.mark.parametrize("sizes", [(CAP + 1,), (1, CAP), (CAP, 1), (400, 300, 301)])
def test_one_byte_more_than_the_cap(sizes: tuple[int, ...]):
    client = capped()
    events: list[Event] = []
    for n, size in enumerate(sizes):
        wire = frame(Opcode.CONTINUATION if n else Opcode.BINARY, bytes(size), fin=n == len(sizes) - 1)
        # The head alone decides: nothing beyond the cap is ever held.
        head = wire[: len(wire) - size]
        events += client.receive_data(head)
        assert client.buffered_bytes <= CAP
        events += client.receive_data(wire[len(head) :])
    assert events == [Failed(1009, f"message above {CAP} bytes")]
    assert client.buffered_bytes == 0


def test_nine_mib_in_every_shape():
    message = bytes(9 * 1024 * 1024)
    server = Connection(Role.SERVER)
    wire = Connection().send_message(message)
    events = [event for at in range(0, len(wire), 16384) for event in server.receive_data(wire[at : at + 16384])]
    assert events == [Message(message)]
    client = Connection()
    piece = frame(Opcode.CONTINUATION, bytes(1024), fin=False)
    wire = frame(Opcode.TEXT, fin=False) + piece * (9 * 1024) + frame(Opcode.CONTINUATION)
    [text] = client.receive_data(wire)
    assert text == Message("\x00" * len(message))


def test_endless_empty_fragments_hold_nothing():
    client = Connection()
    assert client.receive_data(frame(Opcode.TEXT, fin=False)) == []
    for _ in range(10):
        assert client.receive_data(frame(Opcode.CONTINUATION, fin=False) * 1000) == []
    assert client.buffered_bytes == 0
    assert client.receive_data(frame(Opcode.CONTINUATION, b"end")) == [Message("end")]
