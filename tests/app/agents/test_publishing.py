"""An agent that publishes: how it registers, what it says over its link and is told, and what its end leaves."""

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from app.agents.publishing import Publishing
from app.asgi.reading import read_scope
from app.node.turns import Turns
from app.settings import token_hash
from tests.app.agents.dial import Dial, text
from tests.app.agents.publisher import GRANT, HOST, TOKEN, Publisher, route, stage
from tests.fakes.asgi import scope_of
from tests.fakes.loop import dialogue, quiet
from tests.fakes.sink import FakeSink
from tunnel.gateway.link import LinkState
from tunnel.port import RequestHead, Target
from tunnel.wire import publishing


@dialogue
async def test_it_registers_publishes_and_leaves():
    async with stage(public_url="https://gw.test:8443") as s:
        publisher = await Publisher(s).register()
        assert publisher.told[0]["payload"]["publishes"] is True
        link = publisher.link
        assert (link.cluster, link.agent_id, link.publisher, link.state) == ("c1", "p1", "p1", LinkState.READY)
        await publisher.publish(route(), route("no.test", key="2"), request_id="p7")
        ((request_id, answer),) = publisher.answers()
        assert request_id == "p7"
        mine, refused = answer["routes"]
        assert mine == {
            "key": "5173", "host": HOST, "path": "/", "url": f"https://{HOST}:8443/", "code": "", "error": "",
        }  # fmt: skip
        assert (refused["key"], refused["code"]) == ("2", "host_not_allowed")
        (found,) = s.gateway.routes_of(HOST) or []
        assert found.target.pool == ("c1", "p1")
        await publisher.go()
        assert publisher.hosts() == [HOST], "it may come back"
        await asyncio.sleep(61)
        assert publisher.hosts() == []
        assert not s.gateway.registry._pools


@dialogue
async def test_what_it_publishes_replaces_what_it_had():
    async with stage() as s:
        publisher = await Publisher(s).register()
        for hosts in (["a.dev.test", "b.dev.test"], ["b.dev.test", "one.test"], []):
            await publisher.publish(*[route(host, key=host) for host in hosts])
            assert sorted(publisher.hosts()) == sorted(hosts)
            await asyncio.sleep(1)
        await publisher.go()


@dialogue
async def test_an_agent_that_does_not_ask_for_it_may_not():
    async with stage() as s:
        agent = Dial(s, "/agent")
        agent.say(text("register", {"agent_id": "a1", "features": {"supports_yamux": True}}, "r1"))
        agent.say(text("publish", {"routes": [route()], "name_seed": "seed"}, "p1"))
        await quiet()
        assert agent.kinds == ["register_success", "gateway_hello", "error"]
        assert "publishes" not in agent.told[0]["payload"]
        assert agent.told[2]["request_id"] == "p1"
        assert "without features.publishes" in agent.told[2]["payload"]["error"]
        assert not len(s.gateway.published)
        (link,) = s.gateway.registry.links("c1")
        assert link.publisher == ""
        agent.leave()
        await agent.over()


@pytest.mark.parametrize(
    ("token", "register", "why"),
    [
        (TOKEN, {"agent_id": ""}, "an agent that publishes has to name itself: agent_id is empty"),
        (TOKEN, {"cluster_id": "c2"}, "this token does not serve cluster 'c2'"),
        ("wide", {}, "this token does not serve cluster ''"),
    ],
)
@dialogue
async def test_it_is_turned_away(token: str, register: dict[str, str], why: str):
    async with stage() as s:
        publisher = await Publisher(s, token).register(**register)
        await publisher.over()
        assert publisher.kinds == ["error"]
        assert publisher.told[0]["payload"]["error"] == why
        assert publisher.closed == (1008, why)
        assert repr(s.gateway.seats) == "<Seats 0 of clusters, 0 of tokens>"


# --- its messages


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"routes": []},
        {"name_seed": "seed"},
        {"routes": {}, "name_seed": "seed"},
        {"routes": [{}], "name_seed": "seed"},
        {"routes": [route(key="")], "name_seed": "seed"},
        {"routes": [route(key="ä")], "name_seed": "seed"},
        {"routes": [route(port="5173")], "name_seed": "seed"},
        {"routes": [route()] * 101, "name_seed": "seed"},
        {"routes": [route()], "name_seed": "s" * 129},
        {"routes": [route()], "name_seed": "seed", "watch": "yes"},
    ],
)
@dialogue
async def test_a_message_that_cannot_be_read_changes_nothing_and_the_link_goes_on(payload: dict[str, Any]):
    async with stage() as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        await asyncio.sleep(1)
        publisher.say(text("publish", payload, "bad"))
        await quiet()
        ((request_id, notice),) = publisher.answers("error")
        assert request_id == "bad"
        assert notice["error"].startswith("bad publish payload: ")
        assert publisher.hosts() == [HOST]
        await asyncio.sleep(1)
        await publisher.publish(request_id="good")
        assert publisher.answers()[-1] == ("good", {"routes": []})
        assert publisher.hosts() == []
        assert publisher.link.available
        await publisher.go()


@dialogue
async def test_a_message_that_is_too_long_is_not_kept():
    """Not even until its turn: a token may have hundreds of links."""
    async with stage() as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        publisher.say(text("publish", {"routes": [], "name_seed": "s", "more": "x" * publishing.MOST_BYTES}, "long"))
        await quiet()
        ((request_id, notice),) = publisher.answers("error")
        assert request_id == "long"
        assert notice["error"].endswith(f" bytes; send {publishing.MOST_BYTES} at most")
        await asyncio.sleep(2)
        assert publisher.hosts() == [HOST]
        assert len(publisher.answers("error")) == 1
        await publisher.go()


@dialogue
async def test_what_is_kept_until_its_turn_is_counted_and_no_more_is_kept():
    async with stage() as s:
        account, publisher = s.gateway.account, await Publisher(s).register()
        await publisher.publish(route())
        assert account.held_bytes == 0
        other = {"type": "publish", "request_id": "r" * 10_000, "beside": "x" * 100_000}
        message = json.dumps(other | {"payload": {"routes": [route("two.dev.test")], "name_seed": "s" * 100}})
        holders = sys.getrefcount(message)
        publisher.link.text_received(message)
        assert 100 < account.held_bytes < 500
        assert sys.getrefcount(message) == holders, "what stands beside the payload is not kept"
        await asyncio.sleep(1)
        assert publisher.hosts() == ["two.dev.test"]
        assert account.held_bytes == 0
        publisher.link.text_received(message)
        assert account.held_bytes > 0
        await publisher.go()
        assert account.held_bytes == 0


@dialogue
async def test_where_many_publish_at_once_they_take_turns():
    async with stage() as s:
        spent = 0.0

        def clock() -> float:  # each look takes 10 ms, and so does each message
            nonlocal spent
            spent += 0.01
            return asyncio.get_running_loop().time() + spent

        s.gateway.turns = Turns(clock)
        publishers = [await Publisher(s, agent_id=f"p{number}").register() for number in range(5)]
        for number, publisher in enumerate(publishers):
            await publisher.publish(route(f"h{number}.dev.test"))
        assert publishers[0].hosts() == ["h0.dev.test"]
        await publishers[1].publish(route("newest.dev.test"))
        await publishers[2].go()  # what it said last still counts
        assert sorted(publishers[0].hosts()) == ["h0.dev.test", "h2.dev.test"]
        await asyncio.sleep(1)
        assert sorted(publishers[0].hosts()) == [
            "h0.dev.test",
            *(f"h{n}.dev.test" for n in (2, 3, 4)),
            "newest.dev.test",
        ]
        assert [len(publisher.answers()) for publisher in publishers] == [1, 1, 0, 1, 1]
        for publisher in publishers[:2] + publishers[3:]:
            await publisher.go()
        assert repr(s.gateway.turns) == "<Turns 0 waiting>"


@dialogue
async def test_of_those_that_come_within_a_second_the_newest_counts_a_second_later():
    async with stage() as s:
        publisher = await Publisher(s).register()
        for number in range(5):
            await publisher.publish(route(f"h{number}.dev.test"), request_id=str(number))
        assert [request_id for request_id, _ in publisher.answers()] == ["0"]
        assert publisher.hosts() == ["h0.dev.test"]
        await asyncio.sleep(0.99)
        assert len(publisher.answers()) == 1
        await asyncio.sleep(0.02)
        assert [request_id for request_id, _ in publisher.answers()] == ["0", "4"]
        assert publisher.hosts() == ["h4.dev.test"]
        await publisher.publish(route("h5.dev.test"), request_id="5")
        assert len(publisher.answers()) == 2, "the second begins anew"
        await publisher.go()


@dialogue
async def test_what_it_said_last_counts_though_its_link_ends_within_the_second():
    """An agent that is stopped right after it began takes its routes back, and goes."""
    async with stage() as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        await publisher.publish()
        assert publisher.hosts() == [HOST]
        await publisher.go(1000)
        assert publisher.hosts() == []


@dialogue
async def test_a_token_that_has_lost_its_cluster_meanwhile_publishes_nothing():
    async with stage() as s:
        publisher = await Publisher(s).register()
        for grants in ({}, {token_hash(TOKEN): replace(GRANT, clusters=("c2",))}):
            s.gateway.apply(replace(s.gateway.settings, grants=grants))
            await publisher.publish(route())
            await asyncio.sleep(1)
            assert publisher.hosts() == []
        texts = {notice["error"] for _, notice in publisher.answers("error")}
        assert texts == {"the token of this agent is no longer accepted for its cluster"}
        assert len(publisher.answers("error")) == 2
        await publisher.go()


class BugError(Exception):
    """Ours."""


@pytest.mark.parametrize("when", ["at once", "later", "at its end"])
@dialogue
async def test_a_bug_ends_only_its_own_link_and_leaves_nothing_behind(when: str, monkeypatch: pytest.MonkeyPatch):
    async with stage() as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route())
        if when == "at once":
            await asyncio.sleep(1)

        def broken(*_: object, **__: object) -> None:
            raise BugError

        monkeypatch.setattr(type(s.gateway.published), "publish", broken)
        stream = publisher.link.upstream(Target("c1", "published", "localhost", 5173, publisher="p1"))
        sink = FakeSink()
        stream.open(RequestHead(b"GET", b"/", [], 0), sink, False)
        await publisher.publish(route("two.dev.test"))
        if when == "at its end":
            await publisher.go()
        else:
            await asyncio.sleep(1)
            await publisher.over()
            assert publisher.closed == (1011, "internal error")
        assert sink.error is not None, "its exchanges have ended with it"
        assert publisher.hosts() == [HOST]
        await asyncio.sleep(61)
        assert publisher.hosts() == [], "it lingered, as when any link ends"


@dialogue
async def test_a_long_request_id_is_not_sent_back():
    async with stage() as s:
        publisher = await Publisher(s).register()
        await publisher.publish(route(), request_id="r" * 1000)
        assert publisher.answers()[0][0] is None
        await publisher.go()


@pytest.mark.parametrize(
    ("public_url", "scope", "url"),
    [
        ("https://gw.test", {"host": "inside:8080"}, "https://me.dev.test/"),
        ("HTTPS://gw.test:8443/prefix", {}, "https://me.dev.test:8443/"),
        (None, {"host": "localhost:8080"}, "http://me.dev.test:8080/"),
        (None, {"host": "localhost", "scheme": "wss"}, "https://me.dev.test/"),
        (None, {"host": "[::1]:8080"}, "http://me.dev.test:8080/"),
        (None, {"host": "localhost:99999"}, "http://me.dev.test/"),
        (None, {"host": None}, "http://me.dev.test/"),
    ],
)
@dialogue
async def test_where_its_routes_are_reached(public_url: str | None, scope: dict[str, Any], url: str):
    async with stage(public_url=public_url) as s:
        publisher = await Publisher(s).register()
        handshake = read_scope(scope_of("websocket", "/agent", **scope), None)
        publisher.link.on_publish = Publishing(s.gateway, publisher.link, handshake).told
        await publisher.publish(route())
        assert publisher.answers()[0][1]["routes"][0]["url"] == url
        await publisher.go()
