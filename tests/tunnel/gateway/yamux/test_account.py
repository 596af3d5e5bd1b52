"""Above the account's high mark: credit is withheld from a consumer that lags, and returned when there is room."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from tests.tunnel.gateway.exchanges import OK, opened
from tests.tunnel.gateway.peer import Line
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.gateway.link import LinkState

WINDOW = 262_144
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"


@contextmanager
def crowded() -> Iterator[tuple[Line, Account]]:
    account = Account(high_mark_bytes=1_000_000)
    line = Line(account=account, ready=True)
    yield line, account
    account.adjust(-account.held_bytes)
    line.link.lost("end of the test")


class Holder:
    """A stream's owner that takes what it is told to take."""

    def __init__(self, line: Line, size: int = 1_000_000) -> None:
        self.received = 0
        self.stream = line.link.carrier.open_stream()
        self.stream.owner = self
        line.run()
        line.answer(bytes(size))
        assert self.received == min(size, WINDOW)  # all that may come as long as nothing is acknowledged

    def data_received(self, data: bytes, /) -> None:
        self.received += len(data)

    def end_received(self) -> None: ...

    def stream_lost(self, error: TunnelError, /) -> None: ...

    def stream_writable(self) -> None: ...


def test_a_consumer_that_lags_gets_its_credit_back_only_below_the_mark():
    with crowded() as (line, account):
        holder = Holder(line)
        account.adjust(1_000_000)
        holder.stream.acknowledge(200_000)  # it took some, and holds the rest
        assert account.above_high_mark
        line.run()
        assert holder.received == WINDOW
        assert holder.stream.withheld_bytes == 200_000
        line.pass_time(3.0, answering=True)
        assert holder.received == WINDOW
        account.adjust(-1_000_000)
        line.pass_time(1.5, answering=True)
        assert holder.stream.withheld_bytes == 0
        assert holder.received == WINDOW + 200_000


def test_what_was_withheld_returns_with_the_next_credit_too():
    with crowded() as (line, account):
        holder = Holder(line)
        account.adjust(1_000_000)
        holder.stream.acknowledge(100_000)
        line.run()
        assert holder.received == WINDOW
        account.adjust(-1_000_000)
        holder.stream.acknowledge(50_000)
        line.run()
        assert holder.received == WINDOW + 150_000
        line.pass_time(3.0, answering=True)  # and only once
        assert holder.received == WINDOW + 150_000


def test_at_the_mark_nothing_is_withheld():
    with crowded() as (line, account):
        holder = Holder(line)
        account.adjust(1_200_000 - account.held_bytes)
        holder.stream.acknowledge(200_000)  # and with that the account is at its mark
        assert account.held_bytes == account.high_mark_bytes
        line.run()
        assert holder.stream.withheld_bytes == 0
        assert holder.received == WINDOW + 200_000


def test_withheld_credit_of_a_stream_that_is_over_is_forgotten():
    with crowded() as (line, account):
        holder = Holder(line)
        account.adjust(1_000_000)
        holder.stream.acknowledge(100_000)
        holder.stream.reset()
        account.adjust(-1_000_000)
        line.pass_time(1.5, answering=True)
        assert account.held_bytes == 0
        assert line.stream()[1].was_reset
        assert line.link.state is LinkState.READY


def test_a_consumer_that_took_all_is_not_held_back():
    """However late: what it holds is nothing now."""
    with crowded() as (line, account):
        holder = Holder(line)
        account.adjust(2_000_000)
        holder.stream.acknowledge(WINDOW)
        assert account.above_high_mark
        line.run()
        assert holder.received == 2 * WINDOW


def test_a_consumer_that_keeps_up_is_not_held_back():
    with crowded() as (line, account):
        account.adjust(2_000_000)
        _, sink = opened(line)
        line.run()
        line.answer(HEAD)
        line.answer(bytes(3_000_000))
        assert (len(sink.body), sink.outcome) == (3_000_000, "end")
        _, other = opened(line)
        line.run()
        line.answer(OK)
        assert other.outcome == "end"


def test_a_stream_that_ended_both_ways_and_is_forgotten_holds_nothing():
    """Its owner was to acknowledge the rest, and never did."""
    line = Line(ready=True)
    holder = Holder(line, 1_000)
    holder.stream.write_end()
    line.answer(b"", end=True)
    assert line.account.held_bytes == holder.stream.held_bytes == 1_000
    assert not line.link.carrier._streams
    del holder
    gc.collect()
    assert line.account.held_bytes == 0


def test_windows_do_not_grow_once_half_of_the_mark_is_held():
    with crowded() as (line, account):
        account.adjust(300_000)  # and 262,144 more would be above 500,000
        line.pass_time(1.5, answering=True)
        _, sink = opened(line)
        line.run()
        line.answer(HEAD)
        line.answer(bytes(3_000_000))
        assert sink.outcome == "end"
        assert {stream.window.size for stream in line.link.carrier.session._table.live.values()} == {WINDOW}


def test_the_hard_mark_calls_for_help_on_the_way_up_only():
    calls: list[int] = []
    account = Account(100, 200, lambda: calls.append(account.held_bytes))
    for delta in (100, 100):
        account.adjust(delta)
    assert calls == []
    account.adjust(1)
    account.adjust(50)
    account.adjust(-10)
    assert calls == [201, 251]


def test_the_marks():
    account = Account(100)
    assert account.hard_mark_bytes == 200
    account.adjust(100)
    assert not account.above_high_mark
    account.adjust(1)
    assert account.above_high_mark
    account.adjust(-62)
    assert (account.may_grow(10), account.may_grow(11)) == (True, False)
