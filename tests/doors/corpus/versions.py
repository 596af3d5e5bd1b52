"""The version of the request line, and what an old one means."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, Case, closing, get, head, perhaps_closing, post, refused, seen, turned_away

OLD = refused(505)


def _asked(version: bytes) -> bytes:
    return get(version=version)


def _old(*lines: bytes, method: bytes = b"GET", target: bytes = b"/") -> bytes:
    return head(b"%b %b HTTP/1.0" % (method, target), b"Host: " + HOST, *lines)


CASES = [
    Case("HTTP/1.1", _asked(b"HTTP/1.1"), seen(), rfc.VERSION),
    Case("HTTP/1.2 is read as 1.1", _asked(b"HTTP/1.2"), seen(), rfc.HIGHER_MINOR),
    Case("HTTP/1.9 is read as 1.1", _asked(b"HTTP/1.9"), seen(), rfc.HIGHER_MINOR),
    Case("HTTP/2.0", _asked(b"HTTP/2.0"), OLD, rfc.OTHER_MAJOR),
    Case("HTTP/3.0", _asked(b"HTTP/3.0"), OLD, rfc.OTHER_MAJOR),
    Case("HTTP/9.9", _asked(b"HTTP/9.9"), OLD, rfc.OTHER_MAJOR),
    Case("HTTP/0.9", _asked(b"HTTP/0.9"), OLD, rfc.OTHER_MAJOR),
    Case("HTTP/0.0", _asked(b"HTTP/0.0"), OLD, rfc.OTHER_MAJOR),
    Case("no version, as in HTTP/0.9", head(b"GET /", b"Host: " + HOST), BAD, rfc.REQUEST_LINE),
    Case("no version and no fields", b"GET /\r\n\r\n", BAD, rfc.REQUEST_LINE),
    Case("HTTP/2", _asked(b"HTTP/2"), refused(400, 505), rfc.VERSION),
    Case("HTTP/1", _asked(b"HTTP/1"), BAD, rfc.VERSION),
    Case("HTTP/1.", _asked(b"HTTP/1."), BAD, rfc.VERSION),
    Case("HTTP/.1", _asked(b"HTTP/.1"), BAD, rfc.VERSION),
    Case("HTTP/11", _asked(b"HTTP/11"), BAD, rfc.VERSION),
    Case("HTTP/1.10", _asked(b"HTTP/1.10"), BAD, rfc.VERSION),
    Case("HTTP/1.01", _asked(b"HTTP/1.01"), BAD, rfc.VERSION),
    Case("HTTP/01.1", _asked(b"HTTP/01.1"), BAD, rfc.VERSION),
    Case("HTTP/1,1", _asked(b"HTTP/1,1"), BAD, rfc.VERSION),
    Case("HTTP/1.1.1", _asked(b"HTTP/1.1.1"), BAD, rfc.VERSION),
    Case("HTTP/-1.1", _asked(b"HTTP/-1.1"), BAD, rfc.VERSION),
    Case("HTTP/1.a", _asked(b"HTTP/1.a"), BAD, rfc.VERSION),
    Case("HTTP/1.\u0661 in Arabic digits", _asked("HTTP/1.\u0661".encode()), BAD, rfc.VERSION),
    Case("HTTP 1.1", _asked(b"HTTP 1.1"), BAD, rfc.REQUEST_LINE),
    Case("http/1.1 in lower case", _asked(b"http/1.1"), BAD, rfc.VERSION),
    Case("Http/1.1 in mixed case", _asked(b"Http/1.1"), BAD, rfc.VERSION),
    Case("HTTPS/1.1", _asked(b"HTTPS/1.1"), BAD, rfc.VERSION),
    Case("XHTTP/1.1", _asked(b"XHTTP/1.1"), BAD, rfc.VERSION),
    Case("ICE/1.0", head(b"SOURCE /p ICE/1.0", b"Host: " + HOST), BAD, rfc.VERSION),
    Case("RTSP/1.0", _asked(b"RTSP/1.0"), BAD, rfc.VERSION),
    # HTTP/1.0
    Case("1.0", _old(), closing(seen()), rfc.PERSISTENT_1_0),
    Case("1.0 with keep-alive", _old(b"Connection: keep-alive"), perhaps_closing(seen()), rfc.PERSISTENT_1_0),
    Case("1.0 with close", _old(b"Connection: close"), closing(seen()), rfc.CLOSE),
    Case("1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", turned_away(400, 404), rfc.NO_AUTHORITY),
    Case(
        "1.0, absolute form without Host", head(b"GET http://%b/a HTTP/1.0" % HOST),
        closing(seen(b"GET", b"/a")), rfc.ABSOLUTE_FORM,
    ),
    Case("1.0, HEAD", _old(method=b"HEAD"), closing(seen(b"HEAD", answer=b"")), rfc.HEAD_IS_BODYLESS),
    Case(
        "1.0, an answer in chunks", _old(target=b"/chunked"),
        closing(seen(b"GET", b"/chunked", answer=b"one two three")), rfc.NO_CODING_TO_1_0,
    ),
    Case(
        "1.0 with keep-alive, an answer in chunks", _old(b"Connection: keep-alive", target=b"/chunked"),
        perhaps_closing(seen(b"GET", b"/chunked", answer=b"one two three")), rfc.NO_CODING_TO_1_0,
    ),
    Case("1.1, an answer in chunks", get(target=b"/chunked"), seen(b"GET", b"/chunked"), rfc.PERSISTENT),
    Case(
        "1.0 with a length", post(b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"),
        closing(seen(b"POST", body=b"hello")), rfc.LENGTH_FRAMES,
    ),
    Case("1.0, a body without a length", post(version=b"HTTP/1.0"), closing(seen(b"POST")), rfc.NO_BODY),
    Case(
        "1.0 with chunks", post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"HTTP/1.0"),
        BAD, rfc.CODING_IN_1_0,
    ),
    Case(
        "1.0 with chunks and a length",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n", version=b"HTTP/1.0"),
        BAD, rfc.CODING_IN_1_0,
    ),
    Case("1.0 with two Hosts", _old(b"Host: " + HOST), BAD, rfc.ONE_HOST),
    Case(
        "the service is asked in 1.1", _old(target=b"/version"),
        closing(seen(b"GET", b"/version", answer=b"HTTP/1.1")), rfc.OWN_VERSION,
    ),
]  # fmt: skip
