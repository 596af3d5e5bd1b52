"""Credit for what a stream's owner took at once, later, or not yet: no byte is lost, and none given back twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tunnel.gateway.exchanges import OK, line_of, opened
from tests.tunnel.gateway.peer import Line
from tests.tunnel.yamux.wire import data
from tunnel.account import Account
from tunnel.errors import TunnelError
from tunnel.gateway.yamux.stream import YamuxStream

WINDOW = 262_144
QUARTER = WINDOW // 4


class Owner:
    """Acknowledges what it is told to, some of it while it is told of a piece."""

    def __init__(self, line: Line) -> None:
        self.carrier = line.link.carrier
        self.stream: YamuxStream = self.carrier.open_stream()
        self.stream.owner = self
        self.window = self.carrier.session.window_of(self.stream.stream_id)
        line.run()
        self.held = 0
        self.at_once: list[int] = []
        self.lost = False

    def receive(self, size: int, *at_once: int) -> None:
        self.at_once = list(at_once)
        self.carrier.bytes_received(data(self.stream.stream_id, bytes(size)))

    def data_received(self, piece: bytes, /) -> None:
        self.held += len(piece)
        for size in self.at_once:
            self.take(size)

    def take(self, size: int) -> None:
        self.held -= size
        self.stream.acknowledge(size)

    def end_received(self) -> None: ...

    def stream_lost(self, error: TunnelError, /) -> None:
        self.lost = True

    def stream_writable(self) -> None: ...


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 60_000),  # bytes that come
            st.lists(st.integers(0, 100), max_size=3),  # percent of what is held, taken at once
            st.integers(0, 100),  # and later
            st.booleans(),  # the account is above its mark
            st.booleans(),  # the link sends
        ),
        max_size=30,
    )
)
def test_each_byte_is_held_withheld_or_given_back(steps):
    account = Account(high_mark_bytes=1_000_000)
    line = Line(account=account, ready=True)
    owner = Owner(line)
    crowd = 0
    for wanted, at_once, later, crowded, sends in steps:
        account.adjust(-crowd)
        crowd = 2_000_000 if crowded else 0
        account.adjust(crowd)
        size = min(wanted, owner.window.remaining)
        if size:
            held = owner.held + size
            portions = []
            for percent in at_once:
                portions.append(held * percent // 100)
                held -= portions[-1]
            owner.receive(size, *portions)
        owner.take(owner.held * later // 100)
        assert owner.window.consumed < owner.window.portion
        if sends:
            line.run()
        stream = owner.stream
        assert not owner.lost
        assert stream.held_bytes == stream.unread_bytes == owner.held
        assert owner.window.unread == owner.held + stream.withheld_bytes
        assert account.held_bytes == crowd + owner.held
        assert not stream.withheld_bytes or owner.held, "a consumer that took all is not held back"
    account.adjust(-crowd)
    line.link.lost("end of the test")
    assert account.held_bytes == 0


@pytest.mark.parametrize(
    ("size", "before", "at_once"), [(10, 0, (11,)), (10, 0, (4, 7)), (10, 5, (16,)), (10, 0, (-1,))]
)
def test_an_owner_that_acknowledges_more_than_it_got_costs_its_stream(size, before, at_once, caplog):
    with line_of() as line:
        owner = Owner(line)
        if before:
            owner.receive(before)
        owner.receive(size, *at_once)
        assert owner.lost
        assert "failed in its owner" in caplog.text
        caplog.clear()


def test_a_quarter_of_a_window_taken_at_once_wakes_the_link():
    with line_of() as line:
        owner = Owner(line)
        line.wakes = 0
        owner.receive(QUARTER - 1, QUARTER - 1)
        assert (owner.window.consumed, owner.window.due, line.wakes) == (QUARTER - 1, 0, 0)
        owner.receive(1, 1)
        assert (owner.window.consumed, owner.window.due, line.wakes) == (0, QUARTER, 1)
        line.run()
        assert owner.window.remaining == WINDOW
        owner.stream.reset()


def test_a_consumer_that_lags_behind_gets_no_credit_for_what_it_takes_at_once():
    account = Account(high_mark_bytes=1_000_000)
    line = Line(account=account, ready=True)
    owner = Owner(line)
    owner.receive(10)
    account.adjust(2_000_000)
    owner.receive(30, 30)
    assert (owner.stream.withheld_bytes, owner.window.consumed) == (30, 0)
    owner.receive(5, 3)
    assert (owner.stream.withheld_bytes, owner.window.consumed) == (33, 0)
    owner.receive(1, 13)  # all that it held, and the new byte
    assert (owner.stream.withheld_bytes, owner.window.consumed) == (0, 46)
    account.adjust(-2_000_000)
    line.link.lost("end of the test")
    assert account.held_bytes == 0


def test_a_pooled_stream_begins_with_most_of_a_window():
    with line_of() as line:
        for _ in range(3):
            _, sink = opened(line)
            line.run()
            line.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n" + bytes(80_000))
            assert sink.outcome == "end"
        _, sink = opened(line)
        line.run()
        assert len(line.peer.streams) == 1
        [stream] = line.link.carrier._streams.values()
        own = line.link.carrier.session.window_of(stream.stream_id)
        assert own.remaining > 3 * QUARTER
        assert own.size == WINDOW
        line.answer(OK)
        assert sink.outcome == "end"


def test_what_was_passed_on_is_counted_elsewhere_and_its_credit_waits():
    line = Line(ready=True)
    owner = Owner(line)
    owner.data_received = lambda piece: owner.stream.pass_on(len(piece))  # type: ignore[method-assign]
    owner.receive(200_000)
    assert owner.stream.held_bytes == line.account.held_bytes == 0
    assert owner.window.remaining == WINDOW - 200_000
    line.run()
    assert owner.window.remaining == WINDOW - 200_000
    owner.stream.repay(200_000)
    line.run()
    assert owner.window.remaining == WINDOW
    owner.receive(1000)
    owner.stream.reset()
    owner.stream.repay(1000)
    line.run()
    assert line.account.held_bytes == 0
