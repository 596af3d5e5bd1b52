"""What is put on the wire, and what is refused before anything is."""

import pytest

from tests.tunnel.http1.talk import Talk
from tunnel.http1 import BodyLengthError, UnsendableHeadError, is_repeatable
from tunnel.http1.request import encode_head
from tunnel.port import Headers, RequestHead

HOST = (b"Host", b"a.test")


@pytest.mark.parametrize(
    ("head", "encoded"),
    [
        (RequestHead(b"GET", b"/", []), b"GET / HTTP/1.1\r\n\r\n"),
        (RequestHead(b"OPTIONS", b"*", [HOST]), b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        (
            RequestHead(b"GET", b"/a%2Fb/../c;d?e=%00&f", [HOST, (b"x-A", b""), (b"X-a", b"b\tc \xe9")]),
            b"GET /a%2Fb/../c;d?e=%00&f HTTP/1.1\r\nHost: a.test\r\nx-A: \r\nX-a: b\tc \xe9\r\n\r\n",
        ),
        (
            RequestHead(b"POST", b"/", [HOST, (b"content-length", b"0")], 0),
            b"POST / HTTP/1.1\r\nHost: a.test\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            RequestHead(b"POST", b"/", [(b"Content-Length", b"12"), HOST], 12),
            b"POST / HTTP/1.1\r\nContent-Length: 12\r\nHost: a.test\r\n\r\n",
        ),
        (
            RequestHead(b"POST", b"/", [HOST], 12),
            b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 12\r\n\r\n",
        ),
        (
            RequestHead(b"PUT", b"/", [HOST, (b"Expect", b"100-continue")], None),
            b"PUT / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            RequestHead(b"GET", b"/", [HOST, (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")], 0, upgrade=True),
            b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
    ],
)
def test_a_head_is_written_as_given_with_its_framing(head: RequestHead, encoded: bytes) -> None:
    assert encode_head(head) == encoded


REFUSED_METHODS = [b"", b"GE T", b"GET\r\n", b"G\x00T", b"GET /", b"G\xc9T", b"G:T", b"CONNECT"]
REFUSED_TARGETS = [b"", b"a", b"http://a.test/", b"/a b", b"/a\r\nX: y", b"/a\n", b"/\x00", b"/\x7f", b"/\t", b"**"]
REFUSED_FIELDS: list[Headers] = [
    [(b"", b"a")],
    [(b"A", b"a"), (b"", b"a")],
    [(b"A ", b"a")],
    [(b" A", b"a")],
    [(b"A:", b"a")],
    [(b"A: b\r\nC", b"a")],
    [(b"A\nB", b"a")],
    [(b"A\n", b"a")],
    [(b"\xc9", b"a")],
    [(b"A\x00", b"a")],
    [(b"A", b"a\r\nB: c")],
    [(b"A", b"a\rb")],
    [(b"A", b"a\n b")],
    [(b"A", b"\x00")],
    [(b"A", b"\x0b")],
    [(b"A", b"\x7f")],
    [HOST, (b"A", b"b"), (b"host", b"b.test")],
    [(b"A", b"b"), HOST, HOST],
    [(b"Transfer-Encoding", b"chunked")],
    [(b"transfer-encoding", b"identity")],
]


@pytest.mark.parametrize(
    "head",
    [
        *[RequestHead(method, b"/", [HOST]) for method in REFUSED_METHODS],
        *[RequestHead(b"GET", target, [HOST]) for target in REFUSED_TARGETS],
        *[RequestHead(b"GET", b"/", fields) for fields in REFUSED_FIELDS],
        *[
            RequestHead(b"POST", b"/", [HOST, *[(b"Content-Length", value) for value in values]], length)
            for values, length in [
                ([b"5"], 6),
                ([b"5"], 0),
                ([b"5"], None),
                ([b"5", b"5"], 5),
                ([b"5", b"6"], 5),
                ([b"05"], 5),
                ([b"+5"], 5),
                ([b"5, 5"], 5),
                ([b""], 0),
            ]
        ],
        RequestHead(b"GET", b"/", [HOST], 5, upgrade=True),
        RequestHead(b"GET", b"/", [HOST], None, upgrade=True),
    ],
    ids=repr,
)
def test_a_head_that_could_be_read_in_two_ways_is_refused_unwritten(head: RequestHead) -> None:
    talk = Talk()
    with pytest.raises(UnsendableHeadError):
        talk.open(head.method, head.target, head.headers, body_length=head.body_length, upgrade=head.upgrade)
    assert talk.stream.written == b""
    assert (talk.fate, talk.stream.state, talk.connection.uses) == ("new", "open", 0)
    talk.open()
    assert talk.stream.written.startswith(b"GET / HTTP/1.1\r\n")


def test_methods_that_may_be_repeated() -> None:
    methods = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"POST", b"PATCH", b"get", b"PROPFIND"]
    assert [method for method in methods if is_repeatable(method)] == methods[:6]


def written_after_head(talk: Talk) -> bytes:
    return talk.stream.written.partition(b"\r\n\r\n")[2]


def test_a_body_of_known_length_is_written_as_it_is() -> None:
    talk = Talk()
    exchange, _ = talk.open(b"POST", body_length=5)
    assert exchange.send_data(b"he")
    assert exchange.send_data(b"")
    assert exchange.send_data(b"llo")
    exchange.end()
    exchange.end()
    assert written_after_head(talk) == b"hello"
    assert talk.stream.state == "open"


def test_a_body_of_unknown_length_is_written_in_chunks() -> None:
    talk = Talk()
    exchange, _ = talk.open(b"POST", body_length=None)
    assert exchange.send_data(b"hello")
    assert exchange.send_data(b"")
    assert exchange.send_data(b"x" * 26)
    assert written_after_head(talk) == b"5\r\nhello\r\n1a\r\n" + b"x" * 26 + b"\r\n"
    exchange.end()
    exchange.end()
    assert written_after_head(talk).endswith(b"x\r\n0\r\n\r\n")
    assert written_after_head(talk).count(b"0\r\n") == 1


@pytest.mark.parametrize(
    ("body_length", "pieces", "end"),
    [
        (5, [b"hello!"], False),
        (5, [b"hello", b"!"], False),
        (5, [b"hell"], True),
        (5, [], True),
        (0, [b"x"], False),
    ],
)
def test_a_body_of_another_length_than_announced_resets_the_exchange(
    body_length: int, pieces: list[bytes], end: bool
) -> None:
    talk = Talk()
    exchange, sink = talk.open(b"POST", body_length=body_length)

    def send() -> None:
        for piece in pieces:
            exchange.send_data(piece)
        if end:
            exchange.end()

    with pytest.raises(BodyLengthError):
        send()
    assert (talk.stream.state, talk.told, sink.calls) == ("reset", ["closed"], [])
    assert len(written_after_head(talk)) <= body_length
    assert exchange.send_data(b"more")
    exchange.end()


def test_data_after_the_end_of_a_chunked_body_resets_the_exchange() -> None:
    talk = Talk()
    exchange, _ = talk.open(b"POST", body_length=None)
    exchange.end()
    with pytest.raises(BodyLengthError):
        exchange.send_data(b"x")
    assert (talk.stream.state, talk.told) == ("reset", ["closed"])
