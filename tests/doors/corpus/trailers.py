"""Fields behind the last chunk: never fields of the head, and held to the same grammar and limits."""

from tests.doors import rfc
from tests.doors.case import BAD, WAITED_FOR, Case, chunked, closing, get, refused, seen

TOO_LARGE = refused(400, 413, 431)
FRAMING = (
    "Content-Length: 9", "Transfer-Encoding: chunked", "Host: other.test", "Trailer: X", "TE: trailers",
    "Connection: close",
    "Upgrade: websocket", "Expect: 100-continue", "Authorization: Basic eDp5", "Cookie: a=1", "Content-Type: text/html",
    "Content-Encoding: gzip", "X-Forwarded-For: 9.9.9.9", "X-Request-ID: mine",
)  # fmt: skip
"""What would change how the request is framed, routed or believed."""

MAY_BE_REFUSED = ("Content-Length", "Transfer-Encoding", "Host")


def _trailing(*lines: bytes) -> bytes:
    return chunked(b"5\r\nhello\r\n0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n")


CASES = [
    Case("one", _trailing(b"X-Sum: 1"), seen(b"POST", body=b"hello", trailers=((b"x-sum", b"1"),)), rfc.TRAILERS),
    Case("two", _trailing(b"X-Sum: 1", b"X-More: 2"),
         seen(b"POST", body=b"hello", trailers=((b"x-sum", b"1"), (b"x-more", b"2"))), rfc.TRAILERS),
    Case("one that Trailer announced", chunked(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"),
         seen(b"POST", body=b"hello", trailers=((b"x-sum", b"1"),)), rfc.TRAILERS),
    Case("one without a body", chunked(b"0\r\nX-Sum: 1\r\n\r\n"), seen(b"POST", trailers=((b"x-sum", b"1"),)),
         rfc.TRAILERS),
    Case("one with blanks around", _trailing(b"X-Sum: \t1 "),
         seen(b"POST", body=b"hello", trailers=((b"x-sum", b"1"),)), rfc.OWS),
    Case("an empty one", _trailing(b"X-Sum:"), seen(b"POST", body=b"hello", trailers=((b"x-sum", b""),)),
         rfc.FIELD_LINE),
    Case("one that is in the head too", chunked(b"5\r\nhello\r\n0\r\nX: 2\r\n\r\n", b"X: 1"),
         seen(b"POST", body=b"hello", fields=((b"x", b"1"),), trailers=((b"x", b"2"),)), rfc.TRAILERS_APART),
    *(
        Case(f"{line.partition(':')[0]} is not believed", _trailing(line.encode()),
             seen(b"POST", body=b"hello", unsaid=(b"9.9.9.9", b"other.test", b"eDp5", b"a=1", b"text/html", b"mine")),
             rfc.TRAILERS_APART,
             also=BAD if line.startswith(MAY_BE_REFUSED) else None)
        for line in FRAMING
    ),
    Case("a request behind them", _trailing(b"X-Sum: 1") + get(target=b"/b"),
         seen(b"POST", body=b"hello", trailers=((b"x-sum", b"1"),)) + seen(target=b"/b"), rfc.TRAILERS),
    Case("a length that would hide the next request", _trailing(b"Content-Length: 9") + get(target=b"/b"),
         seen(b"POST", body=b"hello") + seen(target=b"/b"), rfc.TRAILERS_APART, also=BAD),
    Case("noise behind them", _trailing(b"X-Sum: 1") + b"hello\r\n\r\n",
         seen(b"POST", body=b"hello", trailers=((b"x-sum", b"1"),)) + BAD, rfc.TRAILERS),
    # Their grammar
    *(
        Case(name, _trailing(*lines), BAD, rule)
        for name, lines, rule in (
            ("no colon", (b"X",), rfc.TRAILER_GRAMMAR),
            ("a chunk", (b"5", b"hello"), rfc.TRAILER_GRAMMAR),
            ("a request line", (b"GET /b HTTP/1.1",), rfc.TRAILER_GRAMMAR),
            ("an empty name", (b": 1",), rfc.NAME_IS_TOKEN),
            ("a blank before the colon", (b"X : 1",), rfc.BLANK_BEFORE_COLON),
            ("a tab before the colon", (b"X\t: 1",), rfc.BLANK_BEFORE_COLON),
            ("a name with a blank", (b"X Y: 1",), rfc.NAME_IS_TOKEN),
            ("a name with a NUL", (b"X\0: 1",), rfc.NAME_IS_TOKEN),
            ("a name with a high byte", (b"X\xe9: 1",), rfc.NAME_IS_TOKEN),
            ("a name with a parenthesis", (b"X(: 1",), rfc.NAME_IS_TOKEN),
            ("a blank first", (b" X: 1",), rfc.FOLD),
            ("folded", (b"X: 1", b" 2"), rfc.FOLD),
            ("a NUL", (b"X: a\0b",), rfc.NUL_IN_VALUE),
            ("a control", (b"X: a\x01b",), rfc.CTL_IN_VALUE),
            ("a bare CR", (b"X: a\rb",), rfc.BARE_CR),
            ("a bare LF", (b"X: a\nb",), rfc.BARE_LF),
            ("LF alone behind one", (b"X: 1\nY: 2",), rfc.BARE_LF),
            ("LF LF", (b"X: 1\n\nGET / HTTP/1.1",), rfc.BARE_LF),
        )
    ),
    Case("LF alone ends them", chunked(b"0\r\nX: 1\r\n\n"), BAD, rfc.BARE_LF),
    # Their limits: those of a head
    Case("100 of them", _trailing(*[b"X: 1"] * 100), seen(b"POST", body=b"hello", trailers=((b"x", b"1"),) * 100),
         rfc.WITHIN_LIMITS),
    Case("257 of them", _trailing(*[b"X: 1"] * 257), TOO_LARGE, rfc.TOO_LARGE),
    Case("one of 8 KiB", _trailing(b"X: " + b"a" * 8_192),
         seen(b"POST", body=b"hello", trailers=((b"x", b"a" * 8_192),)), rfc.WITHIN_LIMITS),
    Case("one of 200,000 bytes", _trailing(b"X: " + b"a" * 200_000), TOO_LARGE, rfc.TOO_LARGE),
    Case("one of 200,000 bytes without an end", chunked(b"0\r\nX: " + b"a" * 200_000), TOO_LARGE, rfc.TOO_LARGE),
    # Those of the answer
    Case("of an answer, to a client that takes them", get(b"Connection: TE", b"TE: trailers", target=b"/trailers"),
         seen(target=b"/trailers", absent=(b"te",), answer_trailers=((b"x-sum", b"1"),)), rfc.TRAILERS_OF_ANSWERS),
    Case("of an answer, to HTTP/1.0", get(target=b"/trailers", version=b"HTTP/1.0"),
         closing(seen(target=b"/trailers", answer=b"one two three")), rfc.NO_CODING_TO_1_0),
    # Not there yet
    Case("no end of a line", chunked(b"0\r\nX: 1"), WAITED_FOR, rfc.INCOMPLETE_HEAD),
    Case("no empty line", chunked(b"0\r\nX: 1\r\n"), WAITED_FOR, rfc.INCOMPLETE_HEAD),
]  # fmt: skip
