"""How many links there may be, of a cluster and of a token: the next one is turned away, and others are not."""

import asyncio
import json

import pytest

from app.node.seats import Seats
from app.rules.routes import Route, RouteTable
from app.settings import Grant, Settings, token_hash
from tests.app.agents.dial import GRANTS, Dial, stage, text
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.growth import FACTOR, calls_of, grows_linearly
from tests.fakes.link import TARGET, FakeLink
from tests.fakes.loop import dialogue, quiet
from tunnel.gateway.registry import Registry

WS = "/ws?cluster_uuid={}&supports_yamux=true"
OTHERS = {**GRANTS, token_hash("second"): Grant(("c1",)), token_hash("other"): Grant(("c9",))}


async def leave(stage: Stage, *dials: Dial) -> None:
    for dial in dials:
        dial.leave()
        await dial.over()
    assert repr(stage.gateway.seats) == "<Seats 0 of clusters, 0 of tokens>"


@pytest.mark.parametrize("endpoint", [WS.format("c1"), "/agent"])
@pytest.mark.parametrize("key", ["max_links_per_cluster", "max_links_per_token"])
@dialogue
async def test_one_link_too_many_is_503_and_warned_of(endpoint: str, key: str, caplog: pytest.LogCaptureFixture):
    async with stage(grants=OTHERS, **{key: 2}) as s:
        dials = [Dial(s, endpoint) for _ in range(2)]
        await quiet()
        refused = await Dial(s, endpoint).over()
        assert refused.refusal is not None
        assert refused.refusal[0] == 503
        assert json.loads(refused.refusal[2])["code"] == "too_many_links"
        warning = f"agent from 203.0.113.9 refused with 503: too many links: {key} is 2"
        assert [record.levelname for record in caplog.records if record.getMessage().startswith(warning)] == ["WARNING"]
        other = Dial(s, WS.format("c9"), "other")  # another tenant's agent is let in
        await quiet()
        assert other.accepted is not None
        dials[0].leave()
        await dials[0].over()
        again = Dial(s, endpoint)
        await quiet()
        assert again.accepted is not None
        await leave(s, dials[1], other, again)


@dialogue
async def test_two_tokens_of_a_cluster_share_its_links():
    async with stage(grants=OTHERS, max_links_per_cluster=1) as s:
        dial = Dial(s, WS.format("c1"))
        await quiet()
        refused = await Dial(s, WS.format("c1"), "second").over()
        assert refused.refusal is not None
        await leave(s, dial)


@dialogue
async def test_a_cluster_that_is_named_late_is_counted_too(caplog: pytest.LogCaptureFixture):
    async with stage(max_links_per_cluster=1) as s:
        first, late = Dial(s, WS.format("c1")), Dial(s, "/agent", "wide")
        await quiet()
        late.say(text("register", {"agent_id": "a1", "cluster_id": "c1", "features": {"supports_yamux": True}}))
        await late.over()
        assert late.closed == (1013, "too_many_links")
        assert "closed with 1013: too many links: max_links_per_cluster is 1, and cluster c1 has as many" in caplog.text
        await leave(s, first)


@dialogue
async def test_an_agent_that_stays_at_the_controller_socket_is_counted():
    async with stage(max_links_per_token=1) as s:
        first = Dial(s, WS.format("c1"))
        stays = Dial(s, "/api/v1/clusters/agent/ws")
        await quiet()
        assert stays.accepted is not None  # registering is not staying
        stays.say(text("register", {"agent_id": "a1", "cluster_id": "c1"}))
        await quiet()
        assert stays.kinds == ["register_success"]
        stays.say(text("heartbeat", {"agent_id": "a1"}))
        await stays.over()
        assert stays.closed == (1013, "too_many_links")
        await leave(s, first)


@dialogue
async def test_while_an_agent_dials_without_end_another_tenants_requests_go_on():
    routes = RouteTable([Route("app.example.test", b"/", TARGET)])
    async with stage(grants=OTHERS, routes=routes) as s:
        link = FakeLink()
        s.gateway.registry.add(link)  # type: ignore[arg-type]
        dials = []
        for number in range(600):
            dials.append(Dial(s, WS.format("c9"), "other"))
            if number % 20 == 0:
                request = Request(s.app, "GET", "/", host="app.example.test")
                request.body()
                request.start()
                turns = 0
                while not request.is_over:
                    await asyncio.sleep(0)
                    turns += 1
                    assert turns < 20
                    if link.exchanges[number // 20 :] and not request.sent:
                        link.exchanges[-1].answer(200)
                        link.exchanges[-1].finish()
                assert request.status == 200
        await quiet()
        accepted = [dial for dial in dials if dial.accepted is not None]
        assert len(accepted) == len(s.gateway.registry.links("c9")) == Settings().max_links_per_cluster
        await leave(s, *accepted)


def test_a_seat_is_given_back_once():
    seats, settings = Seats(), Settings(max_links_per_cluster=1)
    seat = seats.take(settings, token=b"t", cluster="c")
    assert not isinstance(seat, str)
    assert repr(seats) == "<Seats 1 of clusters, 1 of tokens>"
    assert isinstance(seats.take(settings, token=b"t", cluster="c"), str)
    assert repr(seats) == "<Seats 1 of clusters, 1 of tokens>"  # who is refused has taken none
    seat.release()
    seat.release()
    assert repr(seats) == "<Seats 0 of clusters, 0 of tokens>"


class Doubted(FakeLink):
    """In doubt from the moment on at which it is doubted."""

    def doubt(self) -> None:
        self.suspect = True


def test_links_that_do_not_name_themselves_are_doubted_once_each():
    """Each newcomer puts the older ones in doubt; who is in doubt already is not asked again."""

    def cost(links: int) -> int:
        registry = Registry(clock=lambda: 0.0)
        newcomers = [Doubted(agent_id=None) for _ in range(links)]
        return calls_of(lambda: [registry.add(link) for link in newcomers])  # type: ignore[arg-type]

    assert grows_linearly(cost(50), cost(50 * FACTOR))
