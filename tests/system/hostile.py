"""An agent under the test's control: a WebSocket on which it says what it likes, and hears what the gateway asks.

It registers for no one: its identity is its token and its cluster, as on the existing agent's gateway socket.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.system.harness import LOOPBACK, TOKEN, Stack

SECONDS = 10.0

Said = dict[str, Any]


class Hostile:
    """One link; requests are taken in the order in which they come."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire
        self._requests: asyncio.Queue[Said] = asyncio.Queue()
        self._pongs: asyncio.Queue[str] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for text in self.wire:
            message: Said = json.loads(text)
            if message["type"] == "proxy_request":
                self._requests.put_nowait(message)
            elif message["type"] == "ping":
                await self.say("pong", message.get("request_id"))
            elif message["type"] == "pong":
                self._pongs.put_nowait(message["request_id"])

    async def say(self, kind: str, request_id: object = None, payload: object = None) -> None:
        message: Said = {"type": kind, "payload": {} if payload is None else payload}
        await self.wire.send(json.dumps(message if request_id is None else {**message, "request_id": request_id}))

    async def asked(self) -> str:
        """The id of the next request."""
        async with asyncio.timeout(SECONDS):
            return str((await self._requests.get())["request_id"])

    async def answer(self, request_id: str, body: bytes = b"well") -> None:
        """As it should."""
        await self.say("proxy_response_header", request_id, {"status": 200, "headers": {"X-Well": ["1"]}})
        await self.say("proxy_response_chunk", request_id, {"data": base64.b64encode(body).decode()})
        await self.say("proxy_response_end", request_id)

    async def lives(self, name: str) -> None:
        """The gateway has taken all that was said, and still answers."""
        await self.say("ping", name)
        async with asyncio.timeout(SECONDS):
            assert await self._pongs.get() == name

    async def end(self) -> None:
        await self.wire.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def hostile(stack: Stack, cluster: str = "c1") -> AsyncIterator[Hostile]:
    """One link of this cluster, known to the gateway."""
    url = f"ws://{LOOPBACK}:{stack.port}/ws?cluster_uuid={cluster}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    options: dict[str, Any] = {"max_size": None, "ping_interval": None, "compression": None, "proxy": None}
    async with connect(url, additional_headers=headers, **options) as wire:
        agent = Hostile(wire)
        await agent.say("heartbeat", None, {"agent_id": "hostile", "cluster_id": cluster})
        await agent.lives("joined")
        yield agent
        await agent.end()
