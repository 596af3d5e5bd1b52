"""Opening and refusing streams, going away, and pings."""

import pytest

from tests.tunnel.yamux.wire import (
    data,
    everything,
    go_away,
    live_streams,
    opened,
    pair,
    ping,
    said,
    talk,
    unacknowledged_opens,
    window,
)
from tunnel.yamux import (
    DataReceived,
    DuplicateStream,
    GoAwayReceived,
    GoneAway,
    Limits,
    PongReceived,
    Role,
    Session,
    StreamClosed,
    StreamOpened,
    StreamReset,
    TooManyStreams,
)
from tunnel.yamux.frames import ACK, FIN, RST, SYN


class TestOpening:
    def test_opens_beyond_the_cap_wait_and_go_out_in_order(self):
        a, _b = pair(Limits(max_unacknowledged_opens=2))
        ids = [a.open_stream() for _ in range(5)]
        a.send_data(ids[3], b"fourth")
        assert said(a) == ["WINDOW|SYN 2 0", "WINDOW|SYN 4 0"]
        assert (live_streams(a), unacknowledged_opens(a)) == (5, 2)

        a.receive_data(window(2, 0, ACK), 0.0)
        assert said(a) == ["WINDOW|SYN 6 0"]
        a.receive_data(window(4, 0, RST), 0.0)
        assert said(a) == ["DATA|SYN 8 6"]
        a.receive_data(window(6, 0, FIN), 0.0)
        assert said(a) == ["WINDOW|SYN 10 0"]
        a.receive_data(window(6, 0, ACK) + window(2, 0, ACK), 0.0)
        assert unacknowledged_opens(a) == 2

    def test_our_own_reset_frees_the_place(self):
        a, _ = pair(Limits(max_unacknowledged_opens=1))
        first, second = a.open_stream(), a.open_stream()
        said(a)
        a.reset_stream(first)
        assert said(a) == [f"WINDOW|RST {first} 0", f"WINDOW|SYN {second} 0"]

    def test_a_waiting_open_can_be_reset(self):
        a, _ = pair(Limits(max_unacknowledged_opens=1))
        first, second, third = (a.open_stream() for _ in range(3))
        a.reset_stream(second)
        said(a)
        a.receive_data(window(first, 0, ACK), 0.0)
        assert said(a) == [f"WINDOW|SYN {third} 0"]

    def test_two_hundred_by_default(self):
        a, _b = pair()
        for _ in range(300):
            a.open_stream()
        assert len(said(a)) == 200

    def test_the_backlog_refuses_with_rst_and_frees_with_accept(self):
        _, b = pair(Limits(accept_backlog=2))
        syns = b"".join(window(i, 0, SYN) for i in (2, 4)) + data(6, b"refused", SYN)
        assert b.receive_data(syns, 0.0) == [StreamOpened(2), StreamOpened(4)]
        assert said(b) == ["WINDOW|RST 6 0"]
        b.accept_stream(2)
        assert b.receive_data(window(8, 0, SYN), 0.0) == [StreamOpened(8)]
        b.reset_stream(4)
        assert b.receive_data(window(8, 0, RST) + window(10, 0, SYN) + window(12, 0, SYN), 0.0) == [
            StreamReset(8),
            StreamOpened(10),
            StreamOpened(12),
        ]

    def test_a_refused_id_is_used_up(self):
        _, b = pair(Limits(accept_backlog=1))
        b.receive_data(window(2, 0, SYN) + window(4, 0, SYN), 0.0)
        with pytest.raises(DuplicateStream):
            b.receive_data(window(4, 0, SYN), 0.0)

    def test_too_many_streams(self):
        a, _ = pair(Limits(max_streams=2))
        a.open_stream()
        assert a.receive_data(window(1, 0, SYN) + window(3, 0, SYN), 0.0) == [StreamOpened(1)]
        with pytest.raises(TooManyStreams, match="2 streams are alive"):
            a.open_stream()

    def test_a_reset_that_has_not_left_still_counts(self):
        a, _ = pair(Limits(max_streams=1))
        a.receive_data(window(1, 0, SYN), 0.0)
        a.reset_stream(1)
        with pytest.raises(TooManyStreams):
            a.open_stream()
        a.receive_data(window(3, 0, SYN), 0.0)
        assert said(a) == ["WINDOW|RST 3 0", "WINDOW|RST 1 0"]
        assert a.open_stream() == 2

    def test_unknown_streams_take_no_data(self):
        with pytest.raises(StreamClosed):
            Session(Role.SERVER).send_data(2, b"x")


class TestGoingAway:
    def test_the_peers_go_away_stops_new_streams_only(self):
        a, b, stream_id = opened()
        b.go_away()
        b.go_away()
        assert talk(a, b) == ([GoAwayReceived(0)], [])
        with pytest.raises(GoneAway):
            a.open_stream()
        a.send_data(stream_id, b"on we go")
        assert talk(a, b) == ([], [DataReceived(stream_id, b"on we go")])

    def test_streams_that_never_reached_the_wire_are_given_back(self):
        a, _ = pair(Limits(max_unacknowledged_opens=2))
        first = a.open_stream()
        said(a)
        second, third = a.open_stream(), a.open_stream()
        a.send_data(third, b"lost")
        assert a.receive_data(go_away(), 0.0) == [GoAwayReceived(0), StreamReset(second), StreamReset(third)]
        assert said(a) == []
        assert (live_streams(a), unacknowledged_opens(a), a.buffered_bytes) == (1, 1, 0)
        a.receive_data(window(first, 0, ACK), 0.0)
        assert unacknowledged_opens(a) == 0

    def test_a_syn_after_a_go_away_that_refuses_nothing_is_told(self):
        session = Session(Role.SERVER)
        session.go_away(refuse=False)
        said(session)
        assert session.receive_data(window(1, 0, SYN), 0.0) == [StreamOpened(1)]
        assert said(session) == []

    def test_a_syn_after_our_go_away_is_refused(self):
        a, b = pair()
        b.go_away()
        said(b)
        a.open_stream()
        assert b.receive_data(everything(a), 0.0) == []
        assert said(b) == ["WINDOW|RST 2 0"]
        assert b.open_stream() == 1

    @pytest.mark.parametrize("code", [1, 2, 77])
    def test_the_code_is_passed_on(self, code):
        a, b = pair()
        b.go_away(code)
        assert talk(a, b) == ([GoAwayReceived(code)], [])


class TestPings:
    def test_a_ping_measures_the_round_trip(self):
        a, b = pair()
        now = 10.0
        a.ping(now)
        for rtt, known in ((0.75, None), (0.25, None), (0.5, 0.25)):
            assert a.rtt is None
            now += rtt
            b.receive_data(everything(a), 0.0)
            assert a.receive_data(everything(b), now) == [PongReceived(rtt)]
            assert a.rtt == known

    def test_the_first_is_followed_by_three_more(self):
        a, b = pair()
        a.ping(10.0)
        for number in range(4):
            asked = everything(a)
            assert asked == ping(number)
            b.receive_data(asked, 10.0)
            a.receive_data(everything(b), 10.0)
        assert not a.wants_to_send

    def test_a_pong_that_nobody_asked_for_is_ignored(self):
        assert Session(Role.CLIENT).receive_data(ping(5, ACK) + ping(5, 0), 0.0) == []

    def test_the_opaque_value_comes_back(self):
        session = Session(Role.SERVER)
        session.receive_data(ping(2**32 - 1), 0.0)
        assert said(session) == ["PING|ACK 0 4294967295"]
