"""The size of a window: it fits the path, follows the consumer both ways, and asks before it grows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.tunnel.yamux.paths import LIMITS, START, Path, measured
from tunnel.yamux.fitting import EPOCH_SECONDS, HEADROOM, Fitting
from tunnel.yamux.pings import Pings
from tunnel.yamux.windows import ReceiveWindow, portion_of

INITIAL = LIMITS.initial_window
MB = 1_000_000


class Asked:
    """Memory that answers as the test says, and remembers what it was asked."""

    def __init__(self, *, grants: bool = True, above: bool = False) -> None:
        self.grants = grants
        self.above_high_mark = above
        self.asked: list[int] = []

    def may_grow(self, extra_bytes: int, /) -> bool:
        self.asked.append(extra_bytes)
        return self.grants


class TestPaths:
    @pytest.mark.parametrize(
        ("rate", "rtt"), [(1 * MB, 0.05), (10 * MB, 0.001), (100 * MB, 0.001), (1 * MB, 0.1), (200 * MB, 0.0005)]
    )
    def test_on_a_short_or_narrow_path_the_initial_window_is_enough(self, rate, rtt):
        path = Path(rtt, rate)
        path.run(2.0)
        assert path.largest == INITIAL
        assert path.run(1.0) > 0.99 * rate

    @pytest.mark.parametrize(
        ("rate", "rtt"),
        [(10 * MB, 0.05), (10 * MB, 0.15), (100 * MB, 0.02), (100 * MB, 0.05), (50 * MB, 0.15), (1000 * MB, 0.005)],
    )
    def test_it_fills_the_path_and_stays_within_twice_its_product(self, rate, rtt):
        path = Path(rtt, rate)
        path.run(40 * rtt)
        assert path.run(1.0) > 0.95 * rate
        path.run(10.0)
        assert path.product < path.window.size <= 2 * path.product

    @pytest.mark.parametrize(("rtt", "seconds"), [(0.02, 0.6), (0.05, 1.2), (0.15, 3.0)])
    def test_100_megabytes_a_second_are_soon_four_fifths_used(self, rtt, seconds):
        path = Path(rtt, 100 * MB)
        path.run(seconds - 0.1)
        assert path.run(0.1) >= 80 * MB

    def test_it_ends_at_the_limit(self):
        path = Path(0.15, 1000 * MB)
        path.run(5.0)
        assert path.window.size == path.largest == LIMITS.max_window

    def test_each_growth_takes_two_round_trips(self):
        """An epoch after a growth does not show it yet."""
        path = Path(0.1, 1000 * MB)
        seen = []
        for _ in range(11):
            path.run(0.1)
            seen.append(path.window.size)
        assert seen == [INITIAL << (number + 1) // 2 for number in range(11)]

    def test_updates_come_at_least_sixteen_times_a_window(self):
        path = Path(0.05, 100 * MB)
        path.run(5.0)
        before, taken = path.updates, path.consumed
        path.run(5.0)
        assert (path.updates - before) * portion_of(path.window.size) == pytest.approx(path.consumed - taken, rel=0.1)

    @pytest.mark.parametrize("late", [0.02, 0.04, 0.06])
    def test_a_consumer_that_is_late_now_and_then_makes_it_no_larger(self, late):
        """It takes the rest of one epoch in the next: that is no rising rate."""
        path = Path(0.05, 100 * MB)
        path.run(2.0)
        for _ in range(20):
            path.run(0.5)
            path.consumer_bytes_per_second = 0.0
            path.run(late)
            path.consumer_bytes_per_second = float("inf")
        assert path.largest <= 2 * path.product


class TestSlowConsumers:
    @settings(max_examples=40, deadline=None)
    @given(
        rtt=st.sampled_from([0.0005, 0.005, 0.02, 0.05, 0.15]),
        share=st.floats(0.05, 0.8),
        rate=st.sampled_from([10 * MB, 100 * MB, 1000 * MB]),
    )
    def test_one_that_the_initial_window_serves_never_gets_more(self, rtt, share, rate):
        """Twice its rate and the headroom are below the window, however fast the path."""
        path = Path(rtt, rate)
        path.consumer_bytes_per_second = share * INITIAL / (2 * HEADROOM * max(rtt, EPOCH_SECONDS))
        path.run(3.0)
        assert path.largest == INITIAL

    @pytest.mark.parametrize("slow", [0.2 * MB, 1 * MB, 4 * MB])
    def test_what_a_fast_one_got_goes_back_when_it_becomes_slow(self, slow):
        """Of what it takes, half is not returned."""
        path = Path(0.05, 100 * MB)
        path.run(3.0)
        assert path.window.size > path.product
        extra = path.window.size - INITIAL
        path.consumer_bytes_per_second = slow
        path.run(2 * extra / slow + 3.0)
        assert path.window.size <= max(INITIAL, HEADROOM**2 * slow * path.rtt) + portion_of(INITIAL)
        path.consumer_bytes_per_second = float("inf")
        path.run(2.0)
        assert path.run(1.0) > 95 * MB

    def test_one_that_takes_a_whole_window_at_once_and_then_nothing_for_long_is_slow_too(self):
        """A service's socket does so: it takes all into its buffer, and says so when that has drained."""
        path = Path(0.05, 100 * MB)
        path.run(3.0)
        grown = path.window.size
        path.consumer_bytes_per_second = 0.0
        for _ in range(4):
            path.run(1.0)
            path.take_all()
        assert path.window.size < grown / 2

    def test_while_nothing_is_taken_nothing_is_returned(self):
        path = Path(0.05, 100 * MB)
        path.run(3.0)
        path.consumer_bytes_per_second = 0.0
        path.run(0.2)
        updates, window = path.updates, path.window
        path.run(10.0)
        assert path.updates == updates
        assert window.unread + window.consumed == window.size


class TestPauses:
    @settings(max_examples=20, deadline=None)
    @given(
        grown=st.booleans(),
        bursts=st.lists(st.tuples(st.floats(0.2, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=10),
    )
    def test_a_lone_burst_below_the_window_needs_no_round_trip(self, grown, bursts):
        """What was consumed and not returned is less than a portion, and no pause makes a window smaller."""
        path = Path(0.05, 100 * MB)
        if grown:
            path.run(2.0)
        path.sends = False
        size = path.window.size
        for pause, share in bursts:
            path.run(pause)
            assert path.window.size >= size
            size = path.window.size
            path.burst(round(share * (size - portion_of(size))))

    def test_small_bursts_with_pauses_change_nothing(self):
        path = Path(0.05, 100 * MB)
        path.run(2.0)
        size = path.window.size
        for _ in range(50):
            path.sends = False
            path.run(0.5)
            path.sends = True
            path.run(0.01)
        assert path.window.size == size


class TestMemory:
    def test_it_is_asked_before_growth_and_may_refuse(self):
        memory = Asked(grants=False)
        path = Path(0.05, 100 * MB, memory)
        path.run(2.0)
        assert path.largest == INITIAL
        assert memory.asked
        assert max(memory.asked) == INITIAL
        memory.grants = True
        path.run(2.0)
        assert path.window.size > path.product

    def test_it_is_asked_for_every_byte(self):
        memory = Asked()
        path = Path(0.05, 1000 * MB, memory)
        path.run(2.0)
        assert sum(memory.asked) == path.largest - INITIAL
        assert len(memory.asked) == path.grows

    def test_above_its_high_mark_windows_go_back_and_nobody_is_held_back(self):
        memory = Asked()
        path = Path(0.05, 100 * MB, memory)
        path.run(2.0)
        memory.above_high_mark = True
        path.run(7.0)
        assert path.window.size <= HEADROOM * INITIAL
        assert path.run(1.0) > 0.75 * INITIAL / path.rtt  # a window in each round trip, but for the last portion
        asked = len(memory.asked)
        path.run(1.0)
        assert len(memory.asked) == asked
        memory.above_high_mark = False
        path.run(2.0)
        assert path.run(1.0) > 95 * MB


class TestEvidence:
    def test_without_a_measured_round_trip_nothing_grows(self):
        own = ReceiveWindow(INITIAL)
        fitting = Fitting(LIMITS, Pings(), Asked())
        for number in range(100):
            own.remaining -= INITIAL
            own.acknowledge(INITIAL)
            fitting.portion_consumed(own, START + number / 10)
            assert own.take_due() == INITIAL
        assert own.size == INITIAL

    @pytest.mark.parametrize(
        ("rtt", "span", "grown"),
        [
            (0.1, 0.0999, 0), (0.1, 0.1, INITIAL), (0.1, 0.2, INITIAL // 4), (0.1, 0.3, 0), (0.1, 0.4, 0), (0.1, 9, 0),
            (0.001, 0.0099, 0), (0.001, 0.01, 0), (0.008, 0.01, INITIAL), (0.005, 0.01, INITIAL // 4),
        ],
    )  # fmt: skip
    def test_a_first_epoch_of_one_window(self, rtt, span, grown):
        """Nothing came before it, so it counts twice: 2.5 x rate x round trip."""
        memory = Asked()
        fitting = Fitting(LIMITS, measured(rtt), memory)
        own = ReceiveWindow(INITIAL)
        now = START
        for later, portion in ((0.0, 65_536), (span, INITIAL)):
            now += later
            own.remaining -= portion
            assert own.acknowledge(portion)
            fitting.portion_consumed(own, now)
            own.take_due()
        assert own.size == own.remaining == pytest.approx(INITIAL + grown, abs=1)

    def test_an_epoch_is_one_round_trip_at_least(self):
        """Half a window passes within a millisecond, as part of a burst: that is no rate."""
        fitting = Fitting(LIMITS, measured(0.1), Asked())
        own = ReceiveWindow(INITIAL)
        for _ in range(50):
            own.remaining -= 65_536
            own.acknowledge(65_536)
            fitting.portion_consumed(own, START)
            own.take_due()
        assert own.size == INITIAL


@examples(300)
@given(
    rtt=st.sampled_from([0.001, 0.02, 0.1]),
    steps=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.1, 0.11, 1.0]),
            st.integers(0, 100),  # percent of the credit that is used
            st.sampled_from([0, 10, 50, 100, 100]),  # percent of what is unread that is taken
            st.booleans(),  # the update is written
            st.booleans(),  # growth is granted
            st.sampled_from([False, False, False, True]),  # above the high mark
        ),
        max_size=60,
    ),
)
def test_no_byte_is_promised_twice_and_none_is_lost(rtt, steps):
    memory = Asked()
    fitting = Fitting(LIMITS, measured(rtt), memory)
    own = ReceiveWindow(INITIAL)
    now, granted, received, consumed, grown, cut = START, INITIAL, 0, 0, 0, 0
    for seconds, used, taken, writes, memory.grants, memory.above_high_mark in steps:
        now += seconds
        size = own.remaining * used // 100
        own.remaining -= size
        received += size
        portion = own.unread * taken // 100
        consumed += portion
        before, asked = own.size, len(memory.asked)
        if own.acknowledge(portion):
            fitting.portion_consumed(own, now)
            assert own.consumed == 0
        if own.size > before:
            assert memory.grants
            assert not memory.above_high_mark
            assert memory.asked[asked:] == [own.size - before]
            assert own.size <= 2 * before
        grown += max(0, own.size - before)
        cut += max(0, before - own.size)
        if writes:
            granted += own.take_due()
        assert granted - received == own.remaining >= 0
        assert own.remaining + own.unread + own.due + own.consumed == own.size
        assert granted + own.due + own.consumed == INITIAL + consumed + grown - cut
        assert INITIAL <= own.size <= LIMITS.max_window
        assert own.consumed < own.portion
