"""What names one address is made to name the other; nothing else is touched."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.rules.addresses import Address, cookie_moved, origin_moved, path_moved, referer_moved, url_moved
from tests.fakes.growth import FACTOR, calls_of, grows_linearly

PUBLIC = Address(b"https", b"me.dev.test", b"/app")
OWN = Address(b"http", b"localhost:5173", b"/base")
PLAIN_PUBLIC = Address(b"https", b"me.dev.test")
PLAIN_OWN = Address(b"http", b"localhost:5173")


# --- paths


@pytest.mark.parametrize(
    ("path", "here", "there", "moved"),
    [
        (b"/app/x", b"/app", b"", b"/x"),
        (b"/app", b"/app", b"", b"/"),
        (b"/app/", b"/app", b"", b"/"),
        (b"/app?q", b"/app", b"", b"/?q"),
        (b"/app#f", b"/app", b"", b"/#f"),
        (b"/app/x?q#f", b"/app", b"/base", b"/base/x?q#f"),
        (b"/app", b"/app", b"/base", b"/base"),
        (b"/x", b"", b"/base", b"/base/x"),
        (b"/", b"", b"/base", b"/base/"),
        (b"", b"", b"/base", b"/base/"),
        (b"?q", b"", b"/base", b"/base/?q"),
        (b"/app//x", b"/app", b"/base", b"/base//x"),
        (b"/x", b"", b"", b"/x"),
        (b"//x", b"/app", b"/app", b"//x"),
        (b"/%2Fx;a=b", b"", b"/base", b"/base/%2Fx;a=b"),
        # Not below it.
        (b"/apple", b"/app", b"", None),
        (b"/App/x", b"/app", b"", None),
        (b"/app%2Fx", b"/app", b"", None),
        (b"/", b"/app", b"", None),
        # What is left would be a host for a browser.
        (b"/app//evil.test/", b"/app", b"", b"/evil.test/"),
        (b"/app/\\evil.test/", b"/app", b"", b"/evil.test/"),
        (b"/app/\t/evil.test/", b"/app", b"", b"/evil.test/"),
        (b"/app////", b"/app", b"", b"/"),
    ],
)
def test_paths(path: bytes, here: bytes, there: bytes, moved: bytes | None):
    assert path_moved(path, here, there) == moved


# --- Origin


@pytest.mark.parametrize(
    ("origin", "moved"),
    [
        (b"https://me.dev.test", b"http://localhost:5173"),
        (b"http://me.dev.test", b"http://localhost:5173"),
        (b"HTTPS://Me.Dev.Test", b"http://localhost:5173"),
        (b"https://me.dev.test:443", b"http://localhost:5173"),
        (b"http://me.dev.test:80", b"http://localhost:5173"),
    ],
)
def test_our_origin(origin: bytes, moved: bytes):
    assert origin_moved(origin, PUBLIC, OWN) == moved


FOREIGN = [
    b"", b"null", b"*", b"https://evil.test", b"https://me.dev.test.evil.test", b"https://x.me.dev.test",
    b"https://me.dev.test:8443", b"http://me.dev.test:443", b"https://me.dev.test:80", b"https://me.dev.test.",
    b"https://me.dev.test@evil.test", b"https://evil.test@me.dev.test", b"wss://me.dev.test", b"me.dev.test",
    b"//me.dev.test", b"https://me.dev.test/", b"https://me.dev.test/app", b"https://me.dev.test https://evil.test",
    b"https://evil.test/https://me.dev.test", b"https://evil.test#https://me.dev.test", b"https:me.dev.test",
    b"https://me.dev.test\\@evil.test", b"https://me%2edev.test", b"https://localhost:5173", b"\xff",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_origin_stays_foreign(origin: bytes):
    assert origin_moved(origin, PUBLIC, OWN) == origin


def test_without_another_host_no_origin_changes():
    here, there = Address(b"http", b"me.dev.test", b"/app"), Address(b"http", b"me.dev.test")
    for origin in (b"http://me.dev.test", b"https://me.dev.test"):
        assert origin_moved(origin, here, there) == origin


# --- Location, Destination


@pytest.mark.parametrize(
    ("location", "moved"),
    [
        (b"http://localhost:5173/base/x?q#f", b"https://me.dev.test/app/x?q#f"),
        (b"https://localhost:5173/base/x", b"https://me.dev.test/app/x"),
        (b"HTTP://LocalHost:5173/base", b"https://me.dev.test/app"),
        (b"//localhost:5173/base/x", b"//me.dev.test/app/x"),
        (b"/base/x", b"/app/x"),
        (b"/base", b"/app"),
        # Beside the base, of another host, or relative.
        (b"http://localhost:5173/x", b"http://localhost:5173/x"),
        (b"http://localhost:5173", b"http://localhost:5173"),
        (b"/x", b"/x"),
        (b"/baseball", b"/baseball"),
        (b"http://localhost/base/x", b"http://localhost/base/x"),
        (b"http://localhost:5174/base/x", b"http://localhost:5174/base/x"),
        (b"https://sso.test/?back=http://localhost:5173/base", b"https://sso.test/?back=http://localhost:5173/base"),
        (b"http://localhost:5173@evil.test/base", b"http://localhost:5173@evil.test/base"),
        (b"//evil.test/base", b"//evil.test/base"),
        (b"x", b"x"),
        (b"../x", b"../x"),
        (b"?q", b"?q"),
        (b"", b""),
        (b"ftp://localhost:5173/base", b"ftp://localhost:5173/base"),
    ],
)
def test_a_location(location: bytes, moved: bytes):
    assert url_moved(location, OWN, PUBLIC) == moved


@pytest.mark.parametrize(
    ("location", "moved"),
    [
        (b"http://localhost:5173/x", b"https://me.dev.test/x"),
        (b"http://localhost:5173", b"https://me.dev.test"),
        (b"http://localhost:5173?q", b"https://me.dev.test?q"),
        (b"/x", b"/x"),
        (b"//evil.test/", b"//evil.test/"),
        (b"/\\evil.test/", b"/\\evil.test/"),
    ],
)
def test_a_location_without_prefixes(location: bytes, moved: bytes):
    assert url_moved(location, PLAIN_OWN, PLAIN_PUBLIC) == moved


@pytest.mark.parametrize(
    ("own", "location"),
    [
        (Address(b"http", b"app.internal"), b"http://app.internal:80/x"),
        (Address(b"http", b"app.internal:80"), b"http://app.internal/x"),
        (Address(b"http", b"app.internal"), b"https://app.internal/x"),
        (Address(b"https", b"app.internal:443"), b"https://app.internal/x"),
        (Address(b"https", b"app.internal"), b"http://app.internal/x"),
        (Address(b"http", b"[::1]"), b"http://[::1]:80/x"),
    ],
)
def test_default_ports_are_equal(own: Address, location: bytes):
    assert url_moved(location, own, PLAIN_PUBLIC) == b"https://me.dev.test/x"


@pytest.mark.parametrize("location", [b"/base//evil.test/", b"/base/\\evil.test/", b"/base/\t/evil.test"])
def test_no_redirect_to_another_host_is_made(location: bytes):
    moved = url_moved(location, OWN, Address(b"https", b"me.dev.test"))
    assert moved.startswith(b"/evil.test")


def test_without_another_host_the_scheme_stays():
    here, there = Address(b"https", b"me.dev.test"), Address(b"https", b"me.dev.test", b"/app")
    assert url_moved(b"http://Me.dev.test/x", here, there) == b"http://Me.dev.test/app/x"


# --- Referer


@pytest.mark.parametrize(
    ("referer", "moved"),
    [
        (b"https://me.dev.test/app/page?q", b"http://localhost:5173/base/page?q"),
        (b"https://me.dev.test/", b"http://localhost:5173/base/"),
        (b"https://me.dev.test/other/page?q", b"http://localhost:5173/base/"),
        (b"https://me.dev.test", b"http://localhost:5173/base/"),
        (b"https://evil.test/app/", b"https://evil.test/app/"),
        (b"/app/x", b"/app/x"),
    ],
)
def test_a_referer(referer: bytes, moved: bytes):
    assert referer_moved(referer, PUBLIC, OWN) == moved


# --- whatever is in them


PIECES = [
    "http:", "https:", "//", "/", "\\", "\t", "localhost:5173", "me.dev.test", "evil.test", "@", ":", "?", "#", "/base",
    "/app", "..", ".", "x", ":80", ":443", "%2f", "LOCALHOST",
]  # fmt: skip
URLS = st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "".join(pieces).encode())


def host_of(url: bytes) -> bytes | None:
    """Where a browser goes (WHATWG URL standard, basic URL parser). None: it stays at the host of the page."""
    url = url.replace(b"\t", b"").replace(b"\\", b"/")
    found = re.match(rb"(https?):", url, re.IGNORECASE)
    rest = url[found.end() :] if found is not None else url
    if found is None and not rest.startswith(b"//"):
        return None
    return re.split(rb"[/?#]", rest.lstrip(b"/"))[0].rpartition(b"@")[2].lower()


@settings(max_examples=500)
@given(URLS, st.sampled_from([b"", b"/app"]), st.sampled_from([b"", b"/base"]))
def test_a_location_that_is_changed_leads_to_the_public_host(url: bytes, public: bytes, own: bytes):
    moved = url_moved(url, OWN._replace(base=own), PUBLIC._replace(base=public))
    if moved != url:
        assert host_of(moved) in (None, PUBLIC.authority)


@settings(max_examples=500)
@given(URLS)
def test_only_an_origin_of_ours_is_changed(url: bytes):
    if origin_moved(url, PUBLIC, OWN) != url:
        assert re.fullmatch(rb"https://me\.dev\.test(:443)?|http://me\.dev\.test(:80)?", url, re.IGNORECASE)


# --- Set-Cookie


@pytest.mark.parametrize(
    ("cookie", "moved"),
    [
        (b"a=b", b"a=b"),
        (b"a=b; HttpOnly; Secure", b"a=b; HttpOnly; Secure"),
        (b"a=b; Path=/base/x; HttpOnly", b"a=b; Path=/app/x; HttpOnly"),
        (b"a=b; path = /base", b"a=b; path =/app"),
        (b"a=b; Path=/base/", b"a=b; Path=/app/"),
        (b"a=b; Path=/", b"a=b; Path=/app"),  # above the base, which is all that clients reach
        (b"a=b; Path=/other", b"a=b; Path=/other"),
        (b"a=b; Path=/ba", b"a=b; Path=/ba"),
        (b"a=b; Path=", b"a=b; Path="),
        (b"a=b; Path=x", b"a=b; Path=x"),
        (b"a=b; Path", b"a=b; Path"),
        (b"a=b; Domain=localhost; Path=/base/x", b"a=b; Path=/app/x"),
        (b"a=b;domain=.LOCALHOST", b"a=b"),
        (b"a=b; Domain=example.test", b"a=b; Domain=example.test"),
        (b"a=Domain=localhost; Path=/base", b"a=Domain=localhost; Path=/app"),
        (b"__Host-a=b; Path=/; Secure", b"__Host-a=b; Path=/; Secure"),
        (b"__host-a=b; Path=/; Secure", b"__host-a=b; Path=/; Secure"),
        (b"__Secure-a=b; Path=/; Secure", b"__Secure-a=b; Path=/app; Secure"),
        (b"", b""),
        (b";", b";"),
    ],
)
def test_a_cookie(cookie: bytes, moved: bytes):
    assert cookie_moved(cookie, OWN, PUBLIC) == moved


@pytest.mark.parametrize(
    ("here", "there", "path", "moved"),
    [
        (b"", b"/app", b"/", b"/app"),
        (b"", b"/app", b"/x", b"/app/x"),
        (b"/base", b"", b"/base", b"/"),
        (b"/base", b"", b"/base/x", b"/x"),
        (b"/base", b"", b"/", b"/"),
        (b"/a/b", b"/app", b"/a", b"/app"),
        (b"", b"", b"/x", b"/x"),
    ],
)
def test_the_path_of_a_cookie(here: bytes, there: bytes, path: bytes, moved: bytes):
    cookie = cookie_moved(b"a=b; Path=" + path, Address(b"http", b"a", here), Address(b"http", b"a", there))
    assert cookie == b"a=b; Path=" + moved


def test_the_domain_stays_where_the_host_does():
    here = Address(b"http", b"me.dev.test")
    assert cookie_moved(b"a=b; Domain=me.dev.test", here, here._replace(base=b"/app")) == b"a=b; Domain=me.dev.test"


@pytest.mark.parametrize("attribute", [b"; Path=/base/x", b"; Domain=localhost", b";", b"; =", b"; x=y"])
def test_a_long_cookie_costs_its_length(attribute: bytes):
    small, large = (
        calls_of(lambda cookie=b"a=b" + attribute * count: cookie_moved(cookie, OWN, PUBLIC))
        for count in (200, 200 * FACTOR)
    )
    assert grows_linearly(small, large)


@pytest.mark.parametrize("text", [b"/", b"//", b"http://", b"/base", b"\\", b"..", b"?", b"localhost:5173"])
def test_long_urls_cost_little(text: bytes):
    for move in (url_moved, origin_moved, referer_moved):
        assert calls_of(lambda move=move: move(text * 10_000, OWN, PUBLIC)) < 50
