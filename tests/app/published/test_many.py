"""A hundred routes at once, and hosts that another agent leaves: what is said of them, and how they count."""

import pytest

from tests.app.published.world import World, lines, wanted


def test_of_many_refusals_in_one_message_a_few_are_said(caplog: pytest.LogCaptureFixture):
    world = World()
    for first in (0, 100):
        world.publish("bob", *(wanted(f"{number}.a.test") for number in range(first, first + 100)))
    assert len(lines(caplog, "rejected")) == 12
    assert lines(caplog)[5] == "95 more routes of agent bob of cluster b (link-bob from 192.0.2.1) rejected"
    assert world.told == 2 * [*["route_refused host_not_allowed"] * 5, "route_refused"]
    assert (len(world.set.refusals), world.set.refused) == (200, {"host_not_allowed": 200})


def test_hosts_that_are_taken_over_do_not_count_twice():
    world = World()
    world.publish("bob", wanted("1.b.test"), wanted("1.b.test", "/app"), wanted("2.b.test"), seed="same")
    world.lose("bob")
    routes = (wanted("1.b.test", "/new"), wanted("1.b.test", "/newer"), wanted("3.b.test"), wanted("2.b.test"))
    answers = world.publish("bert", *routes, seed="same")
    assert [answer.code for answer in answers] == ["", "", "too_many_published", ""]
    assert world.known == ["1.b.test/new bert", "1.b.test/newer bert", "2.b.test/ bert"]


def test_one_line_says_that_an_agents_hosts_were_taken_over(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    world = World()
    routes = [wanted(f"{number}.a.test") for number in range(100)]
    world.publish("alice", *routes, seed="same")
    world.lose("alice")
    assert {answer.code for answer in world.publish("anna", *routes[1:], seed="same")} == {""}
    assert len(lines(caplog, "took it over")) == 1
    assert world.told == ["route_published", "route_unpublished", "route_published"]
    assert world.serves("0.a.test") == ["/ alice"]
    assert {tuple(world.serves(f"{number}.a.test")) for number in range(1, 100)} == {("/ anna",)}
