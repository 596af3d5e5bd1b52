"""An agent's WebSocket at the door of our own, without a gateway: the test takes its channel, and awaits its end."""

import asyncio
from typing import Any

from app.agents.socket import AgentLeftError
from app.server.agent_channel import AgentChannel
from app.server.agent_handshake import AgentHandshake
from app.server.heads import Head
from tests.app.server.door import Client, Door
from tests.app.server.door_stage import HANDSHAKE
from tests.fakes.loop import quiet
from tunnel import websocket

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class _Door(Door):
    """Takes each handshake for an agent's."""

    def __init__(self, agent: "Agent") -> None:
        super().__init__()
        self._agent = agent

    def upgrade(self, head: Head, connection: Any, /) -> AgentHandshake:
        key = dict(head.fields.lines)[b"sec-websocket-key"]
        agent = self._agent
        return AgentHandshake(connection, key, agent.pings, _MAX_MESSAGE_BYTES, agent.serve, agent.tasks)


class Agent:
    """A connection whose WebSocket becomes a channel with the accept."""

    def __init__(self, ping_interval: float | None = None, ping_timeout: float | None = None) -> None:
        self.pings = (ping_interval, ping_timeout)
        self.tasks: set[asyncio.Task[None]] = set()
        self.door = _Door(self)
        self.client = Client(self.door)
        self.wire = self.client.wire
        self.codec = websocket.Connection(websocket.Role.CLIENT)
        self.told: list[str | bytes] = []
        self.drained = 0
        self.end = ""

    async def serve(self, socket: AgentHandshake) -> None:
        self.socket = socket
        assert await socket.begin()
        await socket.accept()
        channel = socket.channel()
        assert channel is not None
        self.channel: AgentChannel = channel
        channel.start(self.told.append, self.told.append, self._on_writable)
        try:
            await socket.receive()
        except AgentLeftError as error:
            self.end = str(error)

    def _on_writable(self) -> None:
        self.drained += 1

    async def opened(self) -> "Agent":
        self.client.send(b"GET /agent HTTP/1.1\r\nHost: h\r\n" + HANDSHAKE + b"\r\n")
        await quiet()
        assert self.wire.written.startswith(b"HTTP/1.1 101 ")
        return self

    def bring(self, data: bytes) -> None:
        self.client.send(data)

    def frames(self) -> list[websocket.Event]:
        return self.codec.receive_data(self.wire.written.partition(b"\r\n\r\n")[2])

    async def hang_up(self) -> None:
        self.wire.lose()
        await quiet()
        assert self.end == "the connection was lost without a close"
        assert self.tasks == set()
