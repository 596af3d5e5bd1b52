"""The values of fields."""

from tests.doors import rfc
from tests.doors.case import BAD, Case, get, seen

CONTROLS = tuple(byte for byte in range(32) if byte not in b"\0\t\n\r")


def _passes(value: bytes) -> Case:
    text = value[:12].decode("latin-1").encode("unicode_escape").decode()
    return Case(f"'{text}' passes", get(b"X: " + value), seen(fields=((b"x", value),)), rfc.OBS_TEXT)


CASES = [
    Case("empty", get(b"X:"), seen(fields=((b"x", b""),)), rfc.FIELD_LINE),
    Case("a blank alone", get(b"X: "), seen(fields=((b"x", b""),)), rfc.OWS),
    Case("blanks alone", get(b"X: \t  \t"), seen(fields=((b"x", b""),)), rfc.OWS),
    Case("no blank", get(b"X:1"), seen(fields=((b"x", b"1"),)), rfc.OWS),
    Case("a blank after", get(b"X: 1 "), seen(fields=((b"x", b"1"),)), rfc.OWS),
    Case("tabs around", get(b"X:\t1\t"), seen(fields=((b"x", b"1"),)), rfc.OWS),
    Case("many blanks around", get(b"X:" + b" " * 500 + b"1" + b" " * 500), seen(fields=((b"x", b"1"),)), rfc.OWS),
    Case("blanks within", get(b"X: a  b\tc"), seen(fields=((b"x", b"a  b\tc"),)), rfc.OWS),
    _passes(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    _passes(b"\x80"),
    _passes(b"\xff\xfe"),
    _passes("\u65e5\u672c".encode()),
    _passes(b"a: b: c"),
    _passes(b"HTTP/1.1 200 OK"),
    _passes(b"\\r\\nX-Injected: 1"),
    _passes(b"%0d%0aX-Injected: 1"),
    _passes("\u560d\u560aX-Injected: 1".encode()),
    _passes(b"() { :; }; echo"),
    _passes(b"'" * 1000),
    _passes(b"v" * 60_000),
    Case("NUL within", get(b"X: a\0b"), BAD, rfc.NUL_IN_VALUE),
    Case("NUL alone", get(b"X: \0"), BAD, rfc.NUL_IN_VALUE),
    Case("NUL at the end", get(b"X: a\0"), BAD, rfc.NUL_IN_VALUE),
    Case("NUL far within a long one", get(b"X: " + b"a" * 5_000 + b"\0" + b"a" * 5_000), BAD, rfc.NUL_IN_VALUE),
    *(Case(f"the control {byte:#04x}", get(b"X: a%cb" % byte), BAD, rfc.CTL_IN_VALUE) for byte in CONTROLS),
    Case("DEL", get(b"X: a\x7fb"), BAD, rfc.CTL_IN_VALUE),
    Case("a bare CR", get(b"X: a\rb"), BAD, rfc.BARE_CR),
    Case("a bare CR and a field", get(b"X: a\rContent-Length: 5"), BAD, rfc.BARE_CR),
    Case("a bare LF", get(b"X: a\nb"), BAD, rfc.BARE_LF),
    Case("a bare LF and a field", get(b"X: a\nContent-Length: 5"), BAD, rfc.BARE_LF),
    Case("LF CR", get(b"X: a\n\rY: b"), BAD, rfc.BARE_LF),
]
