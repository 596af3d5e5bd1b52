"""The four forms of a target, and that its bytes travel as they came."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, Case, answered, get, head, refused, seen, turned_away

_HOST_LINE = b"Host: " + HOST
UNCHANGED = (
    b"/?", b"/q?", b"/q??", b"/q?a", b"/q?a=b&c=d", b"/q?a?b", b"/q?/../a", b"/q?http://other.test/", b"/a;b=c",
    b"/a:b",
    b"/a@b", b"/a//b", b"//a", b"///", b"/a/", b"/./a", b"/a/../b", b"/a/..", b"/%2F", b"/%2f", b"/%2e%2e/a", b"/%00",
    b"/%0d%0a", b"/%23", b"/%20", b"/%ff", b"/%C3%A9", b"/a+b", b"/a,b", b"/~a", b"/!$&'()*", b"/*", b"/_-.",
)  # fmt: skip
LOOSE = (
    b'/"', b"/<a>", b"/[a]", b"/?a[]=1", b"/\\", b"/a\\b", b"/^", b"/`", b"/{a}", b"/a|b", b"/?q={a}|b",
    b"/%", b"/%z", b"/%zz", b"/%2", b"/100%",
)  # fmt: skip
HIGH = ("/\u00e9".encode(), "/?q=\u65e5\u672c".encode(), b"/\xff", b"/\x80", b"/a\xa0b", b"/?\xe9")
NEVER = (
    b"/a b",
    b"/a\tb",
    b"/a\x01b",
    b"/a\x1fb",
    b"/a\x7fb",
    b"/a\0b",
    b"/a\x0bb",
    b"/a\rb",
    b"/a\nb",
    b"/ ",
    b"/?a b",
)
FRAGMENTS = (b"/#", b"/a#b", b"/?q#b", b"/a#", b"/a?#", b"#", b"/a#b?c")
FORMLESS = (b"a", b"a/b", b"?a", b"?", b"index.html", b"%2F", b"\\a", b".", b"..", b"./a", b":80", b"a:b", b"@")


def _form(target: bytes, *lines: bytes) -> bytes:
    return head(b"GET %b HTTP/1.1" % target, *(lines or (_HOST_LINE,)))


def _text(target: bytes) -> str:
    return target.decode("latin-1").encode("unicode_escape").decode()


CASES = [
    *(Case(f"{_text(target)} stays", get(target=target), seen(target=target), rfc.TARGET_UNCHANGED)
      for target in UNCHANGED),
    *(Case(f"{_text(target)} passes", get(target=target), seen(target=target), rfc.LOOSE_PATH) for target in LOOSE),
    *(Case(f"{_text(target)} is not encoded", get(target=target), BAD, rfc.INVALID_LINE) for target in HIGH),
    *(Case(f"{_text(target)} is none", get(target=target), BAD, rfc.PATH) for target in NEVER),
    *(Case(f"{_text(target)} has a fragment", get(target=target), BAD, rfc.NO_FRAGMENT) for target in FRAGMENTS),
    *(Case(f"{_text(target)} has no form", get(target=target), BAD, rfc.ORIGIN_FORM) for target in FORMLESS),
    # Absolute form
    Case("absolute", _form(b"http://%b/a?b" % HOST), seen(target=b"/a?b"), rfc.ABSOLUTE_FORM),
    Case("absolute without a path", _form(b"http://%b" % HOST), seen(target=b"/"), rfc.ABSOLUTE_FORM),
    Case("absolute with a slash", _form(b"http://%b/" % HOST), seen(target=b"/"), rfc.ABSOLUTE_FORM),
    Case("absolute with a query alone", _form(b"http://%b?a" % HOST), seen(target=b"/?a"), rfc.ABSOLUTE_FORM),
    Case("absolute with an empty query", _form(b"http://%b/a?" % HOST), seen(target=b"/a?"), rfc.QUERY),
    Case("absolute with the default port", _form(b"http://%b:80/a" % HOST), seen(target=b"/a"), rfc.PORT),
    Case("absolute with an empty port", _form(b"http://%b:/a" % HOST), seen(target=b"/a"), rfc.PORT),
    Case("absolute in upper case", _form(b"HTTP://%b/a" % HOST.upper()), seen(target=b"/a"), rfc.HOST_CASE),
    Case("absolute with two slashes", _form(b"http://%b//a" % HOST), seen(target=b"//a"), rfc.TARGET_UNCHANGED),
    Case("absolute with an encoded slash", _form(b"http://%b/%%2F" % HOST), seen(target=b"/%2F"), rfc.TARGET_UNCHANGED),
    Case("absolute, another host", _form(b"http://other.test/a"), BAD, rfc.ABSOLUTE_AND_HOST),
    Case("absolute, another port", _form(b"http://%b:81/a" % HOST), BAD, rfc.ABSOLUTE_AND_HOST),
    Case("absolute, another Host", _form(b"http://%b/a" % HOST, b"Host: other.test"), BAD, rfc.ABSOLUTE_AND_HOST),
    Case("absolute, an empty Host", _form(b"http://%b/a" % HOST, b"Host:"), BAD, rfc.ABSOLUTE_AND_HOST),
    Case("absolute, no Host", head(b"GET http://%b/a HTTP/1.1" % HOST), BAD, rfc.ONE_HOST),
    Case("absolute, two Hosts", _form(b"http://%b/a" % HOST, _HOST_LINE, _HOST_LINE), BAD, rfc.ONE_HOST),
    Case("absolute with a fragment", _form(b"http://%b/a#b" % HOST), BAD, rfc.NO_FRAGMENT),
    Case("absolute with userinfo", _form(b"http://user@%b/a" % HOST), BAD, rfc.USERINFO),
    Case("absolute with userinfo that looks like the host", _form(b"http://%b@other.test/" % HOST), BAD, rfc.USERINFO),
    Case("absolute without an authority", _form(b"http:///a"), BAD, rfc.EMPTY_AUTHORITY),
    Case("absolute with a port alone", _form(b"http://:80/a"), BAD, rfc.EMPTY_AUTHORITY),
    Case("absolute with one slash", _form(b"http:/a"), BAD, rfc.EMPTY_AUTHORITY),
    Case("absolute without slashes", _form(b"http:%b" % HOST), BAD, rfc.EMPTY_AUTHORITY),
    Case("absolute with a backslash", _form(b"http://%b\\@other.test/" % HOST), BAD, rfc.HOST_GRAMMAR),
    Case("absolute with a port of letters", _form(b"http://%b:a/" % HOST), BAD, rfc.PORT),
    Case("absolute of another scheme", _form(b"ftp://%b/a" % HOST), BAD, rfc.ABSOLUTE_FORM),
    Case("absolute, ws scheme", _form(b"ws://%b/a" % HOST), BAD, rfc.ABSOLUTE_FORM),
    Case("a file", _form(b"file:///etc/passwd"), BAD, rfc.ABSOLUTE_FORM),
    Case("absolute of a host that is not routed", _form(b"http://nobody.test/", b"Host: nobody.test"),
         turned_away(404), rfc.ABSOLUTE_FORM),
    # Authority and asterisk form
    Case("an authority with GET", _form(b"%b:80" % HOST), BAD, rfc.AUTHORITY_FORM),
    Case("an authority without a port", _form(HOST), BAD, rfc.AUTHORITY_FORM),
    Case("an asterisk with GET", _form(b"*"), BAD, rfc.ASTERISK_FORM),
    Case("an asterisk with POST", head(b"POST * HTTP/1.1", _HOST_LINE), BAD, rfc.ASTERISK_FORM),
    Case("an asterisk and more", head(b"OPTIONS *a HTTP/1.1", _HOST_LINE), BAD, rfc.ASTERISK_FORM),
    Case("two asterisks", head(b"OPTIONS ** HTTP/1.1", _HOST_LINE), BAD, rfc.ASTERISK_FORM),
    Case("an asterisk with OPTIONS", head(b"OPTIONS * HTTP/1.1", _HOST_LINE), answered(200, 204), rfc.ASTERISK_FORM),
    Case("absolute with OPTIONS, without a path", head(b"OPTIONS http://%b HTTP/1.1" % HOST, _HOST_LINE),
         answered(200, 204), rfc.ASTERISK_FORM),
    # Length
    *(
        Case(f"a target of {size:,} bytes", get(target=b"/" + b"a" * (size - 1)), seen(target=b"/" + b"a" * (size - 1)),
             rfc.LINE_OF_8000)
        for size in (7_900, 9_000, 60_000)
    ),
    Case("a query of 9,000 bytes", get(target=b"/?" + b"q" * 9_000), seen(target=b"/?" + b"q" * 9_000),
         rfc.LINE_OF_8000),
    Case("a target above the limit", get(target=b"/" + b"a" * 131_072), refused(414, 431), rfc.LONG_TARGET),
]  # fmt: skip
