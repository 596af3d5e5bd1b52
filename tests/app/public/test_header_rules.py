"""Header rules between client and service, as tables over requests."""

import ipaddress
from typing import Any

import pytest

from app.asgi.reading import read_scope
from app.public import header_rules
from app.public.header_rules import BadRequestError
from app.rules.policy import DEFAULT_POLICY, NO_CHANGES
from app.rules.proxies import Proxies
from app.rules.request import Request
from tests.fakes.asgi import CLIENT, Pairs, scope_of
from tunnel.port import Headers, RequestHead

NOBODY = None
PROXIES = Proxies((ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32")))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # The requirement's table, part 10.1.
        ([(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")], True),
        ([(b"Connection", b"Upgrade")], False),
        ([(b"Upgrade", b"WebSocket"), (b"Connection", b"upgrade")], True),
        # And more.
        ([(b"upgrade", b"websocket")], False),
        ([], False),
        ([(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"websocket")], True),
        ([(b"connection", b"keep-alive"), (b"connection", b"upgrade"), (b"upgrade", b"websocket")], True),
        ([(b"connection", b"  UPGRADE  ,close"), (b"upgrade", b" WEBSOCKET ")], True),
        ([(b"UPGRADE", b"websocket"), (b"CONNECTION", b"UPGRADE")], True),
        ([(b"upgrade", b"h2c, websocket"), (b"connection", b"upgrade")], True),
        ([(b"upgrade", b"h2c"), (b"upgrade", b"websocket"), (b"connection", b"upgrade")], True),
        ([(b"upgrade", b"h2c"), (b"connection", b"upgrade, http2-settings")], False),
        ([(b"upgrade", b"websocket"), (b"connection", b"close")], False),
        ([(b"upgrade", b"websocket"), (b"connection", b"no-upgrade")], False),
        ([(b"upgrade", b"websockets"), (b"connection", b"upgrade")], False),
        ([(b"x-upgrade", b"websocket"), (b"connection", b"upgrade")], False),
        ([(b"upgrade", b""), (b"connection", b"upgrade")], False),
    ],
)
def test_is_websocket_upgrade(headers: Pairs, expected: bool):
    assert header_rules.is_websocket_upgrade(headers) is expected


def read(scope: dict[str, Any], proxies: Proxies | None = NOBODY) -> Request:
    return read_scope(scope, proxies)


def head(
    headers: Pairs | None = None, proxies: Proxies | None = NOBODY, target: str = "/p?q", **scope: Any
) -> RequestHead:
    return header_rules.request_head(read(scope_of("http", target, headers=headers, **scope), proxies), NO_CHANGES)


def values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def own(headers: Headers) -> Headers:
    """Without the fields about the connection, without Host and the id."""
    about = {b"x-request-id", b"host", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    return [pair for pair in headers if pair[0] not in about]


HOP_BY_HOP = [
    (b"connection", b"close"),
    (b"keep-alive", b"timeout=5"),
    (b"proxy-connection", b"keep-alive"),
    (b"te", b"trailers"),
    (b"upgrade", b"h2c"),
    (b"http2-settings", b"AAMAAABkAAQAAP__"),
    (b"proxy-authorization", b"Basic x"),
    (b"proxy-authenticate", b"Basic"),
]


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=[name.decode() for name, _ in HOP_BY_HOP])
def test_hop_by_hop_fields_are_removed(field: tuple[bytes, bytes]):
    assert own(head([(b"a", b"1"), field, (b"b", b"2")]).headers) == [(b"a", b"1"), (b"b", b"2")]


def test_fields_named_by_connection_are_removed():
    sent = [
        (b"x-one", b"1"),
        (b"connection", b"X-One, close"),
        (b"x-two", b"2"),
        (b"connection", b"x-TWO,Cookie"),
        (b"cookie", b"a=b"),
        (b"x-three", b"3"),
    ]
    assert own(head(sent).headers) == [(b"x-three", b"3")]


def test_connection_cannot_name_away_what_carries_the_request():
    sent = [(b"connection", b"host, content-length, x-forwarded-for, forwarded"), (b"content-length", b"3")]
    made = head(sent)
    assert values(made.headers, b"host") == [b"app.example.test"]
    assert values(made.headers, b"content-length") == [b"3"]
    assert made.body_length == 3
    assert values(made.headers, b"x-forwarded-for") == [CLIENT[0].encode()]
    assert len(values(made.headers, b"forwarded")) == 1


def test_what_belongs_to_the_service_passes_in_order():
    sent = [
        (b"cookie", b"a=1"),
        (b"authorization", b"Bearer x"),
        (b"cookie", b"b=2"),
        (b"accept-encoding", b"gzip"),
        (b"expect", b"100-continue"),
        (b"x-bytes", b"\xff\xe4"),
        (b"origin", b"https://a.test"),
        (b"sec-fetch-mode", b"cors"),
    ]
    assert own(head(sent).headers) == sent


@pytest.mark.parametrize("host", ["app.example.test", "APP.example.test.:8443", "[2001:db8::1]:80"])
def test_host_is_kept_as_it_came(host: str):
    made = head(host=host)
    assert values(made.headers, b"host") == [host.encode()]
    assert values(made.headers, b"x-forwarded-host") == [host.encode()]


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], 0),
        ([(b"content-length", b"0")], 0),
        ([(b"content-length", b"17")], 17),
        ([(b"content-length", b"17"), (b"content-length", b"17")], 17),
        ([(b"transfer-encoding", b"chunked")], None),
        ([(b"transfer-encoding", b"Chunked ")], None),
    ],
)
def test_body_length(headers: Pairs, length: int | None):
    made = head(headers, method="POST")
    assert made.body_length == length
    assert len(values(made.headers, b"content-length")) == (b"content-length" in dict(headers))
    assert values(made.headers, b"transfer-encoding") == []


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"1, 1")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"1_0")],
        [(b"content-length", b" 1")],
        [(b"content-length", b"0x1")],
        [(b"content-length", b"")],
        [(b"content-length", "٣".encode())],
        [(b"content-length", b"9" * 5000)],
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"0")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"xchunked")],
        [(b"transfer-encoding", b"")],
    ],
)
def test_ambiguous_framing_is_refused(headers: Pairs):
    with pytest.raises(BadRequestError):
        head(headers, method="POST")


def test_several_hosts_are_refused():
    with pytest.raises(BadRequestError):
        header_rules.checked_host(read(scope_of("http", headers=[(b"host", b"other.test")])))
    assert header_rules.checked_host(read(scope_of("http", host="a.test"))) == "a.test"
    assert header_rules.checked_host(read(scope_of("http", host=None))) == ""


# --- who the client is


def forwarding(made: RequestHead) -> dict[bytes, bytes]:
    names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded")
    for name in names:
        assert len(values(made.headers, name)) == 1, name
    return {name: values(made.headers, name)[0] for name in names}


CLAIMS = [
    (b"x-forwarded-for", b"198.51.100.7"),
    (b"x-forwarded-for", b"198.51.100.8"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"public.test"),
    (b"forwarded", b"for=198.51.100.7;proto=https"),
]


@pytest.mark.parametrize("claims", [[], CLAIMS], ids=["no claims", "claims of a stranger"])
def test_a_client_is_what_its_connection_says(claims: Pairs):
    assert forwarding(head(claims)) == {
        b"x-forwarded-for": b"203.0.113.9",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"app.example.test",
        b"forwarded": b'for=203.0.113.9;proto=http;host="app.example.test"',
    }


def test_a_trusted_proxy_is_believed_and_appended_to():
    """And what its client claims is not: neither what stands left of it, nor what another field says."""
    assert forwarding(head(CLAIMS, PROXIES)) == {
        b"x-forwarded-for": b"198.51.100.8, 203.0.113.9",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"public.test",
        b"forwarded": b'for=198.51.100.8;proto=https;host="public.test", for=203.0.113.9',
    }


@pytest.mark.parametrize("name", [
    b"x-forwarded-prefix", b"x-forwarded-client-cert", b"cf-connecting-ip", b"x_forwarded_prefix",
])  # fmt: skip
def test_other_claims_of_a_stranger_never_reach_the_service(name: bytes):
    claim = [(name, b"198.51.100.7")]
    handshake = [(b"upgrade", b"websocket")]
    for proxies, passed in ((NOBODY, []), (PROXIES, [b"198.51.100.7"])):
        request = read(scope_of("http", headers=claim), proxies)
        assert values(header_rules.request_head(request, NO_CHANGES).headers, name) == passed
        assert values(header_rules.upgrade_head(request, DEFAULT_POLICY, handshake).headers, name) == passed
    stranger = read(scope_of("http", headers=claim, client=("198.51.100.9", 1)), PROXIES)
    assert values(header_rules.request_head(stranger, NO_CHANGES).headers, name) == []


@pytest.mark.parametrize("name", [b"x_real_ip", b"x_forwarded_for", b"x_forwarded-proto", b"x-forwarded_port"])
def test_lookalikes_of_what_we_say_pass_from_nobody(name: bytes):
    for proxies in (NOBODY, PROXIES):
        request = read(scope_of("http", headers=[(name, b"198.51.100.7")]), proxies)
        assert values(header_rules.request_head(request, NO_CHANGES).headers, name) == []
        assert values(header_rules.upgrade_head(request, DEFAULT_POLICY, []).headers, name) == []


@pytest.mark.parametrize("name", [b"x-real-ips", b"x-forwarded", b"forwarded-to", b"x-request-start", b"proxying"])
def test_fields_that_only_look_like_claims_pass(name: bytes):
    assert values(head([(name, b"1")]).headers, name) == [b"1"]


@pytest.mark.parametrize(
    ("client", "trusted"),
    [
        (("203.0.113.9", 1), True),
        (("203.0.114.9", 1), False),
        (("2001:db8::5", 1), True),
        (("2001:db9::5", 1), False),
        (None, False),
        (("", 0), False),
        (("unix:", 0), False),
    ],
)
def test_who_is_trusted(client: tuple[str, int] | None, trusted: bool):
    scope = scope_of("http", client=client)
    assert (read(scope, PROXIES).forwarding is not None) is trusted
    assert read(scope).forwarding is None


def test_addresses_of_every_kind():
    made = forwarding(head(client=("2001:db8::5", 9), scheme="https"))
    assert made[b"x-forwarded-for"] == b"2001:db8::5"
    assert made[b"forwarded"] == b'for="[2001:db8::5]";proto=https;host="app.example.test"'
    assert forwarding(head(client=None))[b"x-forwarded-for"] == b"unknown"


# --- target


@pytest.mark.parametrize(
    ("target", "sent"),
    [("/p", b"/p"), ("/p?a=1&b=%20;c", b"/p?a=1&b=%20;c"), ("/a%2Fb/%c3%a4?%2f", b"/a%2Fb/%c3%a4?%2f"), ("/?", b"/")],
)
def test_target_travels_raw(target: str, sent: bytes):
    made = head(target=target, method="DELETE")
    assert made.target == sent
    assert made.method == b"DELETE"
    assert made.upgrade is False


# --- WebSockets and answers


def test_upgrade_head_is_a_handshake_of_our_own():
    sent = [
        (b"connection", b"keep-alive, Upgrade, x-mine"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-key", b"theirs"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-protocol", b"a, b"),
        (b"content-length", b"0"),
        (b"x-mine", b"gone"),
        (b"origin", b"https://app.example.test"),
        (b"cookie", b"a=b"),
    ]
    scope = scope_of("websocket", "/ws?t=1", headers=sent, scheme="wss")
    made = header_rules.upgrade_head(read(scope), DEFAULT_POLICY, [(b"Sec-WebSocket-Key", b"ours")])
    assert own(made.headers) == [
        (b"origin", b"https://app.example.test"),
        (b"cookie", b"a=b"),
        (b"Sec-WebSocket-Key", b"ours"),
    ]
    assert (made.method, made.target, made.upgrade, made.body_length) == (b"GET", b"/ws?t=1", True, 0)
    assert values(made.headers, b"x-forwarded-proto") == [b"https"]
    assert values(made.headers, b"host") == [b"app.example.test"]


def test_response_headers_are_lower_case_and_repeated():
    answer = [(b"Set-Cookie", b"a=1"), (b"Content-Length", b"3"), (b"set-cookie", b"b=2"), (b"X-A", b"\xff")]
    assert header_rules.response_headers(answer) == [
        (b"set-cookie", b"a=1"), (b"content-length", b"3"), (b"set-cookie", b"b=2"), (b"x-a", b"\xff"),
    ]  # fmt: skip
    assert (b"content-length", b"3") not in header_rules.response_headers(answer, keep_length=False)


def test_accept_headers_leave_the_handshake_out():
    answer = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Sec-WebSocket-Accept", b"x"),
        (b"Sec-WebSocket-Protocol", b"a"),
        (b"Content-Length", b"0"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
    ]
    made = header_rules.accept_headers(answer, read(scope_of("websocket")), DEFAULT_POLICY)
    assert made == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
