"""The scanner against the `websockets` library, on mutated frames cut anywhere: the same messages and the same verdict.

Four differences are meant, and named in `verdicts_agree`:

* The library looks at reserved bits and at control frames once their payload is there, at other things after two bytes;
  the scanner looks at a whole head. So whichever found nothing gets the rest of a frame that the wire did not end.
* Where a frame has two faults, one of them its size or the UTF-8 of its reason, either may be named.
* The reason of a close is the ends' matter, UTF-8 included; the library says 1007.
* A close inside a message is passed on (RFC 6455 section 5.4 lets control frames in); the library says 1002.
"""

import random
from itertools import pairwise

import pytest
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State

from tunnel.websocket import Closed, Failed, FrameScanner, Opcode
from tunnel.websocket.frames import encode_frame

LIMIT = 1 << 20
"""Larger than any wire here, so that only a mutated length reaches it."""
OPCODES = (Opcode.CONTINUATION, Opcode.TEXT, Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG, Opcode.CLOSE)
SIZES = (0, 1, 2, 5, 60, 124, 125, 126, 127, 300)
CLOSES = (b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa1\xff", b"\x03\xed", b"\x03")
REST = bytes(1 << 16)
FEW, MANY = 20_000, 1_000_000


class Wire:
    """Some frames, mutated; `mutated`: how many of them differ from what an encoder writes."""

    def __init__(self, chooser: random.Random, *, masked: bool) -> None:
        self.mutated = 0
        parts: list[bytes] = []
        is_open = False
        for _ in range(chooser.randrange(2, 7)):
            opcode = chooser.choice(OPCODES)
            if opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION}:
                opcode = Opcode.CONTINUATION if is_open else Opcode.TEXT if chooser.random() < 0.5 else Opcode.BINARY
                is_last = chooser.random() < 0.6
                is_open = not is_last
            else:
                is_last = True
            size = min(chooser.choice(SIZES), 125 if opcode >= Opcode.CLOSE else 300)
            payload = chooser.choice(CLOSES) if opcode == Opcode.CLOSE else bytes(size)
            frame = bytearray(encode_frame(opcode, payload, masked, is_last))
            if chooser.random() < 0.7:
                at = chooser.randrange(min(len(frame), 4))
                frame[at] ^= 1 << chooser.randrange(8)
                self.mutated += 1
            parts.append(bytes(frame))
        self.data = b"".join(parts)
        self.cuts = sorted(chooser.randrange(len(self.data) + 1) for _ in range(chooser.randrange(4)))

    def __repr__(self) -> str:
        return f"<Wire {self.data.hex(' ')} cut at {self.cuts}>"

    def pieces(self) -> list[bytes]:
        borders = [0, *self.cuts, len(self.data)]
        return [self.data[begin:end] for begin, end in pairwise(borders)]


class Scan:
    """What the scanner makes of a wire."""

    def __init__(self, wire: Wire, *, masked: bool) -> None:
        self._scanner = FrameScanner(masked=masked, max_message_bytes=LIMIT)
        self.sizes: list[int] = []
        self.passed = b""
        self.end: Closed | Failed | None = None
        for piece in wire.pieces():
            self.feed(piece)

    def feed(self, piece: bytes) -> None:
        if self.end is None:
            found = self._scanner.scan(piece)
            self.sizes += found.sizes
            self.passed += found.passed
            self.end = found.end


def reference(wire: Wire, *, masked: bool) -> Protocol:
    """The library, fed the same pieces."""
    side = Side.SERVER if masked else Side.CLIENT
    protocol = Protocol(side, state=State.OPEN, max_size=LIMIT)
    for piece in wire.pieces():
        protocol.receive_data(piece)
    return protocol


def sizes_of(protocol: Protocol) -> list[int]:
    """Bytes of the messages that the library has taken, whole ones only."""
    sizes: list[int] = []
    size = 0
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode < Opcode.CLOSE:
            size += len(event.data)
            if event.fin:
                sizes.append(size)
                size = 0
    return sizes


def verdicts_agree(end: Closed | Failed | None, protocol: Protocol) -> bool:
    """Whether the two ended alike, but for the differences that are meant."""
    error = protocol.parser_exc
    if isinstance(end, Closed):
        if error is None:
            close = protocol.close_rcvd
            return close is not None and (close.code, close.reason) == (end.code, end.reason)
        return isinstance(error, UnicodeDecodeError) or "incomplete fragmented message" in str(error)
    if end is None:
        return error is None and protocol.close_rcvd is None
    if error is None:
        return False
    if isinstance(error, UnicodeDecodeError):
        return end == Failed(1002, "a close frame without a valid code")
    by_size = isinstance(error, PayloadTooBig)
    return end.code == (1009 if by_size else 1002) or by_size


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("frames", [FEW, pytest.param(MANY // 2, marks=pytest.mark.slow)])
def test_the_same_messages_and_the_same_verdict(frames: int, *, masked: bool):
    chooser = random.Random(frames * 2 + masked)
    mutated, verdicts = 0, dict[object, int]()
    while mutated < frames:
        wire = Wire(chooser, masked=masked)
        mutated += wire.mutated
        scan = Scan(wire, masked=masked)
        protocol = reference(wire, masked=masked)
        assert wire.data.startswith(scan.passed), wire
        if isinstance(scan.end, Failed) and protocol.parser_exc is None:
            protocol.receive_data(REST)
        elif scan.end is None and protocol.parser_exc is not None:
            scan.feed(REST[:200])
        assert verdicts_agree(scan.end, protocol), (wire, scan.end, protocol.parser_exc)
        assert scan.sizes == sizes_of(protocol), (wire, scan.end, protocol.parser_exc)
        verdict = scan.end.code if isinstance(scan.end, Failed) else type(scan.end).__name__
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
    # Every verdict was met often, so none of them goes unseen.
    assert set(verdicts) == {"NoneType", "Closed", 1002, 1009}
    assert min(verdicts.values()) > frames // 1000, verdicts
