"""Every state of a connection meets every input: where it is afterwards, and what became of the transport."""

import asyncio
from collections.abc import Callable

import pytest

from app.server import connection_states as states
from app.server.connection_states import ROWS, Drain, Fin, Late, State
from app.server.heads import USUAL_FIELDS
from tests.app.server.door import GET, Call, Client, Door
from tests.fakes.loop import dialogue, quiet

POST = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

UNUSUAL = GET[:-2] + b"X: 1\r\n" * USUAL_FIELDS + b"\r\n"

W, H, B, T, A, D, L, U, O, C, X = State  # noqa: E741


async def in_state(state: State) -> Client:
    """A connection that has come there."""
    door = Door()
    door.on_begin = lambda call: call.connection.read_body()
    client = Client(door)
    if state is H:
        client.send(b"GET")
    elif state in (B, T):
        client.send(POST + (b"0\r\n" if state is T else b""))
    elif state is A:
        client.send(GET)
    elif state is D:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
        door.call.whole()
    elif state is L:
        client.send(b"bad\n")
    elif state in (U, O):
        client.send(UPGRADE)
        if state is O:
            client.connection.open(door.peers[0], door.peers[0])
    elif state is C:
        client.wire.stuck = True
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        door.call.answer()
    elif state is X:
        client.wire.lose()
    await quiet()
    assert client.connection.state is state
    return client


def get(client: Client) -> None:
    client.send(GET)


def chunk(client: Client) -> None:
    client.send(b"1\r\na\r\n0\r\n\r\n")


def fin(client: Client) -> None:
    if client.connection.state is not X:
        client.end()


def lost(client: Client) -> None:
    client.wire.lose(ConnectionResetError())


def drain(client: Client) -> None:
    client.connection.finish()


def stop(client: Client) -> None:
    client.connection.shutdown()


def whole(client: Client) -> None:
    if client.connection._call is not None:  # else there is no call to answer it
        client.door.call.whole()


def abort(client: Client) -> None:
    client.connection.abort()


AFTER: dict[State, dict[Callable[[Client], None], State]] = {
    W: {get: A, chunk: L, fin: X, lost: X, drain: X, stop: X, whole: W, abort: X},
    H: {get: A, chunk: L, fin: X, lost: X, drain: H, stop: H, whole: H, abort: X},
    B: {get: L, chunk: A, fin: X, lost: X, drain: B, stop: B, whole: L, abort: X},
    T: {get: L, chunk: L, fin: X, lost: X, drain: T, stop: T, whole: L, abort: X},
    A: {get: A, chunk: A, fin: A, lost: X, drain: A, stop: A, whole: W, abort: X},
    D: {get: L, chunk: L, fin: X, lost: X, drain: D, stop: X, whole: D, abort: X},
    L: {get: L, chunk: L, fin: X, lost: X, drain: L, stop: X, whole: L, abort: X},
    U: {get: U, chunk: U, fin: X, lost: X, drain: U, stop: U, whole: U, abort: X},
    O: {get: O, chunk: O, fin: X, lost: X, drain: O, stop: O, whole: O, abort: X},
    C: {get: C, chunk: C, fin: C, lost: X, drain: C, stop: C, whole: C, abort: X},
    X: {get: X, chunk: X, fin: X, lost: X, drain: X, stop: X, whole: X, abort: X},
}
"""State -> input -> the state once all that can happen has happened."""


def test_every_state_meets_every_input():
    assert set(AFTER) == set(State) == set(ROWS)
    assert len({frozenset(row) for row in AFTER.values()}) == 1


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("given", list(AFTER[W]))
@dialogue
async def test_what_follows(state: State, given: Callable[[Client], None]):
    client = await in_state(state)
    calls = len(client.door.calls)
    given(client)
    await quiet()
    assert client.connection.state is AFTER[state][given]
    if client.connection.state is X:
        assert client.wire.lost
        assert client.door.connections == []
        assert len(client.door.deadlines) == 0
        ends = [call.log[-1] for call in client.door.calls[:calls]]
        aborted = given is abort and state in (B, T, A)  # a call that aborts is over by itself
        assert all(end.startswith(("left", "finished")) for end in ends) or aborted or state in (D, C), ends
    client.wire.lose()
    await quiet()
    assert client.door.account.held_bytes == 0


@pytest.mark.parametrize("state", list(State))
@dialogue
async def test_no_state_lasts_for_ever_but_those_of_a_call_or_a_websocket(state: State):
    client = await in_state(state)
    await asyncio.sleep(400.0)
    ends = state in (A, U, O)  # the call's deadlines, and the channel's pings
    assert client.connection.state is (state if ends else X)
    client.wire.lose()


def answer_in_parts(client: Client) -> None:
    """Early, and the connection stays."""
    client.connection.start(200, [(b"content-length", b"0")])
    client.connection.end()


def answer_the_last(client: Client) -> None:
    """The next request has come, and will not be read."""
    client.send(GET)
    client.connection.finish()
    client.door.call.whole()


def drop_too_much(client: Client) -> None:
    """The rest of a body in chunks that nobody wants."""
    answer_in_parts(client)
    client.connection._flush()
    client.send(b"%x\r\n" % (2 * states.DROPPED_BYTES) + b"x" * (states.DROPPED_BYTES + 1))


def turn_down(client: Client) -> None:
    peer = client.door.peers[0]
    client.connection.turn_down(Call(None, client.connection, client.door), 404, [(b"content-length", b"0")], b"")
    assert peer.log == ["serve"]


MAKES: list[tuple[State, bytes | Callable[[Client], None]]] = [
    (W, b"GET"), (W, POST), (W, GET), (W, UPGRADE),
    (H, GET[3:]), (H, UPGRADE[3:]), (H, UNUSUAL[3:]),
    (H, b"X / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"),
    (B, b"0\r\n"), (B, b"1\r\na\r\n0\r\n\r\n"), (B, answer_in_parts), (B, whole), (B, drop_too_much),
    (T, b"\r\n"), (T, answer_in_parts), (T, whole),
    (A, whole), (A, answer_the_last),
    (D, b"hello"),
    (U, lambda client: client.connection.open(*client.door.peers[:1] * 2)), (U, turn_down),
]  # fmt: skip
"""Inputs that make each move of the table, and others with it."""


@dialogue
async def test_every_move_of_the_table_is_made_and_no_other():
    """No other: `Moves` holds every test of a connection to that."""
    made: set[tuple[State, State]] = set()
    for state, given in MAKES:
        client = await in_state(state)
        if isinstance(given, bytes):
            client.send(given)
        else:
            given(client)
        await quiet()
        client.wire.lose()
        made.update(client.connection.moves)
    table = {(state, after) for state, row in ROWS.items() for after in row.next}
    assert {move for move in made if move[1] not in (C, X)} == table


@pytest.mark.parametrize("state", list(State))
def test_the_rows_are_whole(state: State):
    row = ROWS[state]
    is_bounded = row.seconds is not None or row.late is Late.NOTHING or state is W
    assert is_bounded
    assert isinstance(row.fin, Fin)
    assert isinstance(row.drain, Drain)
    assert states.LOOK_SECONDS <= states.BODY_SECONDS
