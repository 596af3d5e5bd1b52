"""What stands in for a gateway, or for a proxy on the way: says one thing to everybody, or passes everything on."""

import asyncio
import contextlib
import json


class Answering:
    """Reads a head and gives this answer, to each connection."""

    def __init__(self, answer, tls=None):
        self._answer = answer
        self._tls = tls
        self.heads = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._answer)
            await writer.drain()
        writer.close()


class Passing(Answering):
    """A proxy that lets everybody through to one port of loopback, wherever they want to go."""

    def __init__(self, port):
        super().__init__(b"HTTP/1.1 200 Connected\r\n\r\n")
        self._to = port

    async def _serve(self, reader, writer):
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError:  # only looked whether anybody is there
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        writer.write(self._answer)
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


def answer(status, *fields, body=b""):
    lines = [f"HTTP/1.1 {status} Said", *fields, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def refusal(status, code, message="No.", hint="Ask."):
    body = json.dumps({"code": code, "status": status, "message": message, "hint": hint}).encode()
    return answer(status, "Content-Type: application/json", body=body)
