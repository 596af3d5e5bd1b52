"""Heads on a connection: how long one may be, what is no request, and where the refusal stands among the answers."""

import asyncio

import pytest

from app.server import connection_states as states
from app.server.connection_states import State
from app.server.heads import FIELDS, HEAD_BYTES, LINE_BYTES, USUAL_FIELDS
from tests.app.server.door import GET, Client, Door, reading
from tests.fakes.loop import dialogue, quiet

START = GET[:-2]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TOO_LARGE = b"HTTP/1.1 431 "


def head_of(size: int) -> bytes:
    """An unfinished head of this many bytes, in lines that are short enough."""
    line = b"X-Long: " + b"x" * (LINE_BYTES // 2) + b"\r\n"
    lines = line * ((size - len(START)) // len(line) - 1)
    rest = size - len(START) - len(lines)
    return START + lines + b"X-Long: " + b"x" * (rest - len(b"X-Long: "))


# --- what stands before a head


@pytest.mark.parametrize("fields", [0, USUAL_FIELDS + 1])
@pytest.mark.parametrize(
    ("before", "status"),
    [
        (b"\r\n", 200), (b"\r\n" * 4, 200), (b"\r\n" * 5, 400),
        (b"\r", 400), (b"\r\r", 400), (b"\r\r\n", 400), (b"\r\n\r", 400),
    ],
)  # fmt: skip
@dialogue
async def test_empty_lines_and_a_cr_alone_before_a_head_that_is_read_at_once_or_later(
    before: bytes, status: int, fields: int
):
    door = Door()
    door.on_begin = lambda call: call.answer()
    with Client(door) as client:
        client.send(before + START + b"X: 1\r\n" * fields + b"\r\n")
        await quiet()
        assert client.got.startswith(b"HTTP/1.1 %d " % status)


# --- how long a head may be


@pytest.mark.parametrize("pieces", [1, 2, 64])
@dialogue
async def test_an_unfinished_head_is_refused_beyond_its_bound(pieces: int):
    door = Door()
    with Client(door) as client:
        head = head_of(HEAD_BYTES)
        step = HEAD_BYTES // pieces
        for begin in range(0, HEAD_BYTES, step):
            client.send(head[begin : begin + step])
        assert (client.got, client.connection.state) == (b"", State.HEAD)
        client.send(b"x")
        await quiet()
        assert client.got.startswith(TOO_LARGE)
        assert b"\r\nconnection: close\r\n" in client.got
        assert client.connection.state is State.LINGERING
        before = client.got
        client.send(b"x")
        await quiet()
        assert client.got == before
        assert [call.head for call in door.calls] == [None]


@dialogue
async def test_a_head_at_its_bound_may_still_be_finished_and_the_next_ones_count_begins_anew():
    door = Door()
    with Client(door) as client:
        for number in (1, 2):
            client.send(head_of(HEAD_BYTES - 4), b"\r\n\r\n")
            await quiet()
            assert door.call.whole()
            assert client.got == OK * number


@dialogue
async def test_a_body_does_not_count_as_a_head():
    door = reading()
    size = 2 * HEAD_BYTES
    with Client(door) as client:
        first = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
        client.send(first + b"x" * size + b"GET /2 HT")
        assert len(door.call.body_) == size
        door.call.whole()
        await quiet()
        client.send(b"TP/1.1\r\nHost: h\r\n\r\n")
        door.call.whole()
        assert [call.head.path for call in door.calls if call.head is not None] == [b"/", b"/2"]
        assert client.got == OK * 2


@pytest.mark.parametrize(("fields", "is_refused"), [(FIELDS, False), (FIELDS + 1, True)])
@dialogue
async def test_how_many_fields(fields: int, is_refused: bool):
    door = Door()
    with Client(door) as client:
        client.send(START + b"".join(b"X-%d: 1\r\n" % number for number in range(fields - 1)) + b"\r\n")
        await quiet()
        assert client.got.startswith(TOO_LARGE) is is_refused
        assert [error.problem.status for error in door.refused] == [431] * is_refused
        client.wire.lose()


# --- how long the rest may take


@dialogue
async def test_a_head_in_time_has_no_deadline_any_more():
    with Client(Door()) as client:
        client.send(START)
        await asyncio.sleep(states.HEAD_SECONDS - 0.1)
        client.send(b"\r\n")
        await asyncio.sleep(3 * states.HEAD_SECONDS)  # the answer may take its time
        client.door.call.whole()
        assert client.got == OK


@dialogue
async def test_between_requests_a_connection_may_idle_and_the_next_head_has_a_deadline():
    with Client(Door()) as client:
        client.send(GET)
        client.door.call.whole()
        await asyncio.sleep(60.0)
        assert not client.wire.closed
        client.send(b"G")
        await asyncio.sleep(states.HEAD_SECONDS - 0.1)
        assert client.got == OK
        await asyncio.sleep(1.1)
        assert client.got.startswith(OK + b"HTTP/1.1 408 ")


# --- what is no request


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: h\r\nX : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET nothing HTTP/1.1\r\nHost: h\r\n\r\n",
        b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
        b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
@dialogue
async def test_it_is_answered_with_400_and_nothing_more_is_read(data: bytes):
    door = Door()
    with Client(door) as client:
        client.send(data)
        await quiet()
        assert client.got.startswith(b"HTTP/1.1 400 ")
        assert client.got.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in client.got
        assert client.connection.state is State.LINGERING
        client.send(GET)
        await quiet()
        assert client.got.count(b"HTTP/1.1 ") == 1
        assert [call.head for call in door.calls] == [None]


@pytest.mark.parametrize("data", [b"\x00\x01\r\n\r\n", head_of(HEAD_BYTES + 1)])
@dialogue
async def test_a_refusal_is_never_written_into_the_answer_before_it(data: bytes):
    door = Door()
    with Client(door) as client:
        client.send(GET)
        client.connection.start(200, [(b"content-length", b"9")])
        client.connection.send(b"half")
        await quiet()
        client.send(data)
        await quiet()
        assert client.got.endswith(b"\r\n\r\nhalf")
        assert door.refused == []
        client.connection.send(b" more")
        client.connection.end()
        await quiet()
        assert b"\r\n\r\nhalf moreHTTP/1.1 4" in client.got
        assert len(door.refused) == 1


@dialogue
async def test_a_head_that_is_refused_is_held_no_longer():
    """Its answer may have to wait for a client that does not read."""
    door = Door()
    with Client(door) as client:
        client.send(START, b"X: " + b"x" * 10_000)
        assert door.account.held_bytes > 10_000
        client.send(b"\n")
        assert [error.problem.status for error in door.refused] == [400]
        assert (client.got, door.account.held_bytes) == (b"", 0)
