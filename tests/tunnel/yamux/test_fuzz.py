"""Random frames, valid ones mutated among them, end in documented errors only, and cost a bounded output."""

import random
from collections import Counter

import pytest

from tests.tunnel.yamux.wire import frames, live_streams
from tunnel.yamux import DataReceived, Limits, LocalError, ProtocolError, Role, Session, StreamEnded, StreamOpened
from tunnel.yamux.frames import encode_header

LIMITS = Limits(
    initial_window=4096,
    max_window=16_384,
    frame_bytes=512,
    send_buffer_bytes=2048,
    max_unacknowledged_opens=4,
    accept_backlog=8,
    max_streams=32,
    control_bytes=1200,
)
OUTPUT_BOUND = (
    LIMITS.control_bytes
    + 12 * (LIMITS.max_streams * 2 + 2)
    + LIMITS.max_streams * (LIMITS.send_buffer_bytes + 500 + 12 * 6 + 500 * 12)
)
"""Answers, one RST and one update for each stream, and the full send buffers, in the smallest frames."""


def some_frame(dice: random.Random, fresh_id: int, ids: list[int]) -> bytes:
    """Mostly what a peer might say, sometimes with a field turned, sometimes noise."""
    kind = dice.choices((0, 1, 2, 3, 4), (40, 40, 15, 0.03, 0.03))[0]
    flags = dice.choices((0, 1, 2, 4, 8, 5, 9, 3, dice.getrandbits(16)), (50, 20, 8, 2, 8, 1, 1, 1, 0.1))[0]
    stream_id = dice.choices((dice.choice(ids or [1]), fresh_id, dice.getrandbits(32)), (60, 10, 0.1))[0]
    if flags & 1 and kind < 2 and dice.random() < 0.99:
        stream_id = fresh_id
    size = dice.choices((0, dice.randrange(1, 100), dice.randrange(100, 5000)), (30, 100, 1))[0]
    if kind != 0:
        length = dice.choices((size, dice.getrandbits(32), 2**32 - 1), (500, 1, 1))[0]
        wire = encode_header(kind, flags, stream_id, length)
    else:
        wire = encode_header(kind, flags, stream_id, size) + bytes(size)
    if dice.random() < 0.003:
        mutated = bytearray(wire)
        mutated[dice.randrange(len(mutated))] ^= 1 << dice.randrange(8)
        wire = bytes(mutated)
    return wire


def some_call(dice: random.Random, session: Session, ids: list[int]) -> None:
    stream_id = dice.choice(ids) if ids else 1
    call = dice.randrange(6)
    if call == 0:
        ids.append(session.open_stream())
    elif call == 1:
        session.accept_stream(stream_id)
    elif call == 2:
        if session.buffered(stream_id) < LIMITS.send_buffer_bytes:
            session.send_data(stream_id, bytes(dice.randrange(500)))
    elif call == 3:
        session.end_stream(stream_id)
    elif call == 4:
        session.reset_stream(stream_id)
    else:
        session.ping(0.0)


class Fuzzer:
    """One session after another, with an application that does whatever comes to its mind."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.endings: Counter[str] = Counter()
        self.begin()

    def begin(self) -> None:
        self.session = Session(Role.SERVER, LIMITS)
        self.ids: list[int] = []
        self.unread: Counter[int] = Counter()
        self.now = 0.0
        self.fresh_id = 1

    def run(self, count: int) -> set[str]:
        """Feed `count` frames; the names of the errors that were met."""
        for _ in range(count):
            try:
                self.receive()
            except ProtocolError as error:
                self.endings[type(error).__name__] += 1
                self.bury()
                self.begin()
                continue
            self.act()
            assert live_streams(self.session) <= LIMITS.max_streams
            assert self.session.buffered_bytes <= LIMITS.max_streams * (LIMITS.send_buffer_bytes + 500)
            if self.dice.random() < 0.005:
                self.write()
            if self.dice.random() < 0.0005:
                self.begin()
        return set(self.endings)

    def receive(self) -> None:
        wire = some_frame(self.dice, self.fresh_id, [*self.session._table.live, *self.ids[-20:]])
        self.fresh_id += 2
        self.now += 0.001
        cut = self.dice.randrange(len(wire) + 1) if self.dice.random() < 0.2 else 0
        for piece in (wire[:cut], wire[cut:]):
            for event in self.session.receive_data(piece, self.now):
                if isinstance(event, StreamOpened):
                    self.ids.append(event.stream_id)
                elif isinstance(event, DataReceived):
                    self.unread[event.stream_id] += len(event.data)
                elif isinstance(event, StreamEnded):
                    self.session.end_stream(event.stream_id)

    def act(self) -> None:
        if self.dice.random() < 0.3:
            try:
                some_call(self.dice, self.session, self.ids)
            except LocalError as error:
                self.endings[type(error).__name__] += 1
        if self.unread and self.dice.random() < 0.3:
            stream_id, size = self.unread.popitem()
            self.session.acknowledge(stream_id, size, self.now)

    def write(self) -> None:
        written = 0
        while batch := self.session.data_to_send(4096):
            frames(batch)
            written += len(batch)
        assert written <= OUTPUT_BOUND
        assert not self.session.wants_to_send

    def bury(self) -> None:
        assert [str(frame) for frame in frames(self.session.data_to_send())] == ["GO_AWAY 0 1"]
        assert self.session.data_to_send() == b""
        assert live_streams(self.session) == self.session.buffered_bytes == 0


ENDINGS = {
    "CreditOverflow",
    "DuplicateStream",
    "FloodError",
    "GoneAway",
    "InvalidStreamId",
    "InvalidType",
    "InvalidVersion",
    "StreamClosed",
    "TooManyStreams",
    "UnexpectedFlag",
    "WindowExceeded",
}


def test_fifty_thousand_frames():
    assert Fuzzer(20_240).run(50_000) == ENDINGS


@pytest.mark.slow
def test_a_million_frames():
    assert Fuzzer(1).run(1_000_000) == ENDINGS


def feed(session: Session, wire: bytes, size: int) -> None:
    for start in range(0, len(wire), size):
        session.receive_data(wire[start : start + size], 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_noise(seed):
    noise = random.Random(seed).randbytes(10_000)
    with pytest.raises(ProtocolError):
        feed(Session(Role.CLIENT), noise, 100)
