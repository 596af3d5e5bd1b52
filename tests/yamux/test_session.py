"""Dialogues of two sessions: opening, half-closing, resetting, going away, and what ends a session."""

import pytest

from tests.yamux.wire import body_of, data, everything, frames, go_away, opened, pair, ping, said, talk, window
from tunnel.yamux import (
    CreditOverflow,
    DataReceived,
    DuplicateStream,
    FloodError,
    GoAwayReceived,
    GoneAway,
    InvalidStreamId,
    InvalidType,
    InvalidVersion,
    Limits,
    LocalError,
    PongReceived,
    ProtocolError,
    Role,
    Session,
    StreamClosed,
    StreamEnded,
    StreamOpened,
    StreamReset,
    TooManyStreams,
    UnexpectedFlag,
    WindowExceeded,
    YamuxError,
)
from tunnel.yamux.frames import ACK, FIN, RST, SYN


def test_a_request_and_its_answer():
    gateway, agent = pair()
    stream_id = gateway.open_stream()
    assert gateway.send_data(stream_id, b"header ") is True
    gateway.send_data(stream_id, b"request")
    batch = gateway.data_to_send()
    assert [str(frame) for frame in frames(batch)] == ["DATA|SYN 2 14"]

    assert agent.receive_data(batch, 0.0) == [StreamOpened(2), DataReceived(2, b"header request")]
    agent.accept_stream(2)
    agent.send_data(2, b"answer")
    agent.end_stream(2)
    batch = agent.data_to_send()
    assert [str(frame) for frame in frames(batch)] == ["WINDOW|ACK 2 0", "DATA 2 6", "WINDOW|FIN 2 0"]

    assert gateway.receive_data(batch, 0.0) == [DataReceived(2, b"answer"), StreamEnded(2)]
    gateway.end_stream(2)
    assert agent.receive_data(gateway.data_to_send(), 0.0) == [StreamEnded(2)]
    assert gateway.stream_count == agent.stream_count == 0


def test_an_open_without_data_says_so_by_a_window_update():
    gateway, _ = pair()
    first, second = gateway.open_stream(), gateway.open_stream()
    gateway.send_data(second, b"x")
    assert said(gateway) == [f"WINDOW|SYN {first} 0", f"DATA|SYN {second} 1"]


def test_nothing_leaves_before_it_is_asked_for():
    gateway, _ = pair()
    assert gateway.wants_to_send is False
    gateway.open_stream()
    assert gateway.wants_to_send is True


def test_data_before_the_accept_carries_the_ack():
    gateway, agent = pair()
    gateway.open_stream()
    agent.receive_data(everything(gateway), 0.0)
    agent.send_data(2, b"hello")
    agent.accept_stream(2)
    assert said(agent) == ["DATA|ACK 2 5"]


def test_empty_data_before_the_accept_is_an_accept():
    gateway, agent = pair()
    gateway.open_stream()
    agent.receive_data(everything(gateway), 0.0)
    agent.send_data(2, b"")
    assert said(agent) == ["WINDOW|ACK 2 0"]


def test_half_closed_each_way():
    a, b, stream_id = opened()
    a.end_stream(stream_id)
    assert talk(a, b) == ([], [StreamEnded(stream_id)])
    with pytest.raises(StreamClosed, match=f"stream {stream_id} takes no data"):
        a.send_data(stream_id, b"more")

    b.send_data(stream_id, b"still here")
    assert talk(a, b) == ([DataReceived(stream_id, b"still here")], [])
    assert (a.stream_count, b.stream_count) == (1, 1)

    b.end_stream(stream_id)
    assert talk(a, b) == ([StreamEnded(stream_id)], [])
    assert (a.stream_count, b.stream_count) == (0, 0)


def test_fin_is_a_frame_of_its_own_behind_the_data():
    a, _, stream_id = opened()
    a.send_data(stream_id, b"abc")
    a.end_stream(stream_id)
    assert said(a) == [f"DATA {stream_id} 3", f"WINDOW|FIN {stream_id} 0"]


def test_fin_waits_for_data_without_credit():
    a, b, stream_id = opened(Limits(initial_window=100))
    a.send_data(stream_id, bytes(150))
    a.end_stream(stream_id)
    batch = everything(a)
    assert [str(frame) for frame in frames(batch)] == [f"DATA {stream_id} 100"]
    b.receive_data(batch, 0.0)
    b.acknowledge(stream_id, 100, 0.0)
    a.receive_data(everything(b), 0.0)
    assert said(a) == [f"DATA {stream_id} 50", f"WINDOW|FIN {stream_id} 0"]


def test_fin_that_does_not_fit_the_batch_comes_with_the_next():
    a, _, stream_id = opened()
    a.send_data(stream_id, bytes(100))
    a.end_stream(stream_id)
    assert [str(frame) for frame in frames(a.data_to_send(112 + 11))] == [f"DATA {stream_id} 100"]
    assert [str(frame) for frame in frames(a.data_to_send(12))] == [f"WINDOW|FIN {stream_id} 0"]


def test_data_and_fin_in_one_frame_of_the_peers_end_after_the_last_byte():
    _, b, stream_id = opened()
    wire = data(stream_id, b"abc", FIN)
    assert b.receive_data(wire[:14], 0.0) == [DataReceived(stream_id, b"ab")]
    b.end_stream(stream_id)
    said(b)
    assert b.receive_data(wire[14:], 0.0) == [DataReceived(stream_id, b"c"), StreamEnded(stream_id)]
    assert b.stream_count == 0


def test_reset_drops_what_is_buffered():
    a, b, stream_id = opened()
    a.send_data(stream_id, bytes(1000))
    assert (a.buffered_bytes, a.buffered(stream_id)) == (1000, 1000)
    a.reset_stream(stream_id)
    assert (a.buffered_bytes, a.buffered(stream_id)) == (0, 0)
    assert talk(a, b) == ([], [StreamReset(stream_id)])
    assert (a.stream_count, b.stream_count) == (0, 0)
    b.reset_stream(stream_id)
    assert said(b) == []


def test_reset_in_the_middle_of_a_body_skips_its_rest():
    _, b, stream_id = opened()
    wire = data(stream_id, b"abcdef", FIN) + ping(1)
    assert b.receive_data(wire[:15], 0.0) == [DataReceived(stream_id, b"abc")]
    b.reset_stream(stream_id)
    assert b.receive_data(wire[15:], 0.0) == []
    assert said(b) == ["PING|ACK 0 1", f"WINDOW|RST {stream_id} 0"]


def test_a_fin_whose_body_was_skipped_does_not_end_the_next_stream():
    _, b, stream_id = opened()
    wire = data(stream_id, b"abc", FIN)
    b.receive_data(wire[:12], 0.0)
    b.reset_stream(stream_id)
    other = b.open_stream()
    said(b)
    assert b.receive_data(wire[12:] + data(other, b"x"), 0.0) == [DataReceived(other, b"x")]
    assert b.stream_count == 1


def test_reset_before_the_wire_leaves_no_trace():
    a, _ = pair()
    stream_id = a.open_stream()
    a.send_data(stream_id, b"never mind")
    a.reset_stream(stream_id)
    assert said(a) == []
    assert (a.stream_count, a.unacknowledged_opens, a.buffered_bytes) == (0, 0, 0)
    assert a.open_stream() == stream_id + 2


def test_end_before_the_wire_still_opens():
    a, b = pair()
    stream_id = a.open_stream()
    a.send_data(stream_id, b"all I say")
    a.end_stream(stream_id)
    _, told = talk(a, b)
    assert told == [StreamOpened(stream_id), DataReceived(stream_id, b"all I say"), StreamEnded(stream_id)]


def test_late_frames_are_skipped_without_an_answer():
    a, _, stream_id = opened()
    a.reset_stream(stream_id)
    said(a)
    late = data(stream_id, bytes(70_000)) * 5 + window(stream_id, 5) + window(stream_id, 0, FIN) + ping(9)
    assert a.receive_data(late, 0.0) == []
    assert said(a) == ["PING|ACK 0 9"]
    a.acknowledge(stream_id, 10_000_000, 0.0)
    a.flush_credit(stream_id)
    a.accept_stream(stream_id)
    assert said(a) == []


def test_data_behind_a_fin_is_skipped():
    _, b, stream_id = opened()
    b.receive_data(window(stream_id, 0, FIN), 0.0)
    assert b.receive_data(data(stream_id, b"late") + data(stream_id, b"later"), 0.0) == []
    with pytest.raises(WindowExceeded):
        b.receive_data(data(stream_id, bytes(262_144 - 8)), 0.0)


class TestOpening:
    def test_opens_beyond_the_cap_wait_and_go_out_in_order(self):
        a, b = pair(Limits(max_unacknowledged_opens=2))
        ids = [a.open_stream() for _ in range(5)]
        a.send_data(ids[3], b"fourth")
        assert said(a) == ["WINDOW|SYN 2 0", "WINDOW|SYN 4 0"]
        assert (a.stream_count, a.unacknowledged_opens) == (5, 2)

        a.receive_data(window(2, 0, ACK), 0.0)
        assert said(a) == ["WINDOW|SYN 6 0"]
        a.receive_data(window(4, 0, RST), 0.0)
        assert said(a) == ["DATA|SYN 8 6"]
        a.receive_data(window(6, 0, FIN), 0.0)
        assert said(a) == ["WINDOW|SYN 10 0"]
        a.receive_data(window(6, 0, ACK) + window(2, 0, ACK), 0.0)
        assert a.unacknowledged_opens == 2

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
        a, b = pair()
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
        assert (a.stream_count, a.unacknowledged_opens, a.buffered_bytes) == (1, 1, 0)
        a.receive_data(window(first, 0, ACK), 0.0)
        assert a.unacknowledged_opens == 0

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
        assert a.rtt is None
        a.ping(10.0)
        b.receive_data(everything(a), 0.0)
        assert a.receive_data(everything(b), 10.25) == [PongReceived(0.25)]
        assert a.rtt == 0.25

    def test_a_pong_that_nobody_asked_for_is_ignored(self):
        assert Session(Role.CLIENT).receive_data(ping(5, ACK) + ping(5, 0), 0.0) == []

    def test_the_opaque_value_comes_back(self):
        session = Session(Role.SERVER)
        session.receive_data(ping(2**32 - 1), 0.0)
        assert said(session) == ["PING|ACK 0 4294967295"]


ERRORS = [
    pytest.param(b"\x01" + bytes(11), InvalidVersion, "version 1", id="version"),
    pytest.param(b"\x00\x04" + bytes(10), InvalidType, "type 4", id="type"),
    pytest.param(window(2, 0, SYN), InvalidStreamId, "stream 2", id="our parity"),
    pytest.param(window(0, 0, SYN), InvalidStreamId, "stream 0", id="stream 0"),
    pytest.param(window(1, 0, SYN) * 2, DuplicateStream, "stream 1 again", id="live id"),
    pytest.param(window(1, 0, SYN | RST) + window(1, 0, SYN), DuplicateStream, "stream 1 again", id="used id"),
    pytest.param(window(1, 0, SYN) + data(1, bytes(262_145))[:12], WindowExceeded, "262145 bytes", id="window"),
    pytest.param(data(1, bytes(262_145), SYN | RST)[:12], WindowExceeded, "262145 bytes", id="window and RST"),
    pytest.param(window(1, 2**32 - 262_145, SYN) + window(1, 1), CreditOverflow, "1 bytes granted", id="credit"),
    pytest.param(window(1, 0, SYN | FIN) + window(1, 0, FIN), UnexpectedFlag, "a second FIN", id="two FINs"),
    pytest.param(ping(1) * 5462, FloodError, "65544 bytes of answers", id="flood of pings"),
    pytest.param(b"".join(window(i, 0, SYN) for i in range(1, 11_500, 2)), FloodError, "65544", id="flood of SYNs"),
]


class TestProtocolErrors:
    @pytest.mark.parametrize(("wire", "error", "text"), ERRORS)
    def test_the_session_ends_with_one_go_away(self, wire, error, text):
        session = Session(Role.SERVER)
        stream_id = session.open_stream()
        said(session)
        session.send_data(stream_id, bytes(1000))
        with pytest.raises(error, match=text):
            session.receive_data(wire, 0.0)

        assert said(session) == ["GO_AWAY 0 1"]
        assert session.wants_to_send is False
        assert (session.stream_count, session.buffered_bytes, session.unacknowledged_opens) == (0, 0, 0)

    def test_a_dead_session_is_harmless(self):
        session = Session(Role.SERVER)
        stream_id = session.open_stream()
        with pytest.raises(InvalidVersion):
            session.receive_data(b"HTTP/1.1 400 Bad Request", 0.0)
        said(session)

        assert session.receive_data(window(1, 0, SYN), 0.0) == []
        session.ping(0.0)
        session.go_away()
        session.end_stream(stream_id)
        session.reset_stream(stream_id)
        session.acknowledge(stream_id, 1, 0.0)
        assert said(session) == []
        with pytest.raises(GoneAway):
            session.open_stream()
        with pytest.raises(StreamClosed):
            session.send_data(stream_id, b"x")

    def test_a_window_is_judged_before_its_body(self):
        session = Session(Role.SERVER, Limits(initial_window=10))
        wire = window(1, 0, SYN) + data(1, bytes(6)) + data(1, bytes(5))[:12]
        session.receive_data(wire[:-1], 0.0)
        with pytest.raises(WindowExceeded, match="5 bytes announced, 4 left"):
            session.receive_data(wire[-1:], 0.0)

    def test_credit_up_to_the_last_byte(self):
        session = Session(Role.SERVER)
        session.receive_data(window(1, 2**32 - 1 - 262_144, SYN), 0.0)
        assert session.stream_count == 1

    def test_floods_below_the_bound_are_answered(self):
        session = Session(Role.SERVER, Limits(control_bytes=120))
        session.receive_data(ping(1) * 10, 0.0)
        assert len(said(session)) == 10
        session.receive_data(ping(1) * 10, 0.0)
        with pytest.raises(FloodError):
            session.receive_data(ping(1), 0.0)

    def test_our_own_resets_are_no_flood(self):
        session = Session(Role.SERVER, Limits(control_bytes=120, max_unacknowledged_opens=1000))
        ids = [session.open_stream() for _ in range(100)]
        said(session)
        for stream_id in ids:
            session.reset_stream(stream_id)
        session.receive_data(ping(1), 0.0)
        assert len(said(session)) == 101

    def test_errors_are_split_by_blame(self):
        assert issubclass(LocalError, YamuxError)
        assert issubclass(ProtocolError, YamuxError)
        assert not issubclass(ProtocolError, LocalError)
        assert all(issubclass(error, LocalError) for error in (GoneAway, StreamClosed, TooManyStreams))
        assert all(issubclass(param.values[1], ProtocolError) for param in ERRORS)


class TestStatusLine:
    def test_fresh(self):
        assert repr(Session(Role.CLIENT)) == (
            "<Session client, open, 0 streams (0 unacknowledged, 0 waiting, 0 to accept), 0 bytes buffered, rtt ?>"
        )

    def test_busy(self):
        session = Session(Role.SERVER, Limits(max_unacknowledged_opens=1))
        session.open_stream()
        session.send_data(session.open_stream(), bytes(500))
        session.receive_data(window(1, 0, SYN), 0.0)
        session.ping(1.0)
        session.receive_data(ping(0, ACK), 1.0125)
        session.go_away()
        assert repr(session) == (
            "<Session server, going away, 3 streams (1 unacknowledged, 1 waiting, 1 to accept), "
            "500 bytes buffered, rtt 12.5 ms>"
        )

    def test_dead(self):
        session = Session(Role.SERVER)
        with pytest.raises(InvalidType):
            session.receive_data(b"\x00\x09" + bytes(10), 0.0)
        assert repr(session).startswith("<Session server, InvalidType, 0 streams")


def test_megabytes_pass_whole_both_ways():
    a, b, stream_id = opened()
    blob = bytes(range(256)) * 12_000
    told = {a: b"", b: b""}
    for session in (a, b):
        session.send_data(stream_id, blob)
        session.end_stream(stream_id)
    while a.wants_to_send or b.wants_to_send:
        for sender, receiver in ((a, b), (b, a)):
            body = body_of(receiver.receive_data(sender.data_to_send(), 0.0), stream_id)
            receiver.acknowledge(stream_id, len(body), 0.0)
            told[receiver] += body
    assert told == {a: blob, b: blob}
    assert (a.stream_count, b.stream_count) == (0, 0)
