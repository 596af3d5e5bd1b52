"""What ends a session, what is left of it, and the status line."""

import pytest

from tests.tunnel.yamux.wire import data, live_streams, measure, ping, said, unacknowledged_opens, window
from tunnel.yamux import (
    CreditOverflow,
    DuplicateStream,
    FloodError,
    GoneAway,
    InvalidStreamId,
    InvalidType,
    InvalidVersion,
    Limits,
    LocalError,
    ProtocolError,
    Role,
    Session,
    StreamClosed,
    TooManyStreams,
    UnexpectedFlag,
    WindowExceeded,
    YamuxError,
)
from tunnel.yamux.frames import FIN, RST, SYN

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
        assert (live_streams(session), session.buffered_bytes, unacknowledged_opens(session)) == (0, 0, 0)

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
        assert live_streams(session) == 1

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
        measure(session, 0.0125, 1.0125)
        session.open_stream()
        session.send_data(session.open_stream(), bytes(500))
        session.receive_data(window(1, 0, SYN), 0.0)
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
