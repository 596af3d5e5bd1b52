"""Flow control: credit back at half a window, growth on evidence, never a byte beyond."""

from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tunnel.yamux.wire import data, everything, frames, measure, said, window
from tunnel.yamux import Limits, Role, Session
from tunnel.yamux.frames import FIN, SYN
from tunnel.yamux.windows import ReceiveWindow

HALF = 131_072


def measured(rtt, **kwargs):
    """A session with one stream of the peer's, and a round trip of `rtt` seconds measured at time 100."""
    session = Session(Role.SERVER, **kwargs)
    measure(session, rtt, 100.0)
    session.receive_data(window(1, 0, SYN), 100.0)
    session.accept_stream(1)
    said(session)
    return session


def consume(session, size, now):
    session.receive_data(data(1, bytes(size)), now)
    session.acknowledge(1, size, now)


def test_nothing_is_returned_below_half_a_window():
    session = measured(0.01)
    consume(session, HALF - 1, 200.0)
    assert said(session) == []
    consume(session, 1, 200.0)
    assert said(session) == [f"WINDOW 1 {HALF}"]


def test_acknowledging_says_whether_there_is_something_to_send():
    session = measured(0.01)
    session.receive_data(data(1, bytes(HALF)), 200.0)
    assert not session.acknowledge(1, HALF - 1, 200.0)
    assert not session.wants_to_send
    assert session.acknowledge(1, 1, 200.0)
    assert session.wants_to_send
    assert not session.acknowledge(2, 1, 200.0)


def test_what_nobody_consumed_is_not_returned():
    session = measured(0.01)
    session.receive_data(data(1, bytes(262_144)), 100.0)
    assert said(session) == []
    session.acknowledge(1, HALF - 1, 300.0)
    assert said(session) == []
    session.acknowledge(1, 10, 300.0)
    assert said(session) == [f"WINDOW 1 {HALF + 9}"]


def test_updates_that_wait_for_the_wire_are_one_frame():
    session = measured(0.01)
    session.receive_data(data(1, bytes(262_144)), 100.0)
    session.acknowledge(1, HALF, 200.0)
    session.acknowledge(1, HALF, 300.0)
    assert said(session) == ["WINDOW 1 262144"]


def test_credit_counts_only_once_it_was_written():
    session = Session(Role.SERVER, Limits(initial_window=100, max_window=100))
    session.receive_data(window(1, 0, SYN) + data(1, bytes(100)), 0.0)
    session.accept_stream(1)
    session.acknowledge(1, 100, 0.0)
    stream = session._table.live[1]
    assert (stream.window.remaining, stream.window.due) == (0, 100)
    assert said(session) == ["WINDOW|ACK 1 100"]
    assert (stream.window.remaining, stream.window.due) == (100, 0)


def test_flush_returns_what_is_due_at_once():
    session = measured(0.01)
    consume(session, 1000, 100.0)
    session.flush_credit(1)
    session.flush_credit(1)
    assert said(session) == ["WINDOW 1 1000"]
    consume(session, HALF - 1, 100.0)
    assert said(session) == []


@pytest.mark.parametrize("size", [11, -1])
def test_more_than_was_received_cannot_be_acknowledged(size):
    session = measured(0.01)
    session.receive_data(data(1, bytes(10)), 100.0)
    with pytest.raises(ValueError, match="10 unread"):
        session.acknowledge(1, size, 100.0)
    session.acknowledge(1, 10, 100.0)
    with pytest.raises(ValueError, match="0 unread"):
        session.acknowledge(1, 1, 100.0)


def test_what_is_only_announced_cannot_be_acknowledged():
    session = measured(0.01)
    session.receive_data(data(1, bytes(10))[:-4], 100.0)
    with pytest.raises(ValueError, match="6 unread"):
        session.acknowledge(1, 7, 100.0)
    session.receive_data(bytes(4), 100.0)
    session.acknowledge(1, 10, 100.0)


def test_no_credit_for_a_stream_that_the_peer_ended():
    session = measured(0.01)
    session.receive_data(data(1, bytes(200_000)), 100.0)
    session.acknowledge(1, 150_000, 100.0)
    session.receive_data(window(1, 0, FIN), 100.0)
    session.acknowledge(1, 50_000, 100.0)
    session.flush_credit(1)
    assert said(session) == []


def test_an_ack_survives_the_end_of_a_stream():
    session = Session(Role.SERVER)
    session.receive_data(window(1, 0, SYN), 0.0)
    session.accept_stream(1)
    session.receive_data(window(1, 0, FIN), 0.0)
    assert said(session) == ["WINDOW|ACK 1 0"]


def test_a_reset_stream_takes_its_credit_along():
    session = measured(0.01)
    consume(session, HALF, 100.0)
    session.reset_stream(1)
    assert said(session) == ["WINDOW|RST 1 0"]


class TestGrowth:
    def test_a_half_window_within_two_round_trips_doubles_it(self):
        session = measured(0.1)
        consume(session, HALF, 100.19)
        assert said(session) == [f"WINDOW 1 {HALF + 262_144}"]
        consume(session, 262_143, 100.38)
        assert said(session) == []
        consume(session, 1, 100.38)
        assert said(session) == [f"WINDOW 1 {262_144 + 524_288}"]

    def test_a_slow_half_window_does_not(self):
        session = measured(0.1)
        consume(session, HALF, 100.2)
        assert said(session) == [f"WINDOW 1 {HALF}"]

    def test_the_time_since_the_last_update_counts(self):
        session = measured(0.1)
        consume(session, HALF, 200.0)
        said(session)
        consume(session, HALF, 200.1)
        assert said(session) == [f"WINDOW 1 {HALF + 262_144}"]

    def test_without_a_measured_round_trip_there_is_none(self):
        session = Session(Role.SERVER)
        session.receive_data(window(1, 0, SYN), 100.0)
        session.accept_stream(1)
        said(session)
        for _ in range(10):
            consume(session, HALF, 100.0)
            assert said(session) == [f"WINDOW 1 {HALF}"]

    @pytest.mark.parametrize(("answers", "returned"), [(2, HALF), (3, HALF + 262_144)])
    def test_a_round_trip_is_known_from_the_third_answer_on(self, answers, returned):
        """One answer alone may have waited behind much else."""
        session = Session(Role.SERVER)
        measure(session, 0.1, 100.0, answers)
        session.receive_data(window(1, 0, SYN), 100.0)
        session.accept_stream(1)
        said(session)
        consume(session, HALF, 100.1)
        assert said(session) == [f"WINDOW 1 {returned}"]

    @pytest.mark.parametrize(("lagging", "returned"), [(1, HALF), (0, HALF + 262_144)])
    def test_a_consumer_that_still_holds_some_gets_no_more(self, lagging, returned):
        session = measured(0.1)
        session.receive_data(data(1, bytes(HALF + lagging)), 100.1)
        session.acknowledge(1, HALF, 100.1)
        assert said(session) == [f"WINDOW 1 {returned}"]

    @pytest.mark.parametrize(("caught_up", "returned"), [(100.19, 262_144 + 1), (100.2, 0)])
    def test_it_may_catch_up_until_two_round_trips_after_the_update_before(self, caught_up, returned):
        session = measured(0.1)
        session.receive_data(data(1, bytes(HALF + 1)), 100.1)
        session.acknowledge(1, HALF, 100.1)
        assert said(session) == [f"WINDOW 1 {HALF}"]
        assert session.acknowledge(1, 1, caught_up) is (returned > 0)
        assert said(session) == ([f"WINDOW 1 {returned}"] if returned else [])

    def test_a_consumer_that_is_always_a_byte_behind_gets_no_more(self):
        session = measured(0.1)
        session.receive_data(data(1, b"x"), 100.0)
        for _ in range(100):
            consume(session, 16_384, 100.0)
            everything(session)
        assert session._table.live[1].window.size == 262_144

    def test_half_a_window_is_evidence_once(self):
        session = measured(0.1)
        consume(session, HALF, 100.0)
        assert said(session) == [f"WINDOW 1 {HALF + 262_144}"]
        for _ in range(100):
            consume(session, 1000, 100.0)
        assert said(session) == []

    @pytest.mark.parametrize(
        "sizes",
        [
            (262_144,),
            (HALF, HALF),
            (HALF - 1, 1, HALF),
            (HALF, 1, HALF - 1),
            (100_000, 100_000, 62_144),
            (1, 262_142, 1),
            (16_384,) * 16,
        ],
    )
    def test_the_frames_of_one_read_count_as_if_they_were_one(self, sizes):
        """All come before the consumer can take the first: that some wait then says nothing about it."""
        session = measured(0.1)
        session.receive_data(b"".join(data(1, bytes(size)) for size in sizes), 100.0)
        for size in sizes:
            session.acknowledge(1, size, 100.0)
        assert said(session) == [f"WINDOW 1 {262_144 + 262_144}"]
        assert session._table.live[1].window.remaining == 524_288

    def test_what_is_only_announced_is_not_held(self):
        """The peer may put a whole window into one frame: it comes in many reads, and each ends within a body."""
        session = measured(0.1)
        session.receive_data(data(1, bytes(262_144))[: 12 + HALF], 100.0)
        session.acknowledge(1, HALF, 100.0)
        assert said(session) == [f"WINDOW 1 {HALF + 262_144}"]
        assert session._table.live[1].window.announced == HALF

    @settings(max_examples=60, deadline=None)
    @given(
        frame_sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
        cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    )
    def test_a_window_that_is_the_brake_grows_to_its_limit_however_it_is_filled(self, frame_sizes, cuts):
        """The peer sends all it may, in frames of any size, and they come in pieces of any size."""
        session = measured(0.1, limits=Limits(initial_window=600, max_window=5000))
        sizes, pieces = cycle(frame_sizes), cycle(cuts)
        credit = 600
        wire = b""
        consumed = 0
        while consumed < 3 * 5000:
            while credit and len(wire) < 5000:
                size = min(next(sizes), credit)
                credit -= size
                wire += data(1, bytes(size))
            assert wire, "the peer waits for credit, and is owed none"
            cut = next(pieces)
            events = session.receive_data(wire[:cut], 100.0)
            wire = wire[cut:]
            for event in events:
                session.acknowledge(1, len(event.data), 100.0)
                consumed += len(event.data)
            credit += sum(frame.length for frame in frames(everything(session)))
        assert session._table.live[1].window.size == 5000

    @pytest.mark.parametrize(("rtt", "halves"), [(0.001, 18), (0.004, 3), (0.01, 1), (0.1, 1)])
    def test_on_a_short_path_the_pace_must_hold_for_20_ms(self, rtt, halves):
        """Each half window takes one round trip; that the last of them took less than two is asked for besides."""
        session = measured(rtt)
        own = session._table.live[1].window
        now = 100.0
        for _ in range(halves):
            assert own.size == 262_144
            now += rtt
            consume(session, HALF, now + 1e-6)
            said(session)
        assert own.size == 524_288

    def test_a_slow_half_window_on_a_short_path_begins_the_20_ms_anew(self):
        session = measured(0.001)
        own = session._table.live[1].window
        for milliseconds in (*range(1, 18), *range(20, 38)):
            assert own.size == 262_144
            consume(session, HALF, 100.0 + milliseconds / 1000 + 1e-6)
            said(session)
        assert own.size == 262_144
        consume(session, HALF, 100.038 + 1e-5)
        assert own.size == 524_288

    @pytest.mark.parametrize(
        ("bytes_per_second", "rtt", "size"),
        [
            (1_000_000, 0.05, 262_144),
            (10_000_000, 0.001, 262_144),
            (10_000_000, 0.05, 2_097_152),
            (100_000_000, 0.001, 524_288),
            (100_000_000, 0.02, 8_388_608),
        ],
    )
    def test_it_ends_at_what_four_round_trips_bring(self, bytes_per_second, rtt, size):
        """The path is the brake then: half of it takes two round trips. Before that, it was not even four."""
        session = measured(rtt)
        own = session._table.live[1].window
        now = 100.0
        for _ in range(4000):
            now += 16_384 / bytes_per_second
            consume(session, 16_384, now)
            everything(session)
        assert own.size == size
        assert size == 262_144 or size / 2 < 4 * rtt * bytes_per_second
        assert size >= 4 * rtt * bytes_per_second

    def test_it_ends_at_the_limit(self):
        session = measured(0.1, limits=Limits(max_window=1_000_000))
        sizes = []
        for _ in range(5):
            consume(session, session._table.live[1].window.size // 2, 100.0)
            said(session)
            sizes.append(session._table.live[1].window.size)
        assert sizes == [524_288, 1_000_000, 1_000_000, 1_000_000, 1_000_000]

    def test_the_owner_may_refuse_and_the_window_never_shrinks(self):
        asked: list[int] = []
        answers = [True, False, True]

        def may_grow(extra):
            asked.append(extra)
            return answers[len(asked) - 1]

        session = measured(0.1, may_grow=may_grow)
        for returned in (HALF + 262_144, 262_144, 262_144 + 524_288):
            consume(session, session._table.live[1].window.size // 2, 100.0)
            assert said(session) == [f"WINDOW 1 {returned}"]
        assert asked == [262_144, 524_288, 524_288]

    def test_the_grown_window_can_be_used_to_its_last_byte(self):
        session = measured(0.1)
        consume(session, HALF, 100.0)
        said(session)
        events = session.receive_data(data(1, bytes(524_288)), 100.0)
        assert len(events[0].data) == 524_288
        assert session._table.live[1].window.remaining == 0

    def test_the_five_places_of_a_windows_bytes(self):
        own = ReceiveWindow(100, 0.0)
        own.remaining -= 80
        own.announced = 1
        assert (own.size, own.remaining, own.announced, own.unread) == (100, 20, 1, 79)
        own.announced = 0
        assert own.acknowledge(30) is False
        assert own.acknowledge(20) is True
        own.release(0.0)
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (100, 20, 30, 0, 50)
        assert own.take_due() == 50
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (100, 70, 30, 0, 0)
        assert own.acknowledge(30) is False
        assert own.grow(0.0, 1000, lambda _: True) is False
        own.grow_before = 1.0
        assert own.grow(0.0, 1000, lambda _: True) is True
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (200, 70, 0, 0, 130)
        assert own.take_due() == 130
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (200, 200, 0, 0, 0)
