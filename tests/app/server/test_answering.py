"""Answers on a connection: their framing, what a slow client means, and what is seen of a broken one."""

import pytest

from app.server.connection_states import State
from tests.app.server.door import GET, Client, Door
from tests.fakes.loop import dialogue, quiet

# --- framing by the client


@pytest.mark.parametrize(
    ("request_", "fields", "body", "expected", "closed"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", [], b"ab", b"connection: close\r\n\r\nab", True),
        (b"GET / HTTP/1.0\r\n\r\n", [(b"content-length", b"2")], b"ab",
         b"content-length: 2\r\nconnection: close\r\n\r\nab", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [(b"content-length", b"2")], b"ab",
         b"content-length: 2\r\nconnection: keep-alive\r\n\r\nab", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [], b"ab", b"connection: close\r\n\r\nab", True),
        (b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", [(b"content-length", b"2")], b"ab",
         b"content-length: 2\r\n\r\n", False),
        (b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", [], b"ab", b"\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", [], b"ab",
         b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nab\r\n0\r\n\r\n", True),
        (GET, [(b"connection", b"close")], b"ab",
         b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nab\r\n0\r\n\r\n", True),
        (GET, [], b"", b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ],
)  # fmt: skip
@dialogue
async def test_the_framing_of_an_answer(
    request_: bytes, fields: list[tuple[bytes, bytes]], body: bytes, expected: bytes, closed: bool
):
    with Client(Door()) as client:
        client.send(request_)
        client.connection.start(200, fields)
        if body:
            client.connection.send(body)
        client.connection.end()
        await quiet()
        assert client.got == b"HTTP/1.1 200 OK\r\n" + expected
        assert client.wire.closed is closed


@pytest.mark.parametrize("status", [204, 304])
@dialogue
async def test_an_answer_without_a_body_has_no_framing(status: int):
    with Client(Door()) as client:
        client.send(GET)
        client.connection.start(status, [])
        client.connection.end()
        await quiet()
        assert client.got.endswith(b"\r\n\r\n")
        assert b"transfer-encoding" not in client.got
        assert client.connection.state is State.WAITING


@dialogue
async def test_a_body_shorter_than_its_length_cuts_the_connection():
    with Client(Door()) as client:
        client.send(GET)
        client.connection.start(200, [(b"content-length", b"5")])
        client.connection.send(b"abc")
        client.connection.end()
        await quiet()
        assert client.wire.aborted


@pytest.mark.parametrize(("te", "trailers"), [(b"TE: trailers\r\n", b"x: 1\r\n"), (b"", b"")])
@dialogue
async def test_trailers_reach_a_client_that_takes_them(te: bytes, trailers: bytes):
    with Client(Door()) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\n" + te + b"\r\n")
        client.connection.start(200, [])
        client.connection.send(b"a")
        client.connection.trailers([(b"x", b"1")])
        client.connection.end()
        await quiet()
        assert client.got.endswith(b"1\r\na\r\n0\r\n" + trailers + b"\r\n")


@pytest.mark.parametrize(
    ("version", "expected"), [(b"1.1", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"), (b"1.0", b"")]
)
@dialogue
async def test_interim_answers(version: bytes, expected: bytes):
    with Client(Door()) as client:
        client.send(b"GET / HTTP/" + version + b"\r\nHost: h\r\n\r\n")
        client.connection.interim(103, [(b"link", b"x")])
        assert client.got == expected


# --- long parts


@pytest.mark.parametrize(
    ("fields", "expected"),
    [([], b"4e20\r\n" + b"x" * 20_000 + b"\r\n"), ([(b"content-length", b"50000")], b"x" * 20_000)],
)
@dialogue
async def test_a_long_part_leaves_at_once_and_in_its_order(fields: list[tuple[bytes, bytes]], expected: bytes):
    with Client(Door()) as client:
        client.send(GET)
        call, connection = client.door.call, client.connection
        connection.start(200, fields)
        assert not connection.pass_on(b"x" * 20_000), "it leaves with the head"
        await quiet()
        assert call.log == ["begin", "sent 20000"]
        before = client.got
        assert connection.pass_on(b"x" * 20_000)
        assert client.got == before + expected
        connection.send(b"y")
        assert not connection.pass_on(b"z" * 9_999), "what was sent before it goes first"
        await quiet()
        assert client.got.replace(b"\r\n", b"").endswith(b"xy" + b"z" * 9_999 if fields else b"y" + b"z" * 9_999)
        assert call.log == ["begin", "sent 20000", "sent 10000"]


@dialogue
async def test_a_long_part_that_fills_the_transport_is_told_once_it_was_taken():
    with Client(Door()) as client:
        client.send(GET)
        call, connection = client.door.call, client.connection
        connection.start(200, [(b"content-length", b"200000")])
        await quiet()
        client.wire.stuck = True
        assert not connection.pass_on(b"x" * 100_000)
        assert call.log[-1] == "sending"
        assert not connection.pass_on(b"y" * 100_000)
        connection.end()
        await quiet()
        assert call.log[-1] == "sending"
        client.wire.take(100_000)
        await quiet()
        assert "sent 100000" in call.log
        client.wire.take(100_000)
        await quiet()
        assert client.got.endswith(b"x" + b"y" * 100_000)
        assert call.log[-1].startswith("finished")


@dialogue
async def test_no_more_of_a_long_part_is_written_than_was_announced():
    with Client(Door()) as client:
        client.send(GET)
        client.connection.start(200, [(b"content-length", b"20000")])
        await quiet()
        client.connection.pass_on(b"x" * 30_000)
        client.connection.pass_on(b"x" * 30_000)
        client.connection.end()
        await quiet()
        assert client.got.endswith(b"\r\n\r\n" + b"x" * 20_000)
        assert client.connection.state is State.WAITING


# --- a client that does not read


@dialogue
async def test_a_call_learns_what_was_taken():
    with Client(Door()) as client:
        client.wire.stuck = True
        client.send(GET)
        call = client.door.call
        client.connection.start(200, [])
        client.connection.send(b"x" * 100_000)
        await quiet()
        assert call.log == ["begin", "sending"]
        client.connection.send(b"y" * 10)
        client.connection.end()
        await quiet()
        assert call.log == ["begin", "sending"]
        client.wire.take(len(client.wire.buffer))
        await quiet()
        assert call.log == ["begin", "sending", "sent 100000", "finished 10"]


@dialogue
async def test_a_whole_answer_that_is_not_taken_at_once():
    with Client(Door()) as client:
        client.wire.stuck = True
        client.send(GET)
        call = client.door.call
        assert call.whole(b"x" * 100_000) is False
        await quiet()
        assert client.connection.state is State.ANSWERING
        assert call.log == ["begin", "sending"]
        assert client.connection.unsent_bytes == len(client.wire.buffer)
        client.wire.take(len(client.wire.buffer))
        assert call.log == ["begin", "sending", "finished 100000"]
        assert client.connection.state is State.WAITING


@dialogue
async def test_while_the_client_takes_nothing_a_whole_answer_waits_for_it():
    with Client(Door()) as client:
        client.send(GET)
        client.connection.pause_writing()
        assert client.door.call.whole() is False
        await quiet()
        assert client.wire.writes == 0
        client.connection.resume_writing()
        await quiet()
        assert client.got.endswith(b"\r\n\r\nok")
        assert client.connection.state is State.WAITING


@pytest.mark.parametrize(
    ("request_", "drains"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (GET, True),
    ],
)
@dialogue
async def test_a_connection_that_ends_with_a_whole_answer_says_so(request_: bytes, drains: bool):
    with Client(Door()) as client:
        client.send(request_)
        if drains:
            client.connection.shutdown()
        assert client.door.call.whole() is False
        await quiet()
        assert client.got == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        assert client.wire.closed


@dialogue
async def test_what_was_not_written_yet_can_be_taken_back():
    with Client(Door()) as client:
        client.send(GET)
        client.connection.start(200, [])
        client.connection.send(b"x")
        assert client.connection.retract()
        client.door.call.answer(502, b"no")
        await quiet()
        assert client.got == b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 2\r\n\r\nno"
        client.send(GET)
        client.connection.start(200, [])
        await quiet()
        assert not client.connection.retract()


@pytest.mark.parametrize(("request_", "fields", "aborted"), [
    (GET, [], False), (GET, [(b"content-length", b"9")], False), (b"GET / HTTP/1.0\r\n\r\n", [], True),
])  # fmt: skip
@dialogue
async def test_an_answer_that_is_broken_off_is_seen_to_be_incomplete(
    request_: bytes, fields: list[tuple[bytes, bytes]], aborted: bool
):
    with Client(Door()) as client:
        client.send(request_)
        client.connection.start(200, fields)
        client.connection.send(b"abc")
        client.connection.break_off("why")
        await quiet()
        assert b"abc" in client.got
        assert client.wire.closed
        assert client.wire.aborted is aborted
        assert client.door.call.log == ["begin", "broken off"]


@dialogue
async def test_an_abort_cuts_the_connection_and_tells_nobody():
    with Client(Door()) as client:
        client.send(GET)
        client.connection.abort()
        assert client.wire.aborted
        await quiet()
        assert client.door.call.log == ["begin"]
