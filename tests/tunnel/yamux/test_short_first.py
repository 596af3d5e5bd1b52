"""Streams with little to send go before those with much; these do not starve, and within a stream nothing moves."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tunnel.yamux.test_outbox import many
from tests.tunnel.yamux.wire import Frame, batches, frames, said, window
from tunnel.yamux import BATCH_BYTES, Limits, Role, Session
from tunnel.yamux.frames import ACK, DATA
from tunnel.yamux.outbox import SHORT_BYTES

PATTERN = bytes(range(251)) * 162
"""Longer by 251 bytes than any piece below."""
SMALLEST = 16_384
"""The smallest batch that a link makes."""


def order(a: Session, limit: int = BATCH_BYTES, frame_bytes: int = BATCH_BYTES) -> list[Frame]:
    """The frames of the next batch."""
    return frames(bytes(a.next_batch(limit, frame_bytes)))


@pytest.mark.parametrize(
    ("sizes", "first"),
    [
        ([SHORT_BYTES], True),
        ([SHORT_BYTES + 1], False),
        ([1000] * 4, True),
        ([1000] * 5, False),
        ([1, 60_000], False),
    ],
)
def test_a_stream_is_short_while_no_more_than_that_waits_in_it(sizes: list[int], first: bool):
    a, (bulk, other, stream_id) = many(3)
    a.send_data(bulk, bytes(60_000))
    a.send_data(other, bytes(60_000))
    for size in sizes:
        a.send_data(stream_id, bytes(size))
    assert order(a)[0].stream_id == (stream_id if first else bulk)


def test_the_rest_of_a_long_stream_is_not_short():
    a, (bulk, other) = many(2)
    a.send_data(bulk, bytes(16_384 + 100))
    a.send_data(other, bytes(60_000))
    order(a, 16_384 + 12)
    assert [frame.stream_id for frame in order(a)] == [other, bulk, other]


def test_a_new_stream_with_its_request_goes_before_bulk():
    a, (bulk, other) = many(2)
    a.send_data(bulk, bytes(60_000))
    a.send_data(other, bytes(60_000))
    new = a.open_stream()
    a.send_data(new, b"routing header")
    a.send_data(new, b"request")
    assert str(order(a)[0]) == f"DATA|SYN {new} 21"


def test_what_waited_for_credit_goes_before_bulk_once_it_has_some():
    a, (bulk, small) = many(2, Limits(initial_window=100))
    a.send_data(bulk, bytes(60_000))
    a.send_data(small, bytes(150))
    assert said(a) == [f"DATA {small} 100", f"DATA {bulk} 100"]
    a.receive_data(window(bulk, 50_000) + window(small, 50), 0.0)
    assert [frame.stream_id for frame in order(a)] == [small, bulk]


def test_control_goes_before_short_streams():
    a, (bulk, small) = many(2)
    a.send_data(bulk, bytes(60_000))
    a.send_data(small, bytes(10))
    a.ping(0.0)
    assert [str(frame) for frame in order(a)][:2] == ["PING|SYN 0 0", f"DATA {small} 10"]


@pytest.mark.parametrize("limit", [SMALLEST, 30_000, BATCH_BYTES])
def test_short_streams_leave_the_long_ones_part_of_each_batch(limit: int):
    """However many there are, and however fast they come back: half, less one short frame."""
    a, (bulk, other, *small) = many(102)
    sent = Counter[int]()
    for _ in range(40):
        for stream_id in (bulk, other):
            if a.buffered(stream_id) < 40_000:
                a.send_data(stream_id, bytes(60_000))
        for stream_id in small:
            a.send_data(stream_id, bytes(SHORT_BYTES - a.buffered(stream_id)))
        found = order(a, limit, SMALLEST // 4)
        long = sum(frame.length for frame in found if frame.stream_id in (bulk, other))
        assert long >= limit // 2 - SHORT_BYTES - 12 * len(found) - 1024
        sent.update(frame.stream_id for frame in found)
        a.receive_data(b"".join(window(frame.stream_id, frame.length) for frame in found), 0.0)
    assert abs(sent[bulk] - sent[other]) <= 1
    assert max(sent[i] for i in small) - min(sent[i] for i in small) <= 1, "and the short ones wait for each other"


def test_a_batch_without_long_streams_is_all_for_the_short_ones():
    a, ids = many(100)
    for stream_id in ids:
        a.send_data(stream_id, bytes(SHORT_BYTES))
    assert sum(frame.length + 12 for frame in order(a)) > BATCH_BYTES - SHORT_BYTES - 12


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 100, SHORT_BYTES, 5000, 40_000])), max_size=60),
    st.sampled_from([SMALLEST, BATCH_BYTES]),
)
def test_no_byte_of_a_stream_overtakes_another(steps: list[tuple[int, int]], limit: int):
    a = Session(Role.SERVER)
    ids = [a.open_stream() for _ in range(6)]
    said(a)
    a.receive_data(b"".join(window(stream_id, 1 << 30, ACK) for stream_id in ids), 0.0)
    written, received = {i: bytearray() for i in ids}, {i: bytearray() for i in ids}

    def take(batch: bytes) -> None:
        for frame in frames(batch):
            assert frame.kind == DATA
            received[frame.stream_id] += frame.body

    for number, (which, size) in enumerate(steps):
        data = PATTERN[len(written[ids[which]]) % 251 :][:size]
        written[ids[which]] += data
        a.send_data(ids[which], data)
        if number % 3 == 2:
            take(bytes(a.next_batch(limit)))
    for batch in batches(a, limit):
        take(batch)
    assert received == written
