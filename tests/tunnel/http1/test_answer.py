"""Answers that are well-formed, each fed all at once, byte by byte, and in pieces of three."""

import pytest

from tests.tunnel.http1.talk import ask
from tunnel.http1.answer import INTERIM_LIMIT, INTERIM_LIMIT_BYTES
from tunnel.port import Headers

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
sizes = pytest.mark.parametrize("size", [0, 1, 3], ids=["whole", "bytes", "threes"])


GOOD: dict[str, tuple[bytes, Headers, bytes, str]] = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", [(b"Content-Length", b"5")], b"hello", "idle"),
    "length 0": (OK + b"content-length: 0\r\n\r\n", [(b"content-length", b"0")], b"", "idle"),
    "length with zeros": (OK + b"Content-Length: 0005\r\n\r\nhello", [(b"Content-Length", b"0005")], b"hello", "idle"),
    "chunked": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", [], b"hello world", "idle"),
    "chunked, empty": (CHUNKED + b"0\r\n\r\n", [], b"", "idle"),
    "chunked, any case": (
        OK + b"TRANSFER-encoding: CHUNKED \r\n\r\nA\r\n0123456789\r\n000\r\n\r\n",
        [],
        b"0123456789",
        "idle",
    ),
    "chunk extensions": (CHUNKED + b'5;a=b;c="d;\\"\xe9";e\r\nhello\r\n0;f\r\n\r\n', [], b"hello", "idle"),
    "chunk size with zeros": (CHUNKED + b"00000000000000000000005\r\nhello\r\n0\r\n\r\n", [], b"hello", "idle"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", [(b"Content-Length", b"0")], b"", "idle"),
    "blanks around values": (
        OK + b"A: \t b \t \r\nB:\r\nContent-Length: 0 \r\n\r\n",
        [(b"A", b"b"), (b"B", b""), (b"Content-Length", b"0")],
        b"",
        "idle",
    ),
    "blanks before colons": (
        OK + b"Content-Length : 5\r\nA \t : b : c\r\nD: e :f\r\n\r\nhello",
        [(b"Content-Length", b"5"), (b"A", b"b : c"), (b"D", b"e :f")],
        b"hello",
        "idle",
    ),
    "blanks before the colon of a coding": (
        OK + b"Transfer-Encoding  : chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        [],
        b"x",
        "idle",
    ),
    "blanks after chunk sizes": (CHUNKED + b"5 \r\nhello\r\n1   \r\n!\r\n0 \r\n\r\n", [], b"hello!", "idle"),
    "repeated": (
        OK + b"Set-Cookie: a\r\nSet-cookie: b\r\nContent-Length: 0\r\nSet-Cookie: a\r\n\r\n",
        [(b"Set-Cookie", b"a"), (b"Set-cookie", b"b"), (b"Content-Length", b"0"), (b"Set-Cookie", b"a")],
        b"",
        "idle",
    ),
    "hop-by-hop": (
        OK + b"Connection: X-a, keep-alive, x-B ,, content-length\r\nKeep-Alive: max=5\r\nX-A: 1\r\n"
        b"Proxy-Connection: a\r\nConnection: x-d\r\nTE: trailers\r\nX-B: 2\r\nX-C: 3\r\nUpgrade: h2c\r\n"
        b"Content-Length: 1\r\nProxy-Authenticate: a\r\nX-D: 4\r\nTrailer: E\r\n\r\nx",
        [(b"X-C", b"3"), (b"Content-Length", b"1"), (b"Trailer", b"E")],
        b"x",
        "idle",
    ),
    "close": (OK + b"Connection: CLOSE\r\nContent-Length: 1\r\n\r\nx", [(b"Content-Length", b"1")], b"x", "closed"),
    "close, chunked": (
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        [],
        b"x",
        "closed",
    ),
    "http/1.0": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        [(b"Content-Length", b"1")],
        b"x",
        "closed",
    ),
    "204": (b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", [(b"A", b"b")], b"", "idle"),
    "204, length 0": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", [], b"", "idle"),
    "204 that announces a body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", [], b"", "closed"),
    "204 that announces chunks": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", [], b"", "closed"),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", [(b"Content-Length", b"5")], b"", "idle"),
    "304, close": (b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", [], b"", "closed"),
    "upgrade offered": (
        OK + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nxx",
        [(b"Content-Length", b"2")],
        b"xx",
        "idle",
    ),
    "999": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", [(b"Content-Length", b"0")], b"", "idle"),
}


@sizes
@pytest.mark.parametrize("name", GOOD)
def test_an_answer_that_delimits_itself(name: str, size: int) -> None:
    raw, headers, body, fate = GOOD[name]
    talk, sink = ask(raw, size)
    assert sink.outcome == "end"
    assert [head.headers for head in sink.heads] == [headers]
    assert sink.statuses == [int(raw[9:12])]
    assert sink.body == body
    assert sink.trailer_fields is None
    assert talk.told == [fate]
    assert talk.stream.state == ("open" if fate == "idle" else "reset")


@sizes
@pytest.mark.parametrize("head", [OK, b"HTTP/1.0 200 OK\r\n", OK + b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("body", [b"", b"hello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"], ids=["empty", "some"])
def test_an_answer_ended_by_the_stream(head: bytes, body: bytes, size: int) -> None:
    talk, sink = ask(head + b"A: b\r\n\r\n" + body, size)
    assert (sink.outcome, talk.fate) == ("open", "new")
    talk.stream.finish()
    assert (sink.outcome, sink.body, sink.statuses) == ("end", body, [200])
    assert (talk.told, talk.stream.state, talk.stream.ended) == (["closed"], "ended", 1)


@sizes
@pytest.mark.parametrize(
    "fields",
    [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"],
)
def test_the_answer_to_head_ends_at_its_head(fields: bytes, size: int) -> None:
    talk, sink = ask(OK + fields + b"\r\n", size, method=b"HEAD")
    assert sink.calls == ["head", "end"]
    assert sink.heads[0].headers == ([(b"Content-Length", fields[16:17])] if b"Length" in fields else [])
    assert talk.told == ["idle"]


@sizes
def test_trailers(size: int) -> None:
    raw = CHUNKED + b"1\r\nx\r\n0\r\nA: b \r\nHost: c\r\nTransfer-Encoding: chunked\r\nSet-Cookie: d\r\nA: e\r\n\r\n"
    talk, sink = ask(raw, size)
    assert sink.calls == ["head", "data", "trailers", "end"]
    assert sink.trailer_fields == [(b"A", b"b"), (b"Set-Cookie", b"d"), (b"A", b"e")]
    assert talk.told == ["idle"]


@sizes
def test_trailers_of_which_none_may_pass(size: int) -> None:
    _, sink = ask(CHUNKED + b"0\r\nConnection: close\r\n\r\n", size)
    assert sink.calls == ["head", "end"]


LEFTOVERS = [
    b"\r\n",
    b"\r\n\r\n",
    b"x",
    b"\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 No\r\n\r\n",
    b"HTTP/1.1 204 No\r\nX: y\r\n\r\n",
    GOOD["length"][0],
    GOOD["chunked"][0],
]


@sizes
@pytest.mark.parametrize("leftover", LEFTOVERS, ids=repr)
@pytest.mark.parametrize("name", ["length", "length 0", "chunked", "204", "304", "trailers", "close"])
def test_bytes_beyond_the_end_end_the_connection_and_reach_nobody(name: str, leftover: bytes, size: int) -> None:
    raw, body = (CHUNKED + b"0\r\nA: b\r\n\r\n", b"") if name == "trailers" else (GOOD[name][0], GOOD[name][2])
    talk, sink = ask(raw + leftover, size)
    assert (sink.outcome, sink.body, len(sink.heads)) == ("end", body, 1)
    assert sink.trailer_fields == ([(b"A", b"b")] if name == "trailers" else None)
    assert (talk.fate, talk.stream.state) == ("closed", "reset")


@pytest.mark.parametrize("leftover", [b"5\r\nhello\r\n", *LEFTOVERS], ids=repr)
def test_a_body_after_the_answer_to_head_ends_the_connection(leftover: bytes) -> None:
    talk, sink = ask(OK + b"Content-Length: 5\r\n\r\n" + leftover, 0, method=b"HEAD")
    assert (sink.calls, talk.told, talk.stream.state) == (["head", "end"], ["closed"], "reset")


@sizes
@pytest.mark.parametrize("cut_at", range(1, len(GOOD["length"][0])), ids=str)
def test_an_answer_cut_short(cut_at: int, size: int) -> None:
    raw = GOOD["length"][0]
    talk, sink = ask(raw[:cut_at], size, fin=True)
    assert sink.outcome == "ServiceBrokeOffError"
    assert len(sink.heads) == (cut_at >= raw.index(b"\r\n\r\n") + 4)
    assert (talk.told, talk.stream.state) == (["closed"], "ended")


@sizes
@pytest.mark.parametrize(
    "raw", [CHUNKED, CHUNKED + b"5\r\nhello\r\n", CHUNKED + b"5\r\nhello\r\n0\r\n", b"HTTP/1.1 100 C\r\n\r\n"]
)
def test_an_answer_that_lacks_its_end(raw: bytes, size: int) -> None:
    _, sink = ask(raw, size, fin=True)
    assert sink.outcome == "ServiceBrokeOffError"


@sizes
def test_interim_answers_pass_and_end_nothing(size: int) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection: close\r\n"
    interim += b"Content-Length: 0\r\n\r\n"
    talk, sink = ask(interim + GOOD["length"][0], size)
    assert sink.statuses == [100, 103, 200]
    assert [head.headers for head in sink.heads[:2]] == [[], [(b"Link", b"a")]]
    assert (sink.outcome, sink.body, talk.told) == ("end", b"hello", ["idle"])


def test_interim_answers_in_one_piece_are_bounded_in_number() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    _, sink = ask(interim * INTERIM_LIMIT + GOOD["length"][0], 0)
    assert (sink.outcome, len(sink.heads)) == ("end", INTERIM_LIMIT + 1)
    _, sink = ask(interim * (INTERIM_LIMIT + 1), 0)
    assert sink.outcome == "BadAnswerError"


def test_a_service_that_works_for_long_may_say_so_often() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    _, sink = ask(interim * 500 + GOOD["length"][0], len(interim))
    assert (sink.outcome, len(sink.heads)) == ("end", 501)


def test_interim_answers_are_bounded_in_bytes() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 60_000 + b"\r\n\r\n"
    _, sink = ask(interim * (INTERIM_LIMIT_BYTES // len(interim) + 1), len(interim))
    assert sink.outcome == "BadAnswerError"


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"timeout=5", 5.0),
        (b"max=10, Timeout=1", 1.0),
        (b'timeout="7"', 7.0),
        (b"timeout=-1", None),
        (b"timeout=x", None),
        (b"timeout=9999999999", None),
        (b"", None),
    ],
)
def test_the_service_says_how_long_it_keeps_the_connection(field: bytes, seconds: float | None) -> None:
    talk, sink = ask(OK + b"Keep-Alive: " + field + b"\r\nContent-Length: 0\r\n\r\n", 0)
    assert (sink.outcome, talk.told, talk.connection.keep_alive_seconds) == ("end", ["idle"], seconds)
