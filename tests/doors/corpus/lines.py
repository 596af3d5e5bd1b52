"""The request line, and what stands before it."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, WAITED_FOR, Case, get, head, refused, seen

_HOST_LINE = b"Host: " + HOST


def _line(line: bytes) -> bytes:
    return head(line, _HOST_LINE)


CASES = [
    Case("the plainest request", get(), seen(), rfc.REQUEST_LINE),
    # Before the line
    Case("an empty line first", b"\r\n" + get(), seen(), rfc.EMPTY_LINES),
    Case("three empty lines first", b"\r\n" * 3 + get(), seen(), rfc.EMPTY_LINES),
    Case("a bare LF first", b"\n" + get(), BAD, rfc.BARE_LF),
    Case("a bare CR first", b"\r" + get(), BAD, rfc.BARE_CR),
    Case("CR CR LF first", b"\r\r\n" + get(), BAD, rfc.BARE_CR),
    Case("a blank first", b" " + get(), BAD, rfc.REQUEST_LINE),
    Case("a tab first", b"\t" + get(), BAD, rfc.REQUEST_LINE),
    Case("a line of blanks first", b"  \r\n" + get(), BAD, rfc.NOT_HTTP),
    Case("NUL first", b"\0" + get(), BAD, rfc.NOT_HTTP),
    Case("a byte order mark first", b"\xef\xbb\xbf" + get(), BAD, rfc.NOT_HTTP),
    # Between its parts
    Case("two blanks before the target", _line(b"GET  / HTTP/1.1"), BAD, rfc.WORD_BORDERS),
    Case("two blanks before the version", _line(b"GET /  HTTP/1.1"), BAD, rfc.WORD_BORDERS),
    Case("a tab before the target", _line(b"GET\t/ HTTP/1.1"), BAD, rfc.WORD_BORDERS),
    Case("a tab before the version", _line(b"GET /\tHTTP/1.1"), BAD, rfc.WORD_BORDERS),
    Case("a vertical tab before the target", _line(b"GET\x0b/ HTTP/1.1"), BAD, rfc.WORD_BORDERS),
    Case("a form feed before the version", _line(b"GET /\x0cHTTP/1.1"), BAD, rfc.WORD_BORDERS),
    Case("a bare CR before the target", _line(b"GET\r/ HTTP/1.1"), BAD, rfc.BARE_CR),
    Case("a bare CR before the version", _line(b"GET /\rHTTP/1.1"), BAD, rfc.BARE_CR),
    Case("a blank after the version", _line(b"GET / HTTP/1.1 "), BAD, rfc.WORD_BORDERS),
    Case("a tab after the version", _line(b"GET / HTTP/1.1\t"), BAD, rfc.WORD_BORDERS),
    Case("a word after the version", _line(b"GET / HTTP/1.1 x"), BAD, rfc.REQUEST_LINE),
    Case("a second version", _line(b"GET / HTTP/1.1 HTTP/1.1"), BAD, rfc.REQUEST_LINE),
    Case("no method", _line(b" / HTTP/1.1"), BAD, rfc.REQUEST_LINE),
    Case("no target", _line(b"GET HTTP/1.1"), BAD, rfc.REQUEST_LINE),
    Case("an empty target", _line(b"GET  HTTP/1.1"), BAD, rfc.REQUEST_LINE),
    Case("only a method", _line(b"GET"), BAD, rfc.REQUEST_LINE),
    Case("a field line first", head(_HOST_LINE, b"GET / HTTP/1.1"), BAD, rfc.REQUEST_LINE),
    Case("the line twice", head(b"GET / HTTP/1.1", b"GET / HTTP/1.1", _HOST_LINE), BAD, rfc.FIELD_LINE),
    # Its end
    Case("LF alone ends the line", b"GET / HTTP/1.1\n" + _HOST_LINE + b"\r\n\r\n", BAD, rfc.BARE_LF),
    Case("LF alone ends every line", b"GET / HTTP/1.1\n" + _HOST_LINE + b"\n\n", BAD, rfc.BARE_LF),
    Case("CR alone ends the line", b"GET / HTTP/1.1\r" + _HOST_LINE + b"\r\n\r\n", BAD, rfc.BARE_CR),
    Case("CR alone ends every line", b"GET / HTTP/1.1\r" + _HOST_LINE + b"\r\r", BAD, rfc.BARE_CR),
    Case("CR CR LF ends the line", b"GET / HTTP/1.1\r\r\n" + _HOST_LINE + b"\r\n\r\n", BAD, rfc.BARE_CR),
    Case("LF CR ends the line", b"GET / HTTP/1.1\n\r" + _HOST_LINE + b"\r\n\r\n", BAD, rfc.BARE_LF),
    Case("NUL within the line", _line(b"GET /\0 HTTP/1.1"), BAD, rfc.NOT_HTTP),
    Case("NUL after the version", _line(b"GET / HTTP/1.1\0"), BAD, rfc.VERSION),
    # Other protocols
    Case(
        "HTTP/2 with prior knowledge",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
        refused(400, 505),
        rfc.NOT_HTTP,
    ),
    Case(
        "a TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n", BAD, rfc.NOT_HTTP
    ),
    Case("SSH", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", BAD, rfc.NOT_HTTP),
    Case("SMTP", b"EHLO mail.example.test\r\n\r\n", BAD, rfc.NOT_HTTP),
    Case("SOCKS", b"\x05\x01\x00\r\n\r\n", BAD, rfc.NOT_HTTP),
    Case("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BAD, rfc.NOT_HTTP),
    Case("RTSP", _line(b"OPTIONS * RTSP/1.0"), BAD, rfc.VERSION),
    # Not there yet
    Case("nothing but an empty line", b"\r\n", WAITED_FOR, rfc.EMPTY_LINES),
    Case("half a line", b"GET / HT", WAITED_FOR, rfc.INCOMPLETE_HEAD),
    Case("a line without fields", b"GET / HTTP/1.1\r\n", WAITED_FOR, rfc.INCOMPLETE_HEAD),
    Case("a head without its empty line", get()[:-2], WAITED_FOR, rfc.INCOMPLETE_HEAD),
    Case("a head without its last LF", get()[:-1], WAITED_FOR, rfc.INCOMPLETE_HEAD),
]
