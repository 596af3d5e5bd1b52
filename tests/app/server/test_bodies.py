"""Bodies of requests: the payload, what follows, what is refused, wherever the bytes are cut."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observed.metrics import Limit
from app.observed.metrics.labels import limit_of
from app.server.bodies import (
    CHUNKS_PER_CALL,
    EXTENSION_BYTES,
    FRAMING_BYTES,
    LINE_BYTES,
    SIZE_LINE_BYTES,
    BodyReader,
    ChunkedReader,
    LengthReader,
)
from app.server.heads import FIELDS, HEAD_BYTES
from app.server.lines import HeadError


def fed(reader: BodyReader, *pieces: bytes) -> tuple[bytes, bool, bytes]:
    """The payload, whether it is complete, and what was not read."""
    payload, rest = b"", b""
    for piece in pieces:
        if reader.complete:
            rest += piece
            continue
        payload += reader.feed(rest + piece)
        while reader.more:
            payload += reader.feed(reader.rest)
        rest = reader.rest
    return payload, reader.complete, rest


def status_of(*pieces: bytes) -> int | None:
    try:
        fed(ChunkedReader(), *pieces)
    except HeadError as error:
        return error.problem.status
    return None


@pytest.mark.parametrize(
    ("length", "data", "expected"),
    [
        (5, b"hello", (b"hello", True, b"")),
        (5, b"helloGET", (b"hello", True, b"GET")),
        (5, b"hel", (b"hel", False, b"")),
    ],
)
def test_a_body_of_known_length(length: int, data: bytes, expected: tuple[bytes, bool, bytes]):
    assert fed(LengthReader(length), data) == expected
    assert fed(LengthReader(length), *[bytes([byte]) for byte in data]) == expected


def test_a_body_of_no_bytes_is_complete():
    assert LengthReader(0).complete


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"0\r\n\r\n", (b"", True, b"")),
        (b"5\r\nhello\r\n0\r\n\r\n", (b"hello", True, b"")),
        (b"5\r\nhello\r\n00\r\n\r\nGET / H", (b"hello", True, b"GET / H")),
        (b"A;a=b\r\n0123456789\r\n1 ; x\r\nz\r\n0;last\r\n\r\n", (b"0123456789z", True, b"")),
        (b"3\r\n\r\n\r\r\n0\r\n\r\n", (b"\r\n\r", True, b"")),
        (b"1\r\na\r\n0\r\nX: 1\r\nY:\r\n\r\nrest", (b"a", True, b"rest")),
        (b"5\r\nhel", (b"hel", False, b"")),
        (b"5\r\nhello\r", (b"hello", False, b"\r")),
        (b"5\r\nhello\r\n0\r\nX: 1", (b"hello", False, b"X: 1")),
    ],
)
@given(data_=st.data())
def test_chunks_wherever_they_are_cut(data: bytes, expected: tuple[bytes, bool, bytes], data_: st.DataObject):
    places = sorted(data_.draw(st.sets(st.integers(1, len(data) - 1))))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    assert fed(ChunkedReader(), *pieces) == expected
    assert fed(ChunkedReader(), data) == expected
    assert fed(ChunkedReader(), *[bytes([byte]) for byte in data]) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n", b"x\r\n", b"+1\r\na\r\n", b"-1\r\n", b"0x1\r\na\r\n", b" 1\r\na\r\n", b"1 \r\na\r\n", b"1\na\r\n",
        b"1\r\nab\r\n", b"1\r\na\n", b"1\r\na\r0", b"1\r\na0\r\n\r\n", b"1\r\na\r\r\n", b"1;a\x00\r\na\r\n",
        b"1;a\x7f\r\na\r\n", b"1;a\nb\r\na\r\n", b"1;a\rb\r\na\r\n", b"1_0\r\na\r\n", b"\xb2\r\na\r\n",
        b"1" * 16 + b"\r\n", b"0\r\n X: 1\r\n\r\n", b"0\r\nX : 1\r\n\r\n", b"0\r\nX\r\n\r\n", b"0\r\nX: \x00\r\n\r\n",
        b"0\r\nX: 1\n\r\n", b"0\n\r\n", b"0\r\nX: a\rb\r\n\r\n",
    ],
)  # fmt: skip
def test_bodies_that_are_refused(data: bytes):
    assert status_of(data) == 400
    assert status_of(*[bytes([byte]) for byte in data]) == 400


@pytest.mark.parametrize(("extension", "status"), [(SIZE_LINE_BYTES - 1, None), (SIZE_LINE_BYTES, 400)])
def test_the_line_of_a_chunk_has_a_bound(extension: int, status: int | None):
    line = b"1;" + b"a" * (extension - 1)
    assert status_of(line + b"\r\nx\r\n0\r\n\r\n") == status
    assert status_of(line) == (None if status is None else 400)


def trailers(count: int, line: bytes) -> bytes:
    return b"0\r\n" + (line + b"\r\n") * count


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (trailers(FIELDS, b"X: 1") + b"\r\n", None),
        (trailers(FIELDS + 1, b"X: 1"), 431),
        (trailers(1, b"X: " + b"a" * (LINE_BYTES - 3)) + b"\r\n", None),
        (trailers(1, b"X: " + b"a" * (LINE_BYTES - 2)), 431),
        (b"0\r\nX: " + b"a" * LINE_BYTES, 431),
        (trailers(HEAD_BYTES // 10_000 + 1, b"X: " + b"a" * 9_995), 431),
    ],
)
def test_trailers_have_the_bounds_of_a_head(data: bytes, status: int | None):
    assert status_of(data) == status
    assert status_of(*[data[at : at + 1_000] for at in range(0, len(data), 1_000)]) == status


def test_many_small_chunks_are_read_in_several_calls():
    count = 3 * CHUNKS_PER_CALL
    reader = ChunkedReader()
    data = b"1\r\na\r\n" * count + b"0\r\n\r\nGET"
    sizes = []
    while not reader.complete:
        sizes.append(len(reader.feed(data)))
        assert reader.more is not reader.complete
        data = reader.rest
    assert sum(sizes) == count
    assert max(sizes) <= CHUNKS_PER_CALL
    assert data == b"GET"


@pytest.mark.parametrize(
    ("chunk", "overhead"), [(b"1\r\na\r\n", 4.75), (b"3\r\nabc\r\n", 4.25), (b"001\r\na\r\n", 6.75)]
)
def test_the_framing_of_a_body_has_a_bound(chunk: bytes, overhead: float):
    calls = int(FRAMING_BYTES / overhead / CHUNKS_PER_CALL)
    most = chunk * CHUNKS_PER_CALL * calls
    assert status_of(most) is None
    assert status_of(most + chunk * CHUNKS_PER_CALL) == 413
    assert status_of(most, *[chunk[:1], chunk[1:]] * CHUNKS_PER_CALL) == 413


def test_the_extensions_of_a_body_have_a_lower_bound():
    count = EXTENSION_BYTES // len(b";a=b")
    assert status_of(b"1;a=b\r\na\r\n" * count) is None
    assert status_of(b"1;a=b\r\na\r\n" * 2 * count) == 413


@pytest.mark.parametrize("chunk", [b"18\r\n" + b"a" * 24 + b"\r\n", b"40\r\n" + b"a" * 64 + b"\r\n"])
def test_chunks_with_four_times_as_much_payload_as_framing_may_come_for_ever(chunk: bytes):
    assert status_of(chunk * (10 * FRAMING_BYTES // len(chunk))) is None


def test_what_was_sent_slowly_is_forgiven():
    reader = ChunkedReader()
    for _ in range(5):
        fed(reader, b"1\r\na\r\n" * (FRAMING_BYTES // 5))
        reader.forgive()


def test_a_large_chunk_does_not_pay_for_many_small_ones():
    many = b"1\r\na\r\n" * (FRAMING_BYTES // 4)
    assert status_of(b"f4240\r\n" + b"a" * 1_000_000 + b"\r\n", many) == 413


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 171, 254, 255, 256, 4_095])
@pytest.mark.parametrize("form", [b"%x", b"%X", b"%02x", b"%03X"])
def test_sizes_however_they_are_written(size: int, form: bytes):
    chunk = form % size + b"\r\n" + b"z" * size + b"\r\n"
    data = chunk * 3 + b"0\r\n\r\n"
    assert fed(ChunkedReader(), data) == (b"z" * 3 * size, True, b"")
    assert fed(ChunkedReader(), *[bytes([byte]) for byte in data]) == (b"z" * 3 * size, True, b"")
    assert status_of(chunk[:-1] + b"x") == 400


def test_long_lines_count_as_many_chunks():
    line = b"7d0;" + b";".join([b"a"] * 125) + b"\r\n" + b"b" * 2_000 + b"\r\n"
    reader = ChunkedReader()
    assert len(reader.feed(line * CHUNKS_PER_CALL)) < 2_000 * CHUNKS_PER_CALL // 10
    assert reader.more


def test_when_the_trailers_begin():
    reader = ChunkedReader()
    reader.feed(b"1\r\na\r\n")
    assert not reader.in_trailers
    reader.feed(b"0\r\n")
    assert reader.in_trailers
    reader.feed(b"\r\n")
    assert (reader.in_trailers, reader.complete) == (False, True)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_whatever_comes_only_a_head_error_is_raised(pieces: list[bytes]):
    assert status_of(*pieces) in (None, 400, 431)
    assert status_of(b"0\r\n", *pieces) in (None, 400, 431)


def test_the_answer_to_too_much_framing_says_what_to_do():
    reader = ChunkedReader()
    chunks = b"1\r\na\r\n" * CHUNKS_PER_CALL
    with pytest.raises(HeadError, match="the chunks are too small") as raised:
        deque(iter(lambda: reader.feed(chunks), None), maxlen=0)
    assert (raised.value.problem.code, raised.value.problem.status) == ("body_framing", 413)
    assert raised.value.problem.hint == "Send larger chunks, with shorter extensions."
    assert limit_of(raised.value.problem) is Limit.BODY_SIZE
