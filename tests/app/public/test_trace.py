"""TRACE, which shows its sender what the gateway adds: refused at both doors unless the route allows it."""

from app.rules.policy import HeaderChanges, Policy
from app.rules.routes import Route, RouteTable
from tests.app.server.door_stage import Front, Visitor
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet

SECRET = HeaderChanges([(b"x-secret", b"s3")], frozenset())


@dialogue
async def test_refused_at_the_asgi_door():
    async with Stage(request_headers=SECRET) as s:
        request = await Request(s.app, method="TRACE").start().over()
        assert request.status == 501
        assert s.link.exchanges == []


@dialogue
async def test_refused_at_our_own_door():
    async with Stage(request_headers=SECRET) as s:
        with Visitor(Front(s)) as visitor:
            visitor.ask(method="TRACE")
            await quiet()
            assert visitor.status == 501
            assert s.link.exchanges == []


@dialogue
async def test_allowed_where_the_route_says_so():
    async with Stage(request_headers=SECRET, allow_trace=True) as s:
        request = Request(s.app, method="TRACE").start()
        with Visitor(Front(s)) as visitor:
            visitor.ask(method="TRACE")
            await quiet()
            assert [exchange.head.method for exchange in s.link.exchanges] == [b"TRACE", b"TRACE"]
            for exchange in s.link.exchanges:
                assert (b"x-secret", b"s3") in exchange.head.headers
                exchange.whole(b"what came")
            await request.over()
            assert (request.status, visitor.status) == (200, 200)


@dialogue
async def test_what_another_route_allows_is_refused_here():
    async with Stage(routes=RouteTable([
        Route(HOST, b"/", TARGET, Policy()), Route(HOST, b"/shown", TARGET, Policy(allow_trace=True)),
    ])) as s:  # fmt: skip
        with Visitor(Front(s)) as visitor:
            visitor.ask("/hidden", method="TRACE")
            await quiet()
            assert visitor.status == 501
        with Visitor(Front(s)) as visitor:
            visitor.ask("/shown", method="TRACE")
            assert [exchange.head.target for exchange in s.link.exchanges] == [b"/shown"]
