"""Field lines: their names, their colons, and the ones that only we may set."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, Case, Fields, get, head, seen

DELIMITERS = b'"(),/;<=>?@[\\]{}\x01\x0b\x1f\x7f\x80\xe9\xff'
MARKS = b"!#$%&'*+-.^_`|~"
CLAIMS = (
    "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix",
    "X-Forwarded-Server", "Forwarded", "X-Real-IP", "Proxy",
    "X_Forwarded_For", "X-Forwarded_For", "X_Forwarded-For", "X_Real_IP", "X-Real_IP",
    "True-Client-IP", "X-Client-IP", "CF-Connecting-IP", "X-Original-URL", "X-Rewrite-URL", "X-Host",
    "X-Envoy-External-Address", "Forwarded-For",
)  # fmt: skip
"""Fields in which a client would say who it is or what it asked for."""
ORDINARY = (
    "Accept", "Accept-Language", "Authorization", "Cache-Control", "Cookie", "DNT", "If-None-Match", "Origin", "Range",
    "Referer", "Sec-Fetch-Mode", "User-Agent", "Via", "X-Requested-With", "X-Custom", "Content-Type", "Early-Data",
)  # fmt: skip
HOP_BY_HOP = (
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Proxy-Authorization",
    "Proxy-Authenticate",
    "Upgrade",
    "HTTP2-Settings",
)


def _one(name: str, value: str) -> Fields:
    return ((name.lower().encode(), value.encode()),)


def _raw(*lines: bytes) -> bytes:
    return head(b"GET / HTTP/1.1", *lines)


CASES = [
    # What a name is
    *(
        Case(f"a name with {chr(mark)}", get(b"X%cY: 1" % mark), seen(fields=((b"x%cy" % mark, b"1"),)),
             rfc.NAME_IS_TOKEN)
        for mark in MARKS
    ),
    *(Case(f"a name with the byte {byte:#04x}", get(b"X%cY: 1" % byte), BAD, rfc.NAME_IS_TOKEN) for byte in DELIMITERS),
    Case("a name of digits", get(b"123: 1"), seen(fields=((b"123", b"1"),)), rfc.NAME_IS_TOKEN),
    Case("a name of one letter", get(b"a: 1"), seen(fields=((b"a", b"1"),)), rfc.NAME_IS_TOKEN),
    Case("a name of 4,000 letters", get(b"a" * 4_000 + b": 1"), seen(fields=((b"a" * 4_000, b"1"),)),
         rfc.WITHIN_LIMITS),
    Case("an empty name", get(b": 1"), BAD, rfc.NAME_IS_TOKEN),
    Case("a colon alone", get(b":"), BAD, rfc.NAME_IS_TOKEN),
    Case("two colons", get(b"X:: 1"), seen(fields=((b"x", b": 1"),)), rfc.FIELD_LINE),
    Case("no colon", get(b"X"), BAD, rfc.FIELD_LINE),
    Case("no colon, and a blank", get(b"X 1"), BAD, rfc.FIELD_LINE),
    Case("no colon in the first line", _raw(b"X", b"Host: " + HOST), BAD, rfc.FIELD_LINE),
    Case("no colon in the last line, which is long", get(b"X" * 2_000), BAD, rfc.FIELD_LINE),
    Case("NUL within a name", get(b"X\0Y: 1"), BAD, rfc.NAME_IS_TOKEN),
    Case("NUL before a name", get(b"\0X: 1"), BAD, rfc.NAME_IS_TOKEN),
    Case("an equals sign for the colon", get(b"X=1"), BAD, rfc.FIELD_LINE),
    # Blanks
    Case("a blank before the colon", get(b"X : 1"), BAD, rfc.BLANK_BEFORE_COLON),
    Case("a tab before the colon", get(b"X\t: 1"), BAD, rfc.BLANK_BEFORE_COLON),
    Case("blanks before the colon of the last line", get(b"A: 1", b"X   : 1"), BAD, rfc.BLANK_BEFORE_COLON),
    Case("a blank within a name", get(b"X Y: 1"), BAD, rfc.NAME_IS_TOKEN),
    Case("a blank before the first field", _raw(b" Host: " + HOST), BAD, rfc.BLANK_FIRST_LINE),
    Case("a tab before the first field", _raw(b"\tX: 1", b"Host: " + HOST), BAD, rfc.BLANK_FIRST_LINE),
    Case("a line of blanks before the first field", _raw(b"  ", b"Host: " + HOST), BAD, rfc.BLANK_FIRST_LINE),
    Case("a line folded with a blank", get(b"X: 1", b" 2"), BAD, rfc.FOLD),
    Case("a line folded with a tab", get(b"X: 1", b"\t2"), BAD, rfc.FOLD),
    Case("a line folded twice", get(b"X: 1", b" 2", b" 3"), BAD, rfc.FOLD),
    Case("an empty fold", get(b"X: 1", b" "), BAD, rfc.FOLD),
    Case("an empty value that is folded", get(b"X:", b" 1"), BAD, rfc.FOLD),
    Case("a fold that looks like a field", get(b"X: 1", b" Content-Length: 5"), BAD, rfc.FOLD),
    # The ends of lines
    Case("LF alone ends a field", get(b"X: 1\nY: 2"), BAD, rfc.BARE_LF),
    Case("CR alone ends a field", get(b"X: 1\rY: 2"), BAD, rfc.BARE_CR),
    Case("CR CR LF ends a field", get(b"X: 1\r"), BAD, rfc.BARE_CR),
    Case("LF alone is the empty line", get()[:-2] + b"\n", BAD, rfc.BARE_LF),
    Case("CR CR LF is the empty line", get()[:-2] + b"\r\r\n", BAD, rfc.BARE_CR),
    Case("LF LF within the head", get(b"X: 1\n\nY: 2"), BAD, rfc.BARE_LF),
    Case("a request behind LF LF", get(b"X: 1\n\nGET /b HTTP/1.1\nHost: " + HOST), BAD, rfc.BARE_LF),
    Case("a bare CR before a name", get(b"\rX: 1"), BAD, rfc.BARE_CR),
    Case("a bare CR within a name", get(b"X\rY: 1"), BAD, rfc.BARE_CR),
    # What travels
    *(
        Case(f"{name} passes", get(f"{name}: v 1".encode()), seen(fields=_one(name, "v 1")), rfc.ANY_FIELD)
        for name in ORDINARY
    ),
    *(
        Case(f"{name} goes no further", get(f"{name}: h2c".encode()), seen(absent=(name.lower().encode(),)),
             rfc.HOP_BY_HOP)
        for name in HOP_BY_HOP
    ),
    *(
        Case(f"{name} is not believed", get(f"{name}: 9.9.9.9".encode()), seen(unsaid=(b"9.9.9.9",)), rfc.CLAIMS)
        for name in CLAIMS
    ),
    Case("a name twice, in order", get(b"X: 1", b"A: a", b"x: 2"), seen(fields=((b"x", b"1"), (b"x", b"2"))),
         rfc.FIELD_ORDER),
    Case("two Cookies", get(b"Cookie: a=1", b"Cookie: b=2"), seen(fields=((b"cookie", b"a=1"), (b"cookie", b"b=2"))),
         rfc.FIELD_ORDER),
    Case("100 times the same", get(*[b"X: %d" % number for number in range(100)]),
         seen(fields=tuple((b"x", b"%d" % number) for number in range(100))), rfc.FIELD_ORDER),
    Case("names that Connection lists", get(b"Connection: x-one, X-Two", b"X-One: 1", b"X-TWO: 2", b"X-Three: 3"),
         seen(fields=((b"x-three", b"3"),), absent=(b"x-one", b"x-two", b"connection")), rfc.HOP_BY_HOP),
    Case("names that two Connections list", get(b"Connection: x-one", b"Connection: x-two", b"X-One: 1", b"X-Two: 2"),
         seen(absent=(b"x-one", b"x-two", b"connection")), rfc.HOP_BY_HOP),
    Case("empty members of Connection", get(b"Connection: ,, x-one ,", b"X-One: 1"), seen(absent=(b"x-one",)),
         rfc.HOP_BY_HOP),
    Case("Connection names the request's id", get(b"Connection: x-request-id"), seen(), rfc.OPTION_OF_ALL),
    Case("Connection names X-Forwarded-For", get(b"Connection: x-forwarded-for"),
         seen(fields=((b"x-forwarded-for", b"127.0.0.1"),)), rfc.OPTION_OF_ALL),
]  # fmt: skip
