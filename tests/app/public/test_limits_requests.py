"""`max_requests_per_client`: so many requests of a client run at once, whichever door they come through."""

import asyncio
import json

import pytest

from app.rules.policy import Policy
from app.rules.routes import Route, RouteTable
from tests.app.public.limits import Lines, hits
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet
from tunnel.errors import ServiceBrokeOffError


async def asked(stage: Stage, **scope: object) -> Request:
    request = Request(stage.app, **scope).start()  # type: ignore[arg-type]
    await quiet()
    return request


async def answered(stage: Stage, *requests: Request) -> None:
    for exchange in stage.link.exchanges:
        if not exchange._told_end and not exchange.resets:
            exchange.answer(200)
            exchange.finish()
    for request in requests:
        await request.over()
        assert request.status == 200


@dialogue
async def test_so_many_of_a_client_and_no_more(caplog: pytest.LogCaptureFixture):
    lines = Lines(caplog)
    async with Stage(max_requests_per_client=2) as s:
        first, second = await asked(s), await asked(s)
        refused = await (await asked(s)).over()
        assert (refused.status, refused.header(b"retry-after")) == (429, b"2")
        assert json.loads(refused.answer)["code"] == "too_many_requests_of_client"
        assert hits(s) == {"requests_client": 1}
        line = lines.last
        assert (line["status"], line["outcome"], line["limit"]) == (
            429, "too_many_requests_of_client", "requests_client",
        )  # fmt: skip
        stranger = await asked(s, client=("203.0.113.10", 1))
        assert not stranger.is_over
        await answered(s, first, second, stranger)
        third = await asked(s)
        await answered(s, third)


@pytest.mark.parametrize("how", ["answered", "left", "broken off", "relieved"])
@dialogue
async def test_the_count_goes_down_however_it_ended(how: str):
    async with Stage(max_requests_per_client=1) as s:
        request = await asked(s)
        exchange = s.exchange
        if how == "left":
            request.leave()
            await asyncio.sleep(1.0)  # until the door looks whether it left
        elif how == "broken off":
            exchange.fail(ServiceBrokeOffError("gone"))
        elif how == "relieved":
            (call,) = s.gateway.exchanges
            call.relieve()  # type: ignore[call-arg]
        else:
            exchange.answer(200)
            exchange.finish()
        await request.over()
        again = await asked(s)
        assert not again.is_over
        await answered(s, again)


@dialogue
async def test_only_routes_with_a_limit_count():
    free, bounded = Policy(), Policy(max_requests_per_client=1)
    routes = RouteTable([Route(HOST, b"/", TARGET, free), Route(HOST, b"/few", TARGET, bounded)])
    async with Stage(routes=routes) as s:
        many = [await asked(s) for _ in range(5)]
        one = await asked(s, target="/few")
        assert (await (await asked(s, target="/few")).over()).status == 429
        await answered(s, *many, one)


@dialogue
async def test_at_the_door_of_our_own_too():
    async with Stage(max_requests_per_client=1) as s:
        front = Front(s)
        with Visitor(front) as first, Visitor(front) as second:
            first.ask()
            second.ask()
            await quiet()
            assert second.status == 429
            s.exchange.answer(200, [(b"content-length", b"0")])
            s.exchange.finish()
            await quiet()
            second.ask()
            await quiet()
            assert len(s.link.exchanges) == 2
