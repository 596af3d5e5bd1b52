"""Tables of hosts and paths: which route they lead to, and which paths could be read in two ways."""

import pytest

from app.rules.hosts import normalise_host
from app.rules.routes import Route, RouteTable, UnsafePathError, match
from tunnel.port import Target


def table(*entries: str) -> RouteTable:
    """Routes written `host/path`; the target's service is the entry's number."""
    routes = []
    for number, entry in enumerate(entries):
        host, _, path = entry.partition("/")
        routes.append(Route(host, b"/" + path.encode(), Target("c1", "apps", f"s{number}", 80)))
    return RouteTable(routes)


def found(routes: RouteTable, host: str, path: bytes = b"/") -> str | None:
    route = match(routes.of_host(normalise_host(host)), path)
    return None if route is None else f"{route.host}{route.path.decode()}"


HOSTS = table("kuma.example.test/", "*.example.test/", "*.deep.example.test/", "example.org/", "*.lone/")


@pytest.mark.parametrize(
    ("host", "route"),
    [
        ("kuma.example.test", "kuma.example.test/"),  # exact beats wildcard
        ("KUMA.Example.Test.:8443", "kuma.example.test/"),
        ("other.example.test", "*.example.test/"),
        ("a.b.c.example.test", "*.example.test/"),  # a wildcard stands for one label or more
        ("x.kuma.example.test", "*.example.test/"),  # and an exact host only for itself
        ("deep.example.test", "*.example.test/"),  # never for none
        ("x.deep.example.test", "*.deep.example.test/"),  # the longer wildcard
        ("x.y.deep.example.test", "*.deep.example.test/"),
        ("a.lone", "*.lone/"),
        ("example.org", "example.org/"),
        ("example.test", None),
        ("www.example.org", None),
        ("lone", None),
        ("xexample.test", None),
        ("evilexample.test", None),
        (".example.test", None),  # an empty label is no label
        ("*.example.test", "*.example.test/"),
        ("", None),
        ("192.0.2.1", None),
    ],
)
def test_hosts(host: str, route: str | None):
    assert found(HOSTS, host) == route


PREFIXES = table("h/", "h/api", "h/api/v2", "h/files/", "only/api", "*.h/wild")


@pytest.mark.parametrize(
    ("host", "path", "route"),
    [
        ("h", b"/", "h/"),
        ("h", b"/api", "h/api"),
        ("h", b"/api/", "h/api"),
        ("h", b"/api/v1", "h/api"),
        ("h", b"/api/v2", "h/api/v2"),
        ("h", b"/api/v2/x", "h/api/v2"),
        ("h", b"/api/v22", "h/api"),  # on segment borders
        ("h", b"/apiary", "h/"),
        ("h", b"/API", "h/"),  # paths have case
        ("h", b"/files", "h/"),  # a prefix that ends in a slash is what is below it
        ("h", b"/files/", "h/files/"),
        ("h", b"/files/a", "h/files/"),
        ("only", b"/api", "only/api"),
        ("only", b"/", None),
        ("only", b"/other", None),
        ("x.h", b"/wild/x", "*.h/wild"),
        ("x.h", b"/", None),  # no other host's routes fill in
        ("h", b"*", "h/"),  # OPTIONS for the host as a whole
        ("only", b"*", None),
        ("h", b"", None),
    ],
)
def test_prefixes(host: str, path: bytes, route: str | None):
    assert found(PREFIXES, host, path) == route


def test_an_exact_host_hides_its_wildcard_whole():
    routes = table("a.h/one", "*.h/")
    assert found(routes, "a.h", b"/one") == "a.h/one"
    assert found(routes, "a.h", b"/two") is None
    assert found(routes, "b.h", b"/two") == "*.h/"


TWO = table("h/", "h/admin")


@pytest.mark.parametrize(
    "path",
    [
        b"/x/../admin",
        b"/./admin",
        b"/x/..//admin",
        b"//admin",
        b"/x/%2e%2e/admin",
        b"/x/%2E%2e/admin",
        b"/x/.%2e/admin",
        b"/%2e/admin",
        b"/%2fadmin",
        b"/x/..%2fadmin",
        b"/x%2f..%2fadmin",
        b"/x%2F%2e%2e%2Fadmin",
        b"/%61dmin",
        b"/%61%64%6d%69%6e/users",
        b"/%2561dmin",
        b"/x/%252e%252e/admin",
        b"/x%252f..%252fadmin",
        b"/%252fadmin",
        b"\\admin",
        b"/\\admin",
        b"/x\\..\\admin",
        b"/x/..\\admin",
        b"/%5cadmin",
        b"/x/%5c../../admin",
        b"/x%255c..%255cadmin",
        b"/admin/..",
        b"/admin/../",
        b"/admin/../x",
        b"/admin/%2e%2e/x",
        b"/../../admin",
        b"/x//../../admin",
        b"/x//../admin",  # a service that merges slashes first reads /admin
        b"/admin//../x",  # and here /x
        b"/admin/x//../../../y",
    ],
)
def test_paths_that_lead_elsewhere_when_read_differently(path: bytes):
    with pytest.raises(UnsafePathError):
        match(TWO.of_host("h"), path)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (b"/x/../y", "h/"),
        (b"/x//y", "h/"),
        (b"/a..b", "h/"),
        (b"/.hidden", "h/"),
        (b"/x/.", "h/"),
        (b"/...", "h/"),
        (b"/a%2fb", "h/"),
        (b"/a%20b", "h/"),
        (b"/100%", "h/"),
        (b"/%zz", "h/"),
        (b"/%c3%a4", "h/"),
        (b"/%", "h/"),
        (b"/x\\y", "h/"),
        (b"/admin/a%2fb", "h/admin"),
        (b"/admin/./x", "h/admin"),
        (b"/admin/x/../y", "h/admin"),
        (b"/admin//x", "h/admin"),
        (b"/admin/%2e", "h/admin"),
        (b"/admin/%252e", "h/admin"),
        (b"/administrator%2f..", "h/"),
        (b"/admin%2f..%2f..%2fx", "h/"),
        (b"/admin\\..\\x", "h/"),
        (b"/x;/y", "h/"),
    ],
)
def test_paths_that_keep_their_route(path: bytes, route: str):
    assert found(TWO, "h", path) == route


@pytest.mark.parametrize("path", [b"/x/../admin", b"/%2e%2e/%2e%2e", b"//", b"/a%2fb", b"/\\", b"/a/..%2f..%2f"])
def test_a_host_with_one_service_takes_every_path(path: bytes):
    assert found(table("h/"), "h", path) == "h/"


def test_a_host_with_one_prefix_guards_its_border():
    routes = table("h/public")
    for path in (b"/public/../x", b"/public/%2e%2e/", b"/x/../public", b"/%70ublic"):
        with pytest.raises(UnsafePathError):
            match(routes.of_host("h"), path)
    assert found(routes, "h", b"/public/a/../b") == "h/public"
    assert found(routes, "h", b"/x/../y") is None


def test_repr_counts():
    assert repr(HOSTS) == "<RouteTable 5 routes of 5 hosts>"
    assert repr(PREFIXES) == "<RouteTable 6 routes of 3 hosts>"
    assert PREFIXES.of_host("h") is not None
    assert PREFIXES.of_host("nobody") is None
