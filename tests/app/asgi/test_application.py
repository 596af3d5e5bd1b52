"""Calls for routed hosts go past the middleware stack. Everything else sees Starlette, and so does an inspector."""

import dataclasses

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from app.asgi.endpoints import RoutedHosts
from app.public import routed
from tests.app.stage import HOST, Stage
from tests.fakes.asgi import Request, scope_of
from tests.fakes.loop import dialogue, quiet


class Counted:
    """A middleware that counts the calls through it."""

    calls = 0

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        Counted.calls += 1
        await self.app(scope, receive, send)


@dialogue
async def test_routed_hosts_pass_the_middleware_by():
    async with Stage() as s:
        assert isinstance(s.app, Starlette)
        s.app.add_middleware(Counted)
        Counted.calls = 0
        answered = Request(s.app, target="/healthz", host="other.test").start()
        await answered.over()
        assert (answered.status, Counted.calls) == (200, 1)
        carried = Request(s.app, target="/healthz", host=HOST).start()
        await quiet()
        s.exchange.answer(204)
        s.exchange.finish()
        await carried.over()
        assert (carried.status, Counted.calls) == (204, 1)


@dialogue
async def test_the_routes_are_real_ones():
    async with Stage() as s:
        assert isinstance(s.app, Starlette)
        assert isinstance(s.app.routes[0], RoutedHosts)
        assert {getattr(route, "path", None) for route in s.app.routes} >= {"/healthz", "/readyz"}


@dialogue
async def test_a_bug_before_the_answer_is_an_error_page_and_reaches_the_server(monkeypatch: pytest.MonkeyPatch):
    async with Stage() as s:

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(routed.HttpCall, "begin", fail)
        request = Request(s.app, host=HOST).start()
        with pytest.raises(RuntimeError, match="a bug"):
            await request.over()
        assert (request.status, b"internal_error" in request.answer) == (500, True)


@dialogue
async def test_a_known_host_is_checked_again_once_it_is_not_routed():
    async with Stage() as s:
        route = RoutedHosts(s.gateway)
        scope = scope_of("http", "/", host=f"{HOST.upper()}.:80")
        assert route.routes_for(scope) == route.routes_for(scope) == s.gateway.routes_of(HOST)
        s.gateway.apply(dataclasses.replace(s.gateway.settings, control_hosts=frozenset({HOST})))
        assert route.routes_for(scope) is None


@pytest.mark.parametrize(
    ("method", "target", "extra", "status"),
    [
        ("GET", "/", [], 204),
        ("GET", "*", [], 400),
        ("OPTIONS", "*", [], 204),
        ("GET", "/", [(b"host", b"second.test")], 400),
        ("TRACE", "/", [], 501),
        ("GET", "/", [(b"connection", b"upgrade"), (b"upgrade", b"websocket")], 501),
    ],
)
@dialogue
async def test_a_request_of_a_known_host_is_checked_as_its_first(
    method: str, target: str, extra: list[tuple[bytes, bytes]], status: int
):
    async with Stage() as s:
        answers = []
        for number in range(4):
            asked = Request(s.app) if number % 2 else Request(s.app, method, target, headers=extra)
            asked.start()
            await quiet()
            if not asked.status:  # a refusal came at once
                s.link.exchanges[-1].answer(204)
                s.link.exchanges[-1].finish()
            await asked.over()
            answers.append(asked.status)
        assert answers == [status, 204] * 2
