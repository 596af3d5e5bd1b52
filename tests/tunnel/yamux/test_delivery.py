"""Data that goes straight to its owner, and what the owner takes at once: it counts as if it were acknowledged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.examples import examples
from tests.tunnel.yamux.wire import data, everything, frames, measure, ping, said, window
from tunnel.yamux import Limits, Role, Session, StreamEnded
from tunnel.yamux.frames import FIN, SYN, encode_header
from tunnel.yamux.windows import ReceiveWindow

LIMITS = Limits(initial_window=600, max_window=5000)


class Owner:
    """Takes some of each piece at once: returns it, or acknowledges it by a call, and the rest later."""

    def __init__(self, *, returns: bool) -> None:
        self.session = Session(Role.SERVER, LIMITS)
        measure(self.session, 0.1, 100.0)
        self.session.receive_data(window(1, 0, SYN), 100.0)
        self.session.accept_stream(1)
        self.session.deliver_to(1, self)
        everything(self.session)
        self.returns = returns
        self.now = 100.0
        self.percent = 100
        self.pieces: list[bytes] = []
        self.unread = 0

    def deliver(self, piece: bytes) -> int | None:
        self.pieces.append(piece)
        taken = len(piece) * self.percent // 100
        self.unread += len(piece) - taken
        if self.returns:
            return taken
        if taken:
            self.session.acknowledge(1, taken, self.now)
        return None

    def read(self, wire: bytes, percent: int, seconds: float) -> None:
        self.now += seconds
        self.percent = percent
        self.session.receive_data(wire, self.now)

    def catch_up(self) -> None:
        taken, self.unread = self.unread, 0
        self.session.acknowledge(1, taken, self.now)

    @property
    def books(self) -> dict[str, float]:
        own = self.session._table.live[1].window
        books = {name: getattr(own, name) for name in ReceiveWindow.__slots__ if name != "evidence"}
        evidence = own.evidence
        if evidence is not None:
            books |= {"taken": evidence.taken_bytes, "since": evidence.since, "roomy": evidence.roomy_epochs}
        return books


@examples(300)
@given(
    steps=st.lists(
        st.tuples(
            st.lists(st.integers(1, 400), min_size=1, max_size=4),  # frames
            st.integers(1, 900),  # bytes read at a time
            st.sampled_from([0, 50, 100, 100, 100]),  # taken at once
            st.sampled_from([0.0, 0.001, 0.05, 0.3]),
            st.booleans(),  # the owner takes the rest
            st.booleans(),  # the session may send
        ),
        max_size=30,
    )
)
def test_what_is_returned_counts_as_if_it_were_acknowledged(steps):
    short, long = Owner(returns=True), Owner(returns=False)
    credit = 600
    for sizes, cut, percent, seconds, catches_up, sends in steps:
        wire = b""
        for size in sizes:
            if 0 < size <= credit:
                credit -= size
                wire += data(1, bytes(size))
        for start in range(0, len(wire), cut):
            for owner in (short, long):
                owner.read(wire[start : start + cut], percent, seconds)
            assert short.books == long.books
        for owner in (short, long):
            if catches_up:
                owner.catch_up()
        assert short.books == long.books
        if sends:
            sent = everything(short.session)
            assert sent == everything(long.session)
            credit += sum(frame.length for frame in frames(sent) if frame.stream_id == 1)
    assert short.pieces == long.pieces
    assert short.unread == short.session._table.live[1].window.unread


class Function:
    """A `Consumer`, as a function."""

    def __init__(self, deliver) -> None:
        self.deliver = deliver


def owned(session: Session, deliver) -> None:
    session.receive_data(window(1, 0, SYN), 0.0)
    session.accept_stream(1)
    session.deliver_to(1, Function(deliver))
    said(session)


@pytest.mark.parametrize("cut", [0, 5, 12, 100])
def test_an_owner_that_resets_its_stream_gets_no_credit(cut):
    session = Session(Role.SERVER, LIMITS)

    def deliver(piece: bytes) -> int:
        session.reset_stream(1)
        return len(piece)

    owned(session, deliver)
    wire = data(1, bytes(500))
    for piece in (wire[:cut], wire[cut:]):
        session.receive_data(piece, 0.0)
    assert said(session) == ["WINDOW|RST 1 0"]


@pytest.mark.parametrize("cut", [0, 5, 12, 400])
def test_the_end_in_the_frame_of_the_data_cancels_its_credit(cut):
    session = Session(Role.SERVER, LIMITS)
    owned(session, len)
    wire = data(1, bytes(500), FIN)
    events = [event for piece in (wire[:cut], wire[cut:]) for event in session.receive_data(piece, 0.0)]
    assert events == [StreamEnded(1)]
    assert said(session) == []


@pytest.mark.parametrize("cut", [0, 5, 12, 400])
def test_a_portion_taken_at_once_returns_in_one_update(cut):
    session = Session(Role.SERVER, LIMITS)
    owned(session, len)
    wire = data(1, bytes(149)) + data(1, b"x")
    for piece in (wire[:cut], wire[cut:]):
        session.receive_data(piece, 0.0)
    assert said(session) == ["WINDOW 1 150"]


def test_plain_data_gives_nothing_to_send_until_credit_is_due():
    session = Session(Role.SERVER, LIMITS)
    owned(session, len)
    for size, due in ((100, False), (49, False), (1, True), (1, False)):
        session.receive_data(data(1, bytes(size)), 0.0)
        assert (session.outbox.others, session.wants_to_send) == (due, due)
        said(session)


@pytest.mark.parametrize("wire", [ping(7), data(1, b"xx") + ping(7)], ids=lambda wire: wire.hex())
def test_what_has_to_be_answered_gives_something_to_send(wire):
    session = Session(Role.SERVER, LIMITS)
    owned(session, len)
    session.receive_data(data(1, b"x"), 0.0)
    assert (session.outbox.others, session.wants_to_send) == (False, False)
    session.receive_data(wire, 0.0)
    assert (session.outbox.others, session.wants_to_send) == (True, True)


def test_the_window_that_an_owner_may_look_at():
    session = Session(Role.SERVER, LIMITS)
    owned(session, len)
    session.receive_data(encode_header(0, 0, 1, 50) + bytes(20), 0.0)
    own = session.window_of(1)
    assert (own.size, own.announced, own.consumed) == (600, 30, 20)
    session.reset_stream(1)
    with pytest.raises(KeyError):
        session.window_of(1)
