"""The small parts: ids, pings, the send buffer, limits."""

import pytest

from tunnel.yamux import DuplicateStream, InvalidStreamId, Limits, Role, StreamIdsExhausted
from tunnel.yamux.buffer import SendBuffer
from tunnel.yamux.ids import StreamIds
from tunnel.yamux.pings import Pings


class TestIds:
    @pytest.mark.parametrize(("role", "ours"), [(Role.CLIENT, [1, 3, 5]), (Role.SERVER, [2, 4, 6])])
    def test_the_clients_are_odd_and_the_servers_even(self, role, ours):
        ids = StreamIds(role)
        assert [ids.next_local() for _ in range(3)] == ours

    @pytest.mark.parametrize(("role", "first"), [(Role.CLIENT, 2), (Role.SERVER, 1)])
    def test_each_remote_id_is_used_once(self, role, first):
        ids = StreamIds(role)
        ids.use_remote(first)
        ids.use_remote(first + 2)
        for used in (first, first + 2):
            with pytest.raises(DuplicateStream):
                ids.use_remote(used)

    @pytest.mark.parametrize(
        ("role", "wrong"), [(Role.CLIENT, 0), (Role.SERVER, 0), (Role.CLIENT, 1), (Role.SERVER, 2)]
    )
    def test_wrong_parity(self, role, wrong):
        with pytest.raises(InvalidStreamId):
            StreamIds(role).use_remote(wrong)

    def test_syns_in_the_other_order(self):
        ids = StreamIds(Role.SERVER)
        for stream_id in (5, 1, 7, 3):
            ids.use_remote(stream_id)
        for stream_id in (1, 3, 5, 7):
            with pytest.raises(DuplicateStream):
                ids.use_remote(stream_id)

    def test_what_was_jumped_over_is_remembered_within_a_bound(self):
        ids = StreamIds(Role.SERVER)
        ids.use_remote(2**32 - 1)
        ids.use_remote(2**32 - 3 - 2 * 255)
        with pytest.raises(DuplicateStream):
            ids.use_remote(2**32 - 3 - 2 * 256)

    def test_many_jumps_keep_the_bound(self):
        ids = StreamIds(Role.SERVER)
        for stream_id in range(1, 100_000, 1000):
            ids.use_remote(stream_id)
        assert len(ids._skipped) == 256

    @pytest.mark.parametrize(("role", "last"), [(Role.CLIENT, 2**32 - 3), (Role.SERVER, 2**32 - 4)])
    def test_ids_run_out(self, role, last):
        ids = StreamIds(role)
        ids._next = last
        assert ids.next_local() == last
        with pytest.raises(StreamIdsExhausted):
            ids.next_local()


class TestPings:
    def test_the_round_trip_is_the_minimum_of_the_last_eight(self):
        pings = Pings()
        for known, rtt in ((None, 0.5), (None, 0.25), (None, 1.0), *[(0.25, 1.0)] * 5):
            assert pings.rtt == known
            assert pings.answered(pings.sent(10.0), 10.0 + rtt) == rtt
        assert pings.rtt == 0.25
        pings.answered(pings.sent(10.0), 11.0)
        assert pings.rtt == 0.25
        pings.answered(pings.sent(10.0), 11.0)
        assert pings.rtt == 1.0

    def test_answers_to_nothing(self):
        pings = Pings()
        ping_id = pings.sent(1.0)
        assert pings.answered(ping_id + 1, 2.0) is None
        assert pings.answered(ping_id, 2.0) == 1.0
        assert pings.answered(ping_id, 3.0) is None

    def test_a_peer_that_never_answers_costs_a_bounded_memory(self):
        pings = Pings()
        ids = [pings.sent(0.0) for _ in range(100)]
        assert len(pings._sent) == 64
        assert pings.answered(ids[35], 1.0) is None
        assert pings.answered(ids[36], 1.0) == 1.0

    def test_ids_wrap(self):
        pings = Pings()
        pings._next = 2**32 - 1
        assert [pings.sent(0.0), pings.sent(0.0)] == [2**32 - 1, 0]

    def test_a_clock_that_goes_back(self):
        pings = Pings()
        assert pings.answered(pings.sent(2.0), 1.0) == 0.0


class TestSendBuffer:
    def taken(self, buffer, size):
        parts: list[bytes | memoryview] = []
        buffer.take(size, parts)
        return b"".join(parts)

    def test_first_in_first_out_in_other_pieces(self):
        buffer = SendBuffer()
        for chunk in (b"abc", b"d", b"efghij"):
            buffer.append(chunk)
        assert buffer.size == 10
        assert [self.taken(buffer, n) for n in (2, 3, 1, 4)] == [b"ab", b"cde", b"f", b"ghij"]
        assert buffer.size == 0

    def test_whole_chunks_are_not_copied(self):
        buffer = SendBuffer()
        chunk = bytes(100)
        buffer.append(chunk)
        parts: list[bytes | memoryview] = []
        buffer.take(100, parts)
        assert parts[0] is chunk

    def test_all_of_it_is_taken_as_it_came(self):
        buffer = SendBuffer()
        chunks = [b"abc", b"d", b"efghij"]
        for _ in range(2):
            for chunk in chunks:
                buffer.append(chunk)
            parts: list[bytes | memoryview] = [b"before"]
            buffer.take(10, parts)
            assert parts == [b"before", *chunks]
            assert buffer.size == 0

    @pytest.mark.parametrize("first", [1, 3, 4])
    def test_all_that_is_left_of_it_is_taken(self, first):
        buffer = SendBuffer()
        for chunk in (b"abc", b"d", b"efghij"):
            buffer.append(chunk)
        assert self.taken(buffer, first) + self.taken(buffer, 10 - first) == b"abcdefghij"
        buffer.append(b"next")
        assert [self.taken(buffer, 1), self.taken(buffer, 3)] == [b"n", b"ext"]

    def test_a_buffer_that_is_never_empty_keeps_no_taken_chunks(self):
        buffer = SendBuffer()
        buffer.append(b"0")
        for _ in range(10_000):
            buffer.append(b"1")
            self.taken(buffer, 1)
        assert buffer.size == 1
        assert len(buffer._chunks) <= 130

    def test_clear(self):
        buffer = SendBuffer()
        buffer.append(b"abc")
        self.taken(buffer, 1)
        buffer.clear()
        buffer.append(b"xyz")
        assert self.taken(buffer, 3) == b"xyz"


class TestLimits:
    def test_defaults(self):
        limits = Limits()
        assert (limits.initial_window, limits.max_window) == (262_144, 16_777_216)
        assert (limits.frame_bytes, limits.send_buffer_bytes) == (16_384, 65_536)

    def test_nothing_may_be_zero(self):
        with pytest.raises(ValueError, match="frame_bytes must be at least 1, not 0"):
            Limits(frame_bytes=0)

    def test_a_window_cannot_be_below_its_start(self):
        with pytest.raises(ValueError, match="max_window 1000 is below initial_window 262144"):
            Limits(max_window=1000)
