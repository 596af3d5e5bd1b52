"""Frames on the wire: the RFC's examples four ways, and every frame that must be refused."""

from struct import pack

import pytest

from tunnel.websocket import Closed, Connection, Event, Failed, Message, Opcode, Ping, Pong, Role, State
from tunnel.websocket.frames import encode_frame, is_valid_code, parse_close

MASK = bytes.fromhex("37fa213d")
KIB = bytes(range(256))
BIG = bytes(65536)

# RFC 6455 section 5.7: the bytes, whose they are, and what they say.
EXAMPLES: list[tuple[bytes, Role, Event]] = [
    (bytes.fromhex("810548656c6c6f"), Role.SERVER, Message("Hello")),
    (bytes.fromhex("818537fa213d7f9f4d5158"), Role.CLIENT, Message("Hello")),
    (bytes.fromhex("010348656c80026c6f"), Role.SERVER, Message("Hello")),
    (bytes.fromhex("890548656c6c6f"), Role.SERVER, Ping(b"Hello")),
    (bytes.fromhex("8a8537fa213d7f9f4d5158"), Role.CLIENT, Pong(b"Hello")),
    (bytes.fromhex("827e0100") + KIB, Role.SERVER, Message(KIB)),
    (bytes.fromhex("827f0000000000010000") + BIG, Role.SERVER, Message(BIG)),
    (bytes.fromhex("8800"), Role.SERVER, Closed(1005, "")),
    (bytes.fromhex("88050fa1") + b"bye", Role.SERVER, Closed(4001, "bye")),
    (bytes.fromhex("8100"), Role.SERVER, Message("")),
    (bytes.fromhex("8200"), Role.SERVER, Message(b"")),
    (bytes.fromhex("01000000") + bytes.fromhex("8000"), Role.SERVER, Message("")),
    (bytes.fromhex("0200") + bytes.fromhex("800161"), Role.SERVER, Message(b"a")),
]


def receiver_of(sender: Role) -> Connection:
    return Connection(Role.SERVER if sender is Role.CLIENT else Role.CLIENT)


def feed_bytes(connection: Connection, wire: bytes) -> list[Event]:
    """Feed one byte at a time (all but the last of a long payload in one piece, to stay quick)."""
    head, body, tail = wire[:200], wire[200:-200], wire[max(200, len(wire) - 200) :]
    events = [event for at in range(len(head)) for event in connection.receive_data(head[at : at + 1])]
    events += connection.receive_data(body)
    return events + [event for at in range(len(tail)) for event in connection.receive_data(tail[at : at + 1])]


@pytest.mark.parametrize(("wire", "sender", "event"), EXAMPLES)
def test_decode_at_once(wire: bytes, sender: Role, event: Event):
    assert receiver_of(sender).receive_data(wire) == [event]


@pytest.mark.parametrize(("wire", "sender", "event"), EXAMPLES)
def test_decode_byte_by_byte(wire: bytes, sender: Role, event: Event):
    assert feed_bytes(receiver_of(sender), wire) == [event]


@pytest.mark.parametrize(("wire", "sender", "event"), EXAMPLES)
def test_decode_twice_in_one_piece(wire: bytes, sender: Role, event: Event):
    expected = [event] if isinstance(event, Closed) else [event, event]
    assert receiver_of(sender).receive_data(wire + wire) == expected


@pytest.mark.parametrize(
    ("opcode", "payload", "wire"),
    [
        (Opcode.TEXT, b"Hello", bytes.fromhex("810548656c6c6f")),
        (Opcode.PING, b"Hello", bytes.fromhex("890548656c6c6f")),
        (Opcode.BINARY, KIB, bytes.fromhex("827e0100") + KIB),
        (Opcode.BINARY, BIG, bytes.fromhex("827f0000000000010000") + BIG),
        (Opcode.CLOSE, b"", bytes.fromhex("8800")),
        (Opcode.BINARY, bytes(125), b"\x82\x7d" + bytes(125)),
        (Opcode.BINARY, bytes(126), b"\x82\x7e\x00\x7e" + bytes(126)),
        (Opcode.BINARY, bytes(65535), b"\x82\x7e\xff\xff" + bytes(65535)),
    ],
)
def test_encode_unmasked(opcode: Opcode, payload: bytes, wire: bytes):
    assert encode_frame(opcode, payload, masked=False) == wire


def test_encode_fragments():
    first = encode_frame(Opcode.TEXT, b"Hel", masked=False, fin=False)
    assert first + encode_frame(Opcode.CONTINUATION, b"lo", masked=False) == bytes.fromhex("010348656c80026c6f")


def test_encode_masked_is_the_rfcs_example(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tunnel.websocket.frames._masks", iter([(MASK,)]))
    assert Connection().send_message("Hello") == bytes.fromhex("818537fa213d7f9f4d5158")


def test_every_frame_has_a_mask_of_its_own():
    connection = Connection()
    masks = {connection.send_message(b"x")[2:6] for _ in range(1000)}
    assert len(masks) > 995


def test_masks_come_from_the_system(monkeypatch: pytest.MonkeyPatch):
    """Fresh ones each time that those at hand are used up."""
    asked: list[int] = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return bytes(range(256)) * (size // 256)

    monkeypatch.setattr("tunnel.websocket.frames.os.urandom", urandom)
    connection = Connection()
    seen = [connection.send_message(b"x")[2:6] for _ in range(600)]
    assert 2 <= len(asked) <= 3
    assert bytes(range(4)) in seen
    assert bytes(range(252, 256)) in seen


FAULTS: list[tuple[str, bytes, int]] = [
    *((f"reserved bit {bit:#x}", bytes((0x81 | bit, 0)), 1002) for bit in (0x40, 0x20, 0x10, 0x70)),
    *((f"unknown opcode {op}", bytes((0x80 | op, 0)), 1002) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    *((f"fragmented control {op}", bytes((op, 0)), 1002) for op in (8, 9, 10)),
    *((f"long control {op}", bytes((0x80 | op, 126, 0, 126)) + bytes(126), 1002) for op in (8, 9, 10)),
    ("masked by a server", b"\x81\x80" + MASK, 1002),
    ("length 125 in 16 bits", b"\x82\x7e\x00\x7d" + bytes(125), 1002),
    ("length 65535 in 64 bits", b"\x82\x7f" + pack("!Q", 65535) + bytes(65535), 1002),
    ("length of 2^63", b"\x82\x7f" + pack("!Q", 1 << 63), 1002),
    ("length of 2^64-1", b"\x82\x7f" + b"\xff" * 8, 1002),
    ("length of 2^63-1", b"\x82\x7f" + pack("!Q", (1 << 63) - 1), 1009),
    ("continuation of nothing", b"\x80\x00", 1002),
    ("unfinished continuation of nothing", b"\x00\x00", 1002),
    ("text in a fragmented message", b"\x01\x00\x81\x00", 1002),
    ("binary in a fragmented message", b"\x01\x00\x02\x00", 1002),
    ("continuation after the end", b"\x01\x00\x80\x00\x80\x00", 1002),
    ("text not UTF-8", b"\x81\x01\xff", 1007),
    ("surrogate", b"\x81\x03\xed\xa0\x80", 1007),
    ("overlong", b"\x81\x02\xc0\xaf", 1007),
    ("beyond U+10FFFF", b"\x81\x04\xf4\x90\x80\x80", 1007),
    ("text cut in a character", b"\x81\x01\xc3", 1007),
    ("fragments cut in a character", b"\x01\x01\xc3\x80\x00", 1007),
    ("fragments not UTF-8 together", b"\x01\x01\xc3\x80\x01\x41", 1007),
    ("close of one byte", b"\x88\x01\x03", 1002),
    ("close reason not UTF-8", b"\x88\x03\x03\xe8\xff", 1007),
    *((f"close code {c}", b"\x88\x02" + pack("!H", c), 1002) for c in (0, 999, 1004, 1005, 1006, 1015, 1016)),
    *((f"close code {c}", b"\x88\x02" + pack("!H", c), 1002) for c in (1100, 2000, 2999, 5000, 65535)),
]


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize(("wire", "code"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_faults(wire: bytes, code: int, in_pieces: bool):
    connection = Connection()
    events = feed_bytes(connection, wire) if in_pieces else connection.receive_data(wire)
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert failed.reason
    assert [type(event) for event in events[:-1]] in ([], [Message])
    assert connection.state is State.CLOSED
    assert connection.buffered_bytes == 0
    # The close frame tells the peer why; after it nothing is said or heard.
    peer = Connection(Role.SERVER)
    assert peer.receive_data(connection.data_to_send()) == [Closed(code, failed.reason)]
    assert connection.data_to_send() == b""
    assert connection.receive_data(b"\x81\x02hi") == []
    assert connection.send_message("x") == b""


def test_a_client_that_does_not_mask():
    server = Connection(Role.SERVER)
    [failed] = server.receive_data(b"\x81\x02hi")
    assert failed == Failed(1002, "unmasked frame from a client")
    assert server.data_to_send()[:4] == b"\x88\x1e\x03\xea"


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_codes_that_may_be_sent(code: int):
    assert is_valid_code(code)
    assert parse_close(pack("!H", code)) == (code, "")
    client, server = Connection(), Connection(Role.SERVER)
    assert server.receive_data(client.close(code, "why")) == [Closed(code, "why")]


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536])
def test_codes_that_must_not_be_sent(code: int):
    connection = Connection()
    with pytest.raises(ValueError, match="must not be sent"):
        connection.close(code)
    assert connection.state is State.OPEN
