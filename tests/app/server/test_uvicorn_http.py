"""What the HTTP protocol class adds to uvicorn's: bounds of heads, offers to upgrade, trailers."""

import asyncio

import pytest

from tests.app.server.uvicorn_connection import Application, Connection
from tests.fakes.loop import dialogue, quiet

HEAD_BYTES = 128 * 1024
START = b"GET / HTTP/1.1\r\nHost: h\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
TOO_LARGE = b"HTTP/1.1 431 "


def answering() -> Application:
    app = Application()
    app.go.set()
    return app


def head_of(size: int) -> bytes:
    """An unfinished head of this many bytes."""
    return START + b"X-Long: " + b"x" * (size - len(START) - len(b"X-Long: "))


# --- how long a head may be


@pytest.mark.parametrize("pieces", [1, 2, 64])
@dialogue
async def test_an_unfinished_head_is_refused_beyond_its_bound(pieces: int):
    app = answering()
    with Connection(app) as client:
        head = head_of(HEAD_BYTES)
        step = HEAD_BYTES // pieces
        for begin in range(0, HEAD_BYTES, step):
            client.protocol.data_received(head[begin : begin + step])
        assert (client.transport.written, client.transport.closed) == (b"", False)
        client.protocol.data_received(b"x")
        assert client.transport.written.startswith(TOO_LARGE)
        assert b"\r\nconnection: close\r\n" in client.transport.written
        assert client.transport.closed
        before = client.transport.written
        client.protocol.data_received(b"x")
        assert client.transport.written == before
        await quiet()
        assert app.scopes == []


@dialogue
async def test_a_head_at_its_bound_may_still_be_finished():
    app = answering()
    with Connection(app) as client:
        client.protocol.data_received(head_of(HEAD_BYTES))
        client.protocol.data_received(b"\r\n\r\n")
        await quiet()
        assert client.transport.written.startswith(OK)
        client.protocol.data_received(head_of(HEAD_BYTES))  # the next one's count begins anew
        client.protocol.data_received(b"\r\n\r\n")
        await quiet()
        assert client.transport.written.count(OK) == 2


@dialogue
async def test_a_body_does_not_count_as_a_head():
    app = answering()
    size = 2 * HEAD_BYTES
    with Connection(app) as client:
        body = b"x" * size
        first = f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n".encode()
        client.protocol.data_received(first + body + b"GET /2 HT")
        await quiet()
        assert client.transport.written.startswith(OK)
        client.protocol.data_received(b"TP/1.1\r\nHost: h\r\n\r\n")
        await quiet()
        assert [scope["raw_path"] for scope in app.scopes] == [b"/", b"/2"]
        assert client.transport.written.count(OK) == 2


@pytest.mark.parametrize(("fields", "status"), [(256, OK), (257, TOO_LARGE)])
@dialogue
async def test_how_many_fields(fields: int, status: bytes):
    app = answering()
    with Connection(app) as client:
        client.send("GET / HTTP/1.1", "Host: h", *(f"X-{number}: 1" for number in range(fields - 1)))
        await quiet()
        assert client.transport.written.startswith(status)
        assert client.transport.closed == (status is TOO_LARGE)
        assert len(app.scopes) == (status is OK)


# --- how long a head may take


@dialogue
async def test_the_first_head_has_a_deadline_whatever_comes_of_it():
    with Connection(answering()) as client:
        for piece in (b"G", b"ET / HTTP/1.1\r\n", b"Host: h\r\n"):
            await asyncio.sleep(6.0)
            client.protocol.data_received(piece)
        await asyncio.sleep(1.9)
        assert not client.transport.aborted
        await asyncio.sleep(0.2)
        assert client.transport.aborted
        assert client.transport.written == b""


@dialogue
async def test_a_connection_on_which_nothing_comes_has_it_too():
    with Connection(answering()) as client:
        await asyncio.sleep(19.9)
        assert not client.transport.aborted
        await asyncio.sleep(0.2)
        assert client.transport.aborted


@dialogue
async def test_a_head_in_time_has_no_deadline_any_more():
    app = Application()
    with Connection(app) as client:
        client.protocol.data_received(START)
        await asyncio.sleep(19.9)
        client.protocol.data_received(b"\r\n")
        await asyncio.sleep(60.0)  # the answer may take its time, and so may a body
        app.go.set()
        await quiet()
        assert not client.transport.aborted
        assert client.transport.written.startswith(OK)


@dialogue
async def test_between_requests_a_connection_may_idle_and_the_next_head_has_a_deadline():
    with Connection(answering(), timeout_keep_alive=75) as client:
        client.protocol.data_received(START + b"\r\n")
        await asyncio.sleep(60.0)
        assert not client.transport.closed
        client.protocol.data_received(b"G")
        await asyncio.sleep(19.9)
        assert not client.transport.closed
        await asyncio.sleep(0.2)
        assert client.transport.aborted


@dialogue
async def test_a_slow_body_has_no_deadline_here():
    app = Application()
    with Connection(app) as client:
        client.send("POST / HTTP/1.1", "Host: h", "Content-Length: 3")
        for _ in range(3):
            await asyncio.sleep(30.0)
            client.protocol.data_received(b"x")
        assert not client.transport.closed
        app.go.set()
        await quiet()
        assert client.transport.written.startswith(OK)


@dialogue
async def test_the_deadline_ends_with_the_connection():
    with Connection(answering()) as client:
        client.protocol.data_received(b"G")
        client.transport.lose()
        await asyncio.sleep(30.0)
        assert not client.transport.aborted


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
async def test_it_is_answered_with_400_and_the_connection_closed(data: bytes):
    app = answering()
    with Connection(app) as client:
        client.protocol.data_received(data)
        await quiet()
        assert client.transport.written.startswith(b"HTTP/1.1 400 ")
        assert client.transport.written.count(b"HTTP/1.1 ") == 1
        assert b"\r\nconnection: close\r\n" in client.transport.written
        assert client.transport.closed
        assert app.scopes == []


@dialogue
async def test_a_bad_chunk_ends_its_own_request():
    app = Application()
    with Connection(app) as client:
        client.send("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
        client.protocol.data_received(b"zz\r\n")
        assert client.transport.written.startswith(b"HTTP/1.1 400 ")
        assert client.transport.closed
        app.go.set()


@pytest.mark.parametrize("data", [b"\x00\x01\r\n\r\n", head_of(HEAD_BYTES + 1)])
@dialogue
async def test_our_answer_is_never_written_into_another_ones(data: bytes):
    more = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"half", "more_body": True})  # type: ignore[operator]
        await more.wait()

    with Connection(app) as client:
        client.send("GET / HTTP/1.1", "Host: h")
        await quiet()
        client.protocol.data_received(data)
        assert client.transport.closed
        assert client.transport.written.endswith(b"\r\n\r\nhalf")
        client.transport.lose()
        more.set()
        await quiet()


# --- offers to upgrade

NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"


class Reader:
    """An application that reads the whole body."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes, bytes]] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []

    async def __call__(self, scope: dict[str, object], receive: object, send: object) -> None:
        body, more = b"", True
        while more:
            message = await receive()  # type: ignore[operator]
            body, more = body + message["body"], message["more_body"]
        self.seen.append((scope["method"], scope["raw_path"], body))  # type: ignore[arg-type]
        self.headers.append(list(scope["headers"]))  # type: ignore[call-overload]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"ok"})  # type: ignore[operator]


@pytest.mark.parametrize("pieces", [1, 1_000])
@pytest.mark.parametrize("after", [b"", NEXT])
@pytest.mark.parametrize(
    ("fields", "body"),
    [((), b""), (("Content-Length: 5",), b"hello"), (("Transfer-Encoding: chunked",), b"5\r\nhello\r\n0\r\n\r\n")],
)
@pytest.mark.parametrize("offer", ["h2c", "TLS/1.0", "h2c, foo"])
@dialogue
async def test_another_offer_is_dropped(offer: str, fields: tuple[str, ...], body: bytes, after: bytes, pieces: int):
    app = Reader()
    lines = ["POST /a HTTP/1.1", "Host: h", "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}"]
    data = "\r\n".join([*lines, "HTTP2-Settings: AAMAAABkAAQAAP__", *fields, "", ""]).encode() + body + after
    with Connection(app) as client:
        step = -(-len(data) // pieces)
        for begin in range(0, len(data), step):
            client.protocol.data_received(data[begin : begin + step])
        await quiet()
        wanted = [("POST", b"/a", b"hello" if body else b"")]
        assert app.seen == (wanted if not after else [*wanted, ("GET", b"/next", b"")])
        names = {name for name, _ in app.headers[0]}
        assert names.isdisjoint({b"upgrade", b"connection", b"http2-settings"})
        assert client.transport.written.count(OK) == len(app.seen)
        assert not client.transport.closed
        assert client.transport.protocol is client.protocol


@dialogue
async def test_what_connection_says_beside_the_offer_stays():
    app = Reader()
    with Connection(app) as client:
        client.send("GET /a HTTP/1.1", "Host: h", "Connection: Upgrade, close, X-Hop", "Upgrade: h2c", "X-Hop: 1")
        await quiet()
        assert (b"connection", b"close, X-Hop") in app.headers[0]
        assert client.transport.closed


@dialogue
async def test_a_request_of_http_1_0_stays_one():
    app = answering()
    with Connection(app) as client:
        client.send("GET /a HTTP/1.0", "Host: h", "Connection: Upgrade", "Upgrade: h2c")
        await quiet()
        assert app.scopes[0]["http_version"] == "1.0"
        assert client.transport.closed


# --- trailers


@dialogue
async def test_trailers_are_dropped():
    app = Reader()
    with Connection(app) as client:
        client.send("POST /a HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: X-Late")
        late = b"X-Late: 1\r\nHost: other.test\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        client.protocol.data_received(b"5\r\nhello\r\n0\r\n" + late)
        await quiet()
        assert app.seen == [("POST", b"/a", b"hello")]
        assert app.headers[0] == [(b"host", b"h"), (b"transfer-encoding", b"chunked"), (b"trailer", b"X-Late")]
        client.protocol.data_received(NEXT)
        await quiet()
        assert app.headers[1] == [(b"host", b"h")]
