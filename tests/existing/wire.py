"""The client's end of one WebSocket, frame by frame, read by one loop only.

Frames are read one at a time, so that whoever stops calling `receive` also stops answering pings: the original
handles everything in its only read loop, and its users feel it. `receive` gives whole messages and single control
frames; nothing is answered here. Sends wait until the kernel has taken the frame.
"""

import asyncio
import base64
import os
import zlib
from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from tests.existing.golang import canonical
from tests.existing.network import connect
from tests.existing.options import Address

Headers = dict[str, list[str]]
Header = tuple[str, str]

CONTINUATION, TEXT, BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG
NORMAL_CLOSE = b"\x03\xe8"
OFFER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
_TAIL = b"\x00\x00\xff\xff"


class BrokenError(Exception):
    """The connection ended without a close frame, or in nonsense."""


@dataclass
class Answer:
    """The head of an HTTP answer, names as Go writes them."""

    status: int
    headers: Headers = field(default_factory=dict)


class HandshakeError(Exception):
    """An answer that opens no WebSocket; the text is Go's."""

    def __init__(self, text: str, answer: Answer) -> None:
        super().__init__(text)
        self.answer = answer


class Wire:
    """An open WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, deflate: bool) -> None:
        self._reader = reader
        self.writer = writer
        self._deflate = deflate
        self._opcode = CONTINUATION
        self._compressed = False
        self._parts: list[bytes] = []
        self.close_sent = False

    async def receive(self) -> tuple[Opcode, bytes]:
        """The next whole message or control frame; raises BrokenError."""
        try:
            return await self._receive()
        except (asyncio.IncompleteReadError, OSError, ValueError, zlib.error) as error:
            raise BrokenError(repr(error)) from error

    async def _receive(self) -> tuple[Opcode, bytes]:
        while True:
            first, second = await self._reader.readexactly(2)
            length = second & 0x7F
            if length >= 126:
                length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8))
            payload = await self._reader.readexactly(length)
            frame = Opcode(first & 0x0F)
            if frame >= CLOSE:
                return frame, payload
            if frame is not CONTINUATION:
                self._opcode, self._compressed, self._parts = frame, bool(first & 0x40), []
            self._parts.append(payload)
            if first & 0x80:
                data, self._parts = b"".join(self._parts), []
                return self._opcode, zlib.decompressobj(-15).decompress(data + _TAIL) if self._compressed else data

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        """One frame, all of it in the kernel's hands; raises BrokenError."""
        compressed = self._deflate and opcode < CLOSE
        if compressed:
            deflater = zlib.compressobj(wbits=-15)
            payload = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
        if opcode is CLOSE:
            self.close_sent = True
        frame = bytearray(Frame(opcode, payload).serialize(mask=True))
        frame[0] |= 0x40 if compressed else 0
        self.writer.write(bytes(frame))
        try:
            await self.writer.drain()
        except OSError as error:
            raise BrokenError(repr(error)) from error


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The head of an HTTP answer; raises BrokenError."""
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answer = Answer(int(lines[0].split(" ", 2)[1]))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError, IndexError) as error:
        raise BrokenError("EOF") from error
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        answer.headers.setdefault(canonical(name), []).append(value.strip())
    return answer


def _tokens(answer: Answer, name: str) -> set[str]:
    return {token.strip().lower() for value in answer.headers.get(name, []) for token in value.split(",")}


def _check_upgrade(answer: Answer, key: str) -> None:
    agreed = answer.status == 101 and "websocket" in _tokens(answer, "Upgrade")
    agreed = agreed and "upgrade" in _tokens(answer, "Connection")
    if not agreed or answer.headers.get("Sec-Websocket-Accept") != [accept_key(key)]:
        raise HandshakeError("websocket: bad handshake", answer)


def _deflate_agreed(answer: Answer) -> bool:
    for value in answer.headers.get("Sec-Websocket-Extensions", []):
        for extension in value.split(","):
            name, *parameters = (part.strip() for part in extension.split(";"))
            if name != "permessage-deflate":
                continue
            if not {"server_no_context_takeover", "client_no_context_takeover"} <= set(parameters):
                raise HandshakeError("websocket: invalid compression negotiation", answer)
            return True
    return False


async def open_wire(
    address: Address,
    host: str,
    target: str,
    headers: list[Header],
    *,
    tls: bool = False,
    offer: bool = False,
    send_buffer: int = 0,
) -> tuple[Wire, Answer]:
    """An open WebSocket and the answer that opened it; raises DialError, HandshakeError, BrokenError."""
    reader, writer = await connect(address, tls=tls, send_buffer=send_buffer)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        lines += [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", key)]
        if offer:
            lines.append(("Sec-WebSocket-Extensions", OFFER))
        agent = [value for name, value in headers if name == "User-Agent"] or ["Go-http-client/1.1"]
        lines += [(name, value) for name, value in headers if name != "User-Agent"]
        ordered = [("Host", host), ("User-Agent", agent[0]), *sorted(lines, key=lambda line: line[0])]
        head = "".join(f"{name}: {value}\r\n" for name, value in ordered)
        writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode(errors="replace"))
        answer = await read_answer(reader)
        _check_upgrade(answer, key)
        return Wire(reader, writer, deflate=offer and _deflate_agreed(answer)), answer
    except BaseException:
        writer.close()
        raise
