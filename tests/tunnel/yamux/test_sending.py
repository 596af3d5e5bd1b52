"""Sending within the peer's credit: never a byte beyond, and the owner hears when there is room again."""

import pytest

from tests.tunnel.yamux.wire import everything, frames, opened, said, window
from tunnel.yamux import Limits, Role, Session, StreamClosed, StreamReset
from tunnel.yamux.frames import RST, SYN


class TestSending:
    def test_never_more_than_the_credit(self):
        a, _, stream_id = opened(Limits(initial_window=100, frame_bytes=60, lone_frame_bytes=60))
        a.send_data(stream_id, bytes(250))
        assert said(a) == [f"DATA {stream_id} 60", f"DATA {stream_id} 40"]
        a.receive_data(window(stream_id, 30), 0.0)
        assert said(a) == [f"DATA {stream_id} 30"]
        a.receive_data(window(stream_id, 1000), 0.0)
        assert said(a) == [f"DATA {stream_id} 60", f"DATA {stream_id} 60"]

    def test_a_stream_without_credit_wants_nothing(self):
        a, _, stream_id = opened(Limits(initial_window=100))
        a.send_data(stream_id, bytes(101))
        everything(a)
        assert a.wants_to_send is False
        a.send_data(stream_id, b"more")
        assert (a.wants_to_send, a.buffered(stream_id)) == (False, 5)

    def test_credit_that_comes_with_the_syn(self):
        session = Session(Role.SERVER)
        session.receive_data(window(1, 100_000, SYN), 0.0)
        session.send_data(1, bytes(500_000))
        assert sum(frame.length for frame in frames(everything(session))) == 362_144

    def test_credit_may_come_before_the_ack(self):
        a, _ = Session(Role.SERVER, Limits(initial_window=10)), None
        stream_id = a.open_stream()
        a.send_data(stream_id, bytes(15))
        assert said(a) == [f"DATA|SYN {stream_id} 10"]
        a.receive_data(window(stream_id, 5), 0.0)
        assert said(a) == [f"DATA {stream_id} 5"]

    def test_full_and_writable_again(self):
        a, _, stream_id = opened(Limits(send_buffer_bytes=1000, frame_bytes=100, lone_frame_bytes=100))
        assert a.send_data(stream_id, bytes(999)) is True
        assert a.send_data(stream_id, bytes(1)) is False
        a.data_to_send(4 * 112)
        assert (a.buffered(stream_id), a.take_writable()) == (600, [])
        assert a.send_data(stream_id, b"") is False
        a.data_to_send(112)
        assert (a.buffered(stream_id), a.take_writable(), a.take_writable()) == (500, [stream_id], [])
        assert a.send_data(stream_id, bytes(499)) is True

    @pytest.mark.parametrize("leave", ["end", "reset", "peer"])
    def test_a_stream_that_takes_nothing_more_is_not_writable(self, leave):
        a, _, stream_id = opened(Limits(send_buffer_bytes=1000))
        a.send_data(stream_id, bytes(1000))
        a.data_to_send()
        if leave == "end":
            a.end_stream(stream_id)
        elif leave == "reset":
            a.reset_stream(stream_id)
        else:
            assert a.receive_data(window(stream_id, 0, RST), 0.0) == [StreamReset(stream_id)]
        assert a.take_writable() == []

    @pytest.mark.parametrize("size", [0, 5, 50_000])
    def test_a_stream_that_was_ended_takes_nothing(self, size):
        session = Session(Role.SERVER)
        early, late = session.open_stream(), session.open_stream()
        session.end_stream(early)
        everything(session)
        session.send_data(late, b"one")
        everything(session)
        session.send_data(late, b"two")
        session.end_stream(late)
        for _ in range(2):
            for stream_id in (early, late):
                with pytest.raises(StreamClosed):
                    session.send_data(stream_id, bytes(size))
            everything(session)

    def test_an_ended_stream_drains_without_a_word(self):
        a, _, stream_id = opened(Limits(send_buffer_bytes=1000))
        a.send_data(stream_id, bytes(1000))
        a.end_stream(stream_id)
        everything(a)
        assert a.take_writable() == []

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_what_is_buffered_does_not_change_with_the_callers_buffer(self, kind):
        a, _, stream_id = opened()
        buffer = bytearray(b"hello")
        a.send_data(stream_id, kind(buffer))
        buffer[:] = b"HELLO"
        assert frames(everything(a))[0].body == b"hello"
