"""Transfer-Encoding: `chunked` and nothing else, spelt in no other way."""

from tests.doors import rfc
from tests.doors.case import BAD, HOST, Case, get, head, post, refused, seen

NOT_UNDERSTOOD = refused(400, 501)
"""Both sections apply to most of these; none of them is carried."""
EMPTY = b"0\r\n\r\n"
BODY = b"5\r\nhello\r\n0\r\n\r\n"


def _coded(*values: bytes, body: bytes = BODY) -> bytes:
    return post(*(b"Transfer-Encoding: " + value for value in values), body=body)


TAKEN = seen(b"POST", body=b"hello", absent=(b"content-length",))

CASES = [
    Case("chunked", _coded(b"chunked"), TAKEN, rfc.CHUNK),
    Case("chunked and empty", _coded(b"chunked", body=EMPTY), seen(b"POST"), rfc.CHUNK),
    Case("Chunked", _coded(b"Chunked"), TAKEN, rfc.CODING_CASE),
    Case("CHUNKED", _coded(b"CHUNKED"), TAKEN, rfc.CODING_CASE),
    Case("a blank after", _coded(b"chunked "), TAKEN, rfc.OWS),
    Case("a tab after", _coded(b"chunked\t"), TAKEN, rfc.OWS),
    Case("blanks and tabs before", _coded(b" \t chunked"), TAKEN, rfc.OWS),
    Case("no blank", post(b"Transfer-Encoding:chunked", body=BODY), TAKEN, rfc.OWS),
    Case("the name in lower case", post(b"transfer-encoding: chunked", body=BODY), TAKEN, rfc.NAME_CASE),
    Case("the name in upper case", post(b"TRANSFER-ENCODING: chunked", body=BODY), TAKEN, rfc.NAME_CASE),
    Case("a GET", get(b"Transfer-Encoding: chunked") + BODY, seen(b"GET", body=b"hello"), rfc.CHUNK),
    Case("the next request begins behind the last chunk", _coded(b"chunked") + get(target=b"/b"),
         TAKEN + seen(target=b"/b"), rfc.CHUNK),
    Case("named by Connection", post(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", body=BODY), TAKEN,
         rfc.HOP_BY_HOP),
    # Other codings
    *(
        Case(f"{value.decode()}", _coded(value), NOT_UNDERSTOOD, rfc.NOT_FINAL)
        for value in (
            b"gzip", b"identity", b"deflate", b"compress", b"chunked, gzip", b"chunked, identity", b"chunked,identity",
            b"chunked, chunked, identity", b"xchunked", b"chunkedx", b"x-chunked", b"chunk", b"chunked2",
        )
    ),
    *(
        Case(f"{value.decode()}", _coded(value), NOT_UNDERSTOOD, rfc.CODING_NOT_UNDERSTOOD)
        for value in (b"gzip, chunked", b"identity, chunked", b"deflate,chunked", b"gzip, gzip, chunked", b"x, chunked")
    ),
    Case("chunked, chunked", _coded(b"chunked, chunked"), NOT_UNDERSTOOD, rfc.CHUNKED_ONCE),
    Case("chunked twice", _coded(b"chunked", b"chunked"), NOT_UNDERSTOOD, rfc.CHUNKED_ONCE),
    Case("chunked, then identity", _coded(b"chunked", b"identity"), NOT_UNDERSTOOD, rfc.NOT_FINAL),
    Case("identity, then chunked", _coded(b"identity", b"chunked"), NOT_UNDERSTOOD, rfc.CODING_NOT_UNDERSTOOD),
    Case("gzip, then chunked", _coded(b"gzip", b"chunked"), NOT_UNDERSTOOD, rfc.CODING_NOT_UNDERSTOOD),
    # Chunked, misspelt
    *(
        Case(f"'{value.decode('latin-1').encode('unicode_escape').decode()}' is none", _coded(value), NOT_UNDERSTOOD,
             rule)
        for value, rule in {
            b"": rfc.NOT_FINAL,
            b"chunked;q=1": rfc.CODING_PARAMETERS,
            b"chunked;": rfc.CODING_PARAMETERS,
            b"chunked ;q=0": rfc.CODING_PARAMETERS,
            b'"chunked"': rfc.CODING_NOT_UNDERSTOOD,
            b"'chunked'": rfc.CODING_NOT_UNDERSTOOD,
            b"chun ked": rfc.CODING_NOT_UNDERSTOOD,
            b"chunked chunked": rfc.CODING_NOT_UNDERSTOOD,
            b"chunked x": rfc.CODING_NOT_UNDERSTOOD,
            b"\x0bchunked": rfc.CTL_IN_VALUE,
            b"chunked\x0b": rfc.CTL_IN_VALUE,
            b"\x0cchunked": rfc.CTL_IN_VALUE,
            b"chunked\x0c": rfc.CTL_IN_VALUE,
            b"chunked\0": rfc.NUL_IN_VALUE,
            b"\xa0chunked": rfc.CODING_NOT_UNDERSTOOD,
            b"chunked\xa0": rfc.CODING_NOT_UNDERSTOOD,
            b"c\xc4\xa5unked": rfc.CODING_NOT_UNDERSTOOD,
            "chun\u212aed".encode(): rfc.CODING_NOT_UNDERSTOOD,
            b"chunked\r": rfc.BARE_CR,
            b"chunked\nX: 1": rfc.BARE_LF,
        }.items()
    ),
    # The name, misspelt
    Case("a blank before the colon", post(b"Transfer-Encoding : chunked", body=BODY), BAD, rfc.BLANK_BEFORE_COLON),
    Case("a tab before the colon", post(b"Transfer-Encoding\t: chunked", body=BODY), BAD, rfc.BLANK_BEFORE_COLON),
    Case("a blank before the name", post(b"X: 1", b" Transfer-Encoding: chunked", body=BODY), BAD, rfc.FOLD),
    Case("folded", post(b"Transfer-Encoding:", b" chunked", body=BODY), BAD, rfc.FOLD),
    Case("a fold after it", post(b"Transfer-Encoding: chunked", b" , identity", body=BODY), BAD, rfc.FOLD),
    Case("behind a bare CR", post(b"X: 1\rTransfer-Encoding: chunked", body=BODY), BAD, rfc.BARE_CR),
    Case("behind a bare LF", post(b"X: 1\nTransfer-Encoding: chunked", body=BODY), BAD, rfc.BARE_LF),
    Case("a name with a NUL", post(b"Transfer-Encoding\0: chunked", body=BODY), BAD, rfc.NAME_IS_TOKEN),
    Case("a name with high bytes", post(b"Transfer\xadEncoding: chunked", body=BODY), BAD, rfc.NAME_IS_TOKEN),
    Case("with an underscore it is another field", post(b"Transfer_Encoding: chunked"),
         seen(b"POST", fields=((b"transfer_encoding", b"chunked"),)), rfc.NAME_CASE),
    Case("with an X it is another field", post(b"X-Transfer-Encoding: chunked", b"Content-Length: 5", body=b"hello"),
         seen(b"POST", body=b"hello"), rfc.NAME_CASE),
    Case("TE is another field", post(b"TE: chunked", b"Content-Length: 5", body=b"hello"),
         seen(b"POST", body=b"hello", absent=(b"te",)), rfc.NAME_CASE),
    Case("Content-Encoding is another field", post(b"Content-Encoding: chunked", b"Content-Length: 5", body=b"hello"),
         seen(b"POST", body=b"hello", fields=((b"content-encoding", b"chunked"),)), rfc.NAME_CASE),
    Case("chunks of a host that is not routed",
         head(b"POST / HTTP/1.1", b"Host: nobody.test", b"Transfer-Encoding: gzip")
         + EMPTY, refused(400, 404, 501), rfc.NOT_FINAL),
    Case("a coding without Host", head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked") + EMPTY, BAD, rfc.ONE_HOST),
    Case("a coding and two Hosts",
         head(b"POST / HTTP/1.1", b"Host: " + HOST, b"Transfer-Encoding: chunked", b"Host: " + HOST)
         + EMPTY, BAD, rfc.ONE_HOST),
]  # fmt: skip
