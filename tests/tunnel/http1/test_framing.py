"""Answers that are refused, each fed all at once, byte by byte, and in pieces of three; and the bounds of the rest."""

import pytest

from tests.tunnel.http1.talk import ask
from tunnel.http1.answer import HEAD_LIMIT_BYTES

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
sizes = pytest.mark.parametrize("size", [0, 1, 3], ids=["whole", "bytes", "threes"])

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
    "fold with a colon": OK + b"A: b\r\n C : d\r\n\r\n",
    "blank before the colon, and both framings": OK
    + b"Content-Length : 1\r\nTransfer-Encoding : chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "blank before the colon of two lengths": OK + b"Content-Length : 1\r\nContent-Length: 2\r\n\r\nx",
    "blank before the colon after a bare LF": OK + b"A: b\nC : d\r\n\r\n",
    "blank before the colon, bad name too": OK + b"A : b\r\n(: d\r\n\r\n",
    "bare LF": OK + b"A: b\nB: c\r\n\r\n",
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
    "length, chunked, on a 304": b"HTTP/1.1 304 No\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, gzip": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "chunked, chunked": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip and chunked apart": OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "almost chunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunked with a parameter": OK + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "no coding": OK + b"Transfer-Encoding: \r\n\r\n",
    "chunked, vertical tab": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "chunked in http/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "101 unasked, bare": b"HTTP/1.1 101 Switching\r\n\r\n",
    "101, malformed": b"HTTP/1.1 101 Switching\r\nA : b\r\n\r\n",
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
    "100 with chunks": b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "blank line after a 100": b"HTTP/1.1 100 Continue\r\n\r\n\r\n" + OK + b"\r\n",
    "chunk size missing": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk size with sign": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk size negative": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with underscore": CHUNKED + b"1_0\r\nhello\r\n0\r\n\r\n",
    "chunk size after a blank": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "blank within a chunk size": CHUNKED + b"1 0\r\nhello\r\n0\r\n\r\n",
    "chunk size not hexadecimal": CHUNKED + b"5g\r\nhello\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk size ended by LF": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "chunk size ended by CR": CHUNKED + b"5\rhello\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "chunk ended by LF": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "chunk without end": CHUNKED + b"5\r\nhello0\r\n\r\n",
    "chunk extension without name": CHUNKED + b"5;\r\nhello\r\n0\r\n\r\n",
    "chunk extension with LF": CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "chunk extension with CR": CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "chunk extension with NUL": CHUNKED + b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "last chunk ended by LF": CHUNKED + b"0\n\r\n",
    "end ended by LF": CHUNKED + b"0\r\n\n",
    "trailer folded": CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n",
    "trailer with blank": CHUNKED + b"0\r\nA : b\r\n\r\n",
    "trailer with LF": CHUNKED + b"0\r\nA: b\n\r\n",
    "trailer with a length": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
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


@pytest.mark.parametrize("start", [b"5;", b"5;a=", b'5;a="', b"0\r\nA: ", b"0\r\nA", b"5\r\nhello\r\n0\r\nA: "])
@pytest.mark.parametrize("filler", [b"a" * 1024, b"0" * 1024])
def test_the_overhead_of_chunks_is_bounded(start: bytes, filler: bytes) -> None:
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
