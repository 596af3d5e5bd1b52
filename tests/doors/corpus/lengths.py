"""Content-Length: what is one, and that no second one is believed."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, WAITED_FOR, Case, closing, get, head, post, seen

WRONG = (
    b"+1", b"-1", b"-0", b"0x1", b"0x", b"1,1", b"1, 1", b"5,6", b"5 5", b"5;5", b"5.", b"5.0", b".5", b"5e0", b"1_0",
    b"5 x",
    b"five", b"", b" ", b",", b"5,", b",5", b'"5"', b"5a", b"a5", b"0b1", b"0o5", b"\xb2", "\u0665".encode(),
    "\uff15".encode(),
    b"5\x0b", b"\x0c5", b"5\xa0", b"NaN", b"chunked", b"-", b"+",
)  # fmt: skip
HUGE = (b"9223372036854775808", b"18446744073709551616", b"18446744073709551621", b"9" * 30, b"1" + b"0" * 100)
SECRET = b"GET /secret HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST


def _with(value: bytes, body: bytes = b"hello") -> bytes:
    return post(b"Content-Length: " + value, body=body)


def _text(value: bytes) -> str:
    return value.decode("latin-1").encode("unicode_escape").decode()[:24]


CASES = [
    Case("5", _with(b"5"), seen(b"POST", body=b"hello", fields=((b"content-length", b"5"),)), rfc.LENGTH_FRAMES),
    Case("0", _with(b"0", b""), seen(b"POST"), rfc.LENGTH),
    Case("00", _with(b"00", b""), seen(b"POST"), rfc.LENGTH),
    Case("leading zeros", _with(b"0005"), seen(b"POST", body=b"hello"), rfc.LENGTH),
    Case("eight looks octal", _with(b"010", b"0123456789"), seen(b"POST", body=b"0123456789"), rfc.LENGTH),
    Case("a blank after", _with(b"5 "), seen(b"POST", body=b"hello"), rfc.OWS),
    Case("a tab after", _with(b"5\t"), seen(b"POST", body=b"hello"), rfc.OWS),
    Case("0 and a blank", _with(b"0 ", b""), seen(b"POST"), rfc.OWS),
    Case("blanks before", _with(b"  5"), seen(b"POST", body=b"hello"), rfc.OWS),
    Case("no blank", post(b"Content-Length:5", body=b"hello"), seen(b"POST", body=b"hello"), rfc.OWS),
    Case("in lower case", post(b"content-length: 5", body=b"hello"), seen(b"POST", body=b"hello"), rfc.NAME_CASE),
    Case("a body of every byte", _with(b"256", bytes(range(256))), seen(b"POST", body=bytes(range(256))),
         rfc.LENGTH_FRAMES),
    Case("a body of 100,000 bytes", _with(b"100000", b"x" * 100_000), seen(b"POST", body=b"x" * 100_000),
         rfc.LENGTH_FRAMES),
    Case("a body that looks like a request", _with(b"%d" % len(SECRET), SECRET), seen(b"POST", body=SECRET),
         rfc.LENGTH_FRAMES),
    Case("a body that looks like chunks", _with(b"5", b"0\r\n\r\n"), seen(b"POST", body=b"0\r\n\r\n"),
         rfc.LENGTH_FRAMES),
    Case("a body of a GET that looks like a request", get(b"Content-Length: %d" % len(SECRET)) + SECRET,
         seen(b"GET", body=SECRET), rfc.LENGTH_FRAMES),
    Case("the next request begins where it says", _with(b"5") + get(target=b"/b"),
         seen(b"POST", body=b"hello") + seen(target=b"/b"), rfc.LENGTH_FRAMES),
    Case("too short: the rest is the next request", _with(b"3") + get(), seen(b"POST", body=b"hel") + seen(b"loGET"),
         rfc.LENGTH_FRAMES),
    Case("too short: the rest is no request", _with(b"3", b"hel(") + get(), seen(b"POST", body=b"hel") + BAD,
         rfc.LENGTH_FRAMES),
    Case("none: the body is a request line", post(body=b"hello\r\n\r\n"), seen(b"POST") + BAD, rfc.NO_BODY),
    Case("too long", _with(b"6"), WAITED_FOR, rfc.CUT_SHORT),
    Case("far too long", _with(b"999999999999999999"), WAITED_FOR, rfc.CUT_SHORT),
    *(Case(f"'{_text(value)}' is none", _with(value), BAD, rfc.INVALID_LENGTH) for value in WRONG),
    *(Case(f"{_text(value)} is too large", _with(value), BAD, rfc.LARGE_LENGTH) for value in HUGE),
    Case("NUL within", _with(b"5\0"), BAD, rfc.NUL_IN_VALUE),
    Case("a blank before the colon", post(b"Content-Length : 5", body=b"hello"), BAD, rfc.BLANK_BEFORE_COLON),
    Case("folded", post(b"Content-Length:", b" 5", body=b"hello"), BAD, rfc.FOLD),
    # Several
    Case("two, the same", post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), BAD, rfc.LIST_OF_LENGTHS),
    Case("two, different", post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"), BAD, rfc.INVALID_LENGTH),
    Case("two, the short one first", post(b"Content-Length: 0", b"Content-Length: 5", body=b"hello"), BAD,
         rfc.INVALID_LENGTH),
    Case("two, apart", post(b"Content-Length: 5", b"A: 1", b"content-length: 6", body=b"hello"), BAD,
         rfc.INVALID_LENGTH),
    Case("two, spelt differently", post(b"Content-Length: 5", b"Content-Length: 05", body=b"hello"), BAD,
         rfc.LIST_OF_LENGTHS),
    Case("two zeros", post(b"Content-Length: 0", b"Content-Length: 0"), BAD, rfc.LIST_OF_LENGTHS),
    Case("two, of a GET", get(b"Content-Length: 5", b"Content-Length: 0") + b"hello", BAD, rfc.INVALID_LENGTH),
    # What is none
    Case("with an underscore it is another field", post(b"Content_Length: 5"),
         seen(b"POST", fields=((b"content_length", b"5"),)),
         rfc.NAME_CASE),
    Case("with an X it is another field", post(b"X-Content-Length: 5"), seen(b"POST"), rfc.NAME_CASE),
    Case("named by Connection", post(b"Connection: content-length", b"Content-Length: 5", body=b"hello"),
         seen(b"POST", body=b"hello"), rfc.OPTION_OF_ALL),
    Case("named by Connection, with close",
         post(b"Connection: close, content-length", b"Content-Length: 5", body=b"hello"),
         closing(seen(b"POST", body=b"hello")), rfc.OPTION_OF_ALL),
    # Beside Transfer-Encoding
    *(
        Case(f"{name}", post(*lines, body=b"0\r\n\r\n"), BAD, rfc.CODING_AND_LENGTH)
        for name, lines in {
            "before a coding": (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            "after a coding": (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
            "0 beside a coding": (b"Content-Length: 0", b"Transfer-Encoding: chunked"),
            "twice beside a coding": (b"Content-Length: 5", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            "invalid beside a coding": (b"Content-Length: +5", b"Transfer-Encoding: chunked"),
            "beside a coding in upper case": (b"Content-Length: 5", b"TRANSFER-ENCODING: CHUNKED"),
            "beside a coding that Connection names": (
                b"Connection: transfer-encoding", b"Content-Length: 5", b"Transfer-Encoding: chunked",
            ),
            "that Connection names, beside a coding": (
                b"Connection: content-length", b"Content-Length: 5", b"Transfer-Encoding: chunked",
            ),
        }.items()
    ),
    Case("beside a coding, of a GET", get(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", BAD,
         rfc.CODING_AND_LENGTH),
    Case("beside a coding, in HTTP/1.0", head(b"POST / HTTP/1.0", b"Host: " + HOST, b"Content-Length: 5",
         b"Transfer-Encoding: chunked") + b"0\r\n\r\n", BAD, rfc.CODING_IN_1_0),
    Case("beside a coding, and a hidden request", post(b"Content-Length: 4", b"Transfer-Encoding: chunked",
         body=b"0\r\n\r\n" + SECRET), BAD, rfc.CODING_AND_LENGTH),
]  # fmt: skip
