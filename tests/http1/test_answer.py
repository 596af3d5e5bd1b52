"""Answers, well-formed and not, each fed all at once, byte by byte, and in pieces of three."""

import pytest

from tests.http1.fake import FakeSink, Talk, cut
from tunnel.http1.answer import HEAD_LIMIT_BYTES, INTERIM_LIMIT
from tunnel.port import Headers

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK_FIELD = (b"Transfer-Encoding", b"chunked")
sizes = pytest.mark.parametrize("size", [0, 1, 3], ids=["whole", "bytes", "threes"])


def ask(
    raw: bytes, size: int, *, method: bytes = b"GET", upgrade: bool = False, fin: bool = False
) -> tuple[Talk, FakeSink]:
    """One exchange, answered with `raw`."""
    talk = Talk()
    _, sink = talk.open(method, upgrade=upgrade)
    talk.stream.bring(*cut(raw, size))
    if fin:
        talk.stream.finish()
    assert talk.stream.unacknowledged == 0
    return talk, sink


GOOD: dict[str, tuple[bytes, Headers, bytes, str]] = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", [(b"Content-Length", b"5")], b"hello", "idle"),
    "length 0": (OK + b"content-length: 0\r\n\r\n", [(b"content-length", b"0")], b"", "idle"),
    "length with zeros": (OK + b"Content-Length: 0005\r\n\r\nhello", [(b"Content-Length", b"0005")], b"hello",
    "idle"), "chunked": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", [], b"hello world", "idle"),
    "chunked, empty": (CHUNKED + b"0\r\n\r\n", [], b"", "idle"), "chunked, any case": (OK +
    b"TRANSFER-encoding: CHUNKED \r\n\r\nA\r\n0123456789\r\n000\r\n\r\n", [], b"0123456789", "idle"), "chunk
    extensions": (CHUNKED + b'5;a=b;c="d;\\"\xe9";e\r\nhello\r\n0;f\r\n\r\n', [], b"hello", "idle"), "chunk
    size with zeros": (CHUNKED + b"00000000000000000000005\r\nhello\r\n0\r\n\r\n", [], b"hello", "idle"), "no
    reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", [(b"Content-Length", b"0")], b"", "idle"), "blanks
    around values": (OK + b"A: \t b \t \r\nB:\r\nContent-Length: 0 \r\n\r\n", [(b"A", b"b"), (b"B", b""),
    (b"Content-Length", b"0")], b"", "idle"), "repeated": (OK + b"Set-Cookie: a\r\nSet-cookie:
    b\r\nContent-Length: 0\r\nSet-Cookie: a\r\n\r\n", [(b"Set-Cookie", b"a"), (b"Set-cookie", b"b"),
    (b"Content-Length", b"0"), (b"Set-Cookie", b"a")], b"", "idle"), "hop-by-hop": (
        OK + b"Connection: X-a, keep-alive, x-B ,, content-length\r\nKeep-Alive: max=5\r\nX-A:
        1\r\nProxy-Connection: a\r\nConnection: x-d\r\n" b"TE: trailers\r\nX-B: 2\r\nX-C: 3\r\nUpgrade:
        h2c\r\nContent-Length: 1\r\nProxy-Authenticate: a\r\nX-D: 4\r\nTrailer: E\r\n\r\nx", [(b"X-C", b"3"),
        (b"Content-Length", b"1"), (b"Trailer", b"E")], b"x", "idle",
    ),
    "close": (OK + b"Connection: CLOSE\r\nContent-Length: 1\r\n\r\nx", [(b"Content-Length", b"1")], b"x",
    "closed"), "close, chunked": (OK + b"Connection: close\r\nTransfer-Encoding:
    chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", [], b"x", "closed"), "http/1.0": (b"HTTP/1.0 200 OK\r\nConnection:
    keep-alive\r\nContent-Length: 1\r\n\r\nx", [(b"Content-Length", b"1")], b"x", "closed"), "204":
    (b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", [(b"A", b"b")], b"", "idle"), "204, length 0": (b"HTTP/1.1
    204 No Content\r\nContent-Length: 0\r\n\r\n", [], b"", "idle"), "204 that announces a body": (b"HTTP/1.1
    204 No Content\r\nContent-Length: 5\r\n\r\n", [], b"", "closed"), "204 that announces chunks": (b"HTTP/1.1
    204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", [], b"", "closed"), "304": (b"HTTP/1.1 304 Not
    Modified\r\nContent-Length: 5\r\n\r\n", [(b"Content-Length", b"5")], b"", "idle"), "304, close":
    (b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", [], b"", "closed"), "upgrade offered": (OK +
    b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nxx", [(b"Content-Length", b"2")], b"xx",
    "idle"), "999": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", [(b"Content-Length", b"0")], b"",
    "idle"),
}  # fmt: skip


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
    raw = CHUNKED + b"1\r\nx\r\n0\r\nA: b \r\nHost: c\r\nTransfer-Encoding: chunked\r\nSet-Cookie: d\r\nA:
    e\r\n\r\n" talk, sink = ask(raw, size) assert sink.calls == ["head", "data", "trailers", "end"] assert
    sink.trailer_fields == [(b"A", b"b"), (b"Set-Cookie", b"d"), (b"A", b"e")] assert talk.told == ["idle"]


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
    GOOD["length"][0],
    GOOD["chunked"][0],
]


@sizes
@pytest.mark.parametrize("leftover", LEFTOVERS, ids=repr)
@pytest.mark.parametrize("name", ["length", "length 0", "chunked", "204", "304", "trailers", "close"])
def test_bytes_beyond_the_end_end_the_connection_and_reach_nobody(name: str, leftover: bytes, size: int) ->
None:
    raw, body = (CHUNKED + b"0\r\nA: b\r\n\r\n", b"") if name == "trailers" else (GOOD[name][0],
    GOOD[name][2]) talk, sink = ask(raw + leftover, size) assert (sink.outcome, sink.body, len(sink.heads)) ==
    ("end", body, 1) assert sink.trailer_fields == ([(b"A", b"b")] if name == "trailers" else None) assert
    (talk.fate, talk.stream.state) == ("closed", "reset")


@pytest.mark.parametrize("leftover", [b"5\r\nhello\r\n", *LEFTOVERS], ids=repr)
def test_a_body_after_the_answer_to_head_ends_the_connection(leftover: bytes) -> None:
    talk, sink = ask(OK + b"Content-Length: 5\r\n\r\n" + leftover, 0, method=b"HEAD")
    assert (sink.calls, talk.told, talk.stream.state) == (["head", "end"], ["closed"], "reset")


BAD: dict[str, bytes] = {
    "garbage": b"220 mail.example ESMTP\r\n",
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "blank line first": b"\r\n" + OK + b"\r\n",
    "line feed first": b"\n" + OK + b"\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "rtsp": b"RTSP/1.1 200 OK\r\n\r\n",
    "icy": b"ICY 200 OK\r\n\r\n",
    "http/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "http/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "http/2, short": b"HTTP/2 200 OK\r\n\r\n",
    "http/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status with sign": b"HTTP/1.1 +20 OK\r\n\r\n",
    "two blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "a tab": b"HTTP/1.1\t200 OK\r\n\r\n",
    "no blank": b"HTTP/1.1 200OK\r\n\r\n",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "bare LF after the status line": b"HTTP/1.1 200 OK\n\r\n",
    "bare LF throughout": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare LF after a value": OK + b"A: b\n\r\n",
    "bare LF at the end": OK + b"A: b\r\n\n",
    "bare CR in a value": OK + b"A: b\rc\r\n\r\n",
    "bare CR after a value": OK + b"A: b\rContent-Length: 0\r\n\r\n",
    "obs-fold": OK + b"A: b\r\n c\r\n\r\n",
    "obs-fold with a tab": OK + b"A: b\r\n\tc\r\n\r\n",
    "obs-fold of a length": OK + b"Content-Length: 1\r\n 2\r\n\r\n",
    "obs-fold at once": OK + b" A: b\r\n\r\n",
    "blank before the colon": OK + b"A : b\r\n\r\n",
    "blank in a name": OK + b"A b: c\r\n\r\n",
    "no name": OK + b": b\r\n\r\n",
    "no colon": OK + b"A\r\n\r\n",
    "NUL in a name": OK + b"A\x00: b\r\n\r\n",
    "NUL in a value": OK + b"A: b\x00\r\n\r\n",
    "control character in a value": OK + b"A: b\x0bc\r\n\r\n",
    "DEL in a value": OK + b"A: \x7f\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "length with sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "negative length": OK + b"Content-Length: -1\r\n\r\n",
    "hexadecimal length": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "no length": OK + b"Content-Length: \r\n\r\n",
    "two numbers": OK + b"Content-Length: 5 5\r\n\r\nhello",
    "length beyond 64 bits": OK + b"Content-Length: 18446744073709551616\r\n\r\n",
    "length beyond 63 bits": OK + b"Content-Length: 9999999999999999999\r\n\r\n",
    "length of many zeros": OK + b"Content-Length: " + b"0" * 5000 + b"\r\n\r\n",
    "length, chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "length, chunked, on a 304": b"HTTP/1.1 304 No\r\nContent-Length: 5\r\nTransfer-Encoding:
    chunked\r\n\r\n", "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n", "gzip, chunked": OK +
    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "chunked, gzip": OK + b"Transfer-Encoding: chunked,
    gzip\r\n\r\n", "chunked, chunked": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "chunked
    twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "gzip and chunked apart": OK +
    b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "identity": OK +
    b"Transfer-Encoding: identity\r\n\r\n", "almost chunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunked with a parameter": OK + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "no coding": OK +
    b"Transfer-Encoding: \r\n\r\n", "chunked, vertical tab": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "chunked in http/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "101 unasked":
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "101 unasked, bare":
    b"HTTP/1.1 101 Switching\r\n\r\n", "101, malformed": b"HTTP/1.1 101 Switching\r\nA : b\r\n\r\n", "100 with
    a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello", "100 with chunks": b"HTTP/1.1 100
    Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "blank line after a 100": b"HTTP/1.1 100
    Continue\r\n\r\n\r\n" + OK + b"\r\n", "chunk size missing": CHUNKED + b"\r\nhello\r\n0\r\n\r\n", "chunk
    size with sign": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n", "chunk size negative": CHUNKED +
    b"-5\r\nhello\r\n0\r\n\r\n", "chunk size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", "chunk size
    with underscore": CHUNKED + b"1_0\r\nhello\r\n0\r\n\r\n", "chunk size after a blank": CHUNKED + b"
    5\r\nhello\r\n0\r\n\r\n", "chunk size before a blank": CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", "chunk size
    not hexadecimal": CHUNKED + b"5g\r\nhello\r\n0\r\n\r\n", "chunk size beyond 64 bits": CHUNKED +
    b"10000000000000005\r\nhello\r\n0\r\n\r\n", "chunk size ended by LF": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "chunk size ended by CR": CHUNKED + b"5\rhello\r\n0\r\n\r\n", "chunk longer than said": CHUNKED +
    b"5\r\nhello!\r\n0\r\n\r\n", "chunk ended by LF": CHUNKED + b"5\r\nhello\n0\r\n\r\n", "chunk without end":
    CHUNKED + b"5\r\nhello0\r\n\r\n", "chunk extension without name": CHUNKED + b"5;\r\nhello\r\n0\r\n\r\n",
    "chunk extension with LF": CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", "chunk extension with CR": CHUNKED +
    b"5;a\rb\r\nhello\r\n0\r\n\r\n", "chunk extension with NUL": CHUNKED + b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "last chunk ended by LF": CHUNKED + b"0\n\r\n", "end ended by LF": CHUNKED + b"0\r\n\n", "trailer folded":
    CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", "trailer with blank": CHUNKED + b"0\r\nA : b\r\n\r\n", "trailer with
    LF": CHUNKED + b"0\r\nA: b\n\r\n", "trailer with a length": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
}


@sizes
@pytest.mark.parametrize("name", BAD)
def test_a_malformed_answer_is_refused(name: str, size: int) -> None:
    talk, sink = ask(BAD[name], size)
    assert sink.outcome == "BadAnswerError"
    assert sink.trailer_fields is None
    assert (talk.told, talk.stream.state) == (["closed"], "reset")
    if not BAD[name].startswith((CHUNKED[:-2], b"HTTP/1.1 100")) or not size:
        assert sink.heads == []


def test_a_service_of_another_protocol_is_known_by_its_first_byte() -> None:
    _, sink = ask(b"2", 0)
    assert sink.outcome == "BadAnswerError"


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
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection:
    close\r\nContent-Length: 0\r\n\r\n" talk, sink = ask(interim + GOOD["length"][0], size) assert
    sink.statuses == [100, 103, 200] assert [head.headers for head in sink.heads[:2]] == [[], [(b"Link",
    b"a")]] assert (sink.outcome, sink.body, talk.told) == ("end", b"hello", ["idle"])


@pytest.mark.parametrize("size", [0, 25])
def test_interim_answers_are_bounded_in_number(size: int) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    _, sink = ask(interim * INTERIM_LIMIT + GOOD["length"][0], size)
    assert (sink.outcome, len(sink.heads)) == ("end", INTERIM_LIMIT + 1)
    _, sink = ask(interim * (INTERIM_LIMIT + 1), size)
    assert sink.outcome == "BadAnswerError"


def a_head_of(size: int) -> bytes:
    start, end = OK + b"A: ", b"\r\nContent-Length: 0\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("size", [0, 1000])
def test_a_head_is_bounded(size: int) -> None:
    _, sink = ask(a_head_of(HEAD_LIMIT_BYTES), size)
    assert sink.outcome == "end"
    _, sink = ask(a_head_of(HEAD_LIMIT_BYTES + 1), size)
    assert sink.outcome == "BadAnswerError"


@pytest.mark.parametrize(
    "start", [OK + b"A: ", OK + b"A: b\r\nA", b"HTTP/1.1 200 ", b"HTTP/1.1 100 C\r\n\r\n" + OK + b"A: "]
)
def test_a_head_without_end_is_refused_at_the_bound(start: bytes) -> None:
    talk, sink = ask(start, 0)
    sent = 0
    while sink.outcome == "open":
        talk.stream.bring(b"a" * 1024)
        sent += 1024
        assert sent <= HEAD_LIMIT_BYTES + 1024
    assert sink.outcome == "BadAnswerError"


@pytest.mark.parametrize("start", [b"5;", b"5;a=", b'5;a="', b"0\r\nA: ", b"0\r\nA", b"5\r\nhello\r\n0\r\nA:
"]) @pytest.mark.parametrize("filler", [b"a" * 1024, b"0" * 1024]) def
test_the_overhead_of_chunks_is_bounded(start: bytes, filler: bytes) -> None:
    talk, sink = ask(CHUNKED + start, 0)
    sent = 0
    while sink.outcome == "open":
        talk.stream.bring(filler)
        sent += len(filler)
        assert sent <= HEAD_LIMIT_BYTES + 1024
    assert sink.outcome == "BadAnswerError"


def test_many_short_trailers_are_bounded_even_behind_a_body() -> None:
    trailers = b"A: b\r\n" * (HEAD_LIMIT_BYTES // 6 + 2)
    _, sink = ask(CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers, 0)
    assert sink.outcome == "BadAnswerError"
    _, sink = ask(CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers, 100)
    assert sink.outcome == "BadAnswerError"


def test_many_small_chunks_are_not_an_overhead_without_end() -> None:
    _, sink = ask(CHUNKED + b"1;a=b\r\nx\r\n" * 20_000 + b"0\r\n\r\n", 1000)
    assert (sink.outcome, len(sink.body)) == ("end", 20_000)


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
