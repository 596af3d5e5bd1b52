"""Host: one, valid, and what it selects."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, WILD, Case, closing, get, head, seen, turned_away

NOT_ROUTED = turned_away(400, 404)
"""A valid name that nobody has published, or an empty one."""


def _of(*hosts: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return head(b"GET / " + version, *(b"Host: " + host for host in hosts))


def _below(size: int) -> bytes:
    """A name of so many characters below the wildcard, in labels of at most 63."""
    left = size - len(WILD)
    labels = b""
    while left:
        label = min(63, left - 1)
        if left - label - 1 == 1:
            label -= 1  # a single dot would be left
        labels += b"a" * label + b"."
        left -= label + 1
    return labels + WILD


CASES = [
    # How many
    Case("none", b"GET / HTTP/1.1\r\n\r\n", BAD, rfc.ONE_HOST),
    Case("none, but other fields", head(b"GET / HTTP/1.1", b"Accept: */*"), BAD, rfc.ONE_HOST),
    Case("none, for a path of our own", b"GET /healthz HTTP/1.1\r\n\r\n", BAD, rfc.ONE_HOST),
    Case("none, with a body", head(b"POST / HTTP/1.1", b"Content-Length: 2") + b"hi", BAD, rfc.ONE_HOST),
    Case("none, in X-Forwarded-Host instead", head(b"GET / HTTP/1.1", b"X-Forwarded-Host: " + HOST), BAD, rfc.ONE_HOST),
    Case("two, the same", _of(HOST, HOST), BAD, rfc.ONE_HOST),
    Case("two, the other one last", _of(HOST, b"other.test"), BAD, rfc.ONE_HOST),
    Case("two, the other one first", _of(b"other.test", HOST), BAD, rfc.ONE_HOST),
    Case("two, the control host last", _of(HOST, b"localhost"), BAD, rfc.ONE_HOST),
    Case("two, the control host first", _of(b"localhost", HOST), BAD, rfc.ONE_HOST),
    Case("two, of nobody", _of(b"nobody.test", b"nobody.test"), BAD, rfc.ONE_HOST),
    Case("two, one of them empty", _of(HOST, b""), BAD, rfc.ONE_HOST),
    Case("two, the empty one first", _of(b"", HOST), BAD, rfc.ONE_HOST),
    Case("two, in different case", head(b"GET / HTTP/1.1", b"Host: " + HOST, b"HOST: " + HOST), BAD, rfc.ONE_HOST),
    Case(
        "two, far apart", head(b"GET / HTTP/1.1", b"Host: " + HOST, b"A: 1", b"B: 2", b"host: other.test"), BAD,
        rfc.ONE_HOST,
    ),
    Case("two in one, with a comma", _of(HOST + b", other.test"), BAD, rfc.ONE_HOST),
    Case("two in one, with a blank", _of(HOST + b" other.test"), BAD, rfc.HOST_GRAMMAR),
    Case("three", _of(HOST, HOST, HOST), BAD, rfc.ONE_HOST),
    # Around it
    Case("last of the fields", head(b"GET / HTTP/1.1", b"A: 1", b"Host: " + HOST), seen(), rfc.FIELD_LINE),
    Case("in lower case", head(b"GET / HTTP/1.1", b"host: " + HOST), seen(), rfc.NAME_CASE),
    Case("in upper case", head(b"GET / HTTP/1.1", b"HOST: " + HOST), seen(), rfc.NAME_CASE),
    Case("without a blank", head(b"GET / HTTP/1.1", b"Host:" + HOST), seen(), rfc.FIELD_LINE),
    Case("with blanks before", head(b"GET / HTTP/1.1", b"Host:   " + HOST), seen(), rfc.OWS),
    Case("with a tab before", head(b"GET / HTTP/1.1", b"Host:\t" + HOST), seen(), rfc.OWS),
    Case("with a blank after", _of(HOST + b" "), seen(fields=((b"host", HOST),)), rfc.OWS),
    Case("with a tab after", _of(HOST + b"\t"), seen(fields=((b"host", HOST),)), rfc.OWS),
    Case("with blanks on both sides", _of(b"  " + HOST + b" \t "), seen(fields=((b"host", HOST),)), rfc.OWS),
    Case("with a blank before the colon", head(b"GET / HTTP/1.1", b"Host : " + HOST), BAD, rfc.BLANK_BEFORE_COLON),
    Case("folded", _of(b"\r\n " + HOST), BAD, rfc.FOLD),
    Case("with a bare LF", _of(HOST + b"\nX: 1"), BAD, rfc.BARE_LF),
    # Its name
    Case("a name in upper case", _of(HOST.upper()), seen(), rfc.HOST_CASE),
    Case("a name with a trailing dot", _of(HOST + b"."), seen(), rfc.HOST_DOT),
    Case("a name with two trailing dots", _of(HOST + b".."), NOT_ROUTED, rfc.HOST_DOT),
    Case("the default port", _of(HOST + b":80"), seen(), rfc.PORT),
    Case("another port", _of(HOST + b":8443"), seen(), rfc.PORT),
    Case("an empty port", _of(HOST + b":"), seen(), rfc.PORT),
    Case("a trailing dot and a port", _of(HOST + b".:8080"), seen(), rfc.HOST_DOT),
    Case("a port of letters", _of(HOST + b":http"), BAD, rfc.PORT),
    Case("a negative port", _of(HOST + b":-1"), BAD, rfc.PORT),
    Case("two ports", _of(HOST + b":80:80"), BAD, rfc.HOST_GRAMMAR),
    Case("a port alone", _of(b":80"), NOT_ROUTED, rfc.HOST_GRAMMAR),
    Case("empty", _of(b""), NOT_ROUTED, rfc.NO_AUTHORITY),
    Case("blanks alone", _of(b"   "), NOT_ROUTED, rfc.NO_AUTHORITY),
    Case("of nobody", _of(b"nobody.test"), turned_away(404), rfc.HOST_GRAMMAR),
    Case("a name below the wildcard", _of(b"a." + WILD), seen(fields=((b"host", b"a." + WILD),)), rfc.HOST_GRAMMAR),
    Case("a name two below the wildcard", _of(b"a.b." + WILD), seen(), rfc.HOST_GRAMMAR),
    Case("the wildcard's own name", _of(WILD), turned_away(404), rfc.HOST_GRAMMAR),
    Case("a name with an underscore", _of(b"a_b." + WILD), seen(), rfc.REG_NAME),
    Case("a name with a percent", _of(b"a%41." + WILD), turned_away(400, 404), rfc.REG_NAME),
    Case("a name with sub-delims", _of(b"a!$&'()*+;=." + WILD), turned_away(400, 404), rfc.REG_NAME),
    Case("a name with a tilde", _of(b"~a." + WILD), turned_away(400, 404), rfc.REG_NAME),
    *(
        Case(f"a name with the byte {byte:#04x}", _of(b"a%cb." % byte + WILD), BAD, rfc.HOST_GRAMMAR)
        for byte in b' "#/<>?@[\\]^`{|}\t\x01\x1f\x7f\x80\xe9\xff'
    ),
    Case("a name with NUL", _of(b"a\0b." + WILD), BAD, rfc.NUL_IN_VALUE),
    Case("a name with userinfo", _of(b"user@" + HOST), BAD, rfc.USERINFO),
    Case("a name with a password", _of(b"user:secret@" + HOST), BAD, rfc.USERINFO),
    Case("another host behind the name", _of(HOST + b"@other.test"), BAD, rfc.USERINFO),
    Case("a URI", _of(b"http://" + HOST), BAD, rfc.HOST_GRAMMAR),
    Case("a path behind the name", _of(HOST + b"/a"), BAD, rfc.HOST_GRAMMAR),
    Case("in quotes", _of(b'"' + HOST + b'"'), BAD, rfc.HOST_GRAMMAR),
    Case("an IPv6 address in brackets", _of(b"[2001:db8::1]"), turned_away(404), rfc.HOST_GRAMMAR),
    Case("an IPv6 address with a port", _of(b"[2001:db8::1]:80"), turned_away(404), rfc.HOST_GRAMMAR),
    Case("an IPv6 address without brackets", _of(b"2001:db8::1"), BAD, rfc.HOST_GRAMMAR),
    Case("an open bracket", _of(b"[2001:db8::1"), BAD, rfc.HOST_GRAMMAR),
    Case("a bracket alone", _of(b"]"), BAD, rfc.HOST_GRAMMAR),
    Case("brackets around a name", _of(b"[" + HOST + b"]"), BAD, rfc.HOST_GRAMMAR),
    Case("a name behind brackets", _of(b"[::1]" + HOST), BAD, rfc.HOST_GRAMMAR),
    # Its length
    Case("253 characters", _of(_below(253)), seen(fields=((b"host", _below(253)),)), rfc.REG_NAME),
    Case("253 characters, dot and port", _of(_below(253) + b".:65535"), seen(), rfc.REG_NAME),
    Case("253 characters in labels of one", _of(b"a." * ((253 - len(WILD)) // 2) + WILD), seen(), rfc.REG_NAME),
    Case("254 characters", _of(_below(254)), BAD, rfc.REG_NAME),
    Case("300 characters, of nobody", _of(b"a" * 300), BAD, rfc.REG_NAME),
    Case("10,000 characters in one label", _of(b"a" * 10_000 + b"." + WILD), BAD, rfc.REG_NAME),
    Case("60,000 labels", _of(b"a." * 60_000 + WILD), BAD, rfc.REG_NAME),
    Case("60,000 colons", _of(HOST + b":" * 60_000), BAD, rfc.HOST_GRAMMAR),
    Case("60,000 digits of a port", _of(HOST + b":" + b"1" * 60_000), BAD, rfc.PORT),
    # HTTP/1.0
    Case("in HTTP/1.0", _of(HOST, version=b"HTTP/1.0"), closing(seen()), rfc.ONE_HOST),
    Case("invalid in HTTP/1.0", _of(b"user@" + HOST, version=b"HTTP/1.0"), BAD, rfc.ONE_HOST),
    # What it does not select
    Case("a claim of another host", get(b"X-Forwarded-Host: other.test"),
         seen(fields=((b"x-forwarded-host", HOST),)), rfc.CLAIMS),
    Case("named by Connection", get(b"Connection: host"), seen(fields=((b"host", HOST),)), rfc.OPTION_OF_ALL),
]  # fmt: skip
