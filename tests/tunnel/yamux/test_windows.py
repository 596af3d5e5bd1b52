"""Flow control of one stream: credit back in portions, a window of any size used to its last byte, never one beyond."""

from itertools import cycle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.tunnel.yamux.wire import data, everything, frames, measure, said, window
from tunnel.yamux import Limits, Role, Session
from tunnel.yamux.frames import FIN, SYN
from tunnel.yamux.windows import ReceiveWindow, portion_of

WINDOW = 262_144
PORTION = 65_536


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


def test_nothing_is_returned_below_a_portion():
    session = measured(0.01)
    consume(session, PORTION - 1, 100.0)
    assert said(session) == []
    consume(session, 1, 100.0)
    assert said(session) == [f"WINDOW 1 {PORTION}"]


@pytest.mark.parametrize(
    ("size", "portion"),
    [(1, 1), (99, 25), (100_000, 25_000), (WINDOW, PORTION), (4 * WINDOW, PORTION), (64 * WINDOW, 16 * PORTION)],
)
def test_a_portion_is_64_kib_or_a_sixteenth_and_a_quarter_of_a_small_window(size, portion):
    assert ReceiveWindow(size).portion == portion_of(size) == portion


def test_acknowledging_says_whether_there_is_something_to_send():
    session = measured(0.01)
    session.receive_data(data(1, bytes(PORTION)), 100.0)
    assert not session.acknowledge(1, PORTION - 1, 100.0)
    assert not session.wants_to_send
    assert session.acknowledge(1, 1, 100.0)
    assert session.wants_to_send
    assert not session.acknowledge(2, 1, 100.0)


def test_what_nobody_consumed_is_not_returned():
    session = measured(0.01)
    session.receive_data(data(1, bytes(WINDOW)), 100.0)
    assert said(session) == []
    session.acknowledge(1, PORTION - 1, 100.01)
    assert said(session) == []
    session.acknowledge(1, 10, 100.02)
    assert said(session) == [f"WINDOW 1 {PORTION + 9}"]


def test_updates_that_wait_for_the_wire_are_one_frame():
    session = measured(0.01)
    session.receive_data(data(1, bytes(WINDOW)), 100.0)
    session.acknowledge(1, PORTION, 100.0)
    session.acknowledge(1, WINDOW - PORTION, 100.0)
    assert said(session) == [f"WINDOW 1 {WINDOW}"]


def test_credit_counts_only_once_it_was_written():
    session = Session(Role.SERVER, Limits(initial_window=100, max_window=100))
    session.receive_data(window(1, 0, SYN) + data(1, bytes(100)), 0.0)
    session.accept_stream(1)
    session.acknowledge(1, 100, 0.0)
    stream = session._table.live[1]
    assert (stream.window.remaining, stream.window.due) == (0, 100)
    assert said(session) == ["WINDOW|ACK 1 100"]
    assert (stream.window.remaining, stream.window.due) == (100, 0)


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
    assert said(session) == []


def test_an_ack_survives_the_end_of_a_stream():
    session = Session(Role.SERVER)
    session.receive_data(window(1, 0, SYN), 0.0)
    session.accept_stream(1)
    session.receive_data(window(1, 0, FIN), 0.0)
    assert said(session) == ["WINDOW|ACK 1 0"]


def test_a_reset_stream_takes_its_credit_along():
    session = measured(0.01)
    consume(session, PORTION, 100.0)
    session.reset_stream(1)
    assert said(session) == ["WINDOW|RST 1 0"]


def grown(session, size, rtt):
    """Consume a window in each round trip until it has this size; the time that it took until."""
    own = session.window_of(1)
    now = 100.0
    while own.size < size:
        now += rtt
        consume(session, own.size, now)
        said(session)
    return now


class TestGrowth:
    def test_what_a_window_grows_by_comes_with_the_credit(self):
        session = measured(0.05)
        consume(session, WINDOW, 100.0)
        assert said(session) == [f"WINDOW 1 {WINDOW}"]
        consume(session, WINDOW, 100.05)
        assert said(session) == [f"WINDOW 1 {WINDOW + WINDOW}"]
        consume(session, 2 * WINDOW - 1, 100.05)
        assert said(session) == [f"WINDOW 1 {2 * WINDOW - 1}"]

    def test_the_grown_window_can_be_used_to_its_last_byte(self):
        session = measured(0.05)
        now = grown(session, 8 * WINDOW, 0.05)
        assert session.window_of(1).remaining == 8 * WINDOW
        events = session.receive_data(data(1, bytes(8 * WINDOW)), now)
        assert len(events[0].data) == 8 * WINDOW
        assert session.window_of(1).remaining == 0

    def test_a_window_that_shrinks_keeps_its_promises(self):
        session = measured(0.05)
        now = grown(session, 8 * WINDOW, 0.05)
        own = session.window_of(1)
        promised = own.remaining
        while own.size == 8 * WINDOW:
            now += 0.05
            consume(session, own.portion, now)
            promised += sum(frame.length for frame in frames(everything(session)) if frame.stream_id == 1) - PORTION * 2
            assert promised == own.remaining
        assert own.size == 8 * WINDOW - PORTION
        session.receive_data(data(1, bytes(own.remaining)), now)
        assert own.remaining == 0

    def test_without_a_measured_round_trip_there_is_none(self):
        session = Session(Role.SERVER)
        session.receive_data(window(1, 0, SYN), 100.0)
        session.accept_stream(1)
        said(session)
        for number in range(10):
            consume(session, WINDOW, 100.0 + number / 20)
            assert said(session) == [f"WINDOW 1 {WINDOW}"]

    @pytest.mark.parametrize(("answers", "size"), [(2, WINDOW), (3, 2 * WINDOW)])
    def test_a_round_trip_is_known_from_the_third_answer_on(self, answers, size):
        """One answer alone may have waited behind much else."""
        session = Session(Role.SERVER)
        measure(session, 0.1, 100.0, answers)
        session.receive_data(window(1, 0, SYN), 100.0)
        session.accept_stream(1)
        for now in (100.0, 100.1):
            consume(session, WINDOW, now)
            said(session)
        assert session.window_of(1).size == size

    @settings(max_examples=60, deadline=None)
    @given(
        frame_sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
        cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    )
    @example(frame_sizes=[7], cuts=[4])  # nearly a whole portion is never worth an update
    def test_a_window_that_is_the_brake_grows_to_its_limit_however_it_is_filled(self, frame_sizes, cuts):
        """The peer sends all it may in each round trip, in frames of any size, and they come in pieces of any size."""
        session = measured(0.1, limits=Limits(initial_window=600, max_window=5000))
        sizes, pieces = cycle(frame_sizes), cycle(cuts)
        own = session.window_of(1)
        credit, at_limit = 600, 0
        for turn in range(30):
            now = 100.0 + turn * 0.101
            wire = b""
            while credit:
                size = min(next(sizes), credit)
                credit -= size
                wire += data(1, bytes(size))
            assert wire, "the peer waits for credit, and is owed none"
            while wire:
                cut = next(pieces)
                for event in session.receive_data(wire[:cut], now):
                    session.acknowledge(1, len(event.data), now)
                wire = wire[cut:]
            credit += sum(frame.length for frame in frames(everything(session)) if frame.stream_id == 1)
            at_limit += own.size == 5000
            if at_limit == 3:  # it is served at its limit too; every later turn is as these
                break
        assert own.size == 5000

    def test_the_five_places_of_a_windows_bytes(self):
        own = ReceiveWindow(100)
        own.remaining -= 80
        own.announced = 1
        assert (own.size, own.remaining, own.announced, own.unread) == (100, 20, 1, 79)
        own.announced = 0
        assert own.acknowledge(24) is False
        assert own.acknowledge(26) is True
        own.release()
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (100, 20, 30, 0, 50)
        assert own.take_due() == 50
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (100, 70, 30, 0, 0)
        assert own.acknowledge(30) is True
        own.grow(100)
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (200, 70, 0, 30, 100)
        own.shrink(20)
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (180, 70, 0, 10, 100)
        own.release()
        assert own.take_due() == 110
        assert (own.size, own.remaining, own.unread, own.consumed, own.due) == (180, 180, 0, 0, 0)
        assert own.portion == 45
