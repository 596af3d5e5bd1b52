"""The bytes with which a stream between nodes begins: encoded, decoded, cut anywhere, and whatever else may come."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cluster.peer.preamble import (
    EXTENSIONS_LIMIT_BYTES,
    NAMES_LIMIT_BYTES,
    OPERATOR,
    REASON_LIMIT_BYTES,
    Answer,
    AnswerDecoder,
    Preamble,
    PreambleDecoder,
    PreambleError,
    encode,
    refused,
    through,
)

FULL = Preamble("c1", "apps", "web", 8080, "pub-1", "agent-1", "req-1", http=False, fresh=True, agent_tls=True)
WIRE = (
    b"\x54\x01\x06\x00\x02c1\x00\x05pub-1\x00\x04apps\x00\x03web\x00\x07agent-1\x00\x05req-1"
    b"\x1f\x90\x00\x00\x00\x00"
)  # fmt: skip
LEAST = Preamble("c1", "apps", "web", 1)


def wire(
    names: tuple[bytes, ...] = (b"c1", b"", b"apps", b"web", b"", b""), *,
    start: bytes = b"\x54\x01\x01", port: int = 80, extensions: bytes = b"", announced: int | None = None,
) -> bytes:  # fmt: skip
    texts = b"".join(struct.pack(">H", len(name)) + name for name in names)
    return start + texts + struct.pack(">HI", port, len(extensions) if announced is None else announced) + extensions


def decoded(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[Preamble | None, bytes]:
    decoder = PreambleDecoder()
    found, rest, at = None, b"", 0
    for end in (*sorted(cuts), len(data)):
        piece, at = data[at:end], end
        if found is not None:
            rest += piece
        elif piece and (found := decoder.feed(piece)) is not None:
            rest = decoder.rest
    return found, rest


def test_the_bytes_are_those_of_the_format():
    assert encode(FULL) == WIRE
    assert decoded(WIRE) == (FULL, b"")
    assert str(FULL) == "c1/apps/web:8080"


@pytest.mark.parametrize("preamble", [FULL, LEAST])
def test_it_is_found_byte_by_byte_with_what_follows(preamble: Preamble):
    data = encode(preamble) + b"GET / HTTP/1.1\r\n"
    assert decoded(data, tuple(range(1, len(data)))) == (preamble, b"GET / HTTP/1.1\r\n")


@given(
    data=st.data(),
    cluster=st.text(min_size=1, max_size=60),
    names=st.lists(st.text(max_size=99), min_size=3, max_size=3),
)
def test_any_names_come_back_however_they_are_cut(data: st.DataObject, cluster: str, names: list[str]):
    try:
        preamble = Preamble(cluster, "apps", "web", 443, *names)
        sent = encode(preamble) + b"rest"
    except PreambleError:
        return
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=5))
    assert decoded(sent, tuple(cuts)) == (preamble, b"rest")


@given(st.binary(max_size=300), st.booleans())
def test_nothing_but_a_documented_error_comes_of_any_bytes(junk: bytes, begins_well: bool):
    try:
        decoded(b"\x54\x01\x01" + junk if begins_well else junk, (1, 3, 20))
    except PreambleError as error:
        assert str(error)  # noqa: PT017


BAD = {
    "magic": (b"\x55\x01\x01", "0x54"),
    "http": (b"GET / HTTP/1.1\r\n\r\n", "0x54"),
    "version 0": (wire(start=b"\x54\x00\x01"), "version 0 is not 1"),
    "version 2": (wire(start=b"\x54\x02\x01"), "version 2 is not 1"),
    "no cluster": (wire((b"", b"", b"apps", b"web", b"", b"")), "the cluster is empty"),
    "a long cluster": (wire((b"c" * 256, b"", b"apps", b"web", b"", b"")), "too long"),
    "no namespace": (wire((b"c1", b"", b"", b"web", b"", b"")), "the namespace is no DNS label"),
    "upper case": (wire((b"c1", b"", b"Apps", b"web", b"", b"")), "the namespace is no DNS label"),
    "no service": (wire((b"c1", b"", b"apps", b"", b"", b"")), "the service is no DNS label"),
    "a dotted service": (wire((b"c1", b"", b"apps", b"web.other", b"", b"")), "the service is no DNS label"),
    "a line break": (wire((b"c1", b"", b"apps", b"web\n", b"", b"")), "the service is no DNS label"),
    "a long label": (wire((b"c1", b"", b"apps", b"w" * 64, b"", b"")), "the service is no DNS label"),
    "a hyphen first": (wire((b"c1", b"", b"apps", b"-web", b"", b"")), "the service is no DNS label"),
    "no UTF-8": (wire((b"c1", b"\xff", b"apps", b"web", b"", b"")), "UTF-8"),
    "half a character": (wire((b"c1", b"", b"apps", b"web", b"\xc3", b"")), "UTF-8"),
    "port 0": (wire(port=0), "the port is not within"),
    "a long name": (b"\x54\x01\x01" + struct.pack(">H", NAMES_LIMIT_BYTES), "longer than"),
    "long altogether": (wire((b"c1", b"p" * 1024, b"apps", b"web", b"a" * 1024, b"")), "longer than"),
    "long extensions": (wire(announced=EXTENSIONS_LIMIT_BYTES + 1), "extensions of more than"),
    "4 GiB of extensions": (wire(announced=0xFFFF_FFFF), "extensions of more than"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "why"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_at_once_and_byte_by_byte(data: bytes, why: str):
    for cuts in ((), tuple(range(1, len(data)))):
        with pytest.raises(PreambleError, match=why):
            decoded(data, cuts)


@pytest.mark.parametrize("data", [b"\x54", WIRE[:3], WIRE[:20], WIRE[:-1], wire(announced=10, extensions=b"x" * 9)])
def test_what_is_not_complete_is_waited_for(data: bytes):
    assert decoded(data) == (None, b"")


@pytest.mark.parametrize(
    ("preamble", "why"),
    [
        (Preamble("", "apps", "web", 80), "cluster"),
        (Preamble("c1", "", "web", 80), "namespace"),
        (Preamble("c1", "apps", "WEB", 80), "service"),
        (Preamble("c1", "apps", "web", 0), "port"),
        (Preamble("c1", "apps", "web", 65_536), "port"),
        (Preamble("c1", "apps", "web", 80, "p" * 2048), "longer"),
        (Preamble("c1", "apps", "web", 80, "p" * 70_000), "longer"),
        (Preamble("c1", "apps", "web", 80, "\ud800"), "UTF-8"),
    ],
)  # fmt: skip
def test_what_the_other_node_would_refuse_is_not_sent(preamble: Preamble, why: str):
    with pytest.raises(PreambleError, match=why):
        encode(preamble)


def test_a_preamble_of_the_next_version_is_understood():
    """It keeps the version byte and adds flags, and extensions of any content, cut anywhere."""
    data = wire(start=b"\x54\x01\xe1", extensions=b"\x00\x07\xff" * 1000) + b"GET /"
    expected = Preamble("c1", "apps", "web", 80)
    for cuts in ((), tuple(range(1, len(data))), (40, 1000, 2000)):
        assert decoded(data, cuts) == (expected, b"GET /")
    assert decoded(wire(extensions=bytes(EXTENSIONS_LIMIT_BYTES)))[0] == expected


class OldDecoder(PreambleDecoder):
    """One of a release that knows the flags 1, 2, 4 and 16."""

    def feed(self, data: bytes) -> Preamble | None:
        return super().feed(data[:2] + bytes((data[2] & ~8,)) + data[3:])


def test_a_query_for_the_operator_has_a_flag_of_its_own_and_no_target():
    data = encode(OPERATOR)
    assert data == wire((b"",) * 6, start=b"\x54\x01\x08", port=0)
    assert decoded(data + b"{}", tuple(range(1, len(data)))) == (OPERATOR, b"{}")
    assert str(OPERATOR) == "a query for the operator"
    for change in ({"cluster": "c1"}, {"service": "web"}, {"agent_id": "a1"}, {"port": 80}):
        with pytest.raises(PreambleError, match="has no target"):
            encode(replace(OPERATOR, **change))  # type: ignore[arg-type]


def test_an_older_node_refuses_it_instead_of_passing_it_to_a_service():
    with pytest.raises(PreambleError, match="the cluster is empty"):
        OldDecoder().feed(encode(OPERATOR))


# --- the answer


def answered(data: bytes, cuts: tuple[int, ...] = ()) -> tuple[Answer | None, bytes]:
    decoder = AnswerDecoder()
    found, rest, at = None, b"", 0
    for end in (*sorted(cuts), len(data)):
        piece, at = data[at:end], end
        if found is not None:
            rest += piece
        elif piece and (found := decoder.feed(piece)) is not None:
            rest = decoder.rest
    return found, rest


ANSWERS = {
    "through": (b"\x00\x02a1\x01", Answer(0, agent_id="a1", dialect="yamux")),
    "unnamed": (b"\x00\x00\x02", Answer(0, dialect="json")),
    "chunk": (b"\x00\x01x\x03", Answer(0, agent_id="x", dialect="chunk")),
    "a dialect of the next version": (b"\x00\x01x\x09", Answer(0, agent_id="x")),
    "not here": (b"\x01", Answer(1)),
    "draining": (b"\x02", Answer(2)),
    "busy": (b"\x03", Answer(3)),
    "refused": (b"\x04\x00\x0crefused/no/x", Answer(4, kind="refused", text="no/x")),
    "refused without a kind": (b"\x04\x00\x04/why", Answer(4, text="why")),
    "refused without words": (b"\x04\x00\x00", Answer(4)),
    "a code of the next version": (b"\x09", Answer(9)),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_answers(data: bytes, expected: Answer):
    for cuts in ((), tuple(range(1, len(data)))):
        assert answered(data, cuts) == (expected, b"")


def test_what_follows_an_answer_is_the_services():
    data = through("a1", "yamux") + b"HTTP/1.1 200 OK\r\n"
    for cuts in ((), tuple(range(1, len(data)))):
        assert answered(data, cuts) == (Answer(0, agent_id="a1", dialect="yamux"), b"HTTP/1.1 200 OK\r\n")


def test_words_are_cut_between_characters():
    assert answered(through("a" * 254 + "é", "yamux"))[0] == Answer(0, agent_id="a" * 254, dialect="yamux")
    assert answered(through("a1", "made-up"))[0] == Answer(0, agent_id="a1")
    found, _ = answered(refused("slow", "é" * 2000))
    assert found is not None
    assert found.kind == "slow"
    assert REASON_LIMIT_BYTES - 8 < len(found.text.encode()) < REASON_LIMIT_BYTES


@pytest.mark.parametrize(
    "data", [b"\x00\x01\xff\x01", b"\x04\x00\x01\xff", b"\x04" + struct.pack(">H", REASON_LIMIT_BYTES + 1)]
)
def test_bad_answers(data: bytes):
    with pytest.raises(PreambleError):
        answered(data)


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_are_an_answer_or_a_documented_error(junk: bytes, cuts: list[int]):
    try:
        answered(junk, tuple(cuts))
    except PreambleError as error:
        assert str(error)  # noqa: PT017
