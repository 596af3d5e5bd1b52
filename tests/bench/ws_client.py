"""A WebSocket client on a bare protocol, so light that the load generator does not drown what it measures.

It masks with zeros (RFC 6455 allows any mask), understands unfragmented messages only, and answers pings. Never used
to judge correctness beyond what it was sent.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from typing import cast

Address = tuple[str, int]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
OPEN_SECONDS = 30.0
CLOSE_SECONDS = 30.0
_NO_MASK = bytes(4)


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame of a client."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + _NO_MASK + payload


class Client(asyncio.Protocol):
    """One open WebSocket; `on_message` is told each message's payload."""

    def __init__(self, handshake: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.on_message: Callable[[bytes], None] = lambda _: None
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost: asyncio.Future[str] = loop.create_future()
        self._handshake = handshake
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self.transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self.opened.done():
            head, found, rest = buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(ConnectionError(f"no 101: {bytes(head[:200])!r}"))
                self.transport.abort()
                return
            self.opened.set_result(None)
            buffer[:] = rest
        while (taken := self._take(buffer)) is not None:
            opcode, payload = taken
            if opcode in (TEXT, BINARY):
                self.on_message(payload)
            elif opcode == PING:
                self.transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self.transport.close()

    @staticmethod
    def _take(buffer: bytearray) -> tuple[int, bytes] | None:
        """The next whole frame's opcode and payload."""
        if len(buffer) < 2:
            return None
        size, at = buffer[1], 2
        if size == 126:
            if len(buffer) < 4:
                return None
            size, at = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            if len(buffer) < 10:
                return None
            size, at = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < at + size:
            return None
        opcode = buffer[0] & 0x0F
        with memoryview(buffer) as view:
            payload = bytes(view[at : at + size])
        del buffer[: at + size]
        return opcode, payload

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("closed before the 101"))
        if not self.lost.done():
            self.lost.set_result(str(error or "closed"))

    def send(self, opcode: int, payload: bytes) -> None:
        self.transport.write(frame(opcode, payload))

    async def ask(self, message: bytes, *, opcode: int = TEXT) -> bytes:
        """Send a message; the next one that comes."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.on_message = answer.set_result
        self.send(opcode, message)
        await asyncio.wait((answer, self.lost), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ConnectionError(f"the WebSocket ended: {self.lost.result()}")
        return answer.result()

    def close(self) -> None:
        self.send(CLOSE, b"\x03\xe8")


async def connect(address: Address, host: str, path: str) -> tuple[Client, float]:
    """An open WebSocket, and the seconds from before the TCP connect to the 101."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    handshake = "\r\n".join((*lines, "", "")).encode()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    _, client = await loop.create_connection(lambda: Client(handshake), *address)
    async with asyncio.timeout(OPEN_SECONDS):
        await client.opened
    return client, time.perf_counter() - began


async def close_all(clients: Sequence[Client]) -> None:
    """Returns when all are gone."""
    for client in clients:
        client.close()
    async with asyncio.timeout(CLOSE_SECONDS):
        await asyncio.gather(*(client.lost for client in clients))
