"""What clients can send to cost others: each attack is what a connection opens with, and what it repeats.

Fifty connections do it at once, and come back when they are refused, until they are stopped. They know the public
address and a routed name, nothing else. Each over any transport: one more is one more row of `TRANSPORTS`.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Self

from tests.system.harness import DOMAIN, LOOPBACK

CONNECTIONS: Final = 50
LEAST_BYTES: Final = 64 * 1024 * 1024
LEAST_CONNECTIONS: Final = 500
"""An attack has gone well beyond every bound once it has sent so much, or was refused so often."""


def _trusting() -> ssl.SSLContext:
    """A client that an attacker would use: it checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


TRANSPORTS: Final[Mapping[str, ssl.SSLContext | None]] = {"tcp": None, "tls": _trusting()}

HOST: Final = f"Host: plain.{DOMAIN}\r\n".encode()
GET: Final = b"GET /small HTTP/1.1\r\n" + HOST + b"\r\n"
UPLOAD: Final = b"POST /mirror HTTP/1.1\r\n" + HOST
NOBODY: Final = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
CHUNKED: Final = UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n"
KEY: Final = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE: Final = b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + KEY + b"\r\n"
WEBSOCKET: Final = b"GET /echo HTTP/1.1\r\n" + HOST.replace(b"plain", b"ws") + UPGRADE
AGENT: Final = b"GET /agent HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE


class Attack(NamedTuple):
    opening: bytes
    repeated: bytes


def head(lines: bytes, first: bytes = b"GET /small HTTP/1.1\r\n" + HOST) -> bytes:
    return first + lines + b"\r\n"


def new_fields(number: int) -> bytes:
    """Fields that no other request has."""
    return b"".join(b"X-%d-%d: v\r\n" % (number, field) for field in range(250))


ATTACKS: Final[Mapping[str, Attack]] = {
    "a host of 60,000 labels": Attack(head(b"", b"GET / HTTP/1.1\r\nHost: " + b"a." * 60_000 + b"\r\n"), b""),
    "hosts of 3,000 labels": Attack(b"", head(b"", b"GET / HTTP/1.1\r\nHost: " + b"a." * 3_000 + b"\r\n") * 20),
    "a trailer without end": Attack(CHUNKED + b"0\r\nX: ", b"a" * 65_536),
    "trailers without end": Attack(CHUNKED + b"0\r\n", b"a: b\r\n" * 5_000),
    "requests with 250 trailers": Attack(b"", (CHUNKED + b"0\r\n" + b"a: b\r\n" * 250 + b"\r\n") * 20),
    "pipelined requests": Attack(b"", GET * 1_000),
    "pipelined behind an upload": Attack(UPLOAD + b"Content-Length: 9\r\n\r\n", GET * 1_000),
    "the application, pipelined": Attack(b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000),
    "chunks of a byte": Attack(CHUNKED, b"1\r\na\r\n" * 10_000),
    "chunks of ten bytes": Attack(CHUNKED, b"a\r\n0123456789\r\n" * 5_000),
    "chunks of 24 bytes": Attack(CHUNKED, (b"18\r\n" + b"a" * 24 + b"\r\n") * 2_500),
    "extensions of chunks": Attack(CHUNKED, (b"7d0;" + b"a;" * 124 + b"a\r\n" + b"b" * 2_000 + b"\r\n") * 50),
    "heads of 250 fields": Attack(b"", b"".join(head(new_fields(number)) for number in range(20))),
    "heads of 120 KB": Attack(b"", head(b"Cookie: " + b"a" * 120_000 + b"\r\n")),
    "lists of 120 KB": Attack(head(b"Connection: " + b"," * 120_000 + b"\r\n"), b""),
    "heads of WebSockets": Attack(b"", WEBSOCKET[:-2] + b"Cookie: " + b"a" * 120_000 + b"\r\n\r\n"),
    "frames before the handshake": Attack(WEBSOCKET + b"\x89\x80\0\0\0\0" * 10_000, b"\x89\x80\0\0\0\0" * 10_000),
    "messages": Attack(WEBSOCKET, b"\x81\x81\0\0\0\0a" * 10_000),
    "pings": Attack(WEBSOCKET, b"\x89\x81\0\0\0\0a" * 10_000),
    "fragments": Attack(WEBSOCKET + b"\x01\x81\0\0\0\0a", b"\x00\x80\0\0\0\0" * 10_000),
    "agents without a token": Attack(AGENT, b"\x82\xfe\xff\xff\0\0\0\0" + b"a" * 65_535),
    "no requests": Attack(b"\x16\x03\x01" * 1_000, b""),
    "empty lines": Attack(b"", b"\r\n" * 4 + GET),
    "a body that was refused": Attack(NOBODY, b"a" * 65_536),
}  # fmt: skip


class Attackers:
    """Fifty connections that do it until they are stopped: `async with Attackers(...)`."""

    def __init__(self, attack: Attack, port: int, transport: ssl.SSLContext | None) -> None:
        self._attack = attack
        self._port = port
        self._transport = transport
        self._tasks: list[asyncio.Task[None]] = []
        self.sent_bytes = 0
        self.connections = 0
        self._well_beyond = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._attack_on()) for _ in range(CONNECTIONS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def well_beyond(self) -> None:
        """All bounds of one connection were passed many times."""
        await self._well_beyond.wait()

    async def _attack_on(self) -> None:
        while True:
            with suppress(OSError, RuntimeError):  # refused, in one way or another
                await self._attack_once()
            await asyncio.sleep(0.01)  # the program that attacks must leave time for the others' requests

    async def _attack_once(self) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._port, ssl=self._transport)
        self.connections += 1
        answers = asyncio.create_task(self._read(reader))
        try:
            await self._write(writer, self._attack.opening)
            while self._attack.repeated and not answers.done():
                await self._write(writer, self._attack.repeated)
            await answers
        finally:
            answers.cancel()
            writer.transport.abort()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0)
        self.sent_bytes += len(data)
        if self.sent_bytes >= LEAST_BYTES or self.connections >= LEAST_CONNECTIONS:
            self._well_beyond.set()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while await reader.read(256 * 1024):
                pass
