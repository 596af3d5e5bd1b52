"""The order in which a session writes: control first, streams in turns, never beyond the limit."""

from collections import Counter

import pytest

from tests.tunnel.yamux.wire import batches, data, everything, frames, opened, pair, ping, said, talk, window
from tunnel.yamux import BATCH_BYTES, Limits, ProtocolError, Role, Session
from tunnel.yamux.frames import ACK, DATA, SYN


def many(count, limits=None):
    """A server session with `count` established streams of its own."""
    a = Session(Role.SERVER, limits)
    ids = [a.open_stream() for _ in range(count)]
    everything(a)
    a.receive_data(b"".join(window(i, 0, ACK) for i in ids), 0.0)
    everything(a)
    return a, ids


def test_a_hundred_small_streams_do_not_wait_for_a_bulk_one():
    a, (bulk, *small) = many(101)
    a.send_data(bulk, bytes(200_000))
    for stream_id in small:
        a.send_data(stream_id, bytes(100))

    order = [frame.stream_id for frame in frames(everything(a))]
    assert order[:102] == [*small, bulk, bulk]


def test_bulk_streams_share_evenly():
    a, ids = many(4)
    for stream_id in ids:
        a.send_data(stream_id, bytes(100_000))
    for batch in batches(a):
        sizes = Counter[int]()
        for frame in frames(batch):
            sizes[frame.stream_id] += 1
        assert max(sizes.values()) <= 2


def test_who_comes_back_with_credit_waits_behind_the_others():
    a, (first, second) = many(2, Limits(initial_window=100, frame_bytes=100))
    a.send_data(first, bytes(300))
    a.send_data(second, bytes(100))
    assert said(a) == [f"DATA {first} 100", f"DATA {second} 100"]
    a.send_data(second, bytes(100))
    a.receive_data(window(second, 100) + window(first, 100), 0.0)
    assert said(a) == [f"DATA {second} 100", f"DATA {first} 100"]


def test_control_leaves_before_data_that_was_there_first():
    a, _b, stream_id = opened()
    doomed = a.open_stream()
    said(a)
    a.send_data(stream_id, bytes(20_000))
    a.receive_data(window(1, 0, SYN) + data(1, bytes(200_000)) + ping(7), 0.0)
    a.acknowledge(1, 200_000, 0.0)
    a.accept_stream(1)
    a.reset_stream(doomed)
    a.go_away()
    assert said(a) == [
        "PING|ACK 0 7",
        "GO_AWAY 0 0",
        f"WINDOW|RST {doomed} 0",
        "WINDOW|ACK 1 200000",
        f"DATA {stream_id} 20000",
    ]


def test_control_that_fills_the_batch_keeps_data_out_of_it():
    a, _b, stream_id = opened()
    a.send_data(stream_id, bytes(5000))
    a.receive_data(b"".join(ping(i) for i in range(10)), 0.0)
    first = frames(a.data_to_send(60))
    assert [frame.length for frame in first] == [0, 1, 2, 3, 4]
    assert [str(frame) for frame in frames(a.data_to_send(70))] == [f"PING|ACK 0 {i}" for i in range(5, 10)]
    assert [str(frame) for frame in frames(a.data_to_send(70))] == [f"DATA {stream_id} 58"]


@pytest.mark.parametrize("limit", [12, 13, 24, 25, 100, 1036, 16_396, 65_536])
def test_the_limit_is_never_exceeded(limit):
    a, b = pair(Limits(initial_window=2000, max_window=2000))
    for _ in range(20):
        a.send_data(a.open_stream(), bytes(1500))
    for value in range(20):
        a.ping(float(value))
    total = 0
    while batch := a.data_to_send(limit):
        assert len(batch) <= limit
        b.receive_data(batch, 0.0)
        total += len(batch)
    assert a.wants_to_send is (limit == 12)
    if limit == 12:  # the pings fit, no data does
        assert (total, a.buffered_bytes) == (240, 30_000)
    else:
        assert total >= 240 + 20 * 1512
        assert a.buffered_bytes == 0


@pytest.mark.parametrize("limit", [-5, 0, 11])
def test_a_limit_below_a_header_gives_nothing(limit):
    a, _ = pair()
    a.ping(0.0)
    a.open_stream()
    assert a.data_to_send(limit) == b""
    assert said(a) == ["PING|SYN 0 0", "WINDOW|SYN 2 0"]


def test_no_slivers_at_the_end_of_a_batch():
    a, (first, second) = many(2)
    a.send_data(first, bytes(900))
    a.send_data(second, bytes(900))
    assert [str(frame) for frame in frames(a.data_to_send(1000))] == [f"DATA {first} 900"]
    assert [str(frame) for frame in frames(a.data_to_send(1000))] == [f"DATA {second} 900"]


def test_a_turn_that_did_not_fit_comes_first_in_the_next_batch():
    a, ids = many(3)
    for stream_id in ids:
        a.send_data(stream_id, bytes(900))
    order = [frame.stream_id for batch in batches(a, 1500) for frame in frames(batch)]
    assert order == ids


def test_small_chunks_leave_in_one_frame():
    a, _b, stream_id = opened()
    for value in range(200):
        a.send_data(stream_id, bytes([value]) * 10)
    found = frames(everything(a))
    assert [str(frame) for frame in found] == [f"DATA {stream_id} 2000"]
    assert found[0].body == b"".join(bytes([value]) * 10 for value in range(200))


@pytest.mark.parametrize(("count", "longest"), [(1, 65_488), (2, 16_384)])
def test_a_big_chunk_leaves_in_full_frames(count: int, longest: int):
    a, ids = many(count)
    blob = bytes(range(256)) * 800
    for stream_id in ids:
        a.send_data(stream_id, blob)
    found = [frame for batch in batches(a, BATCH_BYTES) for frame in frames(batch)]
    assert {frame.kind for frame in found} == {DATA}
    both = found if count == 1 else found[: 2 * len(blob) // longest]  # the last batch is of one stream alone
    assert max(frame.length for frame in both) == longest
    for stream_id in ids:
        assert b"".join(frame.body for frame in found if frame.stream_id == stream_id) == blob


def test_a_session_that_is_done_wants_nothing():
    a, b, stream_id = opened()
    a.send_data(stream_id, bytes(1000))
    a.end_stream(stream_id)
    b.reset_stream(stream_id)
    talk(a, b)
    assert (a.wants_to_send, b.wants_to_send, a.buffered_bytes) == (False, False, 0)


def test_a_short_piece_leaves_before_a_long_one_that_waits_for_its_turn():
    a, (bulk, small, other) = many(3)
    a.send_data(small, bytes(100))
    a.send_data(bulk, bytes(20_000))
    a.send_data(other, bytes(100))
    a.ping(0.0)
    assert said(a) == [
        "PING|SYN 0 0",
        f"DATA {small} 100",
        f"DATA {other} 100",
        f"DATA {bulk} 20000",
    ]


def test_a_stream_that_is_reset_takes_its_packed_piece_along():
    a, (doomed, other) = many(2)
    a.send_data(doomed, bytes(100))
    a.send_data(other, bytes(50))
    assert (a.buffered(doomed), a.buffered_bytes) == (100, 150)
    a.reset_stream(doomed)
    assert a.buffered_bytes == 50
    assert said(a) == [f"WINDOW|RST {doomed} 0", f"DATA {other} 50"]
    assert a.buffered_bytes == 0


def test_packed_pieces_are_bounded_by_a_batch():
    a, ids = many(100)
    for stream_id in ids:
        a.send_data(stream_id, bytes(1000))
    order = [frame.stream_id for batch in batches(a) for frame in frames(batch)]
    assert order == ids


def test_packed_pieces_that_fit_no_batch_wait_for_turns_before_all_others():
    a, ids = many(4)
    *packed, bulk = ids
    for stream_id in packed:
        a.send_data(stream_id, bytes(100))
    a.send_data(bulk, bytes(5000))
    found = [str(frame) for batch in batches(a, 150) for frame in frames(batch)]
    assert found[:4] == [f"DATA {packed[0]} 100", f"DATA {packed[1]} 100", f"DATA {packed[2]} 100", f"DATA {bulk} 138"]
    assert a.buffered_bytes == 0


def test_no_more_is_packed_than_one_batch_takes():
    a, ids = many(100)
    for stream_id in ids:
        a.send_data(stream_id, bytes(1000))
    assert (a.outbox.packed_bytes, a.outbox.others) == (64 * 1012, True)
    assert len(a.data_to_send()) > 64_000
    assert a.outbox.packed_bytes == 0


def test_a_packed_piece_longer_than_the_batch_is_cut():
    a, _b, stream_id = opened()
    a.send_data(stream_id, bytes(range(100)))
    cut = [frame for batch in batches(a, 62) for frame in frames(batch)]
    assert [str(frame) for frame in cut] == [f"DATA {stream_id} 50", f"DATA {stream_id} 50"]
    assert b"".join(frame.body for frame in cut) == bytes(range(100))


def test_a_packed_piece_takes_its_credit_along():
    a, _b, stream_id = opened(Limits(initial_window=100))
    a.send_data(stream_id, bytes(60))
    a.send_data(stream_id, bytes(60))
    assert said(a) == [f"DATA {stream_id} 100"]
    assert (a.wants_to_send, a.buffered(stream_id), a.buffered_bytes) == (False, 20, 20)
    a.receive_data(window(stream_id, 20), 0.0)
    assert said(a) == [f"DATA {stream_id} 20"]


def test_a_fin_follows_the_packed_piece():
    a, b, stream_id = opened()
    b.end_stream(stream_id)
    a.receive_data(everything(b), 0.0)
    a.send_data(stream_id, b"last")
    a.end_stream(stream_id)
    assert said(a) == [f"DATA {stream_id} 4", f"WINDOW|FIN {stream_id} 0"]


def test_control_leaves_before_packed_pieces():
    a, (first, second) = many(2)
    a.send_data(first, b"packed")
    a.ping(0.0)
    a.send_data(second, b"packed too")
    assert said(a) == ["PING|SYN 0 0", f"DATA {first} 6", f"DATA {second} 10"]


def test_a_short_piece_before_the_ack_carries_it_and_the_next_is_plain():
    _a, b = pair()
    b.receive_data(window(2, 0, SYN) + window(4, 0, SYN), 0.0)
    b.accept_stream(2)
    b.send_data(2, b"one")
    b.send_data(4, b"two")
    assert said(b) == ["WINDOW|ACK 2 0", "DATA 2 3", "DATA|ACK 4 3"]
    b.send_data(2, b"three")
    b.send_data(4, b"four")
    assert said(b) == ["DATA 2 5", "DATA 4 4"]


def test_an_empty_piece_is_no_frame():
    a, _b, stream_id = opened()
    assert a.send_data(stream_id, b"") is True
    assert (a.wants_to_send, a.data_to_send()) == (False, b"")


def test_what_is_packed_is_counted_as_its_data():
    a, (first, second) = many(2)
    a.send_data(first, bytes(100))
    a.send_data(second, bytes(5000))
    assert (a.buffered(first), a.buffered(second), a.buffered_bytes) == (100, 5000, 5100)
    assert len(everything(a)) == 5100 + 2 * 12
    assert (a.buffered(first), a.buffered(second), a.buffered_bytes) == (0, 0, 0)


def test_others_is_false_only_where_nothing_but_packed_frames_is_queued():
    a, ids = many(3)
    assert a.outbox.others is False
    a.send_data(ids[0], b"packed")
    assert (a.outbox.others, bool(a.outbox)) == (False, True)
    for act in (
        lambda: a.ping(0.0),
        lambda: a.send_data(ids[1], bytes(5000)),
        lambda: a.end_stream(ids[1]),
        lambda: a.reset_stream(ids[2]),
        a.open_stream,
        lambda: a.receive_data(data(1, b"hello", SYN), 0.0),
        lambda: a.accept_stream(1),
    ):
        everything(a)
        assert a.outbox.others is False
        act()
        assert a.outbox.others is a.wants_to_send
    everything(a)
    a.acknowledge(1, 5, 0.0)
    assert a.outbox.others is a.wants_to_send is False
    a.receive_data(data(1, bytes(65_536)), 0.0)
    a.acknowledge(1, 65_536, 0.0)
    assert a.outbox.others is a.wants_to_send is True


def test_a_session_that_ends_drops_what_is_packed():
    a, _b, stream_id = opened()
    a.send_data(stream_id, b"packed")
    with pytest.raises(ProtocolError):
        a.receive_data(b"\xff" * 12, 0.0)
    assert a.buffered_bytes == 0
    assert said(a) == ["GO_AWAY 0 1"]
