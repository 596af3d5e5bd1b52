"""What real proxies write, as they document it, and what the service must see of it in both vocabularies.

The client is 198.51.100.7 or 2001:db8::7 and dials https://app.example.test; the proxy in front of us is 10.0.0.1.
Where a row has 6.6.6.6 or evil.test in it, the client sent that, and the proxy passed it on.
"""

import ipaddress

import pytest

from app.asgi.reading import read_scope
from app.public.header_rules import request_head
from app.rules.policy import NO_CHANGES
from app.rules.proxies import Proxies, Vocabulary
from tests.fakes.asgi import scope_of

NETWORKS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("162.158.0.0/15"))
"""The cluster's, and of Cloudflare's list."""
PEER = "10.0.0.1"
IN_FRONT = f"198.51.100.7, {PEER}"
ELEMENTS = f'for=198.51.100.7;proto=https;host="app.example.test", for={PEER}'
ELEMENTS_6 = f'for="[2001:db8::7]";proto=https;host="app.example.test", for={PEER}'

Row = tuple[str, list[str], str, str]

ROWS: list[Row] = [
    # `proxy_set_header` of X-Real-IP $remote_addr, X-Forwarded-For $proxy_add_x_forwarded_for, and $scheme and $host.
    ("nginx", [
        "X-Real-IP: 198.51.100.7", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: app.example.test",
    ], IN_FRONT, ELEMENTS),
    ("nginx, which appends to what the client sent", [
        "X-Real-IP: 198.51.100.7", "X-Forwarded-For: 6.6.6.6, 198.51.100.7", "X-Forwarded-Proto: https",
        "Forwarded: for=6.6.6.6;proto=http;host=evil.test",
    ], IN_FRONT, ELEMENTS),
    ("ingress-nginx", [
        "X-Request-ID: 0123456789abcdef", "X-Real-IP: 198.51.100.7", "X-Forwarded-For: 198.51.100.7",
        "X-Forwarded-Host: app.example.test", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https",
        "X-Forwarded-Scheme: https", "X-Scheme: https", "X-Original-Forwarded-For: 6.6.6.6",
    ], IN_FRONT, ELEMENTS),
    # `option forwardfor`, with the scheme in a line of its own.
    ("HAProxy, option forwardfor", ["X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7"], IN_FRONT, ELEMENTS),
    ("HAProxy, option forwardfor adds a field of its own", [
        "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7",
    ], IN_FRONT, ELEMENTS),
    # `option forwarded`: "proto for" by default; `option forwarded host for`; and `for_port`.
    ("HAProxy, option forwarded", ["forwarded: proto=https;for=198.51.100.7"], IN_FRONT, ELEMENTS),
    ("HAProxy, option forwarded with all", [
        'forwarded: proto=https;host="app.example.test";for="[2001:db8::7]:60138"',
    ], f"2001:db8::7, {PEER}", ELEMENTS_6),
    ("HAProxy, option forwarded with for-expr", [
        'forwarded: proto=https;host="app.example.test";for="_000000007F2F367E:60138"',
    ], f"_000000007F2F367E, {PEER}", ELEMENTS.replace("198.51.100.7", "_000000007F2F367E")),
    # `http-request set-header Forwarded for=%[src];host=%[req.hdr(host)];proto=https`: no quotes round IPv6.
    ("HAProxy, set-header Forwarded", [
        "Forwarded: for=2001:db8::7;host=app.example.test;proto=https",
    ], f"2001:db8::7, {PEER}", ELEMENTS_6),
    ("HAProxy, option forwardfor and set-header Forwarded", [
        "Forwarded: for=198.51.100.7;proto=https", "X-Forwarded-For: 198.51.100.7",
    ], IN_FRONT, ELEMENTS),
    ("OpenShift's router", [
        "X-Forwarded-Host: app.example.test", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https",
        "Forwarded: for=198.51.100.7;host=app.example.test;proto=https", "X-Forwarded-For: 198.51.100.7",
    ], IN_FRONT, ELEMENTS),
    # reverse_proxy: it sets these three, and takes over none that its client sent.
    ("Caddy", [
        "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Host: app.example.test", "X-Forwarded-Proto: https",
    ], IN_FRONT, ELEMENTS),
    ("Caddy passes Forwarded on", [
        "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Host: app.example.test", "X-Forwarded-Proto: https",
        "Forwarded: for=6.6.6.6;host=evil.test",
    ], IN_FRONT, ELEMENTS),
    ("Traefik", [
        "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Host: app.example.test", "X-Forwarded-Port: 443",
        "X-Forwarded-Proto: https", "X-Forwarded-Server: traefik-7d9", "X-Real-Ip: 198.51.100.7",
    ], IN_FRONT, ELEMENTS),
    ("Traefik, for a WebSocket", [
        "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Host: app.example.test", "X-Forwarded-Port: 443",
        "X-Forwarded-Proto: wss", "X-Forwarded-Server: traefik-7d9", "X-Real-Ip: 198.51.100.7",
    ], IN_FRONT, ELEMENTS),
    # use_remote_address = true.
    ("Envoy", [
        "X-Forwarded-Proto: https", "X-Forwarded-For: 198.51.100.7", "X-Envoy-External-Address: 198.51.100.7",
        "X-Request-ID: 0a1b",
    ], IN_FRONT, ELEMENTS),
    ("Envoy, two in a row", [
        "X-Forwarded-Proto: https", "X-Forwarded-For: 6.6.6.6,198.51.100.7,10.0.0.2",
        "X-Envoy-External-Address: 198.51.100.7",
    ], f"198.51.100.7, 10.0.0.2, {PEER}", ELEMENTS.replace(", ", ", for=10.0.0.2, ")),
    # A list of IP:port.
    ("Azure Application Gateway", [
        "X-Forwarded-For: 198.51.100.7:41234", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https",
        "X-Original-Host: app.example.test", "X-AppGW-Trace-ID: 1a2b",
    ], IN_FRONT, ELEMENTS),
    ("Azure Application Gateway, behind another", [
        "X-Forwarded-For: 198.51.100.7:41234, 10.0.0.2:5123", "X-Forwarded-Port: 443", "X-Forwarded-Proto: https",
    ], f"198.51.100.7, 10.0.0.2, {PEER}", ELEMENTS.replace(", ", ", for=10.0.0.2, ")),
    # routing.http.xff_header_processing.mode: append (the default), with client port preservation, preserve, remove.
    ("AWS ALB, append", [
        "X-Forwarded-For: 6.6.6.6, 198.51.100.7", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
        "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678",
    ], IN_FRONT, ELEMENTS),
    ("AWS ALB, IPv6", [
        "X-Forwarded-For: 2001:db8::7", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
    ], f"2001:db8::7, {PEER}", ELEMENTS_6),
    ("AWS ALB, append with the client's port", [
        "X-Forwarded-For: 198.51.100.7:8080", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
    ], IN_FRONT, ELEMENTS),
    ("AWS ALB, IPv6 with the client's port", [
        "X-Forwarded-For: [2001:db8::7]:8080", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
    ], f"2001:db8::7, {PEER}", ELEMENTS_6),
    # It adds nothing of its own: of use only behind another proxy, which the client cannot go round.
    ("AWS ALB, preserve, behind a proxy", [
        "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
    ], IN_FRONT, ELEMENTS),
    ("AWS ALB, remove", [
        "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
    ], PEER, f'for={PEER};proto=https;host="app.example.test"'),
    # Cloudflare appends its client to X-Forwarded-For; a proxy of ours appends Cloudflare's address.
    ("Cloudflare and nginx", [
        "X-Forwarded-For: 6.6.6.6,198.51.100.7, 162.158.1.2", "X-Forwarded-Proto: https",
        'CF-Visitor: {"scheme":"https"}', "CF-Connecting-IP: 198.51.100.7", "CDN-Loop: cloudflare",
    ], f"198.51.100.7, 162.158.1.2, {PEER}", ELEMENTS.replace(", ", ", for=162.158.1.2, ")),
]  # fmt: skip


def seen(lines: list[str], peer: str = PEER, fields: Vocabulary = "either") -> dict[bytes, bytes]:
    """What reaches the service of a request with these lines."""
    pairs = [line.split(": ", 1) for line in lines]
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs]
    request = read_scope(scope_of("http", headers=headers, client=(peer, 1)), Proxies(NETWORKS, fields))
    passed = request_head(request, NO_CHANGES).headers
    assert len(dict(passed)) == len(passed)
    return dict(passed)


@pytest.mark.parametrize(("lines", "way", "forwarded"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_service_sees_the_same_in_both_vocabularies(lines: list[str], way: str, forwarded: str):
    got = seen(lines)
    assert got[b"x-forwarded-for"].decode() == way
    assert got[b"forwarded"].decode() == forwarded
    assert got[b"x-forwarded-proto"] == b"https"
    assert got[b"x-forwarded-host"] == b"app.example.test"
    client = way.partition(",")[0].encode()
    assert got.get(b"x-real-ip", client) == client
    assert got.get(b"x-forwarded-port", b"443") == b"443"
    sent = {line.partition(": ")[0].lower().encode() for line in lines}
    told = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"}
    assert set(got) == {b"host", b"x-request-id"} | told | sent


def test_cloudflare_alone():
    """It is the peer, one of `trusted_proxies`."""
    got = seen([
        "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https", "CF-Connecting-IP: 198.51.100.7",
        'CF-Visitor: {"scheme":"https"}',
    ], "162.158.1.2")  # fmt: skip
    assert got[b"forwarded"] == b'for=198.51.100.7;proto=https;host="app.example.test", for=162.158.1.2'
    assert got[b"cf-connecting-ip"] == b"198.51.100.7"


def test_a_proxy_that_writes_only_forwarded_and_passes_on_the_rest():
    """HAProxy with `option forwarded` leaves X-Forwarded-For alone: `proxy_fields` says not to read it."""
    lines = ["X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6", "X-Forwarded-Host: evil.test",
             "forwarded: proto=https;for=198.51.100.7"]  # fmt: skip
    got = seen(lines, fields="forwarded")
    assert (got[b"x-forwarded-for"].decode(), got[b"forwarded"].decode()) == (IN_FRONT, ELEMENTS)
    assert (got[b"x-real-ip"], got[b"x-forwarded-host"]) == (b"198.51.100.7", b"app.example.test")
