"""The round trip of a session: the smallest of its life, and when another is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tunnel.yamux.wire import data, frames, measure, said, window
from tunnel.yamux import Role, Session
from tunnel.yamux.frames import SYN
from tunnel.yamux.pings import Pings

PORTION = 65_536


class Clock:
    """Pings that are answered after a time that the test says."""

    def __init__(self) -> None:
        self.pings = Pings()
        self.now = 100.0

    def answer(self, rtt: float, *, after: float = 5.0, bulk: float | None = None) -> float | None:
        """One ping; `bulk` is received so many seconds after it left, or before it where negative."""
        self.now += after
        if bulk is not None and bulk < 0:
            self.pings.bulk_received(self.now + bulk)
        ping_id = self.pings.sent(self.now)
        if bulk is not None and bulk >= 0:
            self.pings.bulk_received(self.now + bulk)
        self.now += rtt
        assert self.pings.answered(ping_id, self.now) == pytest.approx(rtt)
        return self.pings.rtt

    def answers(self, *rtts: float) -> float | None:
        return [self.answer(rtt) for rtt in rtts][-1]


def about(seconds: float) -> object:
    return pytest.approx(seconds, rel=1e-6)


def test_it_is_known_from_the_third_answer_on():
    clock = Clock()
    assert [clock.answer(0.05), clock.answer(0.04), clock.answer(0.06)] == [None, None, about(0.04)]


@given(st.lists(st.floats(0.001, 10.0), min_size=1, max_size=100))
def test_while_bulk_flows_it_is_the_smallest_ever(rtts):
    """However long the queue that the bulk makes: it is no distance."""
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    for number, rtt in enumerate(rtts):
        assert clock.answer(rtt, after=0.1, bulk=0.0) == about(min(0.05, *rtts[: number + 1]))


@pytest.mark.parametrize("bulk", [0.0, 0.1, -0.9])
def test_a_ping_beside_bulk_says_nothing_of_a_longer_path(bulk):
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    for _ in range(100):
        assert clock.answer(0.2, bulk=bulk) == about(0.05)


def test_bulk_that_we_sent_counts_too():
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    for _ in range(100):
        clock.pings.bulk_sent(clock.now + 4.5)
        assert clock.answer(0.2) == about(0.05)


def test_eight_pings_without_bulk_that_agree_are_believed():
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    assert clock.answers(0.25, 0.21, 0.22, 0.3, 0.4, 0.24, 0.29) == about(0.05)
    assert clock.answer(0.26) == about(0.21)


def test_bulk_long_before_a_ping_is_forgotten():
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    for _ in range(7):
        assert clock.answer(0.2, bulk=-1.1) == about(0.05)
    assert clock.answer(0.2, bulk=-1.1) == about(0.2)


@pytest.mark.parametrize(
    "rtts",
    [
        (0.2, 0.2, 0.2, 0.2, 0.05, 0.2, 0.2, 0.2, 0.2),  # one came as fast as ever
        (0.2, 0.2, 0.2, 0.2, 0.06, 0.2, 0.2, 0.2, 0.2),  # or nearly
        (0.2, 0.5, 0.2, 0.5, 0.2, 0.5, 0.2, 0.5, 0.2, 0.5),  # they do not agree
        (0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.5),
        (0.062,) * 20,  # no other path
    ],
)
def test_pings_that_do_not_agree_change_nothing(rtts):
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    assert clock.answers(*rtts) == about(0.05)


def test_a_shorter_path_is_believed_at_once():
    clock = Clock()
    clock.answers(0.05, 0.05, 0.05)
    assert clock.answer(0.02, bulk=0.0) == about(0.02)


def test_an_answer_to_nothing_says_nothing():
    pings = Pings()
    assert pings.answered(7, 100.0) is None
    ping_id = pings.sent(100.0)
    assert pings.answered(ping_id, 100.5) == 0.5
    assert pings.answered(ping_id, 100.5) is None


class TestBesideBulk:
    """A session whose owner has pinged adds pings of its own while it receives bulk."""

    def session(self, rtt: float) -> Session:
        session = Session(Role.SERVER)
        measure(session, rtt, 100.0)  # the pings left at 100 - rtt
        session.receive_data(window(1, 0, SYN), 100.0)
        session.accept_stream(1)
        said(session)
        return session

    def pings(self, session: Session, now: float, size: int = PORTION) -> int:
        session.receive_data(data(1, bytes(size)), now)
        session.acknowledge(1, size, now)
        return sum(frame.startswith("PING|SYN ") for frame in said(session))

    @pytest.mark.parametrize(
        ("rtt", "seconds", "pings"),
        [(0.01, 0.095, 0), (0.01, 0.105, 1), (0.05, 0.105, 1), (0.2, 0.19, 0), (0.2, 0.21, 1)],
    )
    def test_one_in_a_tenth_of_a_second_or_a_round_trip(self, rtt, seconds, pings):
        assert self.pings(self.session(rtt), 100.0 - rtt + seconds) == pings

    def test_none_while_one_is_out(self):
        session = self.session(0.01)
        assert [self.pings(session, 101.0 + number) for number in range(5)] == [1, 0, 0, 0, 0]

    def test_none_for_small_pieces(self):
        session = self.session(0.01)
        assert sum(self.pings(session, 101.0 + number, 100) for number in range(600)) == 0

    def test_none_before_the_owner_sent_the_first(self):
        session = Session(Role.SERVER)
        session.receive_data(window(1, 0, SYN), 100.0)
        session.accept_stream(1)
        assert sum(self.pings(session, 101.0 + number) for number in range(5)) == 0

    def test_it_leaves_before_the_credit_and_all_data(self):
        session = self.session(0.01)
        stream_id = session.open_stream()
        session.send_data(stream_id, bytes(100))
        session.receive_data(data(1, bytes(PORTION)), 101.0)
        session.acknowledge(1, PORTION, 101.0)
        assert said(session) == ["PING|SYN 0 4", f"WINDOW 1 {PORTION}", f"DATA|SYN {stream_id} 100"]

    def test_credit_that_comes_says_that_we_sent_bulk(self):
        """The peer's queue was ours: a long answer beside it changes nothing."""
        session = self.session(0.01)
        stream_id = session.open_stream()
        session.send_data(stream_id, b"x")
        said(session)
        now = 100.0
        for _ in range(20):
            now += 5.0
            session.receive_data(window(stream_id, PORTION), now)
            session.ping(now)
            sent = bytes(session.data_to_send())
            now += 0.5
            session.receive_data(b"".join(pong(frame.length) for frame in frames(sent)), now)
        assert session.rtt == pytest.approx(0.01)


def pong(value: int) -> bytes:
    return b"\x00\x02\x00\x02\x00\x00\x00\x00" + value.to_bytes(4, "big")
