"""The PROXY protocol's header: what is one, what is none, and that none of its bytes is taken for another's."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.server.crc32c import crc32c
from app.server.proxy_header import HEADER_BYTES, LINE_BYTES, ProxyHeader, ProxyHeaderError, read_proxy_header
from tests.app.server.proxy_headers import (
    LOCAL,
    PROXY,
    SIGNATURE,
    TCP4,
    TCP6,
    UNIX,
    addresses,
    block,
    checked,
    extension,
    line,
    relayed,
)

CLIENT, SERVER = ("203.0.113.9", 50_123), ("192.0.2.1", 443)
CLIENT6, SERVER6 = ("2001:db8::9", 50_123), ("2001:db8::1", 443)
PAIR, PAIR6 = addresses(CLIENT, SERVER), addresses(CLIENT6, SERVER6)
AFTER = b"GET / HTTP/1.1\r\n\r\n"
LONGEST = (
    b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
)

RIGHT: list[tuple[str, bytes, tuple[str, int] | None, tuple[str, int] | None]] = [
    ("1: IPv4", b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 443\r\n", CLIENT, SERVER),
    ("1: IPv6", b"PROXY TCP6 2001:db8::9 2001:db8::1 50123 443\r\n", CLIENT6, SERVER6),
    ("1: IPv6 in full and capitals", b"PROXY TCP6 2001:0DB8:0:0:0:0:0:09 2001:DB8::1 50123 443\r\n", CLIENT6, SERVER6),
    ("1: IPv4 within IPv6", b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:c000:201 50123 443\r\n", CLIENT, SERVER),
    ("1: the least and the greatest", b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", ("0.0.0.0", 0),
     ("255.255.255.255", 65535)),
    ("1: unknown", b"PROXY UNKNOWN\r\n", None, None),
    ("1: unknown, with a rest", b"PROXY UNKNOWN 1.2.3.4 \xff  x\r\n", None, None),
    ("1: the longest line", LONGEST, None, None),
    ("2: IPv4", block(PROXY, TCP4, PAIR), CLIENT, SERVER),
    ("2: IPv6", block(PROXY, TCP6, PAIR6), CLIENT6, SERVER6),
    ("2: IPv4 within IPv6", relayed(("::ffff:203.0.113.9", 50_123), ("::ffff:192.0.2.1", 443)), CLIENT, SERVER),
    ("2: local", block(LOCAL, 0), None, None),
    ("2: local, with addresses", block(LOCAL, TCP4, PAIR), None, None),
    ("2: local, with a rest that nobody knows", block(LOCAL, 0xFF, b"\xff" * 9), None, None),
    ("2: unspecified", block(PROXY, 0x00), None, None),
    ("2: unspecified, with a rest", block(PROXY, 0x00, b"\xff" * 9), None, None),
    ("2: unspecified family", block(PROXY, 0x01, b"\xff" * 9), None, None),
    ("2: unspecified transport", block(PROXY, 0x10), None, None),
    ("2: datagrams", block(PROXY, 0x12, PAIR), None, None),
    ("2: UNIX", block(PROXY, UNIX, bytes(216)), None, None),
    ("2: extensions", relayed(CLIENT, SERVER, extension(1, b"h2") + extension(0xEA, b"\x01vpce-08d2bf15fac5001c9")),
     CLIENT, SERVER),
    ("2: an empty extension", relayed(CLIENT, SERVER, extension(4, b"")), CLIENT, SERVER),
    ("2: a checksum", checked(CLIENT, SERVER), CLIENT, SERVER),
    ("2: a checksum, and more", checked(CLIENT6, SERVER6, extension(4, bytes(9))), CLIENT6, SERVER6),
    ("2: the longest block", relayed(CLIENT, SERVER, extension(4, bytes(HEADER_BYTES - 16 - 12 - 3))), CLIENT, SERVER),
]  # fmt: skip

NO_HEADER = "it does not begin with a PROXY header"
WORDS = "the line does not have two addresses and two ports between single blanks"
HOST = "an address of the line is not valid"
PORT = "a port of the line is not valid"
PROTOCOL = "the protocol is none of TCP4, TCP6 and UNKNOWN"
FAMILY = "the address family or the transport of the block is not valid"
SHORT = "the block is too short for its addresses"
CUT = "an extension of the block is cut"
SUM = "the block's checksum is not one of four bytes"

WRONG: list[tuple[bytes, str]] = [
    (AFTER, NO_HEADER),
    (b"\x16\x03\x01\x02\x00\x01", NO_HEADER),
    (b"proxy TCP4 203.0.113.9 192.0.2.1 50123 443\r\n", NO_HEADER),
    (b" PROXY TCP4 203.0.113.9 192.0.2.1 50123 443\r\n", NO_HEADER),
    (b"PROXY\tTCP4 203.0.113.9 192.0.2.1 50123 443\r\n", NO_HEADER),
    (b"PROXYTCP4 203.0.113.9 192.0.2.1 50123 443\r\n", NO_HEADER),
    (b"\r\n\r\nGET", NO_HEADER),
    (b"PROXY \r\n", PROTOCOL),
    (b"PROXY tcp4 203.0.113.9 192.0.2.1 50123 443\r\n", PROTOCOL),
    (b"PROXY TCP 203.0.113.9 192.0.2.1 50123 443\r\n", PROTOCOL),
    (b"PROXY UDP4 203.0.113.9 192.0.2.1 50123 443\r\n", PROTOCOL),
    (b"PROXY UNKNOWNS\r\n", PROTOCOL),
    (b"PROXY UNKNOWN\nGET / HTTP/1.1\r\n", PROTOCOL),
    (b"PROXY  TCP4 203.0.113.9 192.0.2.1 50123 443\r\n", PROTOCOL),
    (b"PROXY TCP4\r\n", WORDS),
    (b"PROXY TCP4  203.0.113.9 192.0.2.1 50123 443\r\n", WORDS),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 443 \r\n", WORDS),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123\r\n", WORDS),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 443 80\r\n", WORDS),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 443\nGET / HTTP/1.1\r\n", WORDS),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 443\n\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 443\r\r\n", PORT),
    (b"PROXY TCP4 203.0.113.09 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 203.0.113 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 203.0.113.256 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 203.0.113.9/32 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 203.0.113.\xb9 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 203.0.113.9\0 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 2001:db8::9 2001:db8::1 50123 443\r\n", HOST),
    (b"PROXY TCP6 203.0.113.9 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP6 2001:db8::9 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP6 [2001:db8::9] 2001:db8::1 50123 443\r\n", HOST),
    (b"PROXY TCP6 fe80::9%eth0 fe80::1 50123 443\r\n", HOST),
    (b"PROXY TCP6 2001::db8::9 2001:db8::1 50123 443\r\n", HOST),
    (b"PROXY TCP6 2001:00db8::9 2001:db8::1 50123 443\r\n", HOST),
    (b"PROXY TCP4 client.test 192.0.2.1 50123 443\r\n", HOST),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 0443\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 00\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50123 +443\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 443\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 50_123 443\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 \xb2 443\r\n", PORT),
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 100000000000 443\r\n", PORT),
    (b"PROXY UNKNOWN " + b"x" * 93, f"the line does not end within {LINE_BYTES} bytes"),
    (LONGEST[:-2] + b"x\r\n", f"the line does not end within {LINE_BYTES} bytes"),
    (block(0x11, TCP4, PAIR), "the version of the block is 1, not 2"),
    (block(0x31, TCP4, PAIR), "the version of the block is 3, not 2"),
    (block(0x22, TCP4, PAIR), "the command of the block is neither LOCAL nor PROXY"),
    (block(PROXY, 0x41, PAIR), FAMILY),
    (block(PROXY, 0x13, PAIR), FAMILY),
    (block(PROXY, TCP4, PAIR[:-1]), SHORT),
    (block(PROXY, TCP4), SHORT),
    (block(PROXY, TCP6, PAIR), SHORT),
    (block(PROXY, UNIX, bytes(215)), SHORT),
    (block(PROXY, TCP4, b"", HEADER_BYTES - 15), f"the block is longer than {HEADER_BYTES} bytes"),
    (block(LOCAL, 0, b"", 65_535), f"the block is longer than {HEADER_BYTES} bytes"),
    (relayed(CLIENT, SERVER, b"\x04"), CUT),
    (relayed(CLIENT, SERVER, b"\x04\x00"), CUT),
    (relayed(CLIENT, SERVER, b"\x04\x00\x01"), CUT),
    (relayed(CLIENT, SERVER, extension(4, b"ab") + b"\0"), CUT),
    (relayed(CLIENT, SERVER, extension(3, b"abc")), SUM),
    (relayed(CLIENT, SERVER, extension(3, b"abcd")), "the block's checksum is wrong"),
    (checked(CLIENT, SERVER, extension(3, bytes(4))), SUM),
    (checked(CLIENT, SERVER)[:-4] + bytes(4), "the block's checksum is wrong"),
    (checked(CLIENT, SERVER).replace(b"\xcb\x00\x71\x09", b"\xcb\x00\x71\x0a"), "the block's checksum is wrong"),
]


@pytest.mark.parametrize(("header", "source", "destination"), [case[1:] for case in RIGHT], ids=[c[0] for c in RIGHT])
def test_a_header_is_read(header: bytes, source: tuple[str, int] | None, destination: tuple[str, int] | None):
    whole = ProxyHeader(len(header), source, destination)
    assert read_proxy_header(header) == whole
    assert read_proxy_header(header + AFTER) == whole
    for cut in range(len(header)):
        assert read_proxy_header(header[:cut]) is None


@pytest.mark.parametrize(("data", "text"), WRONG, ids=[repr(data)[:60] for data, _ in WRONG])
def test_what_is_no_header_is_refused_at_its_first_wrong_byte_or_with_its_end(data: bytes, text: str):
    with pytest.raises(ProxyHeaderError, match=f"^{text}$"):
        read_proxy_header(data)
    with pytest.raises(ProxyHeaderError, match=f"^{text}$"):
        read_proxy_header(data + AFTER)


def test_the_last_line_of_the_table_is_as_long_as_can_be():
    assert len(LONGEST) == LINE_BYTES
    assert len(RIGHT[-1][1]) == HEADER_BYTES


@pytest.mark.parametrize("word", [b"PROXY ", SIGNATURE])
def test_a_wrong_byte_of_the_first_word_is_seen_when_it_comes(word: bytes):
    for at in range(len(word)):
        assert read_proxy_header(word[:at]) is None
        with pytest.raises(ProxyHeaderError, match=NO_HEADER):
            read_proxy_header(word[:at] + bytes((word[at] ^ 1,)))


def test_the_checksum_is_the_known_one():
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 appendix B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


PORTS = st.integers(0, 65_535)
ENDS = st.one_of(
    st.tuples(*[st.tuples(st.ip_addresses(v=4), PORTS)] * 2), st.tuples(*[st.tuples(st.ip_addresses(v=6), PORTS)] * 2)
)
Ends = tuple[tuple[IPv4Address | IPv6Address, int], tuple[IPv4Address | IPv6Address, int]]


def expected(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@given(ENDS, st.sampled_from([line, relayed, checked]), st.binary(max_size=40))
def test_what_a_balancer_writes_is_what_is_read(ends: Ends, write: object, after: bytes):
    (source, source_port), (destination, destination_port) = ends
    assert callable(write)
    header = write((str(source), source_port), (str(destination), destination_port))
    found = read_proxy_header(header + after)
    assert found == ProxyHeader(
        len(header), (expected(source), source_port), (expected(destination), destination_port)
    )  # fmt: skip


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda rest: b"PROXY TCP4 " + rest),
        st.binary(max_size=300).map(lambda rest: SIGNATURE + rest),
        st.binary(max_size=300).map(lambda rest: SIGNATURE + b"\x21\x11" + rest),
        st.lists(st.sampled_from([b"PROXY", b" ", b"TCP4", b"TCP6", b"::1", b"1.2.3.4", b"0", b"443", b"\r", b"\n"]))
        .map(b"".join),
    )
)  # fmt: skip
def test_anything_is_a_header_or_its_beginning_or_an_error_whatever_follows_it(data: bytes):
    try:
        found = read_proxy_header(data)
    except ProxyHeaderError:
        for cut in range(len(data)):  # what was the beginning of one is never another's end
            try:
                assert read_proxy_header(data[:cut]) is None
            except ProxyHeaderError:
                break
        return
    if found is None:
        assert len(data) < HEADER_BYTES
    else:
        assert 0 < found.size_bytes <= len(data)
        assert read_proxy_header(data[: found.size_bytes]) == found
        assert read_proxy_header(data[: found.size_bytes - 1]) is None
