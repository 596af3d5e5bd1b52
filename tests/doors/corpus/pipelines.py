"""Several requests on one connection, and when it ends."""

from tests.doors import rfc
from tests.doors.case import (
    BAD,
    HOST,
    WAITED_FOR,
    WILD,
    Case,
    Verdict,
    chunked,
    closing,
    get,
    head,
    post,
    refused,
    seen,
    turned_away,
)

A, B, C = (get(target=target) for target in (b"/a", b"/b", b"/c"))
SEEN_A, SEEN_B, SEEN_C = (seen(target=target) for target in (b"/a", b"/b", b"/c"))
NOWHERE = head(b"GET /n HTTP/1.1", b"Host: nobody.test")
POSTED = post(b"Content-Length: 5", body=b"hello", target=b"/p")
SEEN_POSTED = seen(b"POST", b"/p", b"hello")


def _many(count: int) -> tuple[bytes, Verdict]:
    sent, verdict = b"", Verdict((), stays=True)
    for number in range(count):
        sent += get(target=b"/%d" % number)
        verdict += seen(target=b"/%d" % number)
    return sent, verdict


CASES = [
    Case("two", A + B, SEEN_A + SEEN_B, rfc.PIPELINE),
    Case("three", A + B + C, SEEN_A + SEEN_B + SEEN_C, rfc.PIPELINE),
    Case("fifty", *_many(50), rfc.PIPELINE),
    Case("a slow answer before a quick one", get(target=b"/chunked") + B, seen(target=b"/chunked") + SEEN_B,
         rfc.PIPELINE),
    Case("two of different hosts", A + head(b"GET /b HTTP/1.1", b"Host: b." + WILD), SEEN_A + SEEN_B, rfc.PIPELINE),
    Case("a body, then a request", POSTED + B, SEEN_POSTED + SEEN_B, rfc.LENGTH_FRAMES),
    Case("a request, then a body", A + POSTED, SEEN_A + SEEN_POSTED, rfc.PIPELINE),
    Case("two bodies", POSTED + POSTED, SEEN_POSTED + SEEN_POSTED, rfc.LENGTH_FRAMES),
    Case("chunks, then a request", chunked(b"5\r\nhello\r\n0\r\n\r\n", target=b"/p") + B, SEEN_POSTED + SEEN_B,
         rfc.CHUNK),
    Case("HEAD, then a request", head(b"HEAD /a HTTP/1.1", b"Host: " + HOST) + B,
         seen(b"HEAD", b"/a", answer=b"") + SEEN_B, rfc.HEAD_IS_BODYLESS),
    # What stands between
    Case("an empty line between", A + b"\r\n" + B, SEEN_A + SEEN_B, rfc.EMPTY_LINES),
    Case("an empty line behind a body", POSTED + b"\r\n" + B, SEEN_POSTED + SEEN_B, rfc.EMPTY_LINES),
    Case("three empty lines between", A + b"\r\n" * 3 + B, SEEN_A + SEEN_B, rfc.EMPTY_LINES),
    Case("a bare LF between", A + b"\n" + B, SEEN_A + BAD, rfc.BARE_LF),
    Case("a bare CR between", A + b"\r" + B, SEEN_A + BAD, rfc.BARE_CR),
    Case("a blank between", A + b" " + B, SEEN_A + BAD, rfc.REQUEST_LINE),
    Case("NUL between", A + b"\0" + B, SEEN_A + BAD, rfc.NOT_HTTP),
    # A bad one among them
    Case("noise behind a request", A + b"noise\r\n\r\n", SEEN_A + BAD, rfc.NOT_HTTP),
    Case("noise before a request", b"noise\r\n\r\n" + A, BAD, rfc.NOT_HTTP),
    Case("a bad one in the middle", A + get(b"X : 1") + C, SEEN_A + BAD, rfc.BLANK_BEFORE_COLON),
    Case("a bad length behind a request", A + post(b"Content-Length: +5", body=b"hello"), SEEN_A + BAD,
         rfc.INVALID_LENGTH),
    Case("a bad chunk before a request", chunked(b"x\r\n\r\n") + A, BAD, rfc.CHUNK),
    Case("two Hosts behind a request", A + get(b"Host: " + HOST), SEEN_A + BAD, rfc.ONE_HOST),
    Case("another version behind a request", A + get(version=b"HTTP/2.0"), SEEN_A + refused(505), rfc.OTHER_MAJOR),
    # One that is turned away
    Case("one to nobody behind a request", A + NOWHERE, SEEN_A + turned_away(404), rfc.PIPELINE),
    Case("one to nobody, with a body that looks like a request",
         head(b"POST /n HTTP/1.1", b"Host: nobody.test", b"Content-Length: %d" % len(A)) + A,
         turned_away(404), rfc.READ_OR_CLOSE),
    Case("one to nobody, with chunks that look like a request",
         head(b"POST /n HTTP/1.1", b"Host: nobody.test",
         b"Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(A), A),
         turned_away(404), rfc.READ_OR_CLOSE),
    # The end
    Case("close", get(b"Connection: close"), closing(seen()), rfc.CLOSE),
    Case("Close", get(b"Connection: Close"), closing(seen()), rfc.CLOSE),
    Case("close among others", get(b"Connection: keep-alive, close"), closing(seen()), rfc.CLOSE),
    Case("close in a second field", get(b"Connection: x", b"Connection: close"), closing(seen()), rfc.CLOSE),
    Case("close, and a request behind it", get(b"Connection: close", target=b"/a") + B, closing(SEEN_A), rfc.CLOSE),
    Case("close, and noise behind it", get(b"Connection: close", target=b"/a") + b"noise\r\n\r\n", closing(SEEN_A),
         rfc.CLOSE),
    Case("close with a body, and a request behind it",
         post(b"Connection: close", b"Content-Length: 5", body=b"hello", target=b"/p") + B, closing(SEEN_POSTED),
         rfc.CLOSE),
    Case("close in the second", A + get(b"Connection: close", target=b"/b") + C, closing(SEEN_A + SEEN_B), rfc.CLOSE),
    Case("a name that has close in it", get(b"Connection: closed, x-close", target=b"/a") + B, SEEN_A + SEEN_B,
         rfc.CLOSE),
    Case("keep-alive", get(b"Connection: keep-alive", target=b"/a") + B, SEEN_A + SEEN_B, rfc.PERSISTENT),
    Case("HTTP/1.0, and a request behind it", get(target=b"/a", version=b"HTTP/1.0") + B, closing(SEEN_A),
         rfc.PERSISTENT_1_0),
    Case("HTTP/1.0 with keep-alive, and a request behind it",
         get(b"Connection: keep-alive", target=b"/a", version=b"HTTP/1.0") + B, SEEN_A + SEEN_B, rfc.PERSISTENT_1_0,
         also=closing(SEEN_A)),
    Case("Proxy-Connection is not Connection", get(b"Proxy-Connection: close", target=b"/a") + B, SEEN_A + SEEN_B,
         rfc.CLOSE),
    Case("nothing at all", b"", WAITED_FOR, rfc.PERSISTENT),
]  # fmt: skip
