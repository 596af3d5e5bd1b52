"""Far ends of many conversations on fake transports: an agent that takes every WebSocket, and clients that stay.

The agent speaks yamux or json, as it is told; both answer a closing handshake, as programs do.
"""

import asyncio
import json
import re
from typing import Any

from tests.bench.offline import HOST, Wire, envelope, masked
from tunnel import websocket
from tunnel.websocket.handshake import accept_for
from tunnel.yamux import DataReceived, Role, Session, StreamOpened

TOKEN = "offline"

_AGENT = (
    f"GET /agent HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
_CLIENT = (
    f"GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
_KEY = re.compile(rb"(?i)sec-websocket-key: *([^\r]+)")
_CLOSE = 8


class ManyAgent(Wire):
    """Answers every handshake of a client with 101, and says nothing afterwards."""

    def __init__(self, server: Any, address: str, *, yamux: bool) -> None:
        super().__init__(server, address)
        self._yamux = yamux
        self._codec: websocket.Connection | None = None
        self._session = Session(Role.CLIENT)
        self._heads: dict[int, bytes] = {}
        self._is_ready = asyncio.Event()

    async def register(self) -> None:
        """Return when requests may come."""
        self.feed(_AGENT)
        await self.written_with(b"\r\n\r\n")
        self._codec = websocket.Connection(websocket.Role.CLIENT)
        features = {"supports_yamux": True} if self._yamux else {"supports_response_streaming": True}
        self.feed(envelope("register", {"agent_id": "a1", "cluster_id": "c1", "features": features}))
        await self._is_ready.wait()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """What the gateway says."""
        if self._codec is None:
            super().write(data)
            return
        for event in self._codec.receive_data(bytes(data)):
            if isinstance(event, websocket.Message) and isinstance(event.data, str):
                self._told(json.loads(event.data))
            elif isinstance(event, websocket.Message):
                self._carried(event.data)

    def _told(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "gateway_hello":
            self.feed(envelope("gateway_hello_ack", {"use_yamux": True}))
        elif kind == "proxy_request":
            answer = {"status": 101, "headers": {"Upgrade": ["websocket"]}}
            text = json.dumps({"type": "proxy_response", "request_id": message["request_id"], "payload": answer})
            self.feed(masked(1, text.encode()))
        if kind == ("gateway_hello" if self._yamux else "register_success"):
            self._is_ready.set()

    def _carried(self, data: bytes | bytearray | memoryview) -> None:
        session = self._session
        for event in session.receive_data(data, self._loop.time()):
            if isinstance(event, StreamOpened):
                session.accept_stream(event.stream_id)
                self._heads[event.stream_id] = b""
            elif isinstance(event, DataReceived):
                head = self._heads[event.stream_id] = self._heads[event.stream_id] + event.data
                if (key := _KEY.search(head)) is not None and head.endswith(b"\r\n\r\n"):
                    accept = accept_for(key[1])
                    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    session.send_data(event.stream_id, answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while data := session.data_to_send():
            self.feed(masked(2, data))


class StayingClient(Wire):
    """A WebSocket that says nothing, and answers when it is closed."""

    closed_with = 0

    async def join(self) -> None:
        """Return when the gateway has said 101."""
        self.feed(_CLIENT)
        await self.written_with(b"101 Switching Protocols\r\n")

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data[:1] == bytes([0x80 | _CLOSE]):
            self.closed_with = int.from_bytes(data[2:4], "big")
            self.feed(masked(_CLOSE, bytes(data[2:4])))
        else:
            super().write(data)


class Caller(Wire):
    """One call of the REST endpoints."""

    async def post(self, path: str, body: bytes) -> bytes:
        """The whole answer to a POST, whose body arrives in parts, as from a socket."""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
        self.feed(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        for begin in range(0, len(body), 65_536):
            self.feed(body[begin : begin + 65_536])
            await asyncio.sleep(0)
        return await self.written_with(b"}\n")
