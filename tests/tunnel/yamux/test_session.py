"""Dialogues of two sessions: requests and answers, half-closing, resetting, late frames."""

import pytest

from tests.tunnel.yamux.wire import (
    body_of,
    data,
    everything,
    frames,
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
    Limits,
    StreamClosed,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WindowExceeded,
)
from tunnel.yamux.frames import FIN


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
    assert live_streams(gateway) == live_streams(agent) == 0


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
    assert (live_streams(a), live_streams(b)) == (1, 1)

    b.end_stream(stream_id)
    assert talk(a, b) == ([StreamEnded(stream_id)], [])
    assert (live_streams(a), live_streams(b)) == (0, 0)


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
    assert live_streams(b) == 0


def test_reset_drops_what_is_buffered():
    a, b, stream_id = opened()
    a.send_data(stream_id, bytes(1000))
    assert (a.buffered_bytes, a.buffered(stream_id)) == (1000, 1000)
    a.reset_stream(stream_id)
    assert (a.buffered_bytes, a.buffered(stream_id)) == (0, 0)
    assert talk(a, b) == ([], [StreamReset(stream_id)])
    assert (live_streams(a), live_streams(b)) == (0, 0)
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
    assert live_streams(b) == 1


def test_reset_before_the_wire_leaves_no_trace():
    a, _ = pair()
    stream_id = a.open_stream()
    a.send_data(stream_id, b"never mind")
    a.reset_stream(stream_id)
    assert said(a) == []
    assert (live_streams(a), unacknowledged_opens(a), a.buffered_bytes) == (0, 0, 0)
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
    a.accept_stream(stream_id)
    assert said(a) == []


def test_data_behind_a_fin_is_skipped():
    _, b, stream_id = opened()
    b.receive_data(window(stream_id, 0, FIN), 0.0)
    assert b.receive_data(data(stream_id, b"late") + data(stream_id, b"later"), 0.0) == []
    with pytest.raises(WindowExceeded):
        b.receive_data(data(stream_id, bytes(262_144 - 8)), 0.0)


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
    assert (live_streams(a), live_streams(b)) == (0, 0)
