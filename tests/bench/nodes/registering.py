"""Agents that only register: what a link costs the gateway that takes it, over real sockets."""

import asyncio
import json

from tests.bench.offline import envelope
from tests.system.harness import LOOPBACK, TOKEN
from tunnel import websocket

_HANDSHAKE = (
    f"GET /agent HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


class Agent(asyncio.Protocol):
    """One link, which carries nothing. `ready` is set once it would take requests."""

    def __init__(self, cluster: str, agent_id: str) -> None:
        self._register = {"agent_id": agent_id, "cluster_id": cluster, "features": {"supports_yamux": True}}
        self._codec: websocket.Connection | None = None
        self._head = b""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send(_HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if self._codec is None:
            head, end, data = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                self._head = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.ready.set_exception(ConnectionError(head.decode("latin-1")))
                return
            self._codec = websocket.Connection(websocket.Role.CLIENT)
            self._send(envelope("register", self._register))
        for event in self._codec.receive_data(data):
            if isinstance(event, websocket.Message) and isinstance(event.data, str):
                self._told(json.loads(event.data)["type"])

    def _told(self, kind: str) -> None:
        if kind == "gateway_hello":
            self._send(envelope("gateway_hello_ack", {"use_yamux": True}))
            self.ready.set_result(None)

    def _send(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("closed before it was ready"))

    def close(self) -> None:
        self._transport.close()  # type: ignore[attr-defined]


async def registered(port: int, cluster: str, agent_id: str) -> Agent:
    """It is ready."""
    loop = asyncio.get_running_loop()
    _, agent = await loop.create_connection(lambda: Agent(cluster, agent_id), LOOPBACK, port)
    await agent.ready
    return agent
