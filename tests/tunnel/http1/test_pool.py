"""The pool: order, age, bounds, and that nothing is closed or counted twice."""

import pytest

from tests.fakes.connections import Callbacks
from tests.fakes.stream import FakeStream
from tunnel.http1 import HttpConnection, Pool
from tunnel.http1.pool import DISTRUST_SECONDS, UNPROVEN_IDLE, WARY_SECONDS


class Idle:
    """A pool on a clock of its own, whose connections discard themselves when closed."""

    def __init__(self, *, max_idle: int = 64) -> None:
        self.now = 0.0
        self.pool = Pool(clock=self.clock, max_idle=max_idle)
        self.closed: list[HttpConnection] = []

    def clock(self) -> float:
        return self.now

    def connection(self, *, put: bool = True) -> HttpConnection:
        def on_closed(connection: HttpConnection) -> None:
            self.closed.append(connection)
            self.pool.discard(connection)

        made = HttpConnection(
            FakeStream(), clock=self.clock, owner=Callbacks(on_idle=lambda _: None, on_closed=on_closed)
        )
        if put:
            self.pool.put(made)
        return made


def proven() -> Idle:
    """A pool whose service kept a connection open until it expired."""
    idle = Idle()
    idle.connection()
    idle.now = 3.01
    idle.pool.expire()
    idle.closed.clear()
    return idle


def test_last_in_first_out() -> None:
    idle = proven()
    first, last = idle.connection(), idle.connection()
    assert len(idle.pool) == 2
    assert repr(idle.pool) == "<Pool of 2 idle connections>"
    assert idle.pool.take(repeatable=True) is last
    assert idle.pool.take(repeatable=False) is first
    assert idle.pool.take(repeatable=True) is None
    assert (len(idle.pool), idle.closed) == (0, [])
    assert repr(idle.pool) == "<Pool of 0 idle connections>"


def test_expired_connections_are_closed_on_the_way() -> None:
    idle = Idle()
    old = [idle.connection(), idle.connection()]
    idle.now = 3.0
    assert idle.pool.take(repeatable=True) is old[1]
    idle.pool.put(old[1])
    idle.now = 3.01
    assert idle.pool.take(repeatable=True) is None
    assert (idle.closed, len(idle.pool)) == ([old[1], old[0]], 0)


def test_what_may_not_be_repeated_takes_only_a_young_one() -> None:
    idle = proven()
    connection = idle.connection()
    idle.now += 1.01
    assert idle.pool.take(repeatable=False) is None
    assert (len(idle.pool), idle.closed) == (1, [])
    idle.now -= 0.02
    assert idle.pool.take(repeatable=False) is connection


def test_what_may_not_be_repeated_takes_none_before_the_service_has_shown_that_it_keeps_them() -> None:
    idle = Idle()
    first = idle.connection()
    assert idle.pool.take(repeatable=False) is None
    assert idle.pool.take(repeatable=True) is first
    idle.pool.put(first)
    idle.now = 3.01
    assert idle.pool.take(repeatable=True) is None  # it expired, still open: the proof
    second = idle.connection()
    assert idle.pool.take(repeatable=False) is second


@pytest.mark.parametrize(
    ("hint", "idle_seconds", "taken"),
    [(5.0, 0.0, True), (5.0, 1.0, True), (1.5, 0.6, False), (1.0, 0.0, True), (0.0, 0.0, False)],
)
def test_a_time_that_the_service_announces_shows_it_too(hint: float, idle_seconds: float, taken: bool) -> None:
    idle = Idle()
    connection = idle.connection()
    connection.keep_alive_seconds = hint
    idle.now = idle_seconds
    assert (idle.pool.take(repeatable=False) is connection) is taken


def test_a_service_that_closed_silently_is_distrusted_for_a_time_and_must_show_it_again() -> None:
    idle = proven()
    connection = idle.connection()
    connection.end_received()
    assert connection.closed_early
    assert not idle.pool.distrusts
    idle.pool.closed_by_service(connection)
    assert idle.pool.distrusts
    announced = idle.connection()
    announced.keep_alive_seconds = 60.0
    assert idle.pool.take(repeatable=False) is None
    idle.now += DISTRUST_SECONDS
    assert not idle.pool.distrusts
    idle.connection()
    assert idle.pool.take(repeatable=False) is None
    idle.now += 3.01
    idle.pool.expire()
    kept = idle.connection()
    assert idle.pool.take(repeatable=False) is kept


@pytest.mark.parametrize(
    ("closed_after", "idle_seconds", "taken"),
    [(0.0, 0.0, False), (0.001, 0.01, False), (0.01, 0.001, True), (2.0, 0.9, True), (2.0, 1.1, False)],
)
def test_after_a_silent_close_what_may_be_repeated_takes_only_one_that_is_far_from_it(
    closed_after: float, idle_seconds: float, taken: bool
) -> None:
    idle = Idle()
    connection = idle.connection()
    idle.now += closed_after
    idle.pool.discard(connection)
    idle.pool.closed_by_service(connection)
    idle.now += 1.0
    following = idle.connection()
    idle.now += idle_seconds
    assert (idle.pool.take(repeatable=True) is following) is taken


def test_the_earliest_close_counts_while_the_service_goes_on_to_close() -> None:
    idle = Idle()
    for closed_after in (0.2, 1.0):
        connection = idle.connection()
        idle.now += closed_after
        idle.pool.discard(connection)
        idle.pool.closed_by_service(connection)
    idle.connection()
    idle.now += 0.11
    assert idle.pool.take(repeatable=True) is None
    idle.now += WARY_SECONDS
    following = idle.connection()
    idle.now += 0.11
    assert idle.pool.take(repeatable=True) is following


def test_a_service_that_closes_when_it_said_it_would_is_not_distrusted() -> None:
    idle = Idle()
    connection = idle.connection()
    connection.keep_alive_seconds = 2.0
    idle.now = 2.0
    idle.pool.closed_by_service(connection)
    assert not idle.pool.distrusts


def test_few_connections_of_requests_that_must_not_be_sent_twice_wait_for_the_proof() -> None:
    idle = Idle()
    made = [idle.connection(put=False) for _ in range(UNPROVEN_IDLE + 2)]
    for connection in made:
        connection.careful = True
        idle.pool.put(connection)
    assert (len(idle.pool), idle.closed) == (UNPROVEN_IDLE, made[UNPROVEN_IDLE:])


@pytest.mark.parametrize(("hint", "limit"), [(0.0, 0.0), (2.0, 2.0), (60.0, 3.0), (None, 3.0)])
def test_the_services_hint_shortens_the_time(hint: float | None, limit: float) -> None:
    idle = Idle()
    connection = idle.connection()
    connection.keep_alive_seconds = hint
    idle.now = limit
    idle.pool.expire()
    assert (len(idle.pool), idle.closed) == (1, [])
    idle.now = limit + 0.01
    idle.pool.expire()
    assert (len(idle.pool), idle.closed) == (0, [connection])


def test_expire_closes_only_the_old() -> None:
    idle = Idle()
    old = [idle.connection(), idle.connection()]
    idle.now = 2.0
    young = idle.connection()
    idle.now = 4.0
    idle.pool.expire()
    assert (idle.closed, len(idle.pool)) == (old, 1)
    assert idle.pool.take(repeatable=True) is young


def test_beyond_the_bound_the_oldest_goes() -> None:
    idle = Idle(max_idle=2)
    made = [idle.connection() for _ in range(3)]
    assert (idle.closed, len(idle.pool)) == ([made[0]], 2)
    assert idle.pool.take(repeatable=True) is made[2]
    assert idle.pool.take(repeatable=True) is made[1]


def test_a_burst_of_answers_leaves_its_connections_to_the_next_requests() -> None:
    pool = Pool(clock=lambda: 0.0)
    closed: list[HttpConnection] = []
    made = [
        HttpConnection(
            FakeStream(), clock=lambda: 0.0, owner=Callbacks(on_idle=lambda _: None, on_closed=closed.append)
        )
        for _ in range(1_025)
    ]
    for connection in made:
        pool.put(connection)
    assert (len(pool), closed) == (1_024, made[:1])
    assert [pool.take(repeatable=True) for _ in range(1_024)] == made[:0:-1]


def test_a_bound_of_none() -> None:
    idle = Idle(max_idle=0)
    made = idle.connection()
    assert (idle.closed, len(idle.pool)) == ([made], 0)


def test_discard_goes_by_identity_and_twice_does_no_harm() -> None:
    idle = Idle()
    one, two, foreign = idle.connection(), idle.connection(), idle.connection(put=False)
    idle.pool.discard(one)
    idle.pool.discard(one)
    idle.pool.discard(foreign)
    assert (len(idle.pool), idle.closed) == (1, [])
    assert idle.pool.take(repeatable=True) is two


def test_put_twice_counts_once_and_a_closed_one_not_at_all() -> None:
    idle = Idle()
    connection = idle.connection()
    idle.pool.put(connection)
    assert len(idle.pool) == 1
    gone = idle.connection(put=False)
    gone.close()
    idle.pool.put(gone)
    assert len(idle.pool) == 1
    assert idle.pool.take(repeatable=True) is connection


def test_close_closes_all_and_twice_does_no_harm() -> None:
    idle = Idle()
    made = [idle.connection(), idle.connection(), idle.connection()]
    idle.pool.close()
    idle.pool.close()
    assert (set(idle.closed), len(idle.closed), len(idle.pool)) == (set(made), 3, 0)


def test_a_connection_that_ends_while_idle_leaves_the_pool() -> None:
    idle = Idle()
    connection = idle.connection()
    connection.end_received()
    assert (len(idle.pool), idle.closed) == (0, [connection])
    assert idle.pool.take(repeatable=True) is None
