"""Expect, and interim answers."""

from tests.doors import rfc
from tests.doors.case import HOST, Case, answered, closing, get, head, post, seen, turned_away

EXPECTS = b"Expect: 100-continue"
POSTED = seen(b"POST", body=b"hello")

CASES = [
    Case("the body comes with the head", post(EXPECTS, b"Content-Length: 5", body=b"hello"), POSTED, rfc.EXPECT),
    Case("the body comes after the 100", post(EXPECTS, b"Content-Length: 5"), POSTED, rfc.EXPECT, then=b"hello"),
    Case("chunks come after the 100", post(EXPECTS, b"Transfer-Encoding: chunked"), POSTED, rfc.EXPECT,
         then=b"5\r\nhello\r\n0\r\n\r\n"),
    Case("in upper case", post(b"EXPECT: 100-CONTINUE", b"Content-Length: 5"), POSTED, rfc.EXPECT, then=b"hello"),
    Case("with blanks around", post(b"Expect:  100-continue ", b"Content-Length: 5"), POSTED, rfc.EXPECT,
         then=b"hello"),
    Case("twice", post(EXPECTS, EXPECTS, b"Content-Length: 5", body=b"hello"), POSTED, rfc.EXPECT),
    Case("without a body", get(EXPECTS), seen(), rfc.EXPECT),
    Case("of no bytes", post(EXPECTS, b"Content-Length: 0"), seen(b"POST"), rfc.EXPECT),
    Case("a request behind it", post(EXPECTS, b"Content-Length: 5", body=b"hello") + get(target=b"/b"),
         POSTED + seen(target=b"/b"), rfc.EXPECT),
    Case("behind a request", get(target=b"/b") + post(EXPECTS, b"Content-Length: 5", body=b"hello"),
         seen(target=b"/b") + POSTED, rfc.EXPECT),
    Case("HTTP/1.0", head(b"POST / HTTP/1.0", b"Host: " + HOST, EXPECTS, b"Content-Length: 5") + b"hello",
         closing(seen(b"POST", body=b"hello", interim=())), rfc.EXPECT_IN_1_0),
    Case("of nobody", head(b"POST / HTTP/1.1", b"Host: nobody.test", EXPECTS, b"Content-Length: 5"), turned_away(404),
         rfc.EXPECT,
         then=b"hello"),
    Case("of something else", post(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello"), answered(200, 417),
         rfc.OTHER_EXPECTATION),
    Case("of nothing", post(b"Expect:", b"Content-Length: 5", body=b"hello"), answered(200, 417),
         rfc.OTHER_EXPECTATION),
    Case("of both", post(b"Expect: 100-continue, x", b"Content-Length: 5", body=b"hello"), answered(200, 417),
         rfc.OTHER_EXPECTATION),
    Case("hints before the answer", get(target=b"/hints"), seen(target=b"/hints", interim=(103,)), rfc.INTERIM),
    Case("hints before the answer, of HTTP/1.0", get(target=b"/hints", version=b"HTTP/1.0"),
         closing(seen(target=b"/hints", interim=())), rfc.INTERIM_IN_1_0),
]  # fmt: skip
