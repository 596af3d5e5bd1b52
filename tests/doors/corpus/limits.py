"""How large a head may be: 256 fields and 128 KiB, from its first byte to the end of its empty line."""

from tests.doors import rfc
from tests.doors.case import BAD, Case, Verdict, get, head, post, refused, seen

FIELDS = 256
HEAD_BYTES = 128 * 1024
TOO_LARGE = refused(431)


def _fields(count: int) -> bytes:
    """A head of so many fields, Host among them."""
    return get(*[b"X: 1"] * (count - 1))


def _of(size: int, *lines: bytes) -> bytes:
    """A head of so many bytes, by one long field."""
    return get(*lines, b"X: " + b"a" * (size - len(get(*lines, b"X: "))))


def _spread(size: int) -> bytes:
    """A head of so many bytes, by 200 fields."""
    lines = [b"X: " + b"a" * 600] * 199
    return _of(size, *lines)


def _took(*values: bytes) -> Verdict:
    return seen(fields=tuple((b"x", value) for value in values))


def _long(sent: bytes) -> Verdict:
    return _took(sent.rpartition(b"X: ")[2][:-4])


CASES = [
    *(Case(f"{count} fields", _fields(count), _took(*[b"1"] * (count - 1)), rfc.WITHIN_LIMITS)
      for count in (100, 130, 255, FIELDS)),
    *(Case(f"{count} fields", _fields(count), TOO_LARGE, rfc.TOO_LARGE) for count in (FIELDS + 1, 1_000, 20_000)),
    *(
        Case(f"{size:,} bytes in one field", _of(size), _long(_of(size)), rfc.WITHIN_LIMITS)
        for size in (8_192, 16_384, 65_535, 65_536, 65_537, 100_000, HEAD_BYTES - 1, HEAD_BYTES)
    ),
    *(
        Case(f"{size:,} bytes in one field", _of(size), TOO_LARGE, rfc.TOO_LARGE)
        for size in (HEAD_BYTES + 1, HEAD_BYTES + 2, 140_000, 250_000, 1_000_000)
    ),
    Case(f"{HEAD_BYTES - 1:,} bytes in many fields", _spread(HEAD_BYTES - 1), seen(), rfc.WITHIN_LIMITS),
    Case(f"{HEAD_BYTES:,} bytes in many fields", _spread(HEAD_BYTES), seen(), rfc.WITHIN_LIMITS),
    Case(f"{HEAD_BYTES + 1:,} bytes in many fields", _spread(HEAD_BYTES + 1), TOO_LARGE, rfc.TOO_LARGE),
    Case("200,000 bytes without an end", get(b"X: " + b"a" * 200_000)[:-4], TOO_LARGE, rfc.TOO_LARGE),
    Case("a name without an end", get(b"X" * 200_000)[:-4], refused(400, 431), rfc.TOO_LARGE),
    Case("a method without an end", b"G" * 200_000, refused(400, 414, 431, 501), rfc.LONG_TARGET),
    Case("empty lines without an end", b"\r\n" * 100_000, refused(400, 431), rfc.EMPTY_LINES),
    Case("a cookie of 12 KiB", get(b"Cookie: " + b"c" * 12_288), seen(fields=((b"cookie", b"c" * 12_288),)),
         rfc.WITHIN_LIMITS),
    Case("a cookie of 100 KiB", get(b"Cookie: " + b"c" * 102_400), seen(fields=((b"cookie", b"c" * 102_400),)),
         rfc.WITHIN_LIMITS),
    Case("a head above the limit, with a body", post(b"X: " + b"a" * HEAD_BYTES, b"Content-Length: 5", body=b"hello"),
         TOO_LARGE,
         rfc.TOO_LARGE),
    Case("a head above the limit, of nobody",
         head(b"GET / HTTP/1.1", b"Host: nobody.test", b"X: " + b"a" * HEAD_BYTES), TOO_LARGE, rfc.TOO_LARGE),
    Case("a head above the limit, behind a request", get() + _of(HEAD_BYTES + 1), seen() + TOO_LARGE, rfc.TOO_LARGE),
    Case("a head of the limit, behind a request", get() + _of(HEAD_BYTES), seen() + _long(_of(HEAD_BYTES)),
         rfc.WITHIN_LIMITS),
    Case("a body of the limit is no head", post(b"Content-Length: %d" % HEAD_BYTES, body=b"b" * HEAD_BYTES),
         seen(b"POST", body=b"b" * HEAD_BYTES), rfc.LENGTH_FRAMES),
    Case("too many fields, and a fault", get(*[b"X: 1"] * 300, b"Y : 1"), refused(400, 431), rfc.TOO_LARGE),
    Case("a fault, and too many fields", get(b"Y : 1", *[b"X: 1"] * 300), refused(400, 431), rfc.TOO_LARGE),
    Case("two Hosts among too many fields", get(*[b"X: 1"] * 300, b"Host: other.test"), refused(400, 431),
         rfc.TOO_LARGE),
    Case("a blank for the last LF", get()[:-1] + b" ", BAD, rfc.BARE_CR),
]  # fmt: skip
