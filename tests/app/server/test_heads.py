"""Heads of requests: what is read of them, what is refused, and that it does not matter how the bytes were cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server import heads, lines
from app.server.heads import FIELDS, HEAD_BYTES, LINE_BYTES, METHOD_BYTES, Head, HeadBuffer, HeadError, read_head

HOST = b"Host: h\r\n"


def read(data: bytes) -> Head | tuple[int, str]:
    """The first head of what came in one piece, or the refusal."""
    return cut(data)


def cut(*pieces: bytes) -> Head | tuple[int, str]:
    """The same of what came in pieces."""
    buffer = HeadBuffer()
    try:
        for piece in pieces:
            whole = buffer.add(piece)
            if whole is not None:
                whole = heads.skip_empty_lines(whole)
                return read_head(whole[: whole.find(heads.END) + 2])
    except HeadError as error:
        return error.problem.status, str(error)
    raise AssertionError("the head is not complete")


def facts(head: Head) -> tuple[object, ...]:
    framing = head.fields.framing
    return (
        head.method, head.target, head.path, head.query, head.is_old, head.fields.lines, head.fields.host,
        framing.length, framing.chunked, framing.closes, framing.keeps_alive, framing.expects, framing.upgrades,
        framing.takes_trailers,
    )  # fmt: skip


def line(text: bytes) -> Head | tuple[int, str]:
    return read(text + b"\r\n" + HOST + b"\r\n")


def fields(*texts: bytes, version: bytes = b"HTTP/1.1", host: bytes = HOST) -> Head | tuple[int, str]:
    return read(b"POST / " + version + b"\r\n" + host + b"".join(text + b"\r\n" for text in texts) + b"\r\n")


# --- the request line


@pytest.mark.parametrize(
    ("text", "target", "path", "query"),
    [
        (b"GET / HTTP/1.1", b"/", b"/", b""),
        (b"GET /a/b?c=d&e HTTP/1.1", b"/a/b?c=d&e", b"/a/b", b"c=d&e"),
        (b"GET /q? HTTP/1.1", b"/q?", b"/q", b""),
        (b"GET /a?b?c HTTP/1.1", b"/a?b?c", b"/a", b"b?c"),
        (b"GET //x/..%2F%00 HTTP/1.1", b"//x/..%2F%00", b"//x/..%2F%00", b""),
        (b'GET /"<>\\^`{|} HTTP/1.1', b'/"<>\\^`{|}', b'/"<>\\^`{|}', b""),
        (b"GET http://h/a?b HTTP/1.1", b"/a?b", b"/a", b"b"),
        (b"GET HTTP://H.:80?b HTTP/1.1", b"/?b", b"/", b"b"),
        (b"GET https://h:443 HTTP/1.0", b"/", b"/", b""),  # a Host without a port has the target's scheme's
        (b"OPTIONS * HTTP/1.1", b"*", b"*", b""),
    ],
)
def test_targets_are_the_bytes_that_came(text: bytes, target: bytes, path: bytes, query: bytes):
    found = line(text)
    assert isinstance(found, Head)
    assert (found.target, found.path, found.query) == (target, path, query)


@pytest.mark.parametrize("method", ["GET", "VERSION-CONTROL", "LABEL", "BAN", "get", "x!#$%&'*+-.^_`|~9", "A" * 64])
def test_any_token_is_a_method(method: str):
    found = line(f"{method} / HTTP/1.1".encode())
    assert isinstance(found, Head)
    assert found.method == method


@pytest.mark.parametrize(("version", "is_old"), [(b"HTTP/1.1", False), (b"HTTP/1.0", True), (b"HTTP/1.9", False)])
def test_versions(version: bytes, is_old: bool):
    found = line(b"GET / " + version)
    assert isinstance(found, Head)
    assert found.is_old is is_old


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /p", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET h:80 HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ftp://h/ HTTP/1.1", 400),
        (b"GET http://other/ HTTP/1.1", 400),
        (b"GET http://user@h/ HTTP/1.1", 400),
        (b"GET http://h:81/ HTTP/1.1", 400),
        (b"CONNECT h:443 HTTP/1.1", 400),
        (b"G(T / HTTP/1.1", 400),
        (b"G\xc3T / HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1", 400),
        (b"GET / HTTP/1.11", 400),
        (b"GET / HTTP/+1.1", 400),
        (b"SOURCE /p ICE/1.0", 400),
        (b"GET / RTSP/1.0", 400),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/3.1", 505),
        (b"A" * (METHOD_BYTES + 1) + b" / HTTP/1.1", 501),
        (b"GET /" + b"a" * (LINE_BYTES - 13) + b" HTTP/1.1", 414),
    ],
)
def test_request_lines_that_are_refused(text: bytes, status: int):
    found = line(text)
    assert isinstance(found, tuple), found
    assert found[0] == status


def test_the_longest_request_line():
    found = line(b"GET /" + b"a" * (LINE_BYTES - 14) + b" HTTP/1.1")
    assert isinstance(found, Head)


# --- field lines


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"X:1", (b"x", b"1")),
        (b"X: \t 1 \t", (b"x", b"1")),
        (b"X:", (b"x", b"")),
        (b"x-a!#$%&'*+.^_`|~9: a:b", (b"x-a!#$%&'*+.^_`|~9", b"a:b")),
        (b"X: a\tb", (b"x", b"a\tb")),
        (b"X: \xc3\xa9\xff", (b"x", b"\xc3\xa9\xff")),
    ],
)
def test_fields(text: bytes, field: tuple[bytes, bytes]):
    found = fields(text)
    assert isinstance(found, Head)
    assert found.fields.lines == [(b"host", b"h"), field]
    assert [value for _, value in found.fields.lines] == [b"h", field[1]]


@pytest.mark.parametrize(
    "text",
    [
        b"X : 1", b"X\t: 1", b" X: 1", b"\tX: 1", b": 1", b"X", b"X\r: 1", b"X: 1\r", b"X: a\rb", b"X: a\nb", b"X\n: 1",
        b"X: a\x00b", b"X: a\x0bb", b"X: \x7f", b"X: \x1b[0m", b"(X): 1", b"X\xc3: 1", b"X@: 1", b'"X": 1', b"X 1: 1",
    ],
)  # fmt: skip
def test_field_lines_that_are_refused(text: bytes):
    found = fields(text)
    assert isinstance(found, tuple), found
    assert found[0] == 400


@pytest.mark.parametrize(
    ("host", "version", "status"),
    [
        (b"", b"HTTP/1.1", 400),
        (b"", b"HTTP/1.0", None),
        (b"Host: h \t\r\n", b"HTTP/1.1", None),
        (b"Host: h\r\nHost: h\r\n", b"HTTP/1.1", 400),
        (b"Host: h\r\nHost: i\r\n", b"HTTP/1.0", 400),
        (b"X: 1\r\nhost: h\r\nHOST: h\r\n", b"HTTP/1.1", 400),
    ],
)
def test_hosts(host: bytes, version: bytes, status: int | None):
    found = fields(version=version, host=host)
    assert (found[0] if isinstance(found, tuple) else None) == status


@pytest.mark.parametrize(("count", "status"), [(FIELDS, None), (FIELDS + 1, 431)])
def test_how_many_fields(count: int, status: int | None):
    found = fields(*[b"X-%d: 1" % number for number in range(count - 1)])
    assert (found[0] if isinstance(found, tuple) else None) == status


# --- framing


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], {}),
        ([b"Content-Length: 5"], {"length": 5}),
        ([b"Content-Length: 0 "], {}),
        ([b"Content-Length: 007"], {"length": 7}),
        ([b"Transfer-Encoding: chunked"], {"chunked": True}),
        ([b"Transfer-Encoding: Chunked "], {"chunked": True}),
        ([b"Connection: close"], {"closes": True}),
        ([b"Connection: keep-alive, CLOSE"], {"closes": True, "keeps_alive": True}),
        ([b"Connection: X", b"Connection: close"], {"closes": True}),
        ([b"Connection: keep-alive"], {"keeps_alive": True}),
        ([b"Expect: 100-Continue"], {"expects": True}),
        ([b"Expect: something"], {}),
        ([b"TE: deflate, trailers"], {"takes_trailers": True}),
        ([b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"], {}),
        ([b"Upgrade: websocket"], {}),
        ([b"Upgrade: h2c, WebSocket", b"Connection: keep-alive, Upgrade"], {"upgrades": True, "keeps_alive": True}),
    ],
)
def test_what_fields_say(texts: list[bytes], said: dict[str, object]):
    found = fields(*texts)
    assert isinstance(found, Head)
    framing = found.fields.framing
    silent = dict.fromkeys(framing.__slots__, False) | {"length": 0}
    assert {name: getattr(framing, name) for name in framing.__slots__} == silent | said


@pytest.mark.parametrize(
    ("texts", "status"),
    [
        ([b"Content-Length: 5", b"Content-Length: 5"], 400),
        ([b"Content-Length: 5, 5"], 400),
        ([b"Content-Length: +1"], 400),
        ([b"Content-Length: -1"], 400),
        ([b"Content-Length: 0x1"], 400),
        ([b"Content-Length: 1 1"], 400),
        ([b"Content-Length:"], 400),
        ([b"Content-Length: \xb2"], 400),
        ([b"Content-Length: " + b"1" * 19], 400),
        ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 0"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: chunked, chunked"], 400),
        ([b"Transfer-Encoding: chunked, identity"], 400),
        ([b"Transfer-Encoding: xchunked"], 400),
        ([b"Transfer-Encoding: \x0bchunked"], 400),
        ([b"Transfer-Encoding: identity"], 400),
        ([b"Transfer-Encoding:"], 400),
        ([b"Transfer-Encoding: , chunked"], 400),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
    ],
)
def test_framing_that_is_refused(texts: list[bytes], status: int):
    found = fields(*texts)
    assert isinstance(found, tuple), found
    assert found[0] == status


@pytest.mark.parametrize("text", [[b"Transfer-Encoding: chunked"], [b"Upgrade: websocket", b"Connection: Upgrade"]])
def test_what_http_1_0_does_not_have(text: list[bytes]):
    found = fields(*text, version=b"HTTP/1.0")
    assert isinstance(found, tuple)
    assert found[0] == 400


# --- pieces

WHOLE = [
    b"GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    b"\r\n\r\nPOST / HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: 1\r\n folded\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
]


@pytest.mark.parametrize("whole", WHOLE)
@given(data=st.data())
def test_a_head_is_the_same_wherever_it_is_cut(whole: bytes, data: st.DataObject):
    places = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1))))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert outcome(cut(*pieces)) == outcome(cut(whole)) == outcome(cut(*[bytes([byte]) for byte in whole]))


def outcome(found: Head | tuple[int, str]) -> object:
    return found if isinstance(found, tuple) else facts(found)


@pytest.mark.parametrize(
    "start",
    [
        b"\x16\x03\x01\x02\x00", b"\n", b"\rG", b" GET", b"\0", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: h\n",
        b"GET / HTTP/1.1\r\nHost\rx", b"GET / HTTP/1.1\r\nHost: \0", b"\r\n" * 5, b"GE(",
    ],
)  # fmt: skip
def test_what_cannot_become_a_head_is_refused_at_once(start: bytes):
    for pieces in ([start], [bytes([byte]) for byte in start]):
        found = cut(*pieces)
        assert isinstance(found, tuple), found
        assert found[0] == 400


def test_a_method_that_is_too_long_is_refused_at_once():
    start = b"A" * (METHOD_BYTES + 1)
    assert cut(start) == cut(*[bytes([byte]) for byte in start]) == (501, "a method of more than 256 characters")


@pytest.mark.parametrize("piece_bytes", [1_000, 64 * 1024, HEAD_BYTES])
def test_an_unfinished_head_has_a_bound(piece_bytes: int):
    start = b"GET / HTTP/1.1\r\nHost: h\r\nX: "
    text = start + b"x" * (HEAD_BYTES - len(start))
    buffer = HeadBuffer()
    for at in range(0, len(text), piece_bytes):
        assert buffer.add(text[at : at + piece_bytes]) is None
    assert buffer.size_bytes == HEAD_BYTES
    with pytest.raises(HeadError) as refused:
        buffer.add(b"x")
    assert refused.value.problem.status == 431


def test_an_unfinished_request_line_has_a_bound():
    buffer = HeadBuffer()
    assert buffer.add(b"GET /" + b"x" * (LINE_BYTES - 5)) is None
    with pytest.raises(HeadError) as refused:
        buffer.add(b"x")
    assert refused.value.problem.status == 414


@given(st.binary(max_size=300))
def test_whatever_comes_only_a_head_error_is_raised(data: bytes):
    for text in (data, b"GET / HTTP/1.1\r\n" + data, b"POST / HTTP/1.1\r\nHost: h\r\n" + data + b"\r\n\r\n"):
        assert status_of(text) in (None, 400, 414, 431, 501, 505)


def status_of(data: bytes) -> int | None:
    """Of a head that need not be complete."""
    try:
        whole = HeadBuffer().add(data)
        if whole is not None:
            whole = heads.skip_empty_lines(whole)
            read_head(whole[: whole.find(heads.END) + 2])
    except HeadError as error:
        return error.problem.status
    return None


# --- what is remembered


def test_only_lines_without_secrets_are_remembered():
    for memory in (lines._lines, heads._blocks):
        memory.found.clear()  # other tests' lines
    found = fields(b"Accept: kept/1", b"Cookie: secret=1", b"Authorization: Bearer secret", b"X-Own: secret")
    assert isinstance(found, Head)
    assert b"Accept: kept/1" in lines._lines.found
    kept = [*lines._lines.found, *heads._blocks.found]
    assert not any(b"secret" in key for key in kept)


def test_a_remembered_line_is_read_the_same_again():
    for _ in range(3):
        found = fields(b"Accept:  a/b \t")
        assert isinstance(found, Head)
        assert found.fields.lines[1] == (b"accept", b"a/b")


def test_a_memory_is_bounded_and_a_flood_cannot_empty_it_at_once():
    memory: lines.Memory[int] = lines.Memory(4)
    for number in range(4):
        memory.keep(b"%d" % number, number)
    for number in range(3):
        memory.keep(b"flood %d" % number, number)
        assert sorted(memory.found.values()) == [0, 1, 2, 3]
    memory.keep(b"flood", 9)
    assert not memory.found
    memory.keep(b"again", 5)
    assert memory.found == {b"again": 5}
