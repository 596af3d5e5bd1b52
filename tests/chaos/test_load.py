"""A 200 with anything but what was due is a wrong answer, and that includes nothing at all."""

import asyncio
from typing import Any, ClassVar, Self

import pytest

from tests.chaos.entries import Request
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load

pytestmark = pytest.mark.anyio


class Answering:
    """A session whose requests are all answered with this body, and the answer itself."""

    status = 200
    headers: ClassVar = {"X-Cluster": "c1", "X-Node": "a"}

    def __init__(self, body: bytes) -> None:
        self._body = body

    def get(self, _: str) -> Self:
        return self

    def post(self, _: str, *, data: bytes) -> Self:
        assert data
        return self

    async def read(self) -> bytes:
        return self._body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("ask", ["_get", "_post", "_slow_post", "_upload", "_download"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"id": "other"}'])
async def test_a_wrong_answer_is_found(ask: str, body: bytes):
    request = Request("r", "c1", 1.0, is_repeatable=False)
    ledger = Ledger()
    ledger.begin(request)
    ledger.arrived("r", "c1")
    session: Any = Answering(body)
    await getattr(Load(0, ledger, asyncio.Event()), ask)(session, request)
    request.ended = 2.0
    assert ledger.violations() == ["r: a wrong answer"]


async def test_the_right_one_is_none():
    request = Request("r", "c1", 1.0, is_repeatable=True)
    session: Any = Answering(b'{"id": "r"}')
    await Load(0, Ledger(), asyncio.Event())._get(session, request)
    assert (request.is_right, request.is_good) == (True, True)
