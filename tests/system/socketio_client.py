"""The public side of Socket.IO: Python's client on one of its transports, with the quirks of that client kept away.

Those are: a poll that is left unread at the end (a warning of aiohttp's, raised when it is collected), at most 16
packets taken from one poll unless told otherwise, and bodies over 1 MiB that aiohttp warns of.
"""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import socketio
from engineio.payload import Payload

from tests.system.clients import http_client

CONNECT_SECONDS = 20
PACKETS_AT_ONCE = 1000

TRANSPORTS = pytest.mark.parametrize(
    ("transports", "final"),
    [
        pytest.param(["websocket"], "websocket", id="websocket only"),
        pytest.param(["polling"], "polling", id="polling only"),
        pytest.param(["polling", "websocket"], "websocket", id="polling upgraded"),
    ],
)


class Client(socketio.AsyncClient):
    """A client that keeps the events that came."""

    def __init__(self, **options: Any) -> None:
        super().__init__(reconnection=False, **options)
        self.events: dict[str, asyncio.Queue[Any]] = {}

    def queue(self, event: str) -> "asyncio.Queue[Any]":
        """Where what comes with this event is put, from the first call on."""
        if event not in self.events:
            self.events[event] = asyncio.Queue()
            self.on(event, self.events[event].put_nowait)
        return self.events[event]


@asynccontextmanager
async def connected(url: str, transports: list[str]) -> AsyncIterator[Client]:
    """A connected client. At the end it leaves at once: a poll under way may last as long as the server likes."""
    Payload.max_decode_packets = PACKETS_AT_ONCE
    async with http_client(auto_decompress=True) as http:
        client = Client(http_session=http, websocket_extra_options={"max_msg_size": 0})
        try:
            await client.connect(url, transports=transports, wait_timeout=CONNECT_SECONDS)
            yield client
        finally:
            tasks = [task for task in (client.eio.read_loop_task, client.eio.write_loop_task) if task is not None]
            await client.eio.disconnect(abort=True)
            await http.close()
            if tasks:
                await asyncio.wait(tasks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del client
        gc.collect()
