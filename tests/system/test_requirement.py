"""The original requirement's own tests, its parts 10.2 and 10.3, over each dialect; 10.1 is `test_is_websocket_upgrade`
in tests/app/public/test_header_rules.py.
"""

import asyncio
from collections.abc import Callable

import pytest

from tests.system.clients import websocket
from tests.system.conftest import tunnel_only
from tests.system.harness import Stack

pytestmark = [pytest.mark.anyio, tunnel_only]

CONNECTIONS = 100
MESSAGES = 10


@pytest.fixture(params=["yamux", "json", "chunk"])
def stack(own_stack: Callable[..., Stack], request: pytest.FixtureRequest) -> Stack:
    stack = own_stack()
    stack.dialect = request.param
    return stack.start()


async def test_websocket_proxy(stack: Stack) -> None:
    """10.2: a message goes to the service, and its answer comes back."""
    async with websocket(stack.url("ws", "/echo", "ws")) as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def test_websocket_concurrency(stack: Stack) -> None:
    """10.3: a hundred connections, ten messages each; each gets its own back."""

    async def talk(number: int) -> None:
        async with websocket(stack.url("ws", "/echo", "ws")) as client:
            for turn in range(MESSAGES):
                message = f"conn-{number}-msg-{turn}"
                await client.send(message)
                assert await client.recv() == message

    await asyncio.gather(*(talk(number) for number in range(CONNECTIONS)))
