"""A service that keeps every byte that arrives, and answers whole requests; it repairs nothing.

It runs in the test's own process, on asyncio streams. What is not strictly HTTP/1.1 is kept as broken and ends the
connection: no gateway may send that. Some paths choose how the answer looks; `/barrier` is answered and not kept.
"""

import asyncio
import base64
import contextlib
import hashlib
import re
from dataclasses import dataclass, field

HEAD_LIMIT = 1024 * 1024
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BARRIER = b"/barrier"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"(%b) ([^\x00-\x20\x7f]+) HTTP/1\.1" % _TOKEN)
_FIELD = re.compile(
    rb"(%b):[ \t]*((?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?)[ \t]*" % _TOKEN
)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_CHUNKS = b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n"

Pairs = list[tuple[bytes, bytes]]


class BrokenError(ValueError):
    """The gateway sent what is not HTTP/1.1."""


@dataclass
class Arrived:
    """One whole request, as it came."""

    method: bytes
    target: bytes
    fields: Pairs
    """Names in lower case."""
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    """The text messages of a WebSocket."""
    is_websocket: bool = False

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


class Recorder:
    """The service. `arrived` and `broken` are for the test to read and to clear."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.broken: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while await self._one(reader, writer):
                    pass
            except (BrokenError, asyncio.LimitOverrunError) as error:
                self.broken.append(str(error))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        del self._open[task]

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request and answer it. False: the connection has ended."""
        line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        found = _LINE.fullmatch(line)
        if found is None:
            raise BrokenError(f"request line {line[:200]!r}")
        request = Arrived(found[1], found[2], [_field(item) for item in lines])
        if request.values(b"host") == [] or len(request.values(b"host")) > 1:
            raise BrokenError(f"Hosts {request.values(b'host')!r}")
        if b"websocket" in request.values(b"upgrade"):
            request.is_websocket = True
            self.arrived.append(request)
            await _websocket(request, reader, writer)
            return False
        if request.values(b"expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await _body(request, reader)
        if request.target != BARRIER:
            self.arrived.append(request)
        writer.write(_answer(request))
        await writer.drain()
        return True


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise BrokenError(f"field line {line[:200]!r}")
    return found[1].lower(), found[2]


async def _body(request: Arrived, reader: asyncio.StreamReader) -> None:
    lengths, codings = request.values(b"content-length"), request.values(b"transfer-encoding")
    if len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"]) or not all(map(bytes.isdigit, lengths)):
        raise BrokenError(f"framing {lengths!r} {codings!r}")
    if lengths:
        request.body = await reader.readexactly(int(lengths[0]))
    while codings:
        line = await reader.readuntil(b"\r\n")
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BrokenError(f"chunk size {line[:200]!r}")
        size = int(found[1], 16)
        if not size:
            break
        request.body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise BrokenError("no line end behind a chunk")
    while codings and (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        request.trailers.append(_field(line[:-2]))


def _answer(request: Arrived) -> bytes:
    path = request.target.partition(b"?")[0]
    body = b"HTTP/1.1" if path == b"/version" else b"ok"
    head = b"HTTP/1.1 200 OK\r\nX-Served: yes\r\n"
    if path == b"/hints":
        head = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head
    if path in {b"/chunked", b"/trailers"}:
        end = b"X-Sum: 1\r\n\r\n" if path == b"/trailers" else b"\r\n"
        head, body = head + b"Transfer-Encoding: chunked\r\n\r\n", _CHUNKS + end
    else:
        head += b"Content-Length: %d\r\n\r\n" % len(body)
    return head if request.method == b"HEAD" else head + body


async def _websocket(request: Arrived, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer 101, send text messages back, answer pings and the close; frames shorter than 126 bytes only."""
    accept = base64.b64encode(hashlib.sha1(request.values(b"sec-websocket-key")[0] + GUID).digest())
    chosen = b"".join(b"Sec-WebSocket-Protocol: %b\r\n" % value for value in request.values(b"sec-websocket-protocol"))
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % (chosen, accept)
    )
    while True:
        first, second = await reader.readexactly(2)
        if not second & 0x80 or second & 0x7F > 125 or not first & 0x80:
            raise BrokenError(f"frame {first:#x} {second:#x}")
        mask = await reader.readexactly(4)
        masked = await reader.readexactly(second & 0x7F)
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
        opcode = first & 0x0F
        if opcode == 1:
            request.messages.append(payload)
        writer.write(bytes((0x80 | {9: 10}.get(opcode, opcode), len(payload))) + payload)
        if opcode == 8:
            return
