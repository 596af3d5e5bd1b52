"""A connection: requests one after the other, bodies, answers, and what the ends of either side mean."""

import asyncio

from app.server import connection_states as states
from app.server.connection_states import State
from tests.app.server.door import GET, Client, Door
from tests.fakes.loop import dialogue, quiet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


# --- requests, one after the other


@dialogue
async def test_a_whole_answer_is_one_write_and_ends_its_call_at_once():
    with Client(Door()) as client:
        for _ in range(3):
            client.send(GET)
            assert client.connection.state is State.ANSWERING
            assert client.door.call.whole() is True
            assert client.connection.state is State.WAITING
        assert client.wire.done == [OK] * 3
        assert [call.log for call in client.door.calls] == [["begin"]] * 3


@dialogue
async def test_an_answer_in_parts_leaves_with_its_head_in_one_write_a_turn():
    with Client(Door()) as client:
        client.send(GET)
        call = client.door.call
        client.connection.start(200, [(b"x", b"1")])
        client.connection.send(b"ab")
        client.connection.send(b"c")
        await quiet()
        client.connection.send(b"d")
        client.connection.end()
        await quiet()
        head = b"HTTP/1.1 200 OK\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n"
        assert client.wire.done == [head + b"3\r\nabc\r\n", b"1\r\nd\r\n0\r\n\r\n"]
        assert call.log == ["begin", "sent 3", "finished 1"]
        assert client.connection.state is State.WAITING


@dialogue
async def test_pipelined_requests_wait_as_bytes_and_are_answered_in_order():
    door = Door()
    with Client(door) as client:
        client.send(GET * 3 + b"GET /4 HTTP/1.1\r\nHo")
        assert len(door.calls) == 1
        assert door.account.held_bytes > 3 * len(GET) // 2
        for number in range(3):
            assert len(door.calls) == number + 1
            door.call.whole()
            await quiet()
        assert client.connection.state is State.HEAD
        assert door.account.held_bytes == len(b"GET /4 HTTP/1.1\r\nHo")
        client.send(b"st: h\r\n\r\n")
        assert door.call.head is not None
        assert door.call.head.path == b"/4"
        door.call.whole()
        assert client.wire.done == [OK] * 4


@dialogue
async def test_an_unfinished_head_is_counted():
    door = Door()
    with Client(door) as client:
        client.send(GET[:-2], b"X: " + b"x" * 100_000)
        assert door.account.held_bytes == len(GET) + 100_001
        assert client.wire.reading
        client.send(b"\r\n\r\n")
        await quiet()
        assert door.account.held_bytes == 0
        assert len(door.calls) == 1


@dialogue
async def test_a_flood_of_pipelined_requests_is_not_read_further():
    door = Door()
    with Client(door) as client:
        client.send(GET, GET * (states.WAITING_BYTES // len(GET)))
        assert client.wire.reading
        client.send(GET * 2)
        assert not client.wire.reading
        assert door.account.held_bytes > states.WAITING_BYTES
        while door.account.held_bytes:
            door.call.whole()
            await quiet()
        assert client.wire.reading


@dialogue
async def test_pieces_of_a_head_and_what_follows_it():
    door = Door()
    with Client(door) as client:
        for byte in POST + b"he":
            client.send(bytes([byte]))
        assert len(door.calls) == 1
        client.connection.read_body()
        await quiet()
        client.send(b"llo" + GET)
        assert door.call.log == ["begin", "body 2", "body 3 last"]
        door.call.whole()
        await quiet()
        assert len(door.calls) == 2


# --- the client's end


@dialogue
async def test_a_client_that_ends_right_after_its_request_gets_its_answer():
    with Client(Door()) as client:
        client.send(GET)
        assert client.end()
        client.door.call.whole()
        await quiet()
        assert client.got == CLOSING
        assert client.wire.closed


@dialogue
async def test_a_client_that_ends_after_several_requests_gets_all_answers():
    door = Door()
    with Client(door) as client:
        client.send(GET * 2)
        assert client.end()
        door.call.whole()
        await quiet()
        door.call.whole()
        await quiet()
        assert client.got == OK + CLOSING
        assert client.wire.closed


@dialogue
async def test_a_client_that_ends_later_has_left():
    with Client(Door()) as client:
        client.send(GET)
        await asyncio.sleep(states.HALF_CLOSE_SECONDS + 0.1)
        assert not client.end()
        assert client.door.call.log == ["begin", "left"]


@dialogue
async def test_a_half_closed_client_waits_only_so_long():
    with Client(Door()) as client:
        client.send(GET)
        assert client.end()
        await asyncio.sleep(states.HALF_CLOSED_SECONDS - 0.1)
        assert not client.wire.closed
        await asyncio.sleep(1.1)
        assert client.wire.aborted
        assert client.door.call.log == ["begin", "left"]


# --- upgrades


@dialogue
async def test_what_comes_before_the_101_reaches_the_peer_after_it():
    door = Door()
    with Client(door) as client:
        client.send(UPGRADE + b"early")
        (peer,) = door.peers
        assert (peer.log, peer.data, client.connection.state) == (["serve"], b"", State.UPGRADING)
        client.send(b" bird")
        assert door.account.held_bytes == 10
        client.connection.open(peer, peer)
        client.send(b"!")
        assert (peer.data, door.account.held_bytes) == (b"early bird!", 0)
        client.wire.lose()
        assert peer.log == ["serve", "left"]


@dialogue
async def test_a_handshake_that_is_turned_down_leaves_the_connection_for_requests():
    door = Door()
    with Client(door) as client:
        client.send(UPGRADE)
        call = door.take(None, client.connection)  # type: ignore[arg-type]
        client.connection.turn_down(call, 403, [(b"content-length", b"2")], b"no")
        await quiet()
        assert client.got == b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"
        assert call.log == ["finished 2"]
        client.send(GET)
        door.call.whole()
        assert client.got.endswith(OK)
