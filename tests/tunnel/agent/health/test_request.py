"""One request in, one answer out: whole, byte by byte, and everything that is refused with its status."""

import pytest

from tunnel.agent.health.request import HEAD_BYTES, Page, Reader, RefusedError, Request, answer, refusal

GET = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "request_"),
    [
        (GET, Request("/readyz", head_only=False)),
        (b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Request("/metrics", head_only=True)),
        (b"GET /metrics?name[]=up HTTP/1.1\r\nHost: a\r\n\r\n", Request("/metrics", head_only=False)),
        (b"GET / HTTP/1.0\r\n\r\n", Request("/", head_only=False)),
        (b"GET http://a:8081/healthz HTTP/1.1\r\nhost:a:8081\r\n\r\n", Request("/healthz", head_only=False)),
        (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", Request("/", head_only=False)),
        (b"\r\n" + GET, Request("/readyz", head_only=False)),
        (b"GET / HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\nX: \xe4\tb\r\n\r\n", Request("/", head_only=False)),
        (GET + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n", Request("/readyz", head_only=False)),
    ],
)  # fmt: skip
def test_what_is_answered(head, request_):
    assert Reader().feed(head) == request_
    reader = Reader()
    found = [one for index in range(len(head)) if (one := reader.feed(head[index : index + 1])) is not None]
    assert found[0] == request_


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /heal thz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET ftp://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://[a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * HEAD_BYTES, 431),
        (b"GET /" + b"y" * HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    ],
)
def test_what_is_refused(head, status):
    for size in (len(head), 1):
        with pytest.raises(RefusedError) as refused:
            feed(head, size)
        assert refused.value.status == status
        assert refusal(refused.value).startswith(f"HTTP/1.1 {status} ".encode())


def feed(head, size):
    reader = Reader()
    for at in range(0, len(head), size):
        reader.feed(head[at : at + size])


def test_the_longest_head_that_is_read():
    padding = HEAD_BYTES - len(b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n")
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * padding + b"\r\n\r\n"
    assert len(head) == HEAD_BYTES
    assert Reader().feed(head) is not None
    with pytest.raises(RefusedError):
        Reader().feed(head.replace(b"X: ", b"X: y"))


def test_what_comes_before_a_head_is_complete_is_bounded():
    reader = Reader()
    with pytest.raises(RefusedError):
        reader.feed(b"x" * 10_000_000)
    assert len(reader._head) <= HEAD_BYTES + 1


def parts(data):
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return line, dict(field.split(": ", 1) for field in fields), body


def test_an_answer():
    line, fields, body = parts(answer(Page(200, "wörd\n")))
    assert (line, body) == ("HTTP/1.1 200 OK", "wörd\n".encode())
    assert fields.pop("Date").endswith(" GMT")
    assert fields == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "6",
        "Cache-Control": "no-store",
        "Connection": "close",
    }


def test_an_answer_to_head_has_no_body():
    line, fields, body = parts(answer(Page(503, "no\n"), head_only=True))
    assert (line, fields["Content-Length"], body) == ("HTTP/1.1 503 Service Unavailable", "3", b"")


def test_a_method_that_is_refused_is_told_which_are_not():
    assert parts(refusal(RefusedError(405, "no")))[1]["Allow"] == "GET, HEAD"
