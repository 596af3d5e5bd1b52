"""What may be published at all: one bad input after the other, and the names that the gateway gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.published import names
from app.rules.rewrite import Rewrite
from app.settings import Grant
from tests.app.published.world import GRANTS, World, file_routes, lines, wanted
from tunnel.port import Target
from tunnel.wire.publishing import WantedRoute

LONG = ".".join(["a" * 60] * 4)


@pytest.mark.parametrize(
    ("route", "code", "error"),
    [
        (wanted("a b"), "invalid_route", "'a b' is not a host name"),
        (wanted("x" * 300 + ".a.test"), "invalid_route", "is not a host name"),
        (wanted("münchen.a.test"), "invalid_route", "is not a host name"),
        (wanted("http://x.a.test"), "invalid_route", "is not a host name"),
        (wanted("192.0.2.1"), "host_not_allowed", "'192.0.2.1' is an IP address, not a host name"),
        (wanted("[::1]"), "host_not_allowed", "'[::1]' is not a host name"),
        (wanted("0x7f.1"), "host_not_allowed", "'0x7f.1' is an IP address, not a host name"),
        (wanted("x.b.test"), "host_not_allowed", "the token does not cover 'x.b.test'; its hosts are "),
        (wanted("a.test"), "host_not_allowed", "the token does not cover 'a.test'; its hosts are "),
        (wanted("localhost"), "host_not_allowed", "'localhost' is a control host of the gateway"),
        (wanted("x.a.test", "app"), "invalid_route", "path: "),
        (wanted("x.a.test", ""), "", ""),
        (wanted("x.a.test", "/a/../b"), "invalid_route", "path: "),
        (wanted("x.a.test", "/a%2fb"), "invalid_route", "path: "),
        (wanted("x.a.test", "/" + "a" * 1025), "invalid_route", "path: longer than 1024 characters"),
        (wanted("x.a.test", namespace="A"), "invalid_route", "namespace: 'A' is not valid"),
        (wanted("x.a.test", service=""), "invalid_route", "service: '' is not valid"),
        (wanted("x.a.test", service="kubernetes", namespace="default"), "invalid_route", "service: kubernetes"),
        (wanted("x.a.test", port=0), "invalid_route", "port: 0 is not valid; use a port from 1 to 65535"),
        (wanted("x.a.test", port=70_000), "invalid_route", "port: 70000 is not valid"),
        (wanted("x.a.test", port=10**400), "invalid_route", "port: 1" + "0" * 99 + "... is not valid"),
        (wanted("x.a.test", scheme="ftp"), "invalid_route", "scheme: 'ftp' is not valid; use http or https"),
        (wanted("x.a.test", scheme="https", server_name="*.x"), "invalid_route", "server_name: '*.x' is not valid"),
        (wanted("x.a.test", scheme="https", server_name="a b"), "invalid_route", "server_name: 'a b' is not valid"),
        (wanted("x.a.test", host_header="a b"), "invalid_route", "host_header: 'a b' is not valid"),
        (wanted("x.a.test", strip_prefix=True), "invalid_route", "strip_prefix: the route's path is /"),
        (wanted("x.a.test", add_prefix="/../"), "invalid_route", "add_prefix: '/../' is not valid"),
    ],
)
def test_a_bad_route(route: WantedRoute, code: str, error: str):
    (answer,) = World().publish("alice", route)
    assert answer.code == code
    assert error in answer.error
    assert (answer.url == "") is bool(code)


TEXTS = st.text(max_size=300)


@given(
    st.builds(
        WantedRoute,
        key=st.just("k"), host=TEXTS | TEXTS.map("{}.a.test".format), path=TEXTS | TEXTS.map("/{}".format),
        namespace=TEXTS | st.just("apps"), service=TEXTS | st.just("web"), port=st.integers(),
        scheme=st.sampled_from(["http", "https", "x"]), server_name=TEXTS, host_header=TEXTS, add_prefix=TEXTS,
        strip_prefix=st.booleans(),
    )
)  # fmt: skip
def test_whatever_is_wanted_is_in_force_or_has_a_code(route: WantedRoute):
    world = World()
    (answer,) = world.publish("alice", route)
    assert bool(answer.code) == bool(answer.error) == (not answer.url) == (len(world.set) == 0)
    assert len(answer.host) < 300
    assert len(answer.error) < 400
    if not answer.code:
        assert world.set.of_host(answer.host) is not None


def test_an_address_or_a_key_that_is_there_twice():
    world = World()
    first, same, other, key = world.publish(
        "alice",
        wanted("x.a.test", "/app", key="1"),
        wanted("X.a.test", "/app/", key="2"),
        wanted("x.a.test", key="3"),
        wanted("y.a.test", key="1"),
    )
    assert [one.code for one in (first, same, other, key)] == ["", "invalid_route", "", "invalid_route"]
    assert same.error == "x.a.test/app is in this message twice; name each address once"
    assert key.error == "key '1' is used twice; give each route its own"


@pytest.mark.parametrize(
    ("fields", "server_name"),
    [
        ({}, "x.a.test"),
        ({"host_header": "app.internal:8443"}, "app.internal"),
        ({"host_header": "[::1]:8443"}, "::1"),
        ({"host_header": "app.internal:8443", "server_name": "cert.internal"}, "cert.internal"),
        ({"server_name": "192.0.2.7"}, "192.0.2.7"),
    ],
)
def test_the_name_in_a_certificate_is_the_host_that_the_service_is_told(fields: dict[str, str], server_name: str):
    world = World()
    world.publish("alice", wanted("x.a.test", scheme="https", verify=False, **fields))
    assert [one.target for one in world.set] == [
        Target("a", "published", "localhost", 5173, "https", False, None, server_name, "alice")
    ]


def test_over_http_there_is_no_certificate():
    world = World()
    world.publish("alice", wanted("x.a.test", verify=False, server_name="a b"))
    assert [one.target for one in world.set] == [Target("a", "published", "localhost", 5173, publisher="alice")]


def test_a_rewrite_is_that_of_its_path():
    world = World()
    world.publish("alice", wanted("x.a.test", "/app/", strip_prefix=True, add_prefix="/base", https_redirect=True))
    assert [one.rewrite for one in world.set] == [Rewrite(None, b"/app", b"/base", True)]


# --- given names


def test_a_given_name_is_below_the_first_wildcard_and_stays():
    world, later = World(), World()
    first, below, other = world.publish(
        "alice", wanted(key="5173"), wanted("*.both.test", key="8080"), wanted(key="3000"), seed="s"
    )
    assert first.host == next(names.names_below(".a.test", cluster="a", seed="s", key="5173"))
    assert first.url == f"https://{first.host}/"
    assert below.host.endswith(".both.test")
    assert other.host != first.host
    assert later.publish("anna", wanted(key="5173"), seed="s")[0].host == first.host
    assert later.publish("anna", wanted(key="5173"), seed="s")[0].host == first.host
    assert world.publish("anna", wanted(key="5173"), seed="t")[0].host != first.host


def test_a_name_is_what_was_written_down():
    """Names must not change with a version of the gateway: people have them in their bookmarks."""
    assert list(names.names_below(".a.test", cluster="a", seed="seed", key="5173"))[:2] == [
        "lowrquirc3.a.test",
        "tizgnzl2qg.a.test",
    ]


def test_two_agents_with_one_seed_get_two_names():
    world = World()
    tries = list(names.names_below(".a.test", cluster="a", seed="s", key="1"))
    assert [world.publish(agent, wanted(key="1"), seed="s")[0].host for agent in ("alice", "anna")] == tries[:2]
    world.publish("alice")
    assert world.publish("anna", wanted(key="1"), seed="s")[0].host == tries[0]


@pytest.mark.parametrize(
    ("hosts", "host", "code", "error"),
    [
        (("only.a.test",), "", "no_free_name", "the token's hosts have no wildcard to give a name below"),
        ((), "", "no_free_name", "the token's hosts have no wildcard to give a name below"),
        ((f"*.{LONG}",), "", "no_free_name", f"a name below *.{LONG} would have more than 253 characters"),
        (("*.a.test",), "*.b.test", "host_not_allowed", "the token does not cover '*.b.test'; its hosts are "),
        (("*.a.test",), "*.test", "host_not_allowed", "the token does not cover '*.test'; its hosts are "),
        (("x.a.test",), "*.x.a.test", "host_not_allowed", "the token does not cover '*.x.a.test'; its hosts are "),
        (("*.a.test",), "*x.a.test", "invalid_route", "is not a host name"),
        (("*.a.test",), "*", "invalid_route", "is not a host name"),
    ],
)
def test_where_no_name_can_be_given(hosts: tuple[str, ...], host: str, code: str, error: str):
    world = World(grants={b"a": Grant(("a",), hosts=hosts)})
    (answer,) = world.publish("alice", wanted(host))
    assert answer.code == code
    assert error in answer.error


def test_every_name_below_the_wildcard_is_the_files(caplog: pytest.LogCaptureFixture):
    world = World(routes=file_routes("*.a.test"))
    (answer,) = world.publish("alice", wanted(key="1"))
    assert (answer.code, answer.error) == ("no_free_name", "no name below *.a.test is free; name a host")
    assert "no name below *.a.test is free: " in lines(caplog)[-1]
    assert lines(caplog)[-1].endswith("the file routes *.a.test")


def test_ten_agents_with_one_seed_leave_no_name():
    world = World(grants={b"a": GRANTS[b"a"]})
    holder = world.links["alice"]
    for number in range(names.TRIES):
        world.links[f"agent-{number}"] = type(holder)("a", f"agent-{number}", b"a", f"link-{number}", "")
        assert world.publish(f"agent-{number}", wanted(key="1"), seed="s")[0].code == ""
    assert world.publish("alice", wanted(key="1"), seed="s")[0].code == "no_free_name"


def test_a_given_name_is_never_a_control_host():
    first, second = list(names.names_below(".a.test", cluster="a", seed="s", key="1"))[:2]
    world = World(control_hosts=frozenset({first}))
    assert world.publish("alice", wanted(key="1"), seed="s")[0].host == second
