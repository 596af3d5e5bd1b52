"""The size of a batch follows how fast the link takes them."""

import pytest

from tunnel.yamux import BATCH_BYTES, Pace
from tunnel.yamux.pace import SMALLEST_BATCH_BYTES

FULL = (BATCH_BYTES, BATCH_BYTES // 4)
LEAST = (SMALLEST_BATCH_BYTES, 4096)


def sizes(pace: Pace) -> tuple[int, int]:
    return pace.batch_bytes, pace.frame_bytes


@pytest.mark.parametrize(
    ("bytes_per_second", "expected"),
    [
        (1e9, FULL),
        (8e6, FULL),
        (2e6, (32_000, 8000)),
        (1e6, LEAST),
        (1e4, LEAST),
    ],
)
def test_a_batch_takes_sixteen_milliseconds_of_the_link(bytes_per_second: float, expected: tuple[int, int]):
    pace = Pace()
    assert sizes(pace) == FULL
    pace.blocked(BATCH_BYTES, 5.0)
    pace.drained(5.0 + BATCH_BYTES / bytes_per_second)
    assert sizes(pace) == (pytest.approx(expected[0], abs=2), pytest.approx(expected[1], abs=2))


def test_a_link_that_takes_batches_at_once_gets_larger_ones_again():
    pace = Pace()
    pace.blocked(BATCH_BYTES, 0.0)
    pace.drained(10.0)
    seen = []
    for _ in range(3):
        pace.taken(pace.batch_bytes)
        seen.append(pace.batch_bytes)
    assert seen == [32_768, 65_500, 65_500]


def test_a_peer_with_a_limit_gets_no_longer_batch():
    pace = Pace()
    pace.keep_to(10_000)
    assert sizes(pace) == (10_000, 4096)
    pace.blocked(10_000, 0.0)
    pace.drained(5.0)
    pace.taken(10_000)
    assert sizes(pace) == (10_000, 4096)
    pace.keep_to(1 << 30)
    assert (pace.most_bytes, pace.batch_bytes) == (BATCH_BYTES, SMALLEST_BATCH_BYTES)


def test_small_batches_say_nothing():
    pace = Pace()
    pace.blocked(100, 0.0)
    pace.drained(10.0)
    assert sizes(pace) == FULL
    pace.blocked(BATCH_BYTES, 20.0)
    pace.drained(30.0)
    pace.taken(100)
    assert sizes(pace) == LEAST


def test_a_transport_that_drains_in_no_time_is_fast():
    pace = Pace()
    pace.blocked(BATCH_BYTES, 5.0)
    pace.drained(5.0)
    pace.drained(9.0)
    assert sizes(pace) == FULL
    assert repr(pace) == "<Pace 65500 bytes a batch>"
