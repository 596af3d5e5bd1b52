"""One request as a service gets it, and the service's end of a WebSocket: what tests/existing/services.py is made of.

Nothing here decides what is answered. Frames are read and written by the `websockets` library's own protocol.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.utils import accept_key

Lines = list[tuple[str, str]]


class Call:
    """One request as a service got it, and the connection that it came on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[str], None]) -> None:
        self.reader = reader
        self.writer = writer
        self.note = note
        self.method = self.target = self.path = ""
        self.query: dict[str, str] = {}
        self.lines: Lines = []

    async def read_head(self) -> None:
        first = await self.reader.readexactly(1)
        if not first.isalpha():
            self.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            raise ConnectionAbortedError("TLS, to a plain service")
        head = (first + await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.method, self.target, _ = head[0].split(" ")
        self.path = urlsplit(self.target).path
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}
        self.lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:-2])]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.lines if key.lower() == name.lower()), None)

    async def read_body(self) -> bytes:
        if self.header("Transfer-Encoding") != "chunked":
            return await self.reader.readexactly(int(self.header("Content-Length") or 0))
        parts: list[bytes] = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        await self.reader.readexactly(2)
        return b"".join(parts)

    def head(self, status: int, lines: Lines) -> None:
        lines = [*lines, ("Date", formatdate(usegmt=True)), ("Server", "test-service")]
        text = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self.writer.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{text}\r\n".encode())

    def answer(self, status: int, lines: Lines, body: bytes = b"") -> None:
        self.head(status, [*lines, ("Content-Length", str(len(body)))])
        if self.method != "HEAD":
            self.writer.write(body)

    def chunk(self, data: bytes) -> None:
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


class Socket:
    """The service's end of a WebSocket."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=None)

    async def open(self, lines: Lines, *, bare: bool = False) -> None:
        key = accept_key(self._call.header("Sec-WebSocket-Key") or "")
        lines = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", key), *lines]
        if not any(name == "Connection" for name, _ in lines):
            lines.append(("Connection", "Upgrade"))
        if bare:
            text = "".join(f"{name}: {value}\r\n" for name, value in lines)
            self._call.writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{text}\r\n".encode())
        else:
            self._call.head(101, lines)
        await self._call.writer.drain()

    async def send(self, opcode: Opcode, data: bytes) -> None:
        self._protocol.send_text(data) if opcode is Opcode.TEXT else self._protocol.send_binary(data)
        await self.flush()

    async def close(self, code: int, reason: str) -> None:
        self._protocol.send_close(CloseCode(code) if code < 4000 else code, reason)
        await self.flush()

    async def flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._call.writer.write(data)
        await self._call.writer.drain()

    async def frames(self, size: int = 65536) -> list[Frame]:
        """The next frames; none at the connection's end."""
        while not (frames := [event for event in self._protocol.events_received() if isinstance(event, Frame)]):
            data = await self._call.reader.read(size)
            if not data:
                return []
            self._protocol.receive_data(data)
            await self.flush()
        return frames

    def close_seen(self) -> tuple[int | None, str]:
        """Code and reason of the peer's close frame; None for a frame without a code."""
        close = self._protocol.close_rcvd
        assert close is not None
        return (None if close.code == CloseCode.NO_STATUS_RCVD else int(close.code)), close.reason
