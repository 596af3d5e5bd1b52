"""One HTTP/1.x request as it came, and its answer byte by byte, over asyncio streams.

No framework on purpose: a test must be able to say and to see every byte. It never repairs what it gets:
bad framing raises ValueError, which closes the connection. Bodies are handed on as they come; nothing is
held but one read.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs

READ_BYTES = 256 * 1024
REASONS = {
    100: "Continue",
    103: "Early Hints",
    200: "OK",
    204: "No Content",
    304: "Not Modified",
    413: "Content Too Large",
}

Fields = Iterable[tuple[str, str]]


@dataclass
class Exchange:
    """One request on one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    """The number of the connection, from 1: equal numbers show a pooled stream."""
    line: str
    headers: list[tuple[str, str]]
    body_read: bool = False
    trailers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def path(self) -> str:
        return self.line.split(" ")[1].partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        raw = self.line.split(" ")[1].partition("?")[2]
        return {name: values[-1] for name, values in parse_qs(raw, keep_blank_values=True).items()}

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name]
        if len(values) > 1:
            raise ValueError(f"{name} came {len(values)} times")
        return values[0] if values else None

    async def body(self) -> AsyncIterator[bytes]:
        """The request body as it comes; sends 100 Continue first where it was expected."""
        self.body_read = True
        if self.header("expect") == "100-continue":
            self.head(100, ())
        if (self.header("transfer-encoding") or "").lower() == "chunked":
            async for piece in self._chunked():
                yield piece
            return
        left = int(self.header("content-length") or 0)
        while left:
            piece = await self.reader.read(min(left, READ_BYTES))
            if not piece:
                raise ConnectionError("the client left during the body")
            left -= len(piece)
            yield piece

    async def _chunked(self) -> AsyncIterator[bytes]:
        while left := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            while left:
                piece = await self.reader.read(min(left, READ_BYTES))
                if not piece:
                    raise ConnectionError("the client left during a chunk")
                left -= len(piece)
                yield piece
            if await self.reader.readexactly(2) != b"\r\n":
                raise ValueError("chunk without its line end")
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            self.trailers.append(field_of(line))

    async def discard(self) -> None:
        async for _ in self.body():
            pass

    def head(self, status: int, fields: Fields, body: bytes = b"", *, version: str = "HTTP/1.1") -> None:
        """Write a head, and a body in the same segment, as most servers write a short answer."""
        lines = [
            f"{version} {status} {REASONS.get(status, 'Status')}",
            *(f"{name}: {value}" for name, value in fields),
        ]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def answer(self, status: int, body: bytes = b"", fields: Fields = ()) -> None:
        """A whole answer with its Content-Length; a HEAD gets the head only."""
        self.head(status, [*fields, ("Content-Length", str(len(body)))], body if self.method != "HEAD" else b"")
        await self.writer.drain()

    async def answer_json(self, value: object, status: int = 200) -> None:
        await self.answer(status, json.dumps(value).encode(), [("Content-Type", "application/json")])

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def last_chunk(self, trailers: Fields = ()) -> None:
        section = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        self.writer.write(f"0\r\n{section}\r\n".encode())
        await self.writer.drain()

    async def client_left(self) -> None:
        """Return when the connection has ended from the other side, in whatever way."""
        try:
            while await self.reader.read(READ_BYTES):
                pass
        except ConnectionError:
            return


def field_of(line: bytes) -> tuple[str, str]:
    name, colon, value = line.decode("latin-1").rstrip("\r\n").partition(":")
    if not colon or not name or name != name.strip():
        raise ValueError(f"bad field line: {line!r}")
    return name, value.strip(" \t")


async def read_exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Exchange | None:
    """The next request on this connection; None when the other side ended it between two requests."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionError("the client left within a head") from None
        return None
    line, *rest = raw[:-4].split(b"\r\n")
    if len(line.split(b" ")) != 3:
        raise ValueError(f"bad request line: {line!r}")
    return Exchange(reader, writer, connection, line.decode("latin-1"), [field_of(item) for item in rest])
