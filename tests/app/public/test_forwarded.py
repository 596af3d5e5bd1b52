"""Who a client is behind trusted proxies: both vocabularies read, one answer in both, and nothing of a stranger."""

import ipaddress
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.public.forwarded import settle
from app.public.hops import node_of
from app.rules.proxies import Proxies, Vocabulary

PEER, PROXY, PROXY6, CLIENT, CLIENT6 = "10.0.0.1", "10.0.0.2", "fd00::2", "198.51.100.7", "2001:db8::7"
NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
HOST = b"app.example.test"


def told(
    *lines: str, fields: Vocabulary = "either", peer: str = PEER, host: bytes = HOST, scheme: str = "http"
) -> dict[str, str]:
    """What the service gets, of these lines of the peer's request."""
    sent = [tuple(part.strip().encode("latin-1") for part in line.split(":", 1)) for line in lines]
    facts = settle(peer, scheme, host, [(name.lower(), value) for name, value in sent], Proxies(NETWORKS, fields))
    assert facts is not None
    names = [name for name, _ in facts.fields]
    assert len(names) == len(set(names))
    written = {name.decode(): value.decode("latin-1") for name, value in facts.fields}
    # The facts are the same in both vocabularies, and are the gateway's own.
    nodes = written["x-forwarded-for"].split(", ")
    first, *others = written["forwarded"].split(", ")
    node, proto, named = first.split(";")
    assert [re.sub(r'^for=|[]"[]', "", one) for one in (node, *others)] == nodes
    assert (facts.client, f"proto={facts.scheme}") == (nodes[0], proto)
    assert written["x-forwarded-proto"] == facts.scheme
    assert named.removeprefix('host="').startswith(written["x-forwarded-host"])
    return written


def way(*lines: str, fields: Vocabulary = "either", peer: str = PEER) -> str:
    return told(*lines, fields=fields, peer=peer)["x-forwarded-for"]


@pytest.mark.parametrize(
    ("said", "nodes"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:5678", "198.51.100.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:5678", "2001:db8::7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        (" 198.51.100.7\t", "198.51.100.7"),
        ("198.51.100.7, 10.0.0.2", "198.51.100.7, 10.0.0.2"),
        ("198.51.100.7:1, [fd00::2]:2, 10.0.0.2:3", "198.51.100.7, fd00::2, 10.0.0.2"),
        ("6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7, 10.0.0.2"),
        ("10.9.9.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3, 10.0.0.2"),  # the client is inside
        ("unknown", "unknown"),
        ("UNKNOWN, 10.0.0.2", "unknown, 10.0.0.2"),
        ("_hidden, 10.0.0.2", "_hidden, 10.0.0.2"),
        # What is no node says nothing.
        ("", ""),
        ("6.6.6.6, what", ""),
        ("6.6.6.6, 1.2.3, 10.0.0.2", "10.0.0.2"),
        ("fe80::1%eth0", ""),
        ("1.2.3.4:", ""),
        ("1.2.3.4:123456", ""),
        ("[1.2.3.4", ""),
        ("_", ""),
        ("_a b", ""),
        ('"', ""),
    ],
)
def test_x_forwarded_for(said: str, nodes: str):
    assert way(f"X-Forwarded-For: {said}") == (f"{nodes}, {PEER}" if nodes else PEER)


@pytest.mark.parametrize(
    ("said", "nodes", "scheme", "host"),
    [
        ("for=198.51.100.7", "198.51.100.7", "http", HOST.decode()),
        ("For=198.51.100.7;Proto=HTTPS;Host=public.test", "198.51.100.7", "https", "public.test"),
        ('for="[2001:db8::7]:4711" ; proto=https', "2001:db8::7", "https", HOST.decode()),
        ('for="198.51.100.7:80";host="public.test:8443"', "198.51.100.7", "http", "public.test:8443"),
        ('for="\\1\\98.51.100.7"', "198.51.100.7", "http", HOST.decode()),
        ("for=_hidden", "_hidden", "http", HOST.decode()),
        ('for="_hidden:_port"', "_hidden", "http", HOST.decode()),
        ("for=unknown;proto=https", "unknown", "https", HOST.decode()),
        ("by=10.0.0.1;proto=https;for=198.51.100.7;ext=1", "198.51.100.7", "https", HOST.decode()),
        # As HAProxy writes it with `for=%[src];host=%[req.hdr(host)]`.
        ("for=2001:db8::7;host=public.test:8443", "2001:db8::7", "http", "public.test:8443"),
        # A chain: scheme and host are the client's, not those between proxies.
        ("for=198.51.100.7;proto=https;host=public.test, for=10.0.0.2;proto=http;host=inner.test",
         "198.51.100.7, 10.0.0.2", "https", "public.test"),
        ("for=198.51.100.7, for=10.0.0.2;proto=https", "198.51.100.7, 10.0.0.2", "https", HOST.decode()),
        ("for=6.6.6.6;proto=https;host=evil.test, for=198.51.100.7", "198.51.100.7", "http", HOST.decode()),
        # A proxy that does not name its client.
        ("proto=https;host=public.test", "", "https", "public.test"),
        # Malformed, or not a host: it says nothing.
        ("for", "", "http", HOST.decode()),
        ("for=198.51.100.7;host=\"a b\"", "198.51.100.7", "http", HOST.decode()),
        ("for=198.51.100.7;proto=gopher", "198.51.100.7", "http", HOST.decode()),
        ("for=6.6.6.6, for=198.51.100.7;;=", "", "http", HOST.decode()),
        # A client's quote that never ends does not swallow what the proxy wrote after it.
        ('for="6.6.6.6, for=198.51.100.7;proto=https', "198.51.100.7", "https", HOST.decode()),
        ('for="\\, for=198.51.100.7;proto=https', "198.51.100.7", "https", HOST.decode()),
    ],
)  # fmt: skip
def test_forwarded(said: str, nodes: str, scheme: str, host: str):
    written = told(f"Forwarded: {said}")
    assert written["x-forwarded-for"] == (f"{nodes}, {PEER}" if nodes else PEER)
    assert (written["x-forwarded-proto"], written["x-forwarded-host"]) == (scheme, host)
    assert f'host="{host}"' in written["forwarded"]


def test_fields_that_are_repeated_are_one_list():
    assert way("X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 10.0.0.2") == "198.51.100.7, 10.0.0.2, 10.0.0.1"
    assert way("Forwarded: for=198.51.100.7", "Forwarded: for=10.0.0.2") == "198.51.100.7, 10.0.0.2, 10.0.0.1"


def test_addresses_are_written_as_each_vocabulary_wants_them():
    written = told(f"X-Forwarded-For: {CLIENT6}, {PROXY6}", peer="::ffff:10.0.0.1", scheme="https")
    assert written["x-forwarded-for"] == f"{CLIENT6}, {PROXY6}, {PEER}"
    assert written["forwarded"] == (
        f'for="[{CLIENT6}]";proto=https;host="app.example.test", for="[{PROXY6}]", for={PEER}'
    )


@pytest.mark.parametrize("peer", ["fd00::1%eth0", "FD00:0::1"])
def test_a_peer_is_written_in_its_shortest_form_without_its_zone(peer: str):
    assert told(peer=peer)["x-forwarded-for"] == "fd00::1"


@pytest.mark.parametrize("host", [b"a:" + b"9" * 60_000, b"a:", b"a:b", b'a"b', b"\xff", b""])
def test_a_host_that_is_none_is_no_trouble(host: bytes):
    """It is refused later; nothing of it is believed or lost until then."""
    facts = settle(PEER, "http", host, [(b"x-forwarded-port", b"8443")], Proxies(NETWORKS))
    assert facts is not None
    assert (b"x-forwarded-host", host) in facts.fields


@pytest.mark.parametrize("peer", ["198.51.100.9", "unknown", "", "unix:"])
def test_nobody_else_is_believed(peer: str):
    assert settle(peer, "http", HOST, [(b"forwarded", b"for=1.2.3.4")], Proxies(NETWORKS)) is None


# --- lists beside X-Forwarded-For


@pytest.mark.parametrize(
    ("hops", "schemes", "scheme"),
    [
        ("198.51.100.7", "https", "https"),
        ("198.51.100.7, 10.0.0.2", "https", "https"),
        ("198.51.100.7, 10.0.0.2", "https, http", "https"),
        ("6.6.6.6, 198.51.100.7", "https, http", "http"),  # the first is the client's own claim
        ("198.51.100.7", "wss", "https"),
        ("198.51.100.7", "gopher", "http"),
    ],
)
def test_a_list_says_it_of_the_node_at_the_same_place(hops: str, schemes: str, scheme: str):
    written = told(f"X-Forwarded-For: {hops}", f"X-Forwarded-Proto: {schemes}")
    assert written["x-forwarded-proto"] == scheme
    hosts = schemes.replace("https", "a.test").replace("http", "b.test")
    assert told(f"X-Forwarded-For: {hops}", f"X-Forwarded-Host: {hosts}")["x-forwarded-host"] in hosts


@pytest.mark.parametrize(
    ("host", "scheme", "said", "port", "forwarded"),
    [
        ("a.test", "https", "443", "443", "a.test"),
        ("a.test", "https", "8443", "8443", "a.test:8443"),
        ("a.test:8443", "https", "443", "8443", "a.test:8443"),  # the client named it
        ("a.test", "https", "80", "443", "a.test"),  # of a proxy behind the one that ends TLS
        ("a.test", "http", "0", "80", "a.test"),
        ("a.test", "http", "99999", "80", "a.test"),
        ("a.test", "http", "1e3", "80", "a.test"),
        ("[::1]", "https", "8443", "8443", "[::1]:8443"),
        ("a.test", "https", None, None, "a.test"),
    ],
)
def test_the_port_is_the_same_in_both(host: str, scheme: str, said: str | None, port: str | None, forwarded: str):
    lines = [f"X-Forwarded-For: {CLIENT}", f"X-Forwarded-Proto: {scheme}", f"X-Forwarded-Host: {host}"]
    written = told(*lines, *([f"X-Forwarded-Port: {said}"] if said else []))
    assert written.get("x-forwarded-port") == port
    assert written["x-forwarded-host"] == host
    assert written["forwarded"] == f'for={CLIENT};proto={scheme};host="{forwarded}", for={PEER}'


@pytest.mark.parametrize("from_proxy", [True, False])
def test_a_port_takes_the_place_of_an_empty_one(from_proxy: bool):
    lines = [f"X-Forwarded-For: {CLIENT}", "X-Forwarded-Port: 8443"]
    written = told(*lines, "X-Forwarded-Host: a.test:") if from_proxy else told(*lines, host=b"a.test:")
    assert written["forwarded"] == f'for={CLIENT};proto=http;host="a.test:8443", for={PEER}'


def test_x_real_ip_names_the_client_where_nothing_else_does():
    assert told(f"X-Real-IP: {CLIENT}") == {
        "x-forwarded-for": f"{CLIENT}, {PEER}",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "app.example.test",
        "forwarded": f'for={CLIENT};proto=http;host="app.example.test", for={PEER}',
        "x-real-ip": CLIENT,
    }
    written = told("X-Real-IP: 6.6.6.6", f"X-Forwarded-For: {CLIENT}")
    assert (written["x-forwarded-for"], written["x-real-ip"]) == (f"{CLIENT}, {PEER}", CLIENT)
    assert "x-real-ip" not in told("X-Real-IP: 6.6.6.6", "X-Forwarded-For: unknown")


# --- both vocabularies at once


@pytest.mark.parametrize(
    ("lines", "client", "scheme", "host"),
    [
        # A proxy that writes X-Forwarded-*; the rest is its client's.
        (["X-Forwarded-For: 198.51.100.7", "Forwarded: for=6.6.6.6;proto=https;host=evil.test"],
         CLIENT, "http", HOST.decode()),
        (["X-Forwarded-For: 198.51.100.7", "Forwarded: for=10.0.0.9;proto=https;host=evil.test"],
         CLIENT, "http", HOST.decode()),
        (["X-Forwarded-For: 198.51.100.7", "Forwarded: proto=https;host=evil.test"], CLIENT, "http", HOST.decode()),
        (["X-Real-IP: 198.51.100.7", "Forwarded: for=6.6.6.6;proto=https"], CLIENT, "http", HOST.decode()),
        (["X-Forwarded-For: 198.51.100.7", 'Forwarded: for="'], CLIENT, "http", HOST.decode()),
        # One that writes Forwarded, and a client that does not name itself.
        (["X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 9",
          "Forwarded: for=198.51.100.7"],
         CLIENT, "http", HOST.decode()),
        # One that writes both: what the first leaves out is in the other.
        (["X-Forwarded-For: 198.51.100.7", "Forwarded: for=198.51.100.7;proto=https;host=public.test"],
         CLIENT, "https", "public.test"),
        (["X-Forwarded-For: 198.51.100.7:1", 'Forwarded: for="198.51.100.7:2";proto=https', "X-Forwarded-Proto: http"],
         CLIENT, "http", HOST.decode()),
        # One that names nobody.
        (["X-Forwarded-Proto: https"], PEER, "https", HOST.decode()),
    ],
)  # fmt: skip
def test_the_vocabulary_that_names_the_client_is_believed(lines: list[str], client: str, scheme: str, host: str):
    written = told(*lines)
    assert written["x-forwarded-for"].split(", ")[0] == client
    assert (written["x-forwarded-proto"], written["x-forwarded-host"]) == (scheme, host)
    assert "evil.test" not in str(written)
    assert ":9" not in written["forwarded"]


def test_a_setting_names_the_vocabulary_that_the_proxies_write():
    both = ("X-Forwarded-For: 6.6.6.1", "X-Real-IP: 6.6.6.2", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.3")
    assert way(*both) == way(*both, fields="x-forwarded") == f"6.6.6.1, {PEER}"
    assert told(*both, fields="forwarded") == {
        "x-forwarded-for": f"6.6.6.3, {PEER}",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "app.example.test",
        "forwarded": f'for=6.6.6.3;proto=http;host="app.example.test", for={PEER}',
        "x-real-ip": "6.6.6.3",
    }
    assert way("Forwarded: for=6.6.6.3", fields="x-forwarded") == PEER
    assert way("X-Forwarded-For: 6.6.6.1", "X-Real-IP: 6.6.6.2", fields="forwarded") == PEER


# --- whatever a client sends


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60))
def test_nothing_that_a_client_sends_hides_it(sent: str):
    """The proxy appends its client to what it got."""
    assert way(f"X-Forwarded-For: {sent}, {CLIENT}") == f"{CLIENT}, {PEER}"
    assert way(f"Forwarded: {sent}, for={CLIENT}") == f"{CLIENT}, {PEER}"
    assert way(f"Forwarded: {sent}", f"X-Forwarded-For: {CLIENT}") == f"{CLIENT}, {PEER}"


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60))
def test_what_is_written_is_well_formed_whatever_comes(sent: str):
    for name in ("X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP"):
        written = told(f"{name}: {sent}")
        assert all(value.isascii() and value.isprintable() for value in written.values())
    assert not node_of(sent.encode("latin-1")) or re.fullmatch(r"[0-9a-f.:]+|unknown|_[\w.-]+", node_of(sent.encode()))


@pytest.mark.parametrize("text", [",", "for=", 'for="', '"\\', "10.0.0.2,", "for=10.0.0.2,", "a=b;", " ", ";"])
def test_long_fields_cost_little(text: str):
    long = text * (60_000 // len(text))
    began = time.process_time()
    for _ in range(10):
        told(f"X-Forwarded-For: {long}", f"Forwarded: {long}", f"X-Forwarded-Proto: {long}")
    assert time.process_time() - began < 1.0
    assert way(f"Forwarded: {long}, for={CLIENT}") == f"{CLIENT}, {PEER}"


def test_a_chain_has_a_bound():
    assert way(f"X-Forwarded-For: {CLIENT}" + ", 10.0.0.2" * 100).count("10.0.0.2") == 32
