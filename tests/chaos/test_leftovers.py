"""What a process holds beyond the bounds is named."""

from collections import Counter

import pytest

from tests.chaos.leftovers import MORE_BYTES, MORE_DESCRIPTORS, beyond
from tests.soak.holdings import Holdings

BEFORE = Holdings(Counter(socket=10, pipe=2), rss_bytes=50 << 20)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (BEFORE, []),
        (Holdings(Counter(socket=3), rss_bytes=1 << 20), []),
        (Holdings(Counter(socket=10 + MORE_DESCRIPTORS, pipe=2), rss_bytes=BEFORE.rss_bytes + MORE_BYTES), []),
        (
            Holdings(Counter(socket=11 + MORE_DESCRIPTORS, pipe=2), rss_bytes=BEFORE.rss_bytes),
            ["12 -> 21 descriptors: Counter({'socket': 9})"],
        ),
        (Holdings(BEFORE.descriptors, rss_bytes=BEFORE.rss_bytes + MORE_BYTES + 1), ["50 -> 82 MiB"]),
    ],
    ids=["the same", "less", "at the bounds", "descriptors", "memory"],
)
def test_what_is_beyond_the_bounds(now: Holdings, found: list[str]):
    assert beyond(now, BEFORE) == found
