"""What an agent may claim: its cluster, its hosts, no address, no control host, a complete target."""

import pytest

from app.learned import Claim, ClaimError, Fault, bodies
from app.learned.bodies import Named, Text, named_by_register, named_by_sync
from app.learned.claims import checked, checked_cluster, is_sound, learnable_host
from app.rules.paths import PREFIX_CHARACTERS
from app.settings import Grant
from tunnel.port import Target

GRANT = Grant(("a",), hosts=("*.a.example.test", "shop.example.test"))
CONTROL = frozenset({"localhost", "gw.a.example.test"})


def named(**changes: object) -> Named:
    values: dict[str, object] = {
        "host": "app.a.example.test", "path": "/", "namespace": "ingress", "service": "traefik", "port": 80, **changes
    }  # fmt: skip
    return Named(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("clusters", "claimed", "cluster"),
    [
        (("a",), "a", "a"),
        (("a",), None, "a"),
        (("a",), "", "a"),
        (("a", "b"), "b", "b"),
    ],
)
def test_the_cluster_that_is_spoken_for(clusters: tuple[str, ...], claimed: str | None, cluster: str):
    assert checked_cluster(Grant(clusters), claimed) == cluster


@pytest.mark.parametrize(
    ("clusters", "claimed"), [(("a",), "b"), (("a", "b"), None), (("a", "b"), ""), (("a", "b"), "c"), (("",), "x")]
)
def test_another_cluster_is_not(clusters: tuple[str, ...], claimed: str | None):
    with pytest.raises(ClaimError) as caught:
        checked_cluster(Grant(clusters), claimed)
    assert caught.value.fault is Fault.NOT_ALLOWED


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("app.a.example.test", "app.a.example.test"),
        ("APP.A.Example.Test.", "app.a.example.test"),
        ("app.a.example.test:443", "app.a.example.test"),
        ("x.y.z.a.example.test", "x.y.z.a.example.test"),
        ("*.a.example.test", "*.a.example.test"),
        ("*.b.a.example.test", "*.b.a.example.test"),
        ("shop.example.test", "shop.example.test"),
    ],
)
def test_hosts_of_the_token(host: str, kept: str):
    assert learnable_host(GRANT, CONTROL, host) == kept


REFUSED_HOSTS = [
    # outside its patterns
    ("a.example.test", Fault.NOT_ALLOWED),
    ("b.example.test", Fault.NOT_ALLOWED),
    ("xa.example.test", Fault.NOT_ALLOWED),
    ("app.a.example.test.evil.test", Fault.NOT_ALLOWED),
    ("*.example.test", Fault.NOT_ALLOWED),
    ("*.shop.example.test", Fault.NOT_ALLOWED),
    ("sub.shop.example.test", Fault.NOT_ALLOWED),
    # control hosts
    ("gw.a.example.test", Fault.NOT_ALLOWED),
    ("GW.a.example.test.", Fault.NOT_ALLOWED),
    ("gw.a.example.test:8080", Fault.NOT_ALLOWED),
    ("localhost", Fault.NOT_ALLOWED),
    # addresses
    ("192.0.2.1", Fault.NOT_ALLOWED),
    ("192.0.2.1:80", Fault.NOT_ALLOWED),
    ("2130706433", Fault.NOT_ALLOWED),
    ("0x7f000001", Fault.NOT_ALLOWED),
    ("0x7f.1", Fault.NOT_ALLOWED),
    ("127.1", Fault.NOT_ALLOWED),
    ("[2001:db8::1]", Fault.NOT_ALLOWED),
    ("2001:db8::1", Fault.NOT_ALLOWED),
    # no hosts
    ("", Fault.INVALID),
    ("*", Fault.INVALID),
    ("*.*.a.example.test", Fault.INVALID),
    ("x.*.a.example.test", Fault.INVALID),
    ("a b.a.example.test", Fault.INVALID),
    ("-.a.example.test", Fault.INVALID),
    ("x..a.example.test", Fault.INVALID),
    ("x/y.a.example.test", Fault.INVALID),
    ("x\n.a.example.test", Fault.INVALID),
    ("é.a.example.test", Fault.INVALID),
    ("x" * 64 + ".a.example.test", Fault.INVALID),
    ("x." * 130 + "a.example.test", Fault.INVALID),
]


@pytest.mark.parametrize(("host", "fault"), REFUSED_HOSTS)
def test_hosts_that_are_refused(host: str, fault: Fault):
    with pytest.raises(ClaimError) as caught:
        learnable_host(GRANT, CONTROL, host)
    assert caught.value.fault is fault
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("host", ["192.0.2.1", "0x7f.1", "[::1]", "127.1", "1"])
def test_no_pattern_makes_an_address_a_host(host: str):
    """However generous the token is."""
    with pytest.raises(ClaimError) as caught:
        learnable_host(Grant(("a",), hosts=(host,)), (), host)
    assert caught.value.fault is Fault.NOT_ALLOWED


def test_a_token_without_hosts_registers_none():
    with pytest.raises(ClaimError, match="; it has no hosts"):
        checked(Grant(("a",)), CONTROL, "a", named())


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/", "/"),
        ("/shop", "/shop"),
        ("/shop/", "/shop"),
        ("/a/b.c/~d//", "/a/b.c/~d"),
        ("//", "/"),
        ("/(.*)", "/(.*)"),
    ],
)
def test_prefixes_are_compared_by_their_elements(path: str, kept: str):
    assert checked(GRANT, CONTROL, "a", named(path=path)).path == kept


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "shop"},
        {"path": "/a//b"},
        {"path": "/a/../b"},
        {"path": "/%2e"},
        {"path": "/a|b"},
        {"path": "/a b"},
        {"path": "/a\n"},
        {"path": "/é"},
        {"path": "/" + "x" * PREFIX_CHARACTERS},
        {"namespace": ""},
        {"namespace": "In"},
        {"namespace": "a.b"},
        {"service": ""},
        {"service": "10.0.0.1"},
        {"service": "x" * 64},
        {"service": "svc\n"},
        {"namespace": "default", "service": "kubernetes"},
        {"port": 0},
        {"port": -1},
        {"port": 65_536},
        {"port": None},
        {"port": "http"},
        {"port": "080000"},
        {"port": ""},
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, object]):
    with pytest.raises(ClaimError) as caught:
        checked(GRANT, CONTROL, "a", named(**changes))
    assert caught.value.fault is Fault.INVALID


@pytest.mark.parametrize("port", [1, 80, 65_535, "80"])
def test_the_target_is_complete_and_plain_http(port: int | str):
    claim = checked(GRANT, CONTROL, "a", named(port=port, path="/x"))
    assert claim == Claim("app.a.example.test", "/x", Target("a", "ingress", "traefik", int(port)))
    assert claim.target.scheme == "http"


@pytest.mark.parametrize(
    "claim",
    [
        Claim("192.0.2.1", "/", Target("a", "n", "s", 80)),
        Claim("UPPER.test", "/", Target("a", "n", "s", 80)),
        Claim("x.test", "/a/", Target("a", "n", "s", 80)),
        Claim("x.test", "/", Target("", "n", "s", 80)),
        Claim("x.test", "/", Target("a", "default", "kubernetes", 443)),
        Claim("x.test", "/", Target("a", "n", "s", 0)),
    ],
)
def test_a_file_is_read_with_the_same_care(claim: Claim):
    assert not is_sound(claim)
    assert is_sound(Claim("x.test", "/a", Target("a", "n", "s", 80)))


# --- what is read of a body


def test_a_register_names_one_path():
    text = (
        b'{"hostname":"h","namespace":"n","service_name":"s","service_port":8,"path":"/p","tls":true,"annotations":{}}'
    )
    assert named_by_register(Text(text).decoded(bodies.RegisterBody)) == Named("h", "/p", "n", "s", 8)
    assert named_by_register(Text(b'{"hostname":"h","path":""}').decoded(bodies.RegisterBody)) == Named(
        "h", "/", "", "", None
    )


SYNC = b"""{"ingress_controller": %s, "ingresses": [
    {"namespace": "apps", "ingress_name": "one", "rules": [
        {"host": "a.test", "tls": true, "paths": [
            {"path": "/", "path_type": "Prefix", "service_name": "traefik", "service_port": 80},
            {"path": "/x", "path_type": "Exact", "service_name": "traefik", "service_port": 80}]},
        {"host": "b.test", "paths": [{"service_name": "traefik", "service_port": 80}]}]},
    {"namespace": "more", "rules": [{"paths": [{"path": "/", "service_name": "traefik", "service_port": "80"}]}]},
    {"namespace": "none", "rules": null},
    {"rules": [{"host": "c.test", "paths": null}]}]}"""


def routes_of(text: bytes) -> list[Named]:
    return [named for named in named_by_sync(Text(text).decoded(bodies.SyncBody)) if named is not None]


@pytest.mark.parametrize(
    ("controller", "namespaces"),
    [
        (b'{"name": "traefik", "namespace": "kube-system", "port": 80, "type": "traefik"}', ("kube-system",) * 2),
        (b"null", ("apps", "more")),
        (b'{"name": "traefik"}', ("apps", "more")),
        (b'{"namespace": ""}', ("apps", "more")),
    ],
)
def test_a_sync_names_its_services_in_the_controllers_namespace(controller: bytes, namespaces: tuple[str, str]):
    first, second = namespaces
    assert routes_of(SYNC % controller) == [
        Named("a.test", "/", first, "traefik", 80),
        Named("a.test", "/x", first, "traefik", 80),
        Named("b.test", "/", first, "traefik", 80),
        Named("", "/", second, "traefik", "80"),
    ]


@pytest.mark.parametrize(
    "text",
    [b'{"ingresses": null}', b"{}", b'{"ingresses": []}', b'{"ingresses": [{}]}', b'{"ingresses":[{"rules":[{}]}]}'],
)
def test_a_sync_may_name_nothing(text: bytes):
    assert routes_of(text) == []


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"{", b"null", b'"x"', b"{}", b'{"hostname": null}', b'{"hostname": 1}', b'{"hostname": "\xff"}',
        b'{"hostname": "secret", "service_port": {}}', b'{"hostname": "h", "x": ' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_body_that_is_none(text: bytes):
    with pytest.raises(bodies.BodyError) as caught:
        Text(text).decoded(bodies.RegisterBody)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"ingresses": [{}, {"namespace": 1}]}', "`$.ingresses[1].namespace`"),
        (b'{"ingresses": [{}, null]}', "`$.ingresses[1]`"),
        (
            b'{"ingresses": [{"rules": [{"paths": [{}, {"path": ["secret"]}]}]}]}',
            "`$.ingresses[0].rules[0].paths[1].path`",
        ),
    ],
)
def test_a_part_of_a_sync_that_does_not_fit_is_named_by_its_place(text: bytes, place: str):
    with pytest.raises(bodies.BodyError) as caught:
        routes_of(text)
    assert place in str(caught.value)
    assert "secret" not in str(caught.value)
