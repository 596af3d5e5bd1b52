"""The learned set: who holds a host, until when, and what a sync replaces. Time is passed in."""

import logging

import pytest

from app.learned import Claim, ClaimError, Fault
from app.learned.bounds import LOOK_SECONDS
from tests.app.learned.claims import DAY, World, claim, lines

# --- one cluster


def test_a_registered_path_is_served(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world = World()
    world.register(claim("x.a.test"), claim("x.a.test", "/api", service="api"), claim("*.w.a.test"))
    assert world.serves("x.a.test") == ["/api a/ingress/api:80", "/ a/ingress/traefik:80"]
    assert world.serves("deep.x.w.a.test") == ["/ a/ingress/traefik:80"]
    assert world.serves("w.a.test") == world.serves("other.a.test") == []
    assert len(world.set) == 3
    assert world.set.clusters == {"a"}
    assert lines(caplog, "learned from") == [
        "route x.a.test/ learned from agent x: a/ingress/traefik:80",
        "route x.a.test/api learned from agent x: a/ingress/api:80",
        "route *.w.a.test/ learned from agent x: a/ingress/traefik:80",
    ]


def test_it_is_said_once_that_they_are_in_memory_only(caplog: pytest.LogCaptureFixture):
    world = World()
    assert lines(caplog) == []
    world.register(claim("x.a.test"), claim("y.a.test"))
    assert lines(caplog) == ["learned routes are kept in memory only; to keep them over a restart, set state_dir"]


def test_registering_again_renews_and_says_nothing(caplog: pytest.LogCaptureFixture):
    world = World()
    world.register(claim("x.a.test"))
    before = world.set.of_host("x.a.test")
    caplog.set_level(logging.INFO)
    caplog.clear()
    world.now += 100
    world.register(claim("x.a.test"))
    assert [one.expires_at for one in world.set] == [world.now + DAY]
    assert world.set.of_host("x.a.test") is before
    assert lines(caplog) == []


def test_another_target_replaces_the_old_one():
    world = World()
    world.register(claim("x.a.test"), claim("x.a.test", service="nginx"))
    assert world.serves("x.a.test") == ["/ a/ingress/nginx:80"]
    assert len(world.set) == 1


def test_unregister_takes_all_paths_and_may_be_repeated(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world = World()
    world.register(claim("x.a.test"), claim("x.a.test", "/api"), claim("y.a.test"))
    assert world.unregister("x.a.test", "a") == 2
    assert world.unregister("x.a.test", "a") == 0
    assert world.known == ["y.a.test/ a"]
    assert world.serves("x.a.test") == []
    assert len(lines(caplog, "removed: unregistered by agent x")) == 2
    assert world.unregister("y.a.test", "a", path="/api") == 0
    assert world.unregister("y.a.test", "a", path="/") == 1
    assert len(world.set) == 0
    assert world.set.clusters == set()


def test_a_sync_replaces_the_clusters_set():
    world = World()
    world.register(claim("x.a.test"), claim("x.a.test", "/api"), claim("y.a.test"), claim("z.b.test", cluster="b"))
    world.register(claim("w.a.test", cluster="a2"))
    assert world.sync("a", [claim("x.a.test", "/api"), claim("n.a.test"), claim("n.a.test")]) == []
    assert world.known == ["n.a.test/ a", "w.a.test/ a2", "x.a.test/api a", "z.b.test/ b"]
    assert world.serves("x.a.test") == ["/api a/ingress/traefik:80"]
    assert world.serves("y.a.test") == []


def test_an_empty_sync_clears():
    world = World()
    world.register(claim("x.a.test"), claim("z.b.test", cluster="b"))
    world.sync("a", [])
    assert world.known == ["z.b.test/ b"]


def test_a_sync_leaves_hosts_outside_its_tokens_patterns_alone():
    world = World()
    world.register(claim("x.a.test"), claim("x.both.test"))
    world.sync("a", [], ("*.both.test",))
    assert world.known == ["x.a.test/ a"]


def test_a_sync_renews():
    world = World()
    world.register(claim("x.a.test"))
    world.now += DAY - 1
    world.sync("a", [claim("x.a.test")])
    world.now += 2
    world.set.expire()
    assert world.known == ["x.a.test/ a"]


# --- several clusters


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("x.both.test", claim("x.both.test", cluster="b")),  # take over
        ("x.both.test", claim("x.both.test", "/other", cluster="b")),  # a part of it
        ("*.x.both.test", claim("*.x.both.test", cluster="b")),
        ("*.x.both.test", claim("y.x.both.test", cluster="b")),  # below a wildcard
        ("*.x.both.test", claim("*.y.x.both.test", cluster="b")),
        ("x.both.test", claim("x.both.test", cluster="a2")),  # the same token's other cluster, too
    ],
)
def test_a_host_of_another_cluster_cannot_be_had(held: str, wanted: Claim, caplog: pytest.LogCaptureFixture):
    world = World()
    world.register(claim(held))
    before = [(one.claim, one.expires_at) for one in world.set]
    world.now += 10
    assert world.refused(wanted) is Fault.TAKEN
    assert world.sync(wanted.target.cluster, [wanted]) == [wanted]
    assert [(one.claim, one.expires_at) for one in world.set] == before
    assert world.refused(wanted) is Fault.TAKEN
    (line,) = lines(caplog, "rejected")  # once, though it was tried twice
    assert line == f"route '{wanted.host}{wanted.path}' of agent x rejected: {held} belongs to another cluster"


def test_a_host_of_another_cluster_cannot_be_removed():
    world = World()
    world.register(claim("x.both.test"))
    with pytest.raises(ClaimError) as caught:
        world.unregister("x.both.test", "b")
    assert caught.value.fault is Fault.TAKEN
    world.sync("b", [])
    assert world.known == ["x.both.test/ a"]


def test_a_wildcard_beside_anothers_host_leaves_it_its_traffic():
    world = World()
    world.register(claim("x.both.test"), claim("*.both.test", cluster="b"))
    assert world.serves("x.both.test") == ["/ a/ingress/traefik:80"]
    assert world.serves("y.both.test") == ["/ b/ingress/traefik:80"]


def test_a_sync_refuses_only_what_is_anothers():
    world = World()
    world.register(claim("x.both.test"))
    wanted = [claim("x.both.test", cluster="b"), claim("y.both.test", cluster="b")]
    assert world.sync("b", wanted) == wanted[:1]
    assert world.known == ["x.both.test/ a", "y.both.test/ b"]


def test_an_expired_host_may_be_taken_before_it_is_swept():
    world = World()
    world.register(claim("x.both.test"), claim("x.both.test", "/api"))
    world.now += DAY - 1
    assert world.refused(claim("x.both.test", cluster="b")) is Fault.TAKEN
    world.now += 1
    world.register(claim("x.both.test", cluster="b"))
    assert world.known == ["x.both.test/ b"]
    assert world.serves("x.both.test") == ["/ b/ingress/traefik:80"]
    assert world.set.clusters == {"b"}


def test_one_path_that_lives_holds_the_host():
    world = World()
    world.register(claim("x.both.test"))
    world.now += DAY - 1
    world.register(claim("x.both.test", "/api"))
    world.now += 1
    assert world.refused(claim("x.both.test", cluster="b")) is Fault.TAKEN


# --- time


def test_a_route_lives_for_a_day_and_no_moment_longer(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world = World()
    world.register(claim("x.a.test"))
    world.now += 1
    world.register(claim("y.a.test"))
    world.now += DAY - 1 - 0.001
    world.set.expire()
    assert world.known == ["x.a.test/ a", "y.a.test/ a"]
    world.now += 0.001
    world.set.expire()
    assert world.known == ["y.a.test/ a"]
    assert world.serves("x.a.test") == []
    assert lines(caplog, "expired") == ["route x.a.test/ of cluster a removed: expired"]
    world.now += 1
    world.set.expire()
    assert world.known == []


def test_the_look_is_taken_once_a_minute():
    world = World()
    world.register(claim("x.a.test"))
    world.now += DAY - 1.0
    world.set.tick(5.0)
    world.now += LOOK_SECONDS - 0.5
    world.set.tick(5.0 + LOOK_SECONDS - 0.5)
    assert world.known == ["x.a.test/ a"]
    world.now += 0.5
    world.set.tick(5.0 + LOOK_SECONDS)
    assert world.known == []


def test_many_that_expire_at_once_go_in_turns():
    world = World()
    world.sync("a", [claim(f"h{number}.a.test") for number in range(120)])
    world.now += DAY
    left = []
    for turn in range(4):
        world.set.tick(turn * 0.5)
        left.append(len(world.set))
    assert left == [70, 20, 0, 0]
