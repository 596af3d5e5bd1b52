"""Methods: any token is one (RFC 9110 section 9.1). Only TRACE and CONNECT are not for a gateway."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, Case, get, head, post, refused, seen

REGISTERED = (
    "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "DELETE", "GET", "LABEL", "LINK", "LOCK", "MERGE",
    "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PATCH", "POST",
    "PROPFIND", "PROPPATCH", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK",
    "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
)  # fmt: skip
"""IANA's registry, but for CONNECT, HEAD, OPTIONS, PRI and TRACE, which stand below."""

OWN = ("BAN", "PURGE", "NOTIFY", "SUBSCRIBE", "M-SEARCH", "SOURCE", "X", "get", "Get", "GETS", "BREW", "x-y.z_1", "123")
"""Of caches, of UPnP, of applications; and those that only look like another."""

MARKS = b"!#$%&'*+-.^_`|~"
DELIMITERS = b'"(),/:;<=>?@[\\]{}\x01\x7f\x80\xff'


def _asked(method: bytes) -> bytes:
    return head(b"%b / HTTP/1.1" % method, b"Host: " + HOST)


CASES = [
    *(Case(f"{name}", _asked(name.encode()), seen(name.encode()), rfc.METHOD) for name in (*REGISTERED, *OWN)),
    *(
        Case(f"a method with {chr(mark)}", _asked(b"X%cY" % mark), seen(b"X%cY" % mark), rfc.METHOD) for mark in MARKS
    ),
    *(
        Case(f"a method with the byte {byte:#04x}", _asked(b"X%cY" % byte), BAD, rfc.METHOD) for byte in DELIMITERS
    ),
    Case("a method of 100 letters", _asked(b"M" * 100), seen(b"M" * 100), rfc.METHOD),
    Case("HEAD", _asked(b"HEAD"), seen(b"HEAD", answer=b""), rfc.HEAD_IS_BODYLESS),
    Case(
        "HEAD of a chunked answer", head(b"HEAD /chunked HTTP/1.1", b"Host: " + HOST),
        seen(b"HEAD", b"/chunked", answer=b""), rfc.HEAD_IS_BODYLESS,
    ),
    Case("OPTIONS of a path", head(b"OPTIONS /a HTTP/1.1", b"Host: " + HOST), seen(b"OPTIONS", b"/a"), rfc.METHOD),
    Case("TRACE", _asked(b"TRACE"), refused(405, 501), rfc.TRACE),
    Case("trace in lower case is another method", _asked(b"trace"), seen(b"trace"), rfc.METHOD),
    Case("CONNECT to an authority", head(b"CONNECT %b:80 HTTP/1.1" % HOST, b"Host: " + HOST),
         refused(400, 405, 501), rfc.CONNECT),
    Case("CONNECT to a path", head(b"CONNECT / HTTP/1.1", b"Host: " + HOST), refused(400, 405, 501), rfc.CONNECT),
    Case("PRI", head(b"PRI * HTTP/1.1", b"Host: " + HOST), refused(400, 405, 501), rfc.ASTERISK_FORM),
    Case("GET with a body", head(b"GET / HTTP/1.1", b"Host: " + HOST, b"Content-Length: 2") + b"hi",
         seen(b"GET", body=b"hi"), rfc.LENGTH_FRAMES),
    Case("DELETE with a body", head(b"DELETE / HTTP/1.1", b"Host: " + HOST, b"Content-Length: 2") + b"hi",
         seen(b"DELETE", body=b"hi"), rfc.LENGTH_FRAMES),
    Case("a method of its own with a body", head(b"BAN / HTTP/1.1", b"Host: " + HOST, b"Content-Length: 2") + b"hi",
         seen(b"BAN", body=b"hi"), rfc.LENGTH_FRAMES),
    Case("POST without a body", post(), seen(b"POST"), rfc.NO_BODY),
    Case("PUT of nothing", head(b"PUT / HTTP/1.1", b"Host: " + HOST, b"Content-Length: 0"), seen(b"PUT"), rfc.LENGTH),
    Case("two different methods after each other", get() + post(), seen(b"GET") + seen(b"POST"), rfc.PIPELINE),
]  # fmt: skip
