"""Bodies of requests on a connection: told as the call asks, refused, dropped after an early answer."""

import pytest

from app.server import connection_states as states
from app.server.connection_states import State
from tests.app.server.door import GET, Client, Door, reading
from tests.fakes.loop import dialogue, quiet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


# --- bodies


@dialogue
async def test_a_body_waits_until_it_is_asked_for():
    door = Door()
    with Client(door) as client:
        client.send(POST + b"hel")
        assert door.call.log == ["begin"]
        assert door.account.held_bytes > 3
        client.send(b"lo")
        client.connection.read_body()
        assert door.call.log == ["begin"]  # nothing is told before the call has returned
        await quiet()
        assert door.call.log == ["begin", "body 5 last"]
        assert (client.connection.state, door.account.held_bytes) == (State.ANSWERING, 0)


@dialogue
async def test_a_body_that_came_with_its_head_is_told_in_the_same_turn():
    door = reading()
    with Client(door) as client:
        client.send(POST + b"hello")
        assert door.call.log == ["begin", "body 5 last"]


@dialogue
async def test_a_call_that_pauses_is_told_nothing_and_the_socket_is_not_read():
    door = reading()
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n", b"a" * 10)
        client.connection.pause_body()
        client.send(b"b" * states.WAITING_BYTES, b"c")
        assert door.call.log == ["begin", "body 10"]
        assert not client.wire.reading
        assert door.account.held_bytes == states.WAITING_BYTES + 1
        client.connection.resume_body()
        await quiet()
        assert door.call.log == ["begin", "body 10", f"body {states.WAITING_BYTES + 1}"]
        assert client.wire.reading
        assert door.account.held_bytes == 0


@dialogue
async def test_many_small_chunks_take_many_turns():
    door = reading()
    with Client(door) as client:
        client.send(CHUNKED + b"1\r\na\r\n" * 1_000 + b"0\r\n\r\n")
        assert len(door.call.body_) < 300
        await quiet()
        assert len(door.call.body_) == 1_000
        assert len(door.call.log) > 4


@pytest.mark.parametrize("expect", [b"Expect: 100-continue\r\n", b""])
@dialogue
async def test_a_client_that_waits_for_a_100_gets_it_when_the_body_is_asked_for(expect: bytes):
    with Client(Door()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n" + expect + b"\r\n")
        assert client.got == b""
        client.connection.read_body()
        assert client.got == (b"HTTP/1.1 100 Continue\r\n\r\n" if expect else b"")
        client.send(b"hello")
        client.door.call.whole()
        assert client.got.endswith(OK)


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nh",
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ],
)
@dialogue
async def test_no_100_for_a_client_that_does_not_wait_or_does_not_know_it(head: bytes):
    with Client(Door()) as client:
        client.send(head)
        client.connection.read_body()
        await quiet()
        assert client.got == b""


@pytest.mark.parametrize("bad", [b"x\r\n", b"1\r\nab", b"0\r\nX : 1\r\n\r\n"])
@dialogue
async def test_a_body_that_is_wrong_spoils_its_call_and_ends_the_connection(bad: bytes):
    door = reading()
    with Client(door) as client:
        client.send(CHUNKED + bad + GET)
        assert door.call.log[-1] == "spoil 400"
        await quiet()
        assert b"HTTP/1.1 400 Bad Request\r\n" in client.got
        assert b"\r\nconnection: close\r\n" in client.got
        assert client.connection.state is State.LINGERING
        client.send(GET)
        assert len(door.calls) == 1


# --- early answers


@dialogue
async def test_after_an_early_answer_a_short_rest_is_dropped_and_the_next_request_read():
    door = Door()
    with Client(door) as client:
        client.send(POST + b"he")
        assert door.call.whole() is False
        await quiet()
        assert client.connection.state is State.DROPPING
        client.send(b"llo" + GET)
        await quiet()
        assert len(door.calls) == 2
        assert door.calls[0].log == ["begin", "finished 2"]
        assert client.got == OK


@pytest.mark.parametrize("head", [b"Content-Length: 999999999", b"Transfer-Encoding: chunked"])
@dialogue
async def test_an_early_answer_to_a_long_body_says_that_the_connection_ends_and_lingers(head: bytes):
    door = Door()
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n")
        door.call.whole()
        await quiet()
        assert client.got == CLOSING
        assert client.wire.done[-1] == "eof"
        assert client.connection.state is State.LINGERING
        client.send(b"x" * 1_000_000)
        assert not client.wire.closed
        assert not client.end()
        assert client.wire.closed


@dialogue
async def test_what_is_dropped_and_what_is_lingered_has_a_bound():
    door = Door()
    with Client(door) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.connection.start(200, [])
        client.connection.end()  # the head did not know yet that the body will not end
        await quiet()
        assert client.connection.state is State.DROPPING
        client.send(b"FFFFFF\r\n" + b"x" * (states.DROPPED_BYTES + 1))
        assert client.connection.state is State.LINGERING
        for _ in range(states.LINGERED_BYTES // 1_000_000):
            client.send(b"x" * 1_000_000)
        assert not client.wire.closed
        client.send(b"x" * 1_000_000)
        assert client.wire.closed


@pytest.mark.parametrize("is_taken", [True, False])
@dialogue
async def test_over_tls_a_flood_after_the_answer_is_cut_off_once_the_answer_has_left(is_taken: bool):
    with Client(Door()) as client:
        client.connection.scheme = "https"
        client.wire.stuck = not is_taken
        client.send(b"bad\n")
        await quiet()
        for _ in range(states.LINGERED_BYTES // 1_000_000):
            client.send(b"x" * 1_000_000)
        assert not client.wire.closed
        client.send(b"x" * 1_000_000)
        assert client.wire.done[-1] == ("abort" if is_taken else "close")


@pytest.mark.parametrize("whole", [True, False])
@dialogue
async def test_a_final_answer_in_place_of_100_ends_the_connection(whole: bool):
    """Nobody knows whether the body follows: what comes next may be it, or a request (RFC 9110 section 10.1.1)."""
    with Client(Door()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        if whole:
            client.door.call.answer(403)
        else:
            client.connection.start(403, [(b"content-length", b"2")])
            client.connection.send(b"ok")
            client.connection.end()
        await quiet()
        assert b"\r\nconnection: close\r\n" in client.got
        client.send(GET)
        await quiet()
        assert len(client.door.calls) == 1


@dialogue
async def test_a_body_that_did_not_wait_for_100_keeps_the_connection():
    with Client(Door()) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        client.send(b"he")
        client.door.call.answer(403)
        client.send(b"llo" + GET)
        await quiet()
        assert b"connection: close" not in client.got
        assert len(client.door.calls) == 2
