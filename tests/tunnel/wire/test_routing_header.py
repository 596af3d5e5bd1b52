"""The routing header four ways: encode, decode, byte by byte, all at once with what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnel.wire.routing_header import HEADER_LIMIT_BYTES, UDP, Decoder, RoutingHeader, RoutingHeaderError, encode

CASES = [
    (RoutingHeader("kuma", "apps", 3001), b"\x01\x01\x0b\xb9\x00\x04kuma\x00\x04apps\x00\x00"),
    (RoutingHeader("a", "b", 65_535, "t-1"), b"\x01\x01\xff\xff\x00\x01a\x00\x01b\x00\x03t-1"),
    (RoutingHeader("caf\xe9", "b", 1), b"\x01\x01\x00\x01\x00\x05caf\xc3\xa9\x00\x01b\x00\x00"),
]


@pytest.mark.parametrize(("header", "wire"), CASES)
def test_encode(header, wire):
    assert encode(header.service, header.namespace, header.port, header.tunnel_id) == wire


@pytest.mark.parametrize(("header", "wire"), CASES)
def test_decode(header, wire):
    decoder = Decoder()
    assert decoder.feed(wire) == header
    assert decoder.rest == b""
    assert decoder.size_bytes == len(wire)


@pytest.mark.parametrize(("header", "wire"), CASES)
def test_byte_by_byte(header, wire):
    decoder = Decoder()
    assert [decoder.feed(wire[i : i + 1]) for i in range(len(wire))] == [None] * (len(wire) - 1) + [header]
    assert decoder.rest == b""


@pytest.mark.parametrize(("header", "wire"), CASES)
def test_with_the_request_behind(header, wire):
    decoder = Decoder()
    assert decoder.feed(wire + b"GET / HTTP/1.1\r\n") == header
    assert decoder.rest == b"GET / HTTP/1.1\r\n"


@given(
    service=st.text(max_size=80),
    namespace=st.text(max_size=80),
    port=st.integers(1, 65_535),
    rest=st.binary(max_size=40),
    data=st.data(),
)
def test_any_cut(service, namespace, port, rest, data):
    wire = encode(service, namespace, port) + rest
    cut = data.draw(st.integers(0, len(wire) - len(rest) - 1))
    decoder = Decoder()
    assert decoder.feed(wire[:cut]) is None
    assert decoder.feed(wire[cut:]) == RoutingHeader(service, namespace, port)
    assert decoder.rest == rest


@given(pieces=st.lists(st.binary(max_size=60), max_size=40))
def test_accepts_only_documented_errors(pieces):
    decoder = Decoder()
    for piece in pieces:
        try:
            if decoder.feed(piece) is not None:
                return
        except RoutingHeaderError:
            return


def test_other_protocols_are_told():
    header = Decoder().feed(b"\x01\x02\x00\x35\x00\x03dns\x00\x04kube\x00\x00")
    assert header == RoutingHeader("dns", "kube", 53, protocol=UDP)


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (b"\x02", "version 2 is not 1"),
        (b"GET / HTTP/1.1\r\n", "version 71 is not 1"),
        (b"\x01\x01\x00\x50\x04\x00", "longer than 1024 bytes"),
        (b"\x01\x01\x00\x50\x00\x01a\x03\xf8", "longer than 1024 bytes"),
        (b"\x01\x01\x00\x50\x00\x01\xff\x00\x01b\x00\x00", "not UTF-8"),
    ],
)
def test_bad_headers(wire, said):
    with pytest.raises(RoutingHeaderError, match=said):
        Decoder().feed(wire)


def test_the_longest_header_is_taken_and_one_byte_more_is_not():
    wire = encode("s", "n", 80, "t" * (HEADER_LIMIT_BYTES - 12))
    assert len(wire) == HEADER_LIMIT_BYTES
    header = Decoder().feed(wire)
    assert header is not None
    assert len(header.tunnel_id) == HEADER_LIMIT_BYTES - 12
    with pytest.raises(RoutingHeaderError, match="1025 bytes"):
        encode("s", "n", 80, "t" * (HEADER_LIMIT_BYTES - 11))


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_ports_that_are_none(port):
    with pytest.raises(RoutingHeaderError, match="not within 1 to 65535"):
        encode("s", "n", port)


def test_its_text_is_the_target():
    assert str(RoutingHeader("kuma", "apps", 3001)) == "apps/kuma:3001"
