"""A fake wire between two sessions, frames in readable form, and a referee who knows hashicorp's rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from tunnel.yamux import DataReceived, Event, Limits, Role, Session
from tunnel.yamux.frames import ACK, DATA, FIN, GO_AWAY, HEADER, PING, RST, SYN, WINDOW_UPDATE, encode_header

KINDS = {DATA: "DATA", WINDOW_UPDATE: "WINDOW", PING: "PING", GO_AWAY: "GO_AWAY"}
FLAGS = {SYN: "SYN", ACK: "ACK", FIN: "FIN", RST: "RST"}


class Frame(NamedTuple):
    kind: int
    flags: int
    stream_id: int
    length: int
    body: bytes = b""

    def __str__(self) -> str:
        flags = "".join(f"|{name}" for bit, name in FLAGS.items() if self.flags & bit)
        return f"{KINDS[self.kind]}{flags} {self.stream_id} {self.length}"


def data(stream_id: int, body: bytes, flags: int = 0) -> bytes:
    return encode_header(DATA, flags, stream_id, len(body)) + body


def window(stream_id: int, credit: int = 0, flags: int = 0) -> bytes:
    return encode_header(WINDOW_UPDATE, flags, stream_id, credit)


def ping(value: int, flags: int = SYN) -> bytes:
    return encode_header(PING, flags, 0, value)


def go_away(code: int = 0) -> bytes:
    return encode_header(GO_AWAY, 0, 0, code)


def frames(wire: bytes) -> list[Frame]:
    """Whole frames only: a batch that ends inside a frame fails."""
    found = []
    while wire:
        version, kind, flags, stream_id, length = HEADER.unpack_from(wire)
        assert version == 0
        size = length if kind == DATA else 0
        body, wire = wire[12 : 12 + size], wire[12 + size :]
        assert len(body) == size
        found.append(Frame(kind, flags, stream_id, length, body))
    return found


def said(session: Session, limit: int = 65_536) -> list[str]:
    """All that the session has to say now, one readable line for each frame."""
    return [str(frame) for frame in frames(everything(session, limit))]


def everything(session: Session, limit: int = 65_536) -> bytes:
    return b"".join(batches(session, limit))


def batches(session: Session, limit: int = 65_536) -> Iterator[bytes]:
    while session.wants_to_send:
        batch = session.data_to_send(limit)
        assert 0 < len(batch) <= limit
        yield batch
    assert session.data_to_send(limit) == b""


def live_streams(session: Session) -> int:
    """How many there are: those that wait to be opened and those to be accepted among them."""
    return len(session._streams)


def unacknowledged_opens(session: Session) -> int:
    """Streams of the session's own that the peer has not accepted; those that wait for a place do not count."""
    return session._table.unacknowledged


def pair(limits: Limits | None = None) -> tuple[Session, Session]:
    """A server and a client, as the gateway and the agent are."""
    return Session(Role.SERVER, limits), Session(Role.CLIENT, limits)


def talk(a: Session, b: Session, now: float = 0.0) -> tuple[list[Event], list[Event]]:
    """Carry bytes until both are silent; what a was told, and what b was told."""
    told_a: list[Event] = []
    told_b: list[Event] = []
    while a.wants_to_send or b.wants_to_send:
        told_b += b.receive_data(a.data_to_send(), now)
        told_a += a.receive_data(b.data_to_send(), now)
    return told_a, told_b


def opened(limits: Limits | None = None) -> tuple[Session, Session, int]:
    """Two sessions with one established stream, opened by the first."""
    a, b = pair(limits)
    stream_id = a.open_stream()
    talk(a, b)
    b.accept_stream(stream_id)
    talk(a, b)
    return a, b, stream_id


def measure(session: Session, rtt: float, now: float, answers: int = 4) -> None:
    """So many pings of the session are answered at `now`: the third makes its round trip known, the fourth is the last
    that it sends by itself."""
    for _ in range(answers):
        session.ping(now - rtt)
    pings = [frame for frame in frames(everything(session)) if frame.kind == PING and frame.flags == SYN]
    assert len(pings) == answers
    session.receive_data(b"".join(ping(frame.length, ACK) for frame in pings), now)


def body_of(events: list[Event], stream_id: int) -> bytes:
    return b"".join(e.data for e in events if isinstance(e, DataReceived) and e.stream_id == stream_id)


class Referee:
    """Watches what one end writes, and the credit that reaches it; fails at what would end hashicorp's session."""

    def __init__(self, role: Role, window_bytes: int, frame_bytes: int) -> None:
        self.parity = 1 if role is Role.CLIENT else 0
        self.frame_bytes = frame_bytes
        self.credit: dict[int, int] = defaultdict(lambda: window_bytes)
        self.last_opened = 0
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.acknowledged: set[int] = set()

    def wrote(self, wire: bytes) -> None:
        for frame in frames(wire):
            if frame.kind not in {DATA, WINDOW_UPDATE}:
                continue
            stream_id = frame.stream_id
            ours = stream_id % 2 == self.parity
            assert stream_id not in self.reset, f"{frame} after RST"
            if frame.flags & SYN:
                assert ours
                assert stream_id > self.last_opened, f"{frame} after {self.last_opened}"
                self.last_opened = stream_id
            if ours:
                assert stream_id <= self.last_opened, f"{frame} before its SYN"
                assert not frame.flags & ACK, f"{frame} by the opener"
            if frame.flags & ACK:
                assert stream_id not in self.acknowledged, f"{frame}: a second ACK"
                self.acknowledged.add(stream_id)
            if frame.kind == DATA:
                assert stream_id not in self.ended, f"{frame} after FIN"
                assert not frame.flags & (FIN | RST)
                assert 0 < frame.length <= self.frame_bytes
                self.credit[stream_id] -= frame.length
                assert self.credit[stream_id] >= 0, f"{frame}: credit exceeded"
            if frame.flags & FIN:
                assert stream_id not in self.ended, f"{frame}: a second FIN"
                assert frame.length == 0
                self.ended.add(stream_id)
            if frame.flags & RST:
                self.reset.add(stream_id)

    def heard(self, stream_id: int, credit: int) -> None:
        self.credit[stream_id] += credit
