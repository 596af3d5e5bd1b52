"""Fifty clients that send what is expensive to read, and one beside them: what a turn of the loop takes, counted.

The unit is a step of the backlog. A turn of the loop must do as little for fifty such clients as for one, and the
requests of others are read at once all the same.
"""

import asyncio
from contextlib import ExitStack

import pytest

from app.server.backlog import UNITS_PER_TURN
from app.server.bodies import CHUNKS_PER_CALL
from app.server.connection_states import FULL_READ_BYTES, WAITING_BYTES, State
from app.server.heads import FIELDS, HEAD_BYTES, USUAL_BYTES, USUAL_FIELDS
from tests.app.server.door import GET, Call, Client, Door
from tests.fakes.loop import dialogue, quiet

CLIENTS = 50
READ_BYTES = 256 * 1024
"""What uvloop reads at once."""
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def filled(piece: bytes) -> bytes:
    return piece * (READ_BYTES // len(piece))


def head_of(fields: int, line: bytes = b"X-%d: v\r\n") -> bytes:
    return GET[:-2] + b"".join(line % number for number in range(fields - 1)) + b"\r\n"


def long_head(size: int) -> bytes:
    return GET[:-2] + b"X: ".ljust(size - len(GET) - 2, b"a") + b"\r\n\r\n"


def read_bodies(call: Call) -> None:
    call.connection.read_body()


def answer_at_once(call: Call) -> None:
    call.whole()


class Crowd:
    """Fifty clients of one door, and another one."""

    def __init__(self, stack: ExitStack) -> None:
        self.door = Door()
        self.clients = [stack.enter_context(Client(self.door)) for _ in range(CLIENTS)]
        self.other = stack.enter_context(Client(self.door))

    def send(self, data: bytes) -> None:
        for client in self.clients:
            client.send(data)

    @property
    def told(self) -> int:
        """Pieces of bodies that calls were told so far."""
        return sum(entry.startswith("body") for call in self.door.calls for entry in call.log)


# --- what a turn takes


@pytest.mark.parametrize(
    "piece",
    [
        b"1\r\na\r\n",
        b"A\r\n0123456789\r\n",
        b"7d0;" + b";".join([b"a"] * 125) + b"\r\n" + b"b" * 2_000 + b"\r\n",
    ],
)
@dialogue
async def test_small_chunks(piece: bytes):
    with ExitStack() as stack:
        crowd = Crowd(stack)
        crowd.door.on_begin = read_bodies
        crowd.send(CHUNKED)
        crowd.send(filled(piece))
        assert crowd.told == 1  # a step for what arrives, while nobody waits
        assert all(not client.wire.reading for client in crowd.clients)
        assert crowd.door.account.held_bytes <= CLIENTS * (READ_BYTES + WAITING_BYTES)
        longest = max(len(call.body_) for call in crowd.door.calls)
        assert longest <= CHUNKS_PER_CALL * max(10, piece.count(b"b"))
        for turn in range(1, 20):
            await asyncio.sleep(0)
            assert crowd.told == 1 + turn * UNITS_PER_TURN


@pytest.mark.parametrize("piece", [GET, head_of(20)])
@dialogue
async def test_requests_that_came_together(piece: bytes):
    with ExitStack() as stack:
        crowd = Crowd(stack)
        crowd.door.on_begin = answer_at_once
        crowd.send(filled(piece))
        assert len(crowd.door.calls) == CLIENTS
        before = CLIENTS
        for _ in range(20):
            await asyncio.sleep(0)
            assert 0 < len(crowd.door.calls) - before <= UNITS_PER_TURN
            before = len(crowd.door.calls)


@pytest.mark.parametrize(
    "head",
    [
        head_of(FIELDS),
        head_of(USUAL_FIELDS + 1),
        long_head(USUAL_BYTES + 1),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
@dialogue
async def test_heads_that_are_not_usual(head: bytes, pieces: int):
    with ExitStack() as stack:
        crowd = Crowd(stack)
        middle = len(head) // pieces
        crowd.send(head[:middle])
        crowd.send(head[middle:])
        assert crowd.door.calls == []
        await asyncio.sleep(0)
        assert 0 < len(crowd.door.calls) <= UNITS_PER_TURN
        await quiet()
        assert len(crowd.door.calls) == CLIENTS
        assert crowd.door.account.held_bytes == 0


@pytest.mark.parametrize("head", [head_of(USUAL_FIELDS), long_head(USUAL_BYTES)])
@dialogue
async def test_a_usual_head_is_read_at_once(head: bytes):
    with Client(Door()) as client:
        client.send(head)
        assert len(client.door.calls) == 1


@dialogue
async def test_the_largest_heads_are_read_one_in_seventeen_turns():
    with ExitStack() as stack:
        crowd = Crowd(stack)
        crowd.send(head_of(2, b"Cookie: %d" + b"a" * (HEAD_BYTES - 100) + b"\r\n"))
        for turn in range(17 * CLIENTS):
            await asyncio.sleep(0)
            assert len(crowd.door.calls) == 1 + turn // 17


@dialogue
async def test_what_is_dropped_after_a_refusal_is_read_once_a_turn():
    with Client(Door()) as client:
        client.send(b"bad\n")
        await quiet()
        assert client.connection.state is State.LINGERING
        client.send(b"x" * (FULL_READ_BYTES - 1))
        assert client.wire.reading
        client.send(b"x" * FULL_READ_BYTES)
        assert not client.wire.reading
        await asyncio.sleep(0)
        assert client.wire.reading


@dialogue
async def test_what_many_send_after_a_refusal_is_read_from_two_of_them_a_turn():
    with ExitStack() as stack:
        crowd = Crowd(stack)
        crowd.send(b"bad\n")
        await quiet()
        crowd.send(b"x" * FULL_READ_BYTES)
        clients = crowd.clients
        assert not any(client.wire.reading for client in clients)
        for turn in range(1, CLIENTS // 2 + 1):
            await asyncio.sleep(0)
            assert sum(client.wire.reading for client in clients) == 2 * turn


# --- the others


FLOODS = {
    "chunks": (CHUNKED, filled(b"1\r\na\r\n")),
    "requests": (filled(GET),),
    "large heads": (head_of(FIELDS),),
}


def flooded(stack: ExitStack, flood: str) -> Crowd:
    """The fifty have sent it, and their calls read it; the other's call does what the test says."""
    crowd = Crowd(stack)
    crowd.door.on_begin = lambda call: None if call.connection is crowd.other.connection else read_bodies(call)
    for data in FLOODS[flood]:
        crowd.send(data)
    return crowd


@pytest.mark.parametrize("flood", list(FLOODS))
@dialogue
async def test_an_ordinary_request_beside_a_flood_is_read_at_once(flood: str):
    with ExitStack() as stack:
        crowd = flooded(stack, flood)
        for number in range(1, 4):
            crowd.other.send(GET)
            assert crowd.door.call.connection is crowd.other.connection
            crowd.door.call.whole()
            assert crowd.other.got.count(b"HTTP/1.1 200 OK\r\n") == number
            await asyncio.sleep(0)


@pytest.mark.parametrize("flood", list(FLOODS))
@dialogue
async def test_an_upload_beside_a_flood_waits_for_nobody(flood: str):
    with ExitStack() as stack:
        crowd = flooded(stack, flood)
        crowd.other.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        call = crowd.door.call
        call.connection.read_body()
        await asyncio.sleep(0)
        assert call.log == ["begin", "body 5 last"]


# --- while a request waits for its turn


@dialogue
async def test_an_end_of_input_behind_a_head_that_waits_is_no_end_of_the_request():
    with Client(Door()) as client:
        client.send(head_of(FIELDS))
        assert client.end()
        await quiet()
        client.door.call.whole()
        await quiet()
        assert client.got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert client.wire.closed


@dialogue
async def test_a_drain_answers_a_request_that_waits():
    with Client(Door()) as client:
        client.send(head_of(FIELDS))
        client.connection.finish()
        await quiet()
        client.door.call.whole()
        await quiet()
        assert b"\r\nconnection: close\r\n" in client.got
        assert client.wire.closed


@dialogue
async def test_a_client_that_is_lost_while_it_waits_is_read_no_more():
    door = Door()
    with Client(door) as client:
        client.send(head_of(FIELDS))
        client.wire.lose()
        await quiet()
        assert (door.calls, door.account.held_bytes) == ([], 0)
