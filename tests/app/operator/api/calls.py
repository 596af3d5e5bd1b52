"""Requests to the operator's API of a stage, with the admin token."""

import json
from collections.abc import AsyncIterator
from typing import Any

from app.settings import token_hash
from tests.app.stage import Stage
from tests.fakes.asgi import Pairs, Request

TOKEN = "the-admin-token-of-these-tests"
BEARER: Pairs = [(b"authorization", f"Bearer {TOKEN}".encode())]


def stage(links: int = 0, **settings: Any) -> Stage:
    return Stage(links, **{"admin_token_hash": token_hash(TOKEN), **settings})


def request(stage: Stage, target: str, method: str = "GET", headers: Pairs | None = None) -> Request:
    """A request on its way."""
    made = Request(stage.app, method, target, host="localhost", headers=[*BEARER, *(headers or [])])
    made.body()
    return made.start()


async def ask(stage: Stage, target: str, method: str = "GET", headers: Pairs | None = None) -> tuple[int, Any]:
    """Status and JSON of the answer."""
    answered = await request(stage, target, method, headers).over()
    assert answered.header(b"content-type") == b"application/json"
    assert answered.header(b"cache-control") == b"no-store"
    assert answered.answer.endswith(b"\n")
    return answered.status, json.loads(answered.answer)


async def told(stage: Stage, target: str, method: str = "GET") -> Any:
    """JSON of an answer that is no error."""
    status, body = await ask(stage, target, method)
    assert status < 300, body
    return body


async def pages_of(stage: Stage, target: str) -> AsyncIterator[Any]:
    """All pages of a list, the first first. `target`: with a query."""
    cursor: str | None = ""
    while cursor is not None:
        page = await told(stage, target + cursor)
        yield page
        cursor = f"&after={page['next']}" if page["next"] else None


def names(page: Any) -> list[str]:
    """Host and path of each route on a page."""
    return [route["host"] + route["path"] for route in page["routes"]]
