"""What a service gets of a request on a route that rewrites, and what its client gets of the answer."""

import ipaddress
import time
from dataclasses import replace

import pytest

from app.asgi.reading import read_scope
from app.public.header_rules import accept_headers, answer_fields, refusal_fields, request_head, upgrade_head
from app.public.rewriting import fields_for_client, https_url, request_for_service
from app.rules.policy import HeaderChanges, Policy
from app.rules.proxies import Proxies
from app.rules.request import Request
from app.rules.rewrite import Rewrite
from tests.fakes.asgi import CLIENT, Pairs, scope_of
from tests.fakes.growth import FACTOR, calls_of, grows_linearly
from tunnel.port import Headers, ResponseHead

HOST = "me.dev.test"
PROXIES = Proxies((ipaddress.ip_network("203.0.113.0/24"),))
LOCAL = Policy(rewrite=Rewrite(b"localhost:5173"))
STRIPPED = Policy(rewrite=Rewrite(None, b"/app"))
ADDED = Policy(rewrite=Rewrite(None, b"", b"/base"))
ALL = Policy(rewrite=Rewrite(b"localhost:5173", b"/app", b"/base"))
REDIRECTED = Policy(rewrite=Rewrite(https_redirect=True))


def request(
    target: str = "/",
    fields: Pairs | None = None,
    host: str | None = HOST,
    proxies: Proxies | None = None,
    **scope: str,
) -> Request:
    return read_scope(scope_of("http", target, host, headers=fields, **scope), proxies)


def asked(policy: Policy, came: Request) -> tuple[bytes, dict[bytes, bytes]]:
    """The target, and the fields by name; repeated ones joined with a bar."""
    assert policy.rewrite is not None
    head = request_head(request_for_service(policy.rewrite, came), policy.request_headers)
    names = dict.fromkeys(name for name, _ in head.headers)
    return head.target, {name: b"|".join(value for key, value in head.headers if key == name) for name in names}


def answered(policy: Policy, fields: Headers, came: Request | None = None, status: int = 200) -> Headers:
    assert policy.rewrite is not None
    head = ResponseHead(status, fields_for_client(policy.rewrite, came or request(scheme="https"), fields))
    made = answer_fields(head, "1", policy.response_headers, close=False)
    return [field for field in made if field[0] not in (b"date", b"x-request-id")]


# --- the request


def test_the_service_sees_one_address_of_its_own():
    fields = [
        (b"origin", b"http://me.dev.test"),
        (b"referer", b"http://me.dev.test/a?b"),
        (b"cookie", b"a=me.dev.test"),
    ]
    target, seen = asked(LOCAL, request("/a?b=http://me.dev.test", fields))
    assert target == b"/a?b=http://me.dev.test"
    assert seen.pop(b"x-request-id")
    assert seen == {
        b"host": b"localhost:5173",
        b"origin": b"http://localhost:5173",
        b"referer": b"http://localhost:5173/a?b",
        b"cookie": b"a=me.dev.test",
        b"x-forwarded-for": CLIENT[0].encode(),
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"localhost:5173",
        b"forwarded": b'for=203.0.113.9;proto=http;host="localhost:5173"',
    }


def test_what_a_trusted_proxy_says_of_the_address_follows_too():
    said = [
        (b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https"), (b"x-real-ip", b"192.0.2.7"),
        (b"x-forwarded-host", b"Me.dev.test:8443"), (b"x-forwarded-port", b"8443"),
        (b"origin", b"https://me.dev.test:8443"), (b"referer", b"https://backend.test/"),
    ]  # fmt: skip
    came = request("/", said, host="backend.test", proxies=PROXIES)
    _, seen = asked(LOCAL, came)
    assert seen[b"x-forwarded-for"] == b"192.0.2.7, 203.0.113.9"
    assert seen[b"x-real-ip"] == b"192.0.2.7"
    assert seen[b"x-forwarded-proto"] == b"http"
    assert seen[b"x-forwarded-host"] == seen[b"host"] == b"localhost:5173"
    assert seen[b"x-forwarded-port"] == b"5173"
    assert seen[b"forwarded"] == b'for=192.0.2.7;proto=http;host="localhost:5173", for=203.0.113.9'
    assert seen[b"origin"] == b"http://localhost:5173"
    assert seen[b"referer"] == b"https://backend.test/"  # not where the client was
    location = answered(LOCAL, [(b"Location", b"http://localhost:5173/x")], came)
    assert location == [(b"location", b"https://Me.dev.test:8443/x")]


def test_a_strangers_claims_make_nothing_ours():
    said = [(b"x-forwarded-host", b"evil.test"), (b"forwarded", b"host=evil.test"), (b"origin", b"http://evil.test")]
    _, seen = asked(LOCAL, request("/", said))
    assert seen[b"origin"] == b"http://evil.test"
    assert seen[b"x-forwarded-host"] == b"localhost:5173"


ORIGINS = [
    ("http", "me.dev.test", b"http://me.dev.test", True),
    ("http", "me.dev.test", b"https://me.dev.test", True),  # TLS ends before us, and nobody says so
    ("https", "me.dev.test", b"https://me.dev.test", True),
    ("https", "ME.dev.test:443", b"https://me.Dev.test", True),
    ("http", "me.dev.test:8080", b"http://me.dev.test:8080", True),
    ("http", "[2001:db8::1]:8080", b"http://[2001:DB8::1]:8080", True),
    # An http page of the same name is another site: anybody on the way may have written it.
    ("https", "me.dev.test", b"http://me.dev.test", False),
    ("https", "me.dev.test", b"HTTP://me.dev.test", False),
    ("http", "me.dev.test", b"http://me.dev.test:8080", False),
    ("http", "me.dev.test:8080", b"http://me.dev.test", False),
    ("http", "me.dev.test", b"http://you.dev.test", False),
    ("http", "me.dev.test", b"http://dev.test", False),
    ("http", "me.dev.test", b"null", False),
    ("http", "me.dev.test", b"http://me.dev.test, http://evil.test", False),
]


@pytest.mark.parametrize(("scheme", "host", "origin", "is_ours"), ORIGINS)
def test_only_the_origin_of_the_public_address_is_the_services(scheme: str, host: str, origin: bytes, is_ours: bool):
    _, seen = asked(LOCAL, request("/", [(b"origin", origin)], host, scheme=scheme))
    assert seen[b"origin"] == (b"http://localhost:5173" if is_ours else origin)


AT_HOME = [b"http://localhost:5173", b"https://localhost:5173", b"HTTP://LocalHost:5173"]


@pytest.mark.parametrize("origin", AT_HOME)
def test_a_page_at_the_services_own_address_is_foreign(origin: bytes):
    """Any page on its client's own machine can be there. The service would take it for one of its own."""
    fields = [(b"origin", origin), (b"referer", origin + b"/a"), (b"sec-fetch-site", b"cross-site")]
    _, seen = asked(LOCAL, request("/", fields))
    assert seen[b"origin"] == b"null"
    assert b"referer" not in seen
    assert seen[b"sec-fetch-site"] == b"cross-site"
    _, seen = asked(STRIPPED, request("/app", fields))  # it sees the public host
    assert (seen[b"origin"], seen[b"referer"]) == (origin, origin + b"/a")


@pytest.mark.parametrize(
    "origin", [b"http://localhost", b"http://localhost:3000", b"https://localhost", b"capacitor://localhost"]
)
def test_a_page_beside_it_is_what_it_is(origin: bytes):
    """Services have lists of such."""
    assert asked(LOCAL, request("/", [(b"origin", origin)]))[1][b"origin"] == origin


def test_an_http_page_is_not_ours_where_the_names_are_equal():
    policy = Policy(rewrite=Rewrite(b"me.dev.test"))
    for origin, sent in ((b"http://me.dev.test", b"null"), (b"https://me.dev.test", b"http://me.dev.test")):
        assert asked(policy, request("/", [(b"origin", origin)], scheme="https"))[1][b"origin"] == sent


@pytest.mark.parametrize(
    ("policy", "target", "sent"),
    [
        (STRIPPED, "/app/x?y=/app", b"/x?y=/app"),
        (STRIPPED, "/app", b"/"),
        (STRIPPED, "/app/", b"/"),
        (STRIPPED, "/app?q", b"/?q"),
        (STRIPPED, "/app/%2Fx;a=%41+b", b"/%2Fx;a=%41+b"),
        (STRIPPED, "/app//host.test/x", b"/host.test/x"),
        (STRIPPED, "/app/a//b", b"/a//b"),
        (ADDED, "/x", b"/base/x"),
        (ADDED, "/", b"/base/"),
        (ADDED, "/?q", b"/base/?q"),
        (ALL, "/app/x", b"/base/x"),
        (ALL, "/app", b"/base"),
        (LOCAL, "/app/../x", b"/app/../x"),  # no path changes here
    ],
)
def test_paths(policy: Policy, target: str, sent: bytes):
    assert asked(policy, request(target))[0] == sent


def test_options_for_the_host_as_a_whole():
    for policy in (STRIPPED, ADDED, ALL, REDIRECTED):
        came = request("*", method="OPTIONS")
        assert asked(policy, came)[0] == b"*"
        assert policy.rewrite is not None
        assert policy.rewrite.refusal(came) is None


UNSAFE = [
    "/app/..", "/app/../x", "/app/a/../x", "/app/.", "/app/./x", "/app/%2e%2e/x", "/app/%2E", "/app/.%2e",
    "/app/%252e./x", "/app/a%2f..%2fx", "/app/a%252f%252e%252e",
    "/app/a\\..\\x", "/app/%5c..%5cx", "/app/..;x/y", "/app/%2e%2e%3bx",
]  # fmt: skip


@pytest.mark.parametrize("target", UNSAFE)
@pytest.mark.parametrize("policy", [STRIPPED, ADDED, ALL])
def test_dot_segments_are_refused(target: str, policy: Policy):
    assert policy.rewrite is not None
    refused = policy.rewrite.refusal(request(target))
    assert refused is not None
    assert (refused.status, refused.code) == (400, "unsafe_path")


@pytest.mark.parametrize("target", ["/app/a..b", "/app/.well-known", "/app/...", "/app/%25252e", "/app/x?a=../b"])
def test_other_dots_are_none(target: str):
    assert ALL.rewrite is not None
    assert ALL.rewrite.refusal(request(target)) is None


def test_a_destination_follows():
    fields = [(b"destination", b"http://me.dev.test/app/new%20name")]
    assert asked(ALL, request("/app/old", fields, method="MOVE"))[1][b"destination"] == (
        b"http://localhost:5173/base/new%20name"
    )
    assert ALL.rewrite is not None
    refused = ALL.rewrite.refusal(request("/app/old", [(b"destination", b"/app/../x")], method="MOVE"))
    assert refused is not None
    assert refused.code == "unsafe_path"


def test_what_the_route_sets_itself_wins():
    changes = HeaderChanges(
        [(b"origin", b"https://own.test"), (b"x-forwarded-proto", b"https")], frozenset({b"referer"})
    )
    policy = replace(LOCAL, request_headers=changes)
    _, seen = asked(policy, request("/", [(b"origin", b"http://me.dev.test"), (b"referer", b"http://me.dev.test/")]))
    assert (seen[b"origin"], seen[b"x-forwarded-proto"]) == (b"https://own.test", b"https")
    assert b"referer" not in seen


def test_a_handshake_is_treated_alike():
    fields = [(b"origin", b"http://me.dev.test"), (b"sec-websocket-key", b"x")]
    came = read_scope(scope_of("websocket", "/app/ws?t=1", HOST, headers=fields), None)
    head = upgrade_head(came, ALL, [(b"Upgrade", b"websocket")])
    seen = dict(head.headers)
    assert head.target == b"/base/ws?t=1"
    assert (seen[b"host"], seen[b"origin"]) == (b"localhost:5173", b"http://localhost:5173")
    assert seen[b"x-forwarded-host"] == b"localhost:5173"


def test_the_services_scheme_is_what_it_sees():
    policy = Policy(rewrite=Rewrite(b"app.internal", scheme="https"))
    _, seen = asked(policy, request("/", [(b"origin", b"http://me.dev.test")]))
    assert (seen[b"origin"], seen[b"x-forwarded-proto"]) == (b"https://app.internal", b"https")


# --- the answer


def test_an_answers_addresses_become_the_public_ones():
    fields = [
        (b"Location", b"http://localhost:5173/base/x"), (b"Content-Location", b"/base/x.en"),
        (b"Access-Control-Allow-Origin", b"http://localhost:5173"), (b"Refresh", b"5; url=http://localhost:5173/base/y"),
        (b"Set-Cookie", b"a=1; Path=/base; Domain=localhost"), (b"Set-Cookie", b"b=2; HttpOnly"),
        (b"Link", b"<http://localhost:5173/base/z>; rel=preload"), (b"ETag", b'"http://localhost:5173"'),
    ]  # fmt: skip
    assert answered(ALL, fields) == [
        (b"location", b"https://me.dev.test/app/x"), (b"content-location", b"/app/x.en"),
        (b"access-control-allow-origin", b"https://me.dev.test"), (b"refresh", b"5; url=https://me.dev.test/app/y"),
        (b"set-cookie", b"a=1; Path=/app"), (b"set-cookie", b"b=2; HttpOnly"),
        (b"link", b"<http://localhost:5173/base/z>; rel=preload"), (b"etag", b'"http://localhost:5173"'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        (b"0;URL='http://localhost:5173/x'", b"0;URL='https://me.dev.test/x'"),
        (b'3, url="http://localhost:5173/x"', b'3, url="https://me.dev.test/x"'),
        (b"5; http://localhost:5173/x", b"5; https://me.dev.test/x"),
        (b"5", b"5"),
        (b"5; url=https://other.test/x", b"5; url=https://other.test/x"),
        (b"5; url='http://localhost:5173/x", b"5; url='http://localhost:5173/x"),
    ],
)
def test_refresh(value: bytes, moved: bytes):
    assert answered(LOCAL, [(b"Refresh", value)]) == [(b"refresh", moved)]


@pytest.mark.parametrize("value", [b"0;%b x'" % (b" " * 64_000), b"0%b ;'" % (b"0" * 64_000)], ids=["blanks", "digits"])
def test_a_long_refresh_takes_no_long_time(value: bytes):
    began = time.process_time()
    assert answered(LOCAL, [(b"Refresh", value)]) == [(b"refresh", value)]
    assert time.process_time() - began < 1  # it took 16 s with blanks


def test_the_public_host_is_the_one_that_was_asked_for():
    came = request(host="Me.dev.test:8080")
    assert answered(LOCAL, [(b"Location", b"http://localhost:5173/")], came) == [
        (b"location", b"http://Me.dev.test:8080/")
    ]


def test_a_304_and_its_location():
    fields = [(b"Content-Location", b"http://localhost:5173/x"), (b"Content-Length", b"5")]
    assert answered(LOCAL, fields, status=304) == [(b"content-location", b"https://me.dev.test/x")]


def test_a_101_and_its_cookies():
    fields = [(b"Set-Cookie", b"a=1; Domain=localhost; Path=/base"), (b"Upgrade", b"websocket")]
    assert accept_headers(fields, request(), ALL) == [(b"set-cookie", b"a=1; Path=/app")]


def test_the_routes_own_answer_fields_win():
    policy = replace(LOCAL, response_headers=HeaderChanges([(b"location", b"/own")], frozenset({b"set-cookie"})))
    fields = [(b"Location", b"http://localhost:5173/"), (b"Set-Cookie", b"a=1")]
    assert answered(policy, fields) == [(b"location", b"/own")]


def test_the_refusal_of_a_handshake():
    policy = replace(LOCAL, response_headers=HeaderChanges([(b"x-own", b"1")], frozenset()))
    made = refusal_fields(ResponseHead(302, [(b"Location", b"http://localhost:5173/x")]), request(), policy)
    assert (b"location", b"http://me.dev.test/x") in made
    assert (b"x-own", b"1") in made


def test_a_prefix_under_which_we_are_mounted_is_part_of_the_public_path():
    came = read_scope(scope_of("http", "/pre%20fix/app/x", HOST, root_path="/pre fix"), None)
    assert asked(STRIPPED, came)[0] == b"/x"
    assert answered(STRIPPED, [(b"Location", b"/y"), (b"Set-Cookie", b"a=b; Path=/")], came) == [
        (b"location", b"/pre%20fix/app/y"), (b"set-cookie", b"a=b; Path=/pre%20fix/app")
    ]  # fmt: skip


# --- https_redirect


@pytest.mark.parametrize(
    ("host", "target", "public_url", "url"),
    [
        ("me.dev.test", "/a?b=c", None, b"https://me.dev.test/a?b=c"),
        ("Me.dev.test:8080", "/", None, b"https://Me.dev.test/"),
        ("me.dev.test:80", "/", "https://tunnel.test:8443", b"https://me.dev.test:8443/"),
        ("me.dev.test", "/", "https://tunnel.test", b"https://me.dev.test/"),
        ("me.dev.test", "/", "http://tunnel.test:8080", b"https://me.dev.test/"),
        ("[::1]:8080", "/", None, b"https://[::1]/"),
        ("me.dev.test", "//evil.test/%0d%0aX:y?<\"'>", None, b"https://me.dev.test//evil.test/%0d%0aX:y?<\"'>"),
    ],
)
def test_where_http_leads(host: str, target: str, public_url: str | None, url: bytes):
    came = request(target, host=host)
    assert https_url(came, public_url) == url
    assert REDIRECTED.rewrite is not None
    refused = REDIRECTED.rewrite.refusal(came)
    assert refused is not None
    assert refused.status == 308


def test_no_byte_breaks_the_redirect():
    raw = b"/\x00\r\nX: y\xff\x7f #"
    came = read_scope(scope_of("http", "/", HOST) | {"raw_path": raw}, None)
    assert https_url(came, None) == b"https://me.dev.test/%00%0D%0AX:%20y%FF%7F%20#"


def test_a_redirect_stays_on_the_host_that_is_routed():
    """A proxy may pass on its client's X-Forwarded-Host."""
    came = request("/", [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-host", b"evil.test")], proxies=PROXIES)
    assert https_url(came, None) == b"https://me.dev.test/"


def test_https_is_what_the_client_used_not_what_it_claims():
    assert REDIRECTED.rewrite is not None
    refusal = REDIRECTED.rewrite.refusal
    proto = [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https")]
    assert refusal(request("/", proto)) is not None
    assert refusal(request("/", proto, proxies=PROXIES)) is None
    assert refusal(request("/", scheme="https")) is None
    assert (
        refusal(request("/", [*proto[:1], (b"x-forwarded-proto", b"http")], proxies=PROXIES, scheme="https"))
        is not None
    )


# --- what it costs


@pytest.mark.parametrize("field", [(b"cookie", b"a=b"), (b"origin", b"http://me.dev.test"), (b"x-a", b"b")])
def test_many_fields_cost_their_number(field: tuple[bytes, bytes]):
    few, many = (request("/app", [field] * count) for count in (60, 60 * FACTOR))
    small, large = (calls_of(lambda came=came: asked(ALL, came)) for came in (few, many))
    assert grows_linearly(small, large)


@pytest.mark.parametrize(
    "field", [(b"Set-Cookie", b"a=b; Path=/base; Domain=localhost"), (b"Location", b"/base"), (b"x", b"y")]
)
def test_many_fields_of_an_answer_cost_their_number(field: tuple[bytes, bytes]):
    small, large = (calls_of(lambda count=count: answered(ALL, [field] * count)) for count in (60, 60 * FACTOR))
    assert grows_linearly(small, large)


def test_a_route_that_only_redirects_changes_no_address():
    fields = [(b"origin", b"http://me.dev.test"), (b"referer", b"https://me.dev.test/")]
    came = request("/a", fields)
    assert REDIRECTED.rewrite is not None
    assert request_for_service(REDIRECTED.rewrite, came) is came
    answer = [(b"Location", b"http://localhost/")]
    assert fields_for_client(REDIRECTED.rewrite, came, answer) is answer
