"""Two sessions against each other over a wire that is cut anywhere, with a referee at each end.

Whatever both applications do, in any order: data arrives whole and in order, nothing passes a window, no rule of
hashicorp's is broken, each stream reports what its contract says, and in the end nothing is left on either side.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.tunnel.yamux.wire import Referee, live_streams, unacknowledged_opens
from tunnel.yamux import (
    DataReceived,
    Event,
    GoAwayReceived,
    GoneAway,
    Limits,
    PongReceived,
    Role,
    Session,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from tunnel.yamux.frames import DATA, HEADER, WINDOW_UPDATE

LIMITS = Limits(
    initial_window=600,
    max_window=5000,
    frame_bytes=128,
    lone_frame_bytes=200,
    send_buffer_bytes=400,
    max_unacknowledged_opens=3,
    accept_backlog=4,
)


def text(stream_id: int, start: int, size: int) -> bytes:
    """Bytes that say which stream they belong to, and where."""
    return bytes((stream_id * 31 + position * 7 + position // 251) % 256 for position in range(start, start + size))


class End:
    """One session with its application, its referee, and the wire towards it."""

    def __init__(self, role: Role) -> None:
        self.session = Session(role, LIMITS)
        self.referee = Referee(role, LIMITS.initial_window, LIMITS.lone_frame_bytes)
        self.inbound = bytearray()
        self.headers = bytearray()
        self.skip = 0
        self.sent: dict[int, int] = {}
        """Streams that take data, with the bytes they took."""
        self.totals: dict[int, int] = {}
        """Bytes sent in full: streams that were ended."""
        self.received: dict[int, int] = {}
        self.unread: dict[int, int] = {}
        self.to_accept: list[int] = []
        self.ended: set[int] = set()
        self.over: set[int] = set()
        self.full: set[int] = set()
        self.gone_away = False

    def write_to(self, other: End, limit: int) -> None:
        batch = self.session.data_to_send(limit)
        assert len(batch) <= limit
        self.referee.wrote(batch)
        other.inbound += batch
        for stream_id in self.session.take_writable():
            assert stream_id in self.full
            assert self.session.buffered(stream_id) <= LIMITS.send_buffer_bytes // 2
            self.full.remove(stream_id)

    def read(self, size: int, now: float) -> None:
        piece = bytes(self.inbound[:size])
        del self.inbound[:size]
        self._show_referee(piece)
        for event in self.session.receive_data(piece, now):
            self.told(event)

    def _show_referee(self, piece: bytes) -> None:
        """Credit counts when the whole update has arrived."""
        self.headers += piece
        while self.headers:
            if self.skip:
                taken = min(self.skip, len(self.headers))
                del self.headers[:taken]
                self.skip -= taken
            elif len(self.headers) < 12:
                return
            else:
                _, kind, _, stream_id, length = HEADER.unpack(self.headers[:12])
                del self.headers[:12]
                if kind == DATA:
                    self.skip = length
                elif kind == WINDOW_UPDATE:
                    self.referee.heard(stream_id, length)

    def told(self, event: Event) -> None:
        if isinstance(event, PongReceived):
            assert event.rtt >= 0
            return
        if isinstance(event, GoAwayReceived):
            assert not self.gone_away
            self.gone_away = True
            return
        stream_id = event.stream_id
        assert stream_id not in self.over
        if isinstance(event, StreamOpened):
            self.to_accept.append(stream_id)
            self.sent[stream_id] = 0
        elif isinstance(event, DataReceived):
            assert event.data
            assert stream_id not in self.ended
            start = self.received.get(stream_id, 0)
            assert event.data == text(stream_id, start, len(event.data))
            self.received[stream_id] = start + len(event.data)
            self.unread[stream_id] = self.unread.get(stream_id, 0) + len(event.data)
        elif isinstance(event, StreamEnded):
            assert stream_id not in self.ended
            self.ended.add(stream_id)
        else:
            assert isinstance(event, StreamReset)
            self.leave(stream_id)

    def leave(self, stream_id: int) -> None:
        self.over.add(stream_id)
        self.sent.pop(stream_id, None)
        self.unread.pop(stream_id, None)
        self.full.discard(stream_id)

    # What an application may do; `pick` chooses the stream.

    def open(self, pick: int, size: int, now: float) -> None:
        try:
            stream_id = self.session.open_stream()
        except GoneAway:
            assert self.gone_away
            return
        self.sent[stream_id] = 0
        if pick % 2:
            self.send(len(self.sent) - 1, size, now)

    def accept(self, pick: int, size: int, now: float) -> None:
        if self.to_accept:
            self.session.accept_stream(self.to_accept.pop(pick % len(self.to_accept)))

    def send(self, pick: int, size: int, now: float) -> None:
        if self.sent:
            stream_id = list(self.sent)[pick % len(self.sent)]
            start = self.sent[stream_id]
            if not self.session.send_data(stream_id, text(stream_id, start, size)):
                assert self.session.buffered(stream_id) > LIMITS.send_buffer_bytes // 2
                self.full.add(stream_id)
            self.sent[stream_id] = start + size

    def finish(self, pick: int, size: int, now: float) -> None:
        if self.sent:
            stream_id = list(self.sent)[pick % len(self.sent)]
            self.session.end_stream(stream_id)
            self.totals[stream_id] = self.sent.pop(stream_id)
            self.full.discard(stream_id)

    def reset(self, pick: int, size: int, now: float) -> None:
        if self.sent:
            stream_id = list(self.sent)[pick % len(self.sent)]
            self.session.reset_stream(stream_id)
            self.leave(stream_id)

    def take(self, pick: int, size: int, now: float) -> None:
        if self.unread:
            stream_id = list(self.unread)[pick % len(self.unread)]
            taken = min(self.unread[stream_id], size)
            self.unread[stream_id] -= taken
            self.session.acknowledge(stream_id, taken, now)

    def ping(self, pick: int, size: int, now: float) -> None:
        self.session.ping(now)

    def go_away(self, pick: int, size: int, now: float) -> None:
        self.session.go_away()


ACTIONS = [End.open, End.accept, End.accept, End.send, End.send, End.send, End.send, End.take, End.take, End.take,
           End.finish, End.reset, End.ping]  # fmt: skip

STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["act", "act", "write", "read", "read"]),
        st.sampled_from(ACTIONS),
        st.integers(0, 20),
        st.integers(1, 700),
    ),
    max_size=200,
)


def converse(a: End, b: End, steps, go_away_at: int) -> float:
    now = 0.0
    for number, (first, kind, action, pick, size) in enumerate(steps):
        end, other = (a, b) if first else (b, a)
        now += 0.01
        if number == go_away_at:
            end.go_away(pick, size, now)
        if kind == "act":
            action(end, pick, size, now)
        elif kind == "write":
            end.write_to(other, 13 + size)
        else:
            end.read(size, now)
    return now


def settle(a: End, b: End, now: float) -> None:
    """Both applications accept, take and end all, until nothing moves."""
    for _ in range(200):
        for end, other in ((a, b), (b, a)):
            while end.to_accept:
                end.accept(0, 0, now)
            for stream_id in list(end.unread):
                end.session.acknowledge(stream_id, end.unread.pop(stream_id), now)
            while end.sent:
                end.finish(0, 0, now)
            end.write_to(other, 65_536)
            other.read(len(other.inbound), now)
        if not any(e.session.wants_to_send or e.inbound or e.to_accept or e.unread or e.sent for e in (a, b)):
            return
    raise AssertionError(f"they never come to rest: {a.session} {b.session}")


@examples(500)
@given(steps=STEPS, go_away_at=st.integers(0, 240))
def test_two_sessions_agree_whatever_happens(steps, go_away_at):
    a, b = End(Role.SERVER), End(Role.CLIENT)
    now = converse(a, b, steps, go_away_at)
    settle(a, b, now)

    for end, other in ((a, b), (b, a)):
        assert live_streams(end.session) == end.session.buffered_bytes == 0
        assert unacknowledged_opens(end.session) == 0
        for stream_id, total in end.totals.items():
            if stream_id not in end.over | other.over:
                assert other.received.get(stream_id, 0) == total
                assert stream_id in other.ended


@examples(60)
@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 800), min_size=1, max_size=50),
    limit=st.integers(13, 2000),
)
def test_bulk_in_pieces_of_any_size_with_growing_windows(sizes, cuts, limit):
    a, b = End(Role.SERVER), End(Role.CLIENT)
    b.ping(0, 0, 0.0)
    for now in (10.0, 20.0, 30.0, 40.0):
        b.write_to(a, 100)
        a.read(100, 0.0)
        a.write_to(b, 100)
        b.read(100, now)
    assert b.session.rtt == 10.0
    a.open(0, 0, 40.0)
    for size in sizes:
        a.send(0, size, 40.0)
    turn = 0
    while a.session.wants_to_send or b.session.wants_to_send or a.inbound or b.inbound:
        a.write_to(b, limit)
        now = 40.0 + turn
        b.read(cuts[turn % len(cuts)], now)
        b.accept(0, 0, now)
        b.take(1, 3000, now)
        b.write_to(a, limit)
        a.read(cuts[turn % len(cuts)], now)
        turn += 1
    settle(a, b, 40.0 + turn)
    assert b.received == {2: sum(sizes)}
    assert live_streams(a.session) == live_streams(b.session) == 0
