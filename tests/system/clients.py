"""What stands on the public side: an HTTP client, a WebSocket client, and a socket whose bytes are ours.

Names below example.test resolve to loopback here, so that every request carries the Host that a browser
would send.
"""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from websockets.asyncio.client import ClientConnection, connect

from tests.system.harness import DOMAIN, LOOPBACK

READ_BYTES = 256 * 1024
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: the close is a reset."""
WAIT_SECONDS = 30


class Loopback(AbstractResolver):
    """Every name is this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=LOOPBACK, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""


def http_client(limit: int = 100, **options: Any) -> aiohttp.ClientSession:
    """An aiohttp session that resolves the tests' names, takes bodies as they are and follows no cookie."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=Loopback(), limit=limit),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=WAIT_SECONDS, sock_connect=WAIT_SECONDS),
        **{"cookie_jar": aiohttp.DummyCookieJar(), "auto_decompress": False, **options},
    )


@asynccontextmanager
async def websocket(url: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A WebSocket to one of the tests' names, by the websockets library."""
    settings = {
        "max_size": None,
        "ping_interval": None,
        "open_timeout": WAIT_SECONDS,
        "proxy": None,
        **options,
    }
    async with connect(url, host=LOOPBACK, port=urlsplit(url).port, **settings) as connection:
        yield connection


@dataclass
class Answer:
    """One HTTP answer as it came off the wire."""

    status: int
    head: bytes
    fields: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values}"
        return values[0]


class RawClient:
    """A blocking connection on which exactly the given bytes are sent. Use as a context manager."""

    def __init__(self, address: tuple[str, int], *, receive_buffer_bytes: int | None = None, source: str = "") -> None:
        """`source`: the address that it comes from."""
        self.socket = socket.socket()
        if source:
            self.socket.bind((source, 0))
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(WAIT_SECONDS)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, line: str, name: str, *fields: str, body: bytes = b"") -> None:
        """Send a request with this line, the Host of `name`, and these field lines."""
        lines = [line, f"Host: {name}.{DOMAIN}", *fields]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def _more(self) -> bool:
        data = self.socket.recv(READ_BYTES)
        self.buffer += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self._more():
                raise EOFError(f"connection ended before {mark!r}: {self.buffer[:500]!r}")
        found, _, self.buffer = self.buffer.partition(mark)
        return found + mark

    def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self._more():
                raise EOFError(f"connection ended {size - len(self.buffer)} bytes early")
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def read_end(self) -> bytes:
        """All that comes until the connection ends, in order or by a reset."""
        try:
            while self._more():
                pass
        except ConnectionResetError:
            pass
        found, self.buffer = self.buffer, b""
        return found

    def answer_head(self) -> Answer:
        """The next head alone, interim or final."""
        head = self.read_until(b"\r\n\r\n")
        line, *rest = head[:-4].decode("latin-1").split("\r\n")
        fields = [(name, value.strip()) for name, _, value in (item.partition(":") for item in rest)]
        return Answer(int(line.split(" ")[1]), head, fields, b"")

    def answer(self, *, head_only: bool = False) -> Answer:
        """The next final answer with its body. EOFError when it breaks off."""
        answer = self.answer_head()
        while answer.status < 200:
            answer = self.answer_head()
        if head_only or answer.status in (204, 304):
            return answer
        if lengths := answer.all("content-length"):
            answer.body = self.read_exactly(int(lengths[0]))
        elif "chunked" in answer.all("transfer-encoding"):
            while size := int(self.read_until(b"\r\n").split(b";")[0], 16):
                answer.body += self.read_exactly(size)
                self.read_exactly(2)
            while (line := self.read_until(b"\r\n")) != b"\r\n":
                name, _, value = line.decode("latin-1").partition(":")
                answer.fields.append((name, value.strip()))
        else:
            answer.body = self.read_end()
        return answer
