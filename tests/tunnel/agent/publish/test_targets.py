"""What a person may write as a target, and what is made of it; what is none, and what is said about it."""

import pytest

from tunnel.agent.publish.targets import Target, TargetError
from tunnel.agent.service.services import Services
from tunnel.wire.routing_header import RoutingHeader

READ = [
    # text, service as its user sees it, key, Host of its own, service on the link, where it is dialled
    ("5173", "http://localhost:5173", "5173", "localhost:5173", "localhost", "localhost:5173"),
    (":5173", "http://localhost:5173", "5173", "localhost:5173", "localhost", "localhost:5173"),
    ("localhost:5173", "http://localhost:5173", "5173", "localhost:5173", "localhost", "localhost:5173"),
    ("http://LocalHost.:5173/", "http://localhost:5173", "5173", "localhost:5173", "localhost", "localhost:5173"),
    ("0.0.0.0:3000", "http://localhost:3000", "3000", "localhost:3000", "localhost", "localhost:3000"),
    ("http://[::]:3000", "http://localhost:3000", "3000", "localhost:3000", "localhost", "localhost:3000"),
    ("127.0.0.1:80", "http://127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", "127-0-0-1", "127.0.0.1:80"),
    (
        "192.168.1.5:8080",
        "http://192.168.1.5:8080",
        "192.168.1.5:8080",
        "192.168.1.5:8080",
        "192-168-1-5",
        "192.168.1.5:8080",
    ),
    ("[::1]:81", "http://[::1]:81", "[::1]:81", "[::1]:81", "1-eff8e7ca", "[::1]:81"),
    (
        "[fe80::1%eth0]:81",
        "http://[fe80::1%eth0]:81",
        "[fe80::1%eth0]:81",
        "[fe80::1]:81",
        "fe80-1-eth0-016a8c97",
        "[fe80::1%eth0]:81",
    ),
    ("http://nas", "http://nas:80", "nas:80", "nas", "nas", "nas:80"),
    ("my-nas.lan:80", "http://my-nas.lan:80", "my-nas.lan:80", "my-nas.lan", "my-nas-lan-670f5204", "my-nas.lan:80"),
    ("my.nas.lan:80", "http://my.nas.lan:80", "my.nas.lan:80", "my.nas.lan", "my-nas-lan", "my.nas.lan:80"),
    ("https://nas", "https://nas:443", "https://nas:443", "nas", "nas", "nas:443"),
    (
        "https://:8443",
        "https://localhost:8443",
        "https://localhost:8443",
        "localhost:8443",
        "localhost",
        "localhost:8443",
    ),
]
COLUMNS = ("text", "shown", "key", "authority", "service", "dialled")


@pytest.mark.parametrize(COLUMNS, READ, ids=[row[0] for row in READ])
def test_a_target(text: str, shown: str, key: str, authority: str, service: str, dialled: str):
    target = Target.parse(text)
    found = (str(target), target.key, target.authority, target.service, str(target.entry.destination))
    assert found == (shown, key, authority, service, dialled)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not one of the forms 5173, localhost:5173"),
        ("web", "has no port"),
        ("web:", "has no port"),
        ("web:0", "a port is a number from 1 to 65535"),
        ("web:65536", "a port is a number from 1 to 65535"),
        ("99999", "a port is a number from 1 to 65535"),
        ("web:80x", "a port is a number from 1 to 65535"),
        ("::1:80", "a port is a number from 1 to 65535"),
        ("[zz]:80", "is not one of the forms"),
        ("[1.2.3.4]:80", "is not one of the forms"),
        ("a b:80", "is not one of the forms"),
        ("bücher:80", "is not one of the forms"),
        ("-web:80", "is not one of the forms"),
        ("a..b:80", "is not one of the forms"),
        ("web:80/app", "has a path: write the address alone; --add-prefix /x"),
        ("http://web?x=1", "has a path"),
        ("http://web#x", "has a path"),
        ("http://me:secret@web", "cannot have credentials"),
        ("https://8443", "has no host: write https://localhost:8443"),
        ("5173/", "has no host: write http://localhost:5173"),
        ("ftp://web", "the schemes are http, https, and https+insecure"),
        ("tcp://web:22", "the schemes are http, https, and https+insecure"),
        ("https://kubernetes.default.svc", "is the Kubernetes API server"),
        ("KUBERNETES.default:443", "is the Kubernetes API server"),
    ],
)
def test_what_is_no_target(text: str, said: str):
    with pytest.raises(TargetError) as caught:
        Target.parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "scheme", "verify", "server_name"),
    [
        ("web:81", "http", True, ""),
        ("https://web:8443", "https", True, "web"),
        ("https://[::1]:8443", "https", True, "::1"),
        ("https+insecure://web:8443", "https", False, ""),
    ],
)
def test_tls_of_a_route(text: str, scheme: str, verify: bool, server_name: str):
    route = Target.parse(text).route("k")
    assert (route.scheme, route.verify, route.server_name) == (scheme, verify, server_name)


HOSTS = ["a.b", "a-b", "a-b.c", "a.b-c", "a_b", "A.b", "1.2.3.4", "fd00::1", "fd00:0:0:0:0:0:0:1"]
LONG = ["a." + "x" * 62, "x" * 64]


def test_no_two_hosts_share_a_service():
    """Two that did would lead to one of them."""
    targets = {Target.parse(f"[{host}]:80" if ":" in host else f"{host}:80") for host in HOSTS + LONG}
    assert (
        len({target.service for target in targets}) == len({target.host for target in targets}) == len(HOSTS + LONG) - 1
    )


def test_what_is_published_is_reachable_and_nothing_else_is():
    target = Target.parse("my-nas.lan:81")
    services = Services((target.entry,))
    route = target.route("k")
    header = RoutingHeader(route.service, route.namespace, route.port)
    assert str(services.destination_of(header)) == "my-nas.lan:81"
    for other in (RoutingHeader(route.service, route.namespace, 82), RoutingHeader("my-nas", route.namespace, 81)):
        with pytest.raises(Exception, match="no --service entry"):
            services.destination_of(other)


def test_the_api_server_of_this_cluster_is_refused():
    services = Services((Target.parse("10.96.0.1:443").entry,), api_hosts=("10.96.0.1",))
    with pytest.raises(Exception, match="API server"):
        services.destination_of(RoutingHeader("10-96-0-1", "published", 443))


def test_a_key_has_at_most_128_characters():
    host = ".".join(["x" * 60] * 4)
    assert len(Target.parse(f"https://{host}:8443").key) <= 128
    assert Target.parse(f"https://{host}:8443").key != Target.parse(f"https://{host}y:8443").key
