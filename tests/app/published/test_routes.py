"""Published routes: what is in force, who holds a host, and until when. Time is passed in."""

import logging
from dataclasses import replace

import pytest

from app.learned import ClaimError
from app.observed.record import Record
from app.published import LINGER_SECONDS, Holder
from app.published import routes as module
from app.rules.policy import Policy
from app.rules.rewrite import Rewrite
from app.settings import Grant
from tests.app.published.world import GRANTS, World, file_routes, lines, wanted
from tunnel.port import Target
from tunnel.wire.publishing import PublishedRoute

RECORD = Record("http", "r1", "GET", b"x.a.test", b"/", None, 100.0)

# --- one agent


def test_what_is_answered_is_in_force(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world = World()
    assert world.publish("alice", wanted("Me.A.Test.", key="1"), wanted("me.a.test", "/api/", key="2")) == [
        PublishedRoute(key="1", host="me.a.test", path="/", url="https://me.a.test/"),
        PublishedRoute(key="2", host="me.a.test", path="/api", url="https://me.a.test/api"),
    ]
    api, root = world.set.of_host("me.a.test") or ()
    assert (api.path, root.path) == (b"/api", b"/")
    assert root.target == Target("a", "published", "localhost", 5173, publisher="alice")
    (line,) = lines(caplog)
    who, what = "agent alice of cluster a (link-alice from 192.0.2.1)", "a/published/localhost:5173"
    assert line == f"{who} published me.a.test/ ({what}), me.a.test/api ({what})"
    (event,) = world.events.since()
    assert (event.kind, event.cluster, event.agent, event.link, event.address) == (
        "route_published", "a", "alice", "link-alice", "192.0.2.1",
    )  # fmt: skip


def test_the_next_message_replaces_the_set(caplog: pytest.LogCaptureFixture):
    world = World()
    world.publish("alice", wanted("x.a.test"), wanted("y.a.test"), wanted("y.a.test", "/api"))
    caplog.set_level(logging.INFO)
    world.publish("alice", wanted("y.a.test"), wanted("z.a.test"))
    assert world.known == ["y.a.test/ alice", "z.a.test/ alice"]
    assert world.set.of_host("x.a.test") is None
    assert world.serves("y.a.test") == ["/ alice"]
    who = "agent alice of cluster a (link-alice from 192.0.2.1)"
    assert lines(caplog) == [
        f"x.a.test/, y.a.test/api of {who} no longer published: its agent took it back",
        f"{who} published z.a.test/ (a/published/localhost:5173)",
    ]
    world.publish("alice")
    assert (world.known, len(world.set), world.set.clusters) == ([], 0, set())


def test_publishing_the_same_again_says_nothing(caplog: pytest.LogCaptureFixture):
    world = World()
    world.publish("alice", wanted("x.a.test"))
    before = list(world.set)
    caplog.set_level(logging.INFO)
    world.now += 5
    world.publish("alice", wanted("x.a.test"))
    assert (list(world.set), lines(caplog), len(world.events)) == (before, [], 1)
    world.publish("alice", wanted("x.a.test", scheme="https"))
    assert [one.target.scheme for one in world.set] == ["https"]
    assert [one.published_at for one in world.set] == [world.now]


def test_a_line_names_a_few_routes_and_counts_the_others(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    world = World()
    world.publish("alice", *(wanted(f"x{number}.a.test") for number in range(8)))
    (line,) = lines(caplog)
    assert line.endswith("x4.a.test/ (a/published/localhost:5173) and 3 more")
    assert world.told == ["route_published"]


def test_a_policy_is_the_files_with_the_routes_own_rewrite():
    world = World(policy=Policy(max_body_bytes=7))
    world.publish("alice", wanted("x.a.test", host_header="localhost:5173"), wanted("y.a.test"))
    (route,) = world.set.of_host("x.a.test") or ()
    assert route.policy == Policy(max_body_bytes=7, rewrite=Rewrite(b"localhost:5173"))
    assert (world.set.of_host("y.a.test") or ())[0].policy is world.settings.policy
    world.apply(policy=Policy(max_body_bytes=8))
    (route,) = world.set.of_host("x.a.test") or ()
    assert route.policy == Policy(max_body_bytes=8, rewrite=Rewrite(b"localhost:5173"))


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://tunnel.test", "https://x.a.test/app"),
        ("https://tunnel.test:8443/prefix", "https://x.a.test:8443/app"),
        ("http://127.0.0.1:8080", "http://x.a.test:8080/app"),
        ("http://[::1]:8080", "http://x.a.test:8080/app"),
    ],
)
def test_an_address_has_the_scheme_and_port_of_the_gateway(base_url: str, url: str):
    world = World()
    holder = world.links["alice"]
    message = module.publishing.Publish(routes=[wanted("x.a.test", "/app")], name_seed="s")
    answer = world.set.publish(holder, GRANTS[b"a"], message, base_url=base_url)
    assert [one.url for one in answer.routes] == [url]


def test_the_watch_is_told_of_exchanges_while_the_link_lives():
    world = World()
    seen: list[str] = []
    message = module.publishing.Publish(routes=[wanted("x.a.test", key="k")], name_seed="s")
    world.set.publish(
        world.links["alice"],
        GRANTS[b"a"],
        message,
        base_url="http://t",
        watch=lambda one, _record: seen.append(one.key),
    )
    (one,) = world.set
    one.seen(RECORD)
    world.lose("alice")
    one.seen(RECORD)
    assert seen == ["k"]


# --- whose a host is


def test_two_agents_cannot_have_one_host(caplog: pytest.LogCaptureFixture):
    world = World()
    world.publish("alice", wanted("x.both.test"))
    for agent in ("anna", "bob"):
        (answer,) = world.publish(agent, wanted("x.both.test", "/other"))
        assert (answer.code, answer.error, answer.url) == ("host_taken", "x.both.test is taken; name another host", "")
    assert world.known == ["x.both.test/ alice"]
    holder = "agent alice of cluster a (link-alice from 192.0.2.1)"
    assert [line.partition(" rejected: ")[2] for line in lines(caplog, "rejected")] == [
        f"x.both.test is taken: {holder} has published it"
    ] * 2
    assert world.told == ["route_published", "route_refused host_taken", "route_refused host_taken"]
    assert [(one.agent, one.fault) for one in world.set.refusals] == [("anna", "host_taken"), ("bob", "host_taken")]


def test_a_refusal_is_said_once_and_counted_each_time(caplog: pytest.LogCaptureFixture):
    world = World()
    world.publish("alice", wanted("x.both.test"))
    for _ in range(3):
        world.publish("bob", wanted("x.both.test"))
    assert len(lines(caplog, "rejected")) == 1
    assert world.set.refused == {"host_taken": 3}
    world.publish("alice")
    world.publish("bob", wanted("x.both.test"))
    assert list(world.set.refusals) == []


def test_the_rest_of_a_message_is_published_whatever_is_refused():
    world = World()
    assert world.refused("alice", wanted("x.a.test"), wanted("x.b.test"), wanted("y.a.test")) == [
        "", "host_not_allowed", "",
    ]  # fmt: skip
    assert world.known == ["x.a.test/ alice", "y.a.test/ alice"]


@pytest.mark.parametrize("rule", ["x.a.test", "*.a.test", "*.test"])
def test_a_host_of_the_file_is_taken(rule: str, caplog: pytest.LogCaptureFixture):
    world = World(routes=file_routes(rule))
    (answer,) = world.publish("alice", wanted("x.a.test"))
    assert (answer.code, answer.error) == ("host_taken", "x.a.test is taken; name another host")
    assert lines(caplog)[-1].endswith(f"x.a.test is taken: the file routes {rule}")


@pytest.mark.parametrize(
    ("host", "cluster", "code"),
    [
        ("x.both.test", "b", "host_taken"),
        ("x.both.test", "a", "host_taken"),
        ("*.both.test", "b", "host_taken"),
        ("*.both.test", "a", ""),
        ("y.both.test", "b", ""),
    ],
)
def test_hosts_that_are_learned(host: str, cluster: str, code: str):
    world = World()
    world.learn(host, cluster)
    assert world.refused("alice", wanted("x.both.test")) == [code]


def test_a_learned_route_that_no_token_covers_holds_nothing():
    world = World()
    world.learn("x.both.test", "b")
    world.apply(grants={b"a": GRANTS[b"a"]})
    assert world.refused("alice", wanted("x.both.test")) == [""]


def test_another_cluster_cannot_learn_a_published_host_but_its_own_can():
    world = World()
    world.publish("alice", wanted("x.both.test"))
    with pytest.raises(ClaimError, match=r"x\.both\.test belongs to another cluster"):
        world.learn("x.both.test", "b")
    world.learn("x.both.test", "a")
    world.learn("*.both.test", "b")
    assert world.refused("alice", wanted("x.both.test"), wanted("y.both.test")) == ["", "host_taken"]


def test_control_hosts_cannot_be_published():
    world = World(control_hosts=frozenset({"tunnel.a.test"}))
    assert world.refused("alice", wanted("tunnel.a.test")) == ["host_not_allowed"]


# --- bounds


def test_a_token_has_so_many_routes_over_all_its_agents():
    world = World()
    assert world.refused("bob", wanted("1.b.test"), wanted("2.b.test")) == ["", ""]
    answers = world.publish("bert", wanted("3.b.test"), wanted("4.b.test"), wanted("x.a.test"))
    assert [one.code for one in answers] == ["", "too_many_published", "host_not_allowed"]
    assert answers[1].error == "a token may have 3 published routes at once, over all its agents"
    assert world.refused("bob", wanted("1.b.test"), wanted("2.b.test"), wanted("5.b.test"))[2] == "too_many_published"
    world.publish("bob", wanted("1.b.test"))
    assert world.refused("bert", wanted("3.b.test"), wanted("4.b.test")) == ["", ""]
    assert len(world.set) == 3


def test_a_lower_bound_counts_from_the_next_message():
    world = World()
    routes = [wanted(f"{number}.b.test") for number in range(3)]
    world.publish("bob", *routes)
    world.apply(grants={b"b": replace(GRANTS[b"b"], max_published=2)})
    assert len(world.set) == 3
    assert world.refused("bob", *routes) == ["", "", "too_many_published"]


def test_the_gateway_has_a_bound_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "ROUTES_IN_ALL", 2)
    world = World()
    world.publish("bob", wanted("x.b.test"))
    (_, answer) = world.publish("alice", wanted("x.a.test"), wanted("y.a.test"))
    assert (answer.code, answer.error) == (
        "too_many_published", "the gateway has as many published routes as it may have",
    )  # fmt: skip


# --- links that come and go


def test_routes_outlive_their_link_for_a_minute():
    world = World()
    world.publish("alice", wanted("x.a.test"))
    world.lose("alice")
    world.passes(LINGER_SECONDS - 1)
    assert world.serves("x.a.test") == ["/ alice"]
    assert world.refused("anna", wanted("x.a.test")) == ["host_taken"]
    world.passes(1)
    assert world.set.of_host("x.a.test") is None
    assert world.told[-1] == "route_unpublished"
    gone = world.set.unpublished.of("x.a.test")
    assert gone is not None
    assert (gone.holder.agent_id, gone.at, gone.why) == ("alice", world.now, "its agent has been away for 60 s")
    assert world.refused("anna", wanted("x.a.test")) == [""]
    assert world.set.unpublished.of("x.a.test") is None
    assert repr(world.set.unpublished) == "<Latest 0 of at most 1000>"


def test_an_agent_that_comes_back_has_its_routes_at_once():
    world = World()
    world.publish("alice", wanted("x.a.test"))
    world.lose("alice")
    world.passes(LINGER_SECONDS - 1)
    world.reconnect("alice")
    assert world.refused("alice", wanted("x.a.test")) == [""]
    world.passes(LINGER_SECONDS)
    (one,) = world.set
    assert (one.holder.link_name, one.gone_at) == ("link-alice'", None)
    assert world.told == ["route_published"]


def test_another_agent_of_the_same_machine_has_what_one_that_is_away_left():
    """Somebody kills one command, and starts another one with one port more."""
    world = World()
    (given, _) = world.publish("alice", wanted(key="1"), wanted("x.a.test"), seed="s")
    assert [one.code for one in world.publish("anna", wanted("x.a.test"), seed="s")] == ["host_taken"]
    world.lose("alice")
    assert [one.code for one in world.publish("anna", wanted("x.a.test"), seed="t")] == ["host_taken"]
    again, named = world.publish("anna", wanted(key="1"), wanted("x.a.test"), seed="s")
    assert (again.host, named.code) == (given.host, "")
    assert {one.holder.agent_id for one in world.set} == {"anna"}
    assert world.publish("alice", wanted("x.a.test"), seed="s")[0].code == "host_taken"


def test_another_token_takes_nothing_that_was_left():
    world = World()
    world.publish("alice", wanted("x.both.test"), seed="s")
    world.lose("alice")
    assert world.publish("bob", wanted("x.both.test"), seed="s")[0].code == "host_taken"


def test_the_old_link_may_end_after_the_new_one_has_published():
    world = World()
    world.publish("alice", wanted("x.a.test"))
    old = world.links["alice"]
    world.reconnect("alice")
    world.publish("alice", wanted("x.a.test"))
    world.set.link_gone(old, world.now)
    world.passes(LINGER_SECONDS)
    assert world.known == ["x.a.test/ alice"]


def test_the_end_of_a_link_is_said_twice():
    world = World()
    world.publish("alice", wanted("x.a.test"))
    world.lose("alice")
    world.passes(30)
    world.lose("alice")
    world.passes(30)
    assert world.known == []
    world.lose("alice")


def test_an_agent_that_takes_its_routes_back_frees_them_at_once():
    world = World()
    world.publish("alice", wanted("x.a.test"))
    world.publish("alice")
    assert world.refused("anna", wanted("x.a.test")) == [""]


def test_an_agent_may_come_back_with_another_token():
    world = World()
    world.publish("alice", *(wanted(f"{number}.a.test") for number in range(3)))
    grants = {**GRANTS, b"new": Grant(("a",), hosts=("*.a.test",), max_published=2)}
    world.apply(grants=grants)
    world.links["alice"] = Holder("a", "alice", b"new", "link-9", "192.0.2.1")
    assert world.refused("alice", wanted("0.a.test"), wanted("1.a.test"), wanted("2.a.test")) == [
        "", "", "too_many_published",
    ]  # fmt: skip
    world.publish("anna", *(wanted(f"x{number}.a.test") for number in range(100)))
    assert len(world.set) == 102


def test_an_agent_whose_token_was_revoked_comes_back_with_another_one():
    world = World()
    world.publish("alice", wanted("x.a.test"))
    new = Grant(("a",), hosts=("*.a.test",))
    world.apply(grants={b"a": replace(GRANTS[b"a"], revoked=True), b"new": new})
    world.lose("alice")
    assert world.set.of_host("x.a.test") is None
    world.links["alice"] = Holder("a", "alice", b"new", "link-9", "192.0.2.1")
    assert world.refused("alice", wanted("x.a.test")) == [""]
    assert world.serves("x.a.test") == ["/ alice"]
