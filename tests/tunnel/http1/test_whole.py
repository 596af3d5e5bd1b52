"""Answers in one call: what is told is what would be told in several calls, and nothing more gets past."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.sink import FakeSink
from tests.tunnel.http1.talk import Talk
from tests.tunnel.http1.test_answer import GOOD, LEFTOVERS
from tests.tunnel.http1.test_framing import BAD
from tunnel.http1 import WholeReader
from tunnel.http1.fields import FIELD_LIMIT
from tunnel.port import Headers, RequestHead, ResponseHead

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
NODE = OK + b"A: b\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello"


GOOD_AND_BAD = [HELLO, NODE, *(raw for raw, *_ in GOOD.values()), *BAD.values()]


class WholeSink(FakeSink):
    """Takes an answer in one call, and writes it down as if it had come in several."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[bytes] = []

    def whole(self, status: int, headers: Headers, block: bytes, body: bytes, /) -> None:
        assert self.calls == []
        self.blocks.append(block)
        self.head(ResponseHead(status, headers))
        if body:
            self.data(body)
        self.end()


def asked(raw: bytes, sink: FakeSink, method: bytes = b"GET", *, body_length: int = 0) -> Talk:
    talk = Talk()
    talk.connection.open(RequestHead(method, b"/", [(b"Host", b"a.test")], body_length), sink)
    talk.stream.bring(raw)
    assert talk.stream.unacknowledged == 0
    return talk


def lowered(headers: Headers) -> Headers:
    return [(name.lower(), value) for name, value in headers]


def fields_of(block: bytes) -> Headers:
    lines = block.split(b"\r\n")
    assert lines.pop() == b""
    return [(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]


def fields_of_head(head: bytes) -> Headers:
    return lowered(fields_of(head.partition(b"\r\n")[2] + b"\r\n"))


ANSWERS = [*(raw for raw, *_ in GOOD.values()), *BAD.values(), NODE, *(HELLO + rest for rest in LEFTOVERS)]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("raw", ANSWERS, ids=repr)
def test_it_is_the_same_answer(raw: bytes, method: bytes) -> None:
    plain, sink = FakeSink(), WholeSink()
    told, whole = asked(raw, plain, method), asked(raw, sink, method)
    assert [fields_of(block) for block in sink.blocks] == [head.headers for head in plain.heads if sink.blocks]
    if sink.blocks:  # in one call, names are in lower case
        plain.heads = [ResponseHead(head.status, lowered(head.headers)) for head in plain.heads]
    assert (sink.calls, sink.heads, sink.body, sink.outcome) == (plain.calls, plain.heads, plain.body, plain.outcome)
    assert (whole.told, whole.stream.state) == (told.told, told.stream.state)
    assert whole.connection.keep_alive_seconds == told.connection.keep_alive_seconds


@pytest.mark.parametrize("raw", [HELLO, NODE, b"HTTP/1.1 204 No Content\r\n\r\n", GOOD["blanks around values"][0]])
def test_what_comes_in_one_call_and_from_memory(raw: bytes) -> None:
    reader = WholeReader()
    first = reader.read(raw)
    assert first is not None
    assert reader.read(raw) == first
    assert reader.read(raw + b"x") is None
    assert reader.read(raw[:-1]) is None


@pytest.mark.parametrize("raw", BAD.values(), ids=repr)
def test_nothing_malformed_is_read(raw: bytes) -> None:
    assert WholeReader().read(raw) is None


AFTER_THE_NAME = [
    b"",
    b" ",
    b": a\x00",
    b": a\rb",
    b": a\nb",
    b" : a",
    b":\x7f",
    b":a",
    b": \ta\xff ",
    b":",
    b"::",
]


@pytest.mark.parametrize("rest", AFTER_THE_NAME, ids=repr)
def test_a_known_name_changes_nothing(rest: bytes) -> None:
    for name in (b"X-Id", b"Content-Length", b"Connection", b"Transfer-Encoding"):
        raw = OK + name + rest + b"\r\nContent-Length: 0\r\n\r\n"
        reader = WholeReader()
        for _ in range(2):
            reader.read(OK + name + b": 0\r\nContent-Length: 0\r\n\r\n")
        assert reader.read(raw) == WholeReader().read(raw)


@given(st.lists(st.sampled_from(GOOD_AND_BAD), min_size=1, max_size=6))
def test_what_was_read_before_changes_nothing(answers: list[bytes]) -> None:
    reader = WholeReader()
    for raw in answers:
        assert reader.read(raw) == WholeReader().read(raw)


def test_names_are_remembered_within_a_bound() -> None:
    reader = WholeReader()
    for number in range(1000):
        for name in (b"X-%d" % number, b"X" * 60 + b"-%d" % number):
            head = OK + name + b": secret\r\nContent-Length: 0\r\n\r\n"
            assert reader.read(head) == reader.read(head) == WholeReader().read(head)
    assert 0 < len(reader._names) <= 64
    assert max(map(len, reader._names)) <= 64
    assert b"secret" not in b"".join([*reader._names, *reader._names.values(), *reader._lines, *reader._heads])


def test_secrets_are_not_remembered_and_the_memory_is_bounded() -> None:
    reader = WholeReader()
    for number in range(1000):
        fields = b"Set-Cookie: id=%d\r\nETag: %d\r\nServer: s%d\r\n" % (number, number, number)
        assert reader.read(b"HTTP/1.1 200 OK %d\r\n" % number + fields + b"Content-Length: 0\r\n\r\n") is not None
    assert len(reader._lines) <= 64
    assert len(reader._statuses) <= 64
    assert not [line for line in reader._lines if b"id=" in line or line.startswith(b"ETag")]
    assert not reader._heads


def test_heads_without_secrets_are_remembered_within_a_bound() -> None:
    reader = WholeReader()
    for number in range(1000):
        head = b"HTTP/1.1 200 OK\r\nServer: s\r\nDate: %d\r\nContent-Length: 0" % number
        first = reader.read(head + b"\r\n\r\n")
        assert first is not None
        assert head in reader._heads or number >= 50  # the memory of lines begins anew at times
        first[1].clear()  # the sink's to keep
        assert reader.read(head + b"\r\n\r\n") == (200, fields_of_head(head), first[2], b"", None)
    assert len(reader._heads) <= 16
    long = b"HTTP/1.1 200 OK\r\n" + b"Server: %s\r\n" % (b"s" * 200) * 5 + b"Content-Length: 0"
    assert reader.read(long + b"\r\n\r\n") is not None
    assert long not in reader._heads


def test_an_early_answer_is_told_in_several_calls_and_breaks_off_the_upload() -> None:
    sink = WholeSink()
    talk = asked(HELLO, sink, b"POST", body_length=9)
    assert (sink.blocks, sink.outcome, talk.told, talk.stream.state) == ([], "end", ["closed"], "reset")


@pytest.mark.parametrize("sink", [FakeSink, WholeSink])
@pytest.mark.parametrize("line", [b"A: b\r\n", b"Connection: ,,\r\n"])
def test_the_fields_of_a_head_are_bounded_in_number(sink: type[FakeSink], line: bytes) -> None:
    most = sink()
    asked(OK + line * (FIELD_LIMIT - 1) + b"Content-Length: 0\r\n\r\n", most)
    assert most.outcome == "end"
    beyond = sink()
    talk = asked(OK + line * FIELD_LIMIT + b"Content-Length: 0\r\n\r\n", beyond)
    assert (beyond.outcome, beyond.heads, talk.stream.state) == ("BadAnswerError", [], "reset")
