"""What became of requests, WebSockets and links; never how long it took."""

from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed

from tests.system.clients import websocket
from tests.system.harness import Stack
from tests.system.process import Process

WEBSOCKETS = 5
SILENT = "nothing received for"
"""Why a link is gone whose far end was noticed only by its silence."""


async def status(http: aiohttp.ClientSession, stack: Stack, name: str = "plain") -> int:
    """The status of one small request."""
    async with http.get(stack.url(name, "/small?n=1")) as answer:
        await answer.read()
    return answer.status


async def closing_after(stack: Stack, disturb: Callable[[], None]) -> list[int | None]:
    """The close codes of WEBSOCKETS open WebSockets, all of which `disturb` ends."""
    async with AsyncExitStack() as closing:
        urls = [stack.url("ws", "/echo", "ws")] * WEBSOCKETS
        clients = [await closing.enter_async_context(websocket(url)) for url in urls]
        for client in clients:
            await client.send("alive")
            assert await client.recv() == "alive"
        disturb()
        for client in clients:
            with pytest.raises(ConnectionClosed):
                await client.recv()
        return [client.close_code for client in clients]


def why_gone(gateway: Process) -> str:
    """The reason in the gateway's first line about a link that is gone, waiting for it."""
    return gateway.wait_line(" is gone: ").partition(" is gone: ")[2]


def positions(process: Process, needle: str) -> list[int]:
    """Where in a program's output the lines with `needle` stand, in order."""
    return [number for number, line in enumerate(process.output()) if needle in line]
