"""A client that pipelines requests and then ends its sending side: what is whole is answered, the rest ends at once."""

import asyncio

import pytest

from app.server import connection_states as states
from app.server.connection_states import State
from tests.app.server.door import GET, Call, Client, Door, reading
from tests.fakes.loop import dialogue, quiet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize(
    "begun",
    [
        b"G",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        POST + b"Content-Length: 3\r\n\r\n",
        POST + b"Content-Length: 3\r\n\r\nab",
        CHUNKED,
        CHUNKED + b"3",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nX:",
        HANDSHAKE,
    ],
)
@dialogue
async def test_what_can_never_be_whole_ends_the_connection_behind_the_last_answer(begun: bytes):
    """Nobody waits for an answer to it: the same end in a single such request is a client that left."""
    door = reading()
    with Client(door) as client:
        client.send(GET + begun)
        assert client.end()
        door.call.whole()
        await quiet()
        assert client.got == OK
        assert client.wire.lost
        assert not client.wire.aborted
        assert [call.log[-1] for call in door.calls[1:]] == ["left"] * begun.startswith(b"POST")
        assert door.peers == []


@pytest.mark.parametrize("rest", [b"3", b"3\r\nabc", b"3\r\nabc\r", b"3\r\nabc\r\n0\r\nX: 1"])
@dialogue
async def test_a_part_of_a_line_of_a_body_is_not_waited_for(rest: bytes):
    door = reading()
    with Client(door) as client:
        client.send(CHUNKED + rest)
        client.end()
        await quiet()
        assert client.wire.lost
        assert door.call.log[-1] == "left"


@dialogue
async def test_the_rest_of_a_body_that_the_call_has_not_asked_for_is_kept():
    door = Door()
    with Client(door) as client:
        client.send(CHUNKED + b"3\r\nab")
        assert client.end()
        await asyncio.sleep(1.0)
        assert not client.wire.closed
        client.connection.read_body()
        await quiet()
        assert client.wire.lost
        assert door.call.log == ["begin", "left"]


@dialogue
async def test_a_body_that_is_missing_whole_is_not_waited_for_when_its_call_asks_late():
    door = Door()
    with Client(door) as client:
        client.send(GET + POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.end()
        door.call.whole()
        await quiet()
        client.connection.read_body()
        await quiet()
        assert client.got == OK, "and no 100"
        assert client.wire.lost


@dialogue
async def test_an_end_between_an_answer_and_the_next_request_loses_nothing():
    """The first is answered at once; the second waits for its turn of the loop when the end is read."""
    door = Door()
    door.on_begin = Call.whole
    with Client(door) as client:
        client.send(GET * 3)
        assert client.connection.state is State.WAITING
        assert client.end()
        await quiet()
        assert client.got == OK * 3
        assert client.wire.lost
        assert not client.wire.aborted


@dialogue
async def test_a_refused_body_and_the_request_behind_it():
    door = Door()
    with Client(door) as client:
        client.send(POST + b"Content-Length: 3\r\n\r\nabc" + GET)
        assert client.end()
        door.call.answer(403)
        await quiet()
        assert len(door.calls) == 2
        door.call.whole()
        await quiet()
        assert client.got.endswith(b"\r\n\r\nok")
        assert client.wire.lost


# --- for how long


@dialogue
async def test_only_the_first_answer_after_the_end_is_in_a_hurry():
    """What we sent reached the client: if it had left, it would have reset the connection."""
    door = Door()
    with Client(door) as client:
        client.send(GET * 3)
        assert client.end()
        for _ in range(2):
            door.call.whole()
            await quiet()
            await asyncio.sleep(10 * states.HALF_CLOSED_SECONDS)
            assert not client.wire.closed
        door.call.whole()
        await quiet()
        assert client.got.count(b"\r\n\r\nok") == len(door.calls) == 3
        assert client.wire.lost
        assert not client.wire.aborted


@dialogue
async def test_an_answer_that_was_under_way_counts_as_the_first():
    door = Door()
    with Client(door) as client:
        client.send(GET * 2)
        client.connection.start(200, [])
        client.connection.send(b"o")
        await quiet()
        assert client.end()
        client.connection.end()
        await quiet()
        assert len(door.calls) == 2
        await asyncio.sleep(10 * states.HALF_CLOSED_SECONDS)
        assert not client.wire.closed


@dialogue
async def test_one_that_begins_after_the_end_has_its_time_from_then_on():
    door = Door()
    door.on_begin = lambda call: call.whole() if call is door.calls[0] else None
    with Client(door) as client:
        client.send(GET * 2)
        assert client.end()
        await quiet()
        assert len(door.calls) == 2
        await asyncio.sleep(states.HALF_CLOSED_SECONDS - 0.1)
        assert not client.wire.closed
        await asyncio.sleep(1.1)
        assert client.wire.aborted
        assert door.call.log == ["begin", "left"]


@dialogue
async def test_a_drain_ends_it_after_the_answer():
    door = Door()
    with Client(door) as client:
        client.send(GET * 2)
        assert client.end()
        client.connection.finish()
        door.call.whole()
        await quiet()
        assert b"connection: close" in client.got
        assert client.wire.lost
        assert len(door.calls) == 1


@dialogue
async def test_a_drain_between_an_answer_and_the_next_request_loses_nothing():
    door = Door()
    door.on_begin = Call.whole
    with Client(door) as client:
        client.send(GET * 3)
        client.connection.finish()
        await quiet()
        assert client.got.startswith(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n")
        assert len(door.calls) == 2
        assert client.wire.ended, "the third is not read, and the client is told so"
