"""A host above 253 characters is a 400 before anything looks at it, under any server."""

import json

import pytest

from app.rules import routes
from app.rules.hosts import HOST_CHARACTERS
from app.rules.routes import Route, RouteTable
from tests.app.stage import Stage
from tests.fakes.asgi import Request
from tests.fakes.link import TARGET
from tests.fakes.loop import dialogue, quiet

TABLE = RouteTable([Route("*.example.test", b"/", TARGET), Route("app.example.test", b"/", TARGET)])
LABELS = "a." * 60_000 + "example.test"


def deliver(stage: Stage) -> None:
    stage.exchange.answer(200)
    stage.exchange.bring(b"fine")
    stage.exchange.finish()


@pytest.mark.parametrize("host", [LABELS, "a" * 60_000, "a." * 122 + "example.test", LABELS + ":8080", "[" * 300])
@dialogue
async def test_a_host_above_the_limit_is_400_and_others_go_on(host: str):
    async with Stage(routes=TABLE) as s:
        other = Request(s.app, "GET", "/", host="app.example.test")
        other.body()
        other.start()
        await quiet()
        looked_at: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(routes.HostIndex, "of_host", lambda _, name: looked_at.append(name))
            request = Request(s.app, "GET", "/", host=host)
            request.body()
            await request.start().over()
        assert request.status == 400
        assert json.loads(request.answer)["code"] == "bad_request"
        assert looked_at == []
        deliver(s)
        await other.over()
        assert (other.status, other.answer) == (200, b"fine")


@dialogue
async def test_the_longest_host_is_carried():
    name = "a." * 120 + "b.example.test"
    assert 250 < len(name) <= HOST_CHARACTERS + 1
    name = name[-HOST_CHARACTERS:].lstrip(".")
    async with Stage(routes=TABLE) as s:
        request = Request(s.app, "GET", "/", host=f"{name}.:8080")
        request.body()
        request.start()
        await quiet()
        deliver(s)
        await request.over()
        assert request.status == 200
