"""What takes too long is given up with 504; what only takes long, and moves, is not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from websockets.exceptions import InvalidStatus

from tests.system.clients import RawClient, http_client, websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(50), tunnel_only]

HEAD_SECONDS = 1.0
"""The default is a minute: with that a test would not end in its own time."""

Make = Callable[..., Stack]


@pytest.mark.parametrize(("accept", "kind"), [("application/json", "application/json"), ("text/html", "text/html")])
async def test_a_service_that_never_answers_is_a_504(own_stack: Make, accept: str, kind: str) -> None:
    stack = own_stack(response_head_timeout=HEAD_SECONDS).start()
    with RawClient(stack.address("plain")) as client:
        client.request("GET /never?id=slow HTTP/1.1", "plain", f"Accept: {accept}")
        answer = client.answer()
        assert answer.status == 504
        assert answer.one("content-type").startswith(kind)
        if kind == "application/json":
            assert json.loads(answer.body)["code"] == "service_too_slow"
    async with http_client() as http, http.get(stack.control("plain", "/left?id=slow")) as left:
        assert await left.read() == b"left"
    assert "limit timeout_head" in stack.gateway.wait_line("/never 504 in")


async def test_a_websocket_handshake_that_is_never_answered_is_a_504(own_stack: Make) -> None:
    stack = own_stack(upgrade_timeout=HEAD_SECONDS).start()
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(stack.url("plain", "/never?id=ws", "ws")):
            pass
    assert refused.value.response.status_code == 504
    assert "limit timeout_upgrade" in stack.gateway.wait_line("WS plain.")


async def test_an_upload_that_moves_may_last_longer_than_the_answers_deadline(own_stack: Make) -> None:
    stack = own_stack(response_head_timeout=HEAD_SECONDS).start()
    pieces = 10

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b"x" * 1000
            await asyncio.sleep(HEAD_SECONDS / 4)  # not to wait for something: the slow client itself

    async with http_client() as http, http.post(stack.url("plain", "/upload"), data=slow()) as answer:
        assert answer.status == 200
        assert (await answer.json())["length"] == pieces * 1000


async def test_an_answer_that_began_has_no_deadline(own_stack: Make) -> None:
    stack = own_stack(response_head_timeout=HEAD_SECONDS).start()
    async with http_client() as http:
        answer = await http.get(stack.url("plain", "/sse?channel=long"))
        await asyncio.sleep(HEAD_SECONDS * 2)  # not to wait for something: the silence itself
        async with http.post(stack.control("plain", "/sse/push?channel=long&data=late")) as pushed:
            assert pushed.status == 202
        assert await answer.content.readuntil(b"\n\n") == b"id: 1\ndata: late\n\n"
        answer.close()
