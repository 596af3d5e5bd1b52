"""An application that is made when a server asks for it, in either of the two ways in which servers ask."""

import inspect
from types import ModuleType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from app.asgi import on_demand
from tests.fakes.asgi import Request
from tests.fakes.loop import dialogue


async def say_made(_: HttpRequest) -> PlainTextResponse:
    return PlainTextResponse("made")


class Maker:
    """Makes the application, or fails as a wrong configuration does."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = False

    def __call__(self) -> Starlette:
        self.calls += 1
        if self.fails:
            raise SystemExit(2)
        return Starlette(routes=[Route("/", say_made)])


def provided() -> tuple[ModuleType, Maker]:
    module, maker = ModuleType("made_up"), Maker()
    on_demand.provide(module, "app", maker)
    return module, maker


def evaluated(module: ModuleType) -> Any:
    """What hypercorn finds."""
    return eval("app", vars(module))


def is_asgi(app: Any) -> bool:
    """hypercorn's question."""
    return callable(app) and inspect.iscoroutinefunction(app.__call__)


def test_nothing_is_made_before_it_is_asked_for():
    module, maker = provided()
    assert "app" in vars(module)
    assert evaluated(module) is not None
    assert maker.calls == 0


def test_it_is_made_once_and_both_ways_lead_to_it():
    module, maker = provided()
    asked_before = evaluated(module)
    assert isinstance(module.app, Starlette)
    assert module.app is module.app is evaluated(module)
    assert is_asgi(asked_before)
    assert maker.calls == 1


@dialogue
async def test_what_stands_in_for_it_serves():
    module, maker = provided()
    app = evaluated(module)
    assert is_asgi(app)
    assert maker.calls == 1, "made when the server looks at it, before it listens"
    request = await Request(app, target="/").start().over()
    assert (request.status, request.answer) == (200, b"made")
    assert maker.calls == 1


def test_a_failure_ends_either_way_of_asking_and_is_tried_again():
    module, maker = provided()
    maker.fails = True
    with pytest.raises(SystemExit):
        _ = module.app
    with pytest.raises(SystemExit):
        is_asgi(evaluated(module))
    maker.fails = False
    assert isinstance(module.app, Starlette)
    assert maker.calls == 3


def test_other_names_are_as_they_were():
    module, _ = provided()
    module.other = 1  # type: ignore[attr-defined]
    assert module.other == 1
    with pytest.raises(AttributeError):
        _ = module.absent
