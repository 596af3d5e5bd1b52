"""A request, read from its scope once, and changed by nobody."""

import ipaddress
from typing import Any

import pytest

from app.asgi.reading import host_of, raw_path_of, read_scope, refusal_of
from app.rules.proxies import Proxies
from app.rules.request import Request
from tests.fakes.asgi import scope_of

PROXIES = Proxies((ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32")))


def test_every_fact_of_a_request_is_read():
    fields = [(b"x-forwarded-for", b"198.51.100.7"), (b"authorization", b"bearer  s3cret "), (b"x-request-id", b"r1")]
    scope = scope_of("http", "/gw/a%2Fb?q=1", "App.test:80", fields, method="PATCH", root_path="/gw", scheme="https")
    request = read_scope(scope, None)
    assert (request.method, request.host, request.path, request.query) == ("PATCH", b"App.test:80", b"/a%2Fb", b"q=1")
    assert request.fields == [(b"host", b"App.test:80"), *fields]
    assert (request.peer, request.client, request.forwarding) == ("203.0.113.9", "203.0.113.9", None)
    assert (request.peer_scheme, request.scheme, request.prefix) == ("https", "https", "/gw")
    assert (request.is_websocket, request.subprotocols, request.bearer_token) == (False, (), b"s3cret")
    assert request.target == b"/a%2Fb?q=1"
    assert request.request_id != "r1"
    assert len(request.request_id) == 32


def test_a_websocket_is_a_get():
    request = read_scope(scope_of("websocket", "/ws", scheme="wss", subprotocols=["a", "b"]), None)
    assert (request.method, request.is_websocket, request.subprotocols) == ("GET", True, ("a", "b"))
    assert (request.peer_scheme, request.scheme) == ("https", "https")


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        ([], "203.0.113.9"),
        ([b"198.51.100.7"], "198.51.100.7"),
        ([b"198.51.100.7, 198.51.100.8"], "198.51.100.8"),
        ([b"198.51.100.7", b"203.0.113.1 ,, 203.0.113.2"], "198.51.100.7"),
        ([b"203.0.113.1, 2001:db8::1"], "203.0.113.1"),
        ([b"198.51.100.7, unknown"], "unknown"),
        ([b"198.51.100.7, unknown, 203.0.113.2"], "unknown"),
        ([b"198.51.100.7, what, 203.0.113.2"], "203.0.113.2"),
    ],
)
def test_the_client_behind_trusted_proxies(hops: list[bytes], client: str):
    scope = scope_of("http", headers=[(b"x-forwarded-for", hop) for hop in hops])
    assert read_scope(scope, PROXIES).client == client
    assert read_scope(scope, None).client == "203.0.113.9"
    stranger = read_scope({**scope, "client": ("198.51.100.99", 1)}, PROXIES)
    assert (stranger.client, stranger.forwarding) == ("198.51.100.99", None)


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ([], "http"), ([b"https"], "https"), ([b"WSS "], "https"), ([b"ws"], "http"), ([b"https, http"], "http"),
        ([b"gopher"], "http"), ([b"gopher", b"https"], "https"),
    ],
)  # fmt: skip
def test_the_scheme_behind_trusted_proxies(said: list[bytes], scheme: str):
    scope = scope_of("http", headers=[(b"x-forwarded-proto", value) for value in said])
    request = read_scope(scope, PROXIES)
    assert (request.scheme, request.peer_scheme) == (scheme, "http")
    assert read_scope(scope, None).scheme == "http"


def test_a_trusted_proxy_may_name_the_request():
    scope = scope_of("http", headers=[(b"x-request-id", b"r1")])
    assert read_scope(scope, PROXIES).request_id == "r1"


def test_a_server_that_says_little():
    scope = scope_of("http", host=None, client=None)
    del scope["query_string"], scope["root_path"]
    request = read_scope(scope, PROXIES)
    assert (request.peer, request.client, request.forwarding) == ("unknown", "unknown", None)
    assert (request.host, request.query, request.target, request.prefix) == (b"", b"", b"/", "")


def test_fields_are_looked_up_when_asked_for():
    request = read_scope(scope_of("http", headers=[(b"a", b"1"), (b"b", b""), (b"a", b"2")]), None)
    assert (request.first(b"a"), request.first(b"b"), request.first(b"c")) == (b"1", b"", None)
    assert (request.all(b"a"), request.all(b"c")) == ([b"1", b"2"], [])


@pytest.mark.parametrize("name", Request.__struct_fields__)
def test_nobody_changes_a_request(name: str):
    request = read_scope(scope_of("http"), None)
    with pytest.raises(AttributeError, match="immutable"):
        setattr(request, name, getattr(request, name))
    assert not hasattr(request, "__dict__")


def test_what_is_read_before_a_route_is_known():
    scope = scope_of("http", host="a.test", headers=[(b"host", b"b.test")])
    assert (host_of(scope), refusal_of(scope)) == (b"a.test", "")
    scope = scope_of("http", host="a" * 254)
    assert refusal_of(scope) == "the host is longer than 253 characters"
    bare = scope_of("http", host=None, extensions=None)
    assert (host_of(bare), refusal_of(bare)) == (b"", "")


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"raw_path": b"/a%2Fb%20c", "path": "/a/b c"}, b"/a%2Fb%20c"),
        ({"raw_path": b"/a?x=1", "path": "/a"}, b"/a"),
        ({"raw_path": None, "path": "/a b/ü?%"}, b"/a%20b/%C3%BC%3F%25"),
        ({"raw_path": None, "path": "/;a=b,c@d:e!$&'()*+~-._"}, b"/;a=b,c@d:e!$&'()*+~-._"),
        ({"raw_path": b"", "path": ""}, b"/"),
        ({"raw_path": b"/gw/a%2Fb", "root_path": "/gw"}, b"/a%2Fb"),
        ({"raw_path": b"/gw", "root_path": "/gw"}, b"/"),
        ({"raw_path": b"/gw/", "root_path": "/gw"}, b"/"),
        ({"raw_path": b"/gww/a", "root_path": "/gw"}, b"/gww/a"),
        ({"raw_path": b"/a", "root_path": "/gw"}, b"/a"),
        ({"raw_path": b"/gw/gw/a", "root_path": "/gw"}, b"/gw/a"),
        ({"raw_path": None, "path": "/gw/a b", "root_path": "/gw"}, b"/a%20b"),
        ({"raw_path": b"/%67w/a%2Fb", "root_path": "/gw"}, b"/a%2Fb"),  # a server matched it after decoding
        ({"raw_path": b"/g%C3%A4/a", "root_path": "/gä"}, b"/a"),
    ],
)
def test_raw_path(scope: dict[str, Any], path: bytes):
    assert raw_path_of({**scope_of("http"), **scope}) == path


def test_a_server_without_raw_path():
    scope = scope_of("http", "/a%20b")
    del scope["raw_path"]
    assert raw_path_of(scope) == b"/a%20b"
