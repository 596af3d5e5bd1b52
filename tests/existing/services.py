"""The services that the recorded dialogues were made with, and the Kubernetes API's stand-in, as far as they show.

Each says what it does in `notes`, in the recordings' own words. One request or WebSocket per connection; nothing is
left open when `Services` ends.
"""

import asyncio
import hashlib
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self

from websockets.frames import Opcode

from tests.existing.calls import Call, Socket

TEXT = [("Content-Type", "text/plain; charset=utf-8")]
SMALL_BUFFER_BYTES = 2304


def text_body(size: int) -> bytes:
    """Numbered lines, hard to compress to nothing."""
    count = size // 20 + 1
    lines = (f"line {number:05d} {hashlib.sha256(str(number).encode()).hexdigest()[:8]}\n" for number in range(count))
    return "".join(lines).encode()[:size]


def octets(size: int) -> bytes:
    """No text, no pattern of a power of two."""
    return bytes((index * 7 + (index >> 8)) & 0xFF for index in range(size))


class Services:
    """The services of one test, in its event loop."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._noted = asyncio.Condition()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self.let_go = asyncio.Event()
        """Until it is set, /hold reads nothing of its request's body."""
        self.web = self.slow = self.api = 0

    def note(self, text: str) -> None:
        self.notes.append(text)
        task = asyncio.ensure_future(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._noted:
            self._noted.notify_all()

    async def wait_note(self, matches: Callable[[str], bool], what: str) -> str:
        """The first note that matches, taken out of `notes`; AssertionError when it does not come."""
        try:
            async with asyncio.timeout(10), self._noted:
                await self._noted.wait_for(lambda: any(matches(note) for note in self.notes))
        except TimeoutError as error:
            raise AssertionError(f"no note {what!r}, only {self.notes}") from error
        note = next(note for note in self.notes if matches(note))
        self.notes.remove(note)
        return note

    async def listen(self, serve: Callable[[Call], Awaitable[None]], small: bool = False) -> int:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if small:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                call = Call(reader, writer, self.note)
                await call.read_head()
                await serve(call)
                await writer.drain()
            except (OSError, asyncio.IncompleteReadError):
                pass
            except asyncio.CancelledError:
                pass  # the services end
            finally:
                writer.close()
                self._tasks.discard(task)

        server = await asyncio.start_server(accept, sock=listener, limit=SMALL_BUFFER_BYTES if small else 65536)
        self._servers.append(server)
        return int(listener.getsockname()[1])

    async def __aenter__(self) -> Self:
        PATHS["/hold"] = self.hold
        self.web = await self.listen(web)
        self.slow = await self.listen(slow_reader, small=True)
        self.api = await self.listen(api)
        return self

    async def hold(self, call: Call) -> None:
        transport: Any = call.writer.transport
        transport.pause_reading()
        self.note("service holds its request")
        await self.let_go.wait()
        transport.resume_reading()
        await echo(call)

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def web(call: Call) -> None:
    """The ordinary service of the recordings."""
    await PATHS.get(call.path, missing)(call)


async def missing(call: Call) -> None:
    call.answer(404, TEXT, b"404: Not Found")


async def hello(call: Call) -> None:
    call.answer(200, [*TEXT, ("X-Multi", "one")], b"hello\n")


async def text(call: Call) -> None:
    call.answer(200, TEXT, text_body(int(call.query["n"])))


async def binary(call: Call) -> None:
    call.answer(200, [("Content-Type", "application/octet-stream")], octets(int(call.query["n"])))


async def redirect(call: Call) -> None:
    call.answer(302, [("Location", "/hello")])


async def no_content(call: Call) -> None:
    call.head(204, [])


async def cookies(call: Call) -> None:
    lines = ("a=1; Path=/", "b=2; Path=/; HttpOnly", "c=3; Path=/; Secure; SameSite=Lax")
    call.answer(200, [*TEXT, *(("Set-Cookie", line) for line in lines)], b"cookies\n")


async def deny(call: Call) -> None:
    call.note("service refuses the WebSocket handshake with 403")
    call.answer(403, [*TEXT, ("X-Why", "denied")], b"denied\n")


async def echo(call: Call) -> None:
    body = await call.read_body()
    seen = {
        "method": call.method,
        "raw_path": call.target,
        "headers": [list(line) for line in call.lines],
        "body_bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "body": body.decode("latin-1"),
    }
    call.answer(200, [("Content-Type", "application/json; charset=utf-8")], json.dumps(seen).encode())


async def parts(call: Call) -> None:
    call.head(200, [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")])
    for number in range(3):
        call.chunk(f"part {number}\n".encode())
        await call.writer.drain()
        await asyncio.sleep(0.1)
    call.chunk(b"")


async def events(call: Call) -> None:
    lines = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"), ("Transfer-Encoding", "chunked")]
    call.head(200, lines)
    await call.writer.drain()
    for number in range(int(call.query.get("n", "3"))):
        await asyncio.sleep(float(call.query.get("gap", "0.4")))
        if call.reader.at_eof():
            call.note(f"service sees its client leave: GET {call.target}")
            return
        call.note(f"service writes event {number}")
        call.chunk(f"id: {number}\ndata: event {number}\n\n".encode())
        await call.writer.drain()
    call.note("service ends the response")
    call.chunk(b"")


async def die(call: Call) -> None:
    call.head(200, [("Content-Type", "text/plain"), ("Content-Length", "1000")])
    call.writer.write(b"partial")
    await call.writer.drain()
    await asyncio.sleep(0.2)
    call.note("service drops its TCP connection after 7 of 1000 bytes")


async def slow(call: Call) -> None:
    call.note(f"service got GET {call.target} and waits")
    try:
        async with asyncio.timeout(float(call.query["t"])):
            await call.reader.read(1)
    except TimeoutError:
        call.note(f"service answers GET {call.target}")
        call.answer(200, TEXT, b"slow done\n")
    else:
        call.note(f"service sees its client leave: GET {call.target}")


async def talk(call: Call) -> None:
    """An echo; `greet` speaks first, `z` agrees on a compression that the agent cannot do."""
    seen = {"path": call.target, "headers": dict(call.lines)}
    call.note(f"service got a WebSocket handshake: {json.dumps(seen)}")
    channel, offered = Socket(call), call.header("Sec-WebSocket-Protocol")
    lines = [("Sec-WebSocket-Protocol", offered.split(",")[0].strip())] if offered else []
    if "z" in call.query:
        call.note("service accepts permessage-deflate without the two no_context_takeover parameters")
        extension = "permessage-deflate; server_no_context_takeover"
        lines += [("Sec-WebSocket-Extensions", extension), ("Connection", "upgrade")]
    await channel.open(lines)
    if "greet" in call.query:
        call.note("service sends text 'greeting'")
        await channel.send(Opcode.TEXT, b"greeting")
    while frames := await channel.frames():
        for frame in frames:
            if frame.opcode is Opcode.CLOSE:
                code, reason = channel.close_seen()
                call.note(f"service got close {code} {reason!r}")
                return
            data = bytes(frame.data)
            if data.startswith(b"close:"):
                code_text, reason = data.decode().split(":")[1:]
                call.note(f"service closes its WebSocket with {code_text} {reason!r}")
                await channel.close(int(code_text), reason)
                return
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
                kind = "text" if frame.opcode is Opcode.TEXT else "binary"
                shown = repr(data.decode()) if kind == "text" else f"'{data.hex()}'"
                call.note(f"service got {kind} {shown} and echoes it")
                await channel.send(frame.opcode, data)


PATHS = {
    "/hello": hello,
    "/text": text,
    "/octets": binary,
    "/redirect": redirect,
    "/nocontent": no_content,
    "/cookies": cookies,
    "/echo": echo,
    "/parts": parts,
    "/sse": events,
    "/die": die,
    "/slow": slow,
    "/ws": talk,
    "/wsdeny": deny,
}


async def slow_reader(call: Call) -> None:
    """Small buffers: waits half a second, then reads; notes what came at every lull and at the end."""
    call.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    channel = Socket(call)
    await channel.open([], bare=True)
    transport: Any = call.writer.transport
    transport.pause_reading()
    await asyncio.sleep(0.5)
    transport.resume_reading()
    while frames := await channel.frames(64):
        for frame in frames:
            if frame.opcode is Opcode.CLOSE:
                call.note(f"service got close {channel.close_seen()[0]}")
                return
            call.note(f"slow service got {bytes(frame.data).decode().rstrip('.')}")


async def api(call: Call) -> None:
    """The Kubernetes API: exec on a path that ends so, 403 on /api/v1/denied, 200 for the rest."""
    if call.path == "/api/v1/denied":
        call.note("Kubernetes API answers 403")
        call.answer(403, TEXT, b"denied\n")
        return
    if not call.path.endswith("/exec"):
        call.note(f"Kubernetes API answers 200 to GET {call.target}")
        body = json.dumps({"kind": "Status", "path": call.target}).encode()
        call.answer(200, [("Content-Type", "application/json; charset=utf-8")], body)
        return
    names = ("Authorization", "Sec-WebSocket-Protocol", "Origin")
    seen = {"path": call.target, **{name: call.header(name) for name in names}}
    call.note(f"Kubernetes API got: {json.dumps(seen)}")
    channel = Socket(call)
    offered = call.header("Sec-WebSocket-Protocol") or ""
    await channel.open([("Sec-WebSocket-Protocol", offered.split(",")[0].strip())])
    while frames := await channel.frames():
        for frame in frames:
            if frame.opcode is Opcode.CLOSE:
                return
            number, text = frame.data[0], bytes(frame.data[1:])
            call.note(f"Kubernetes API got binary: channel {number}, {text.decode()!r}")
            if number == 0 and text == b"exit\n":
                call.note("Kubernetes API sends the status (channel 3) and closes with 1000")
                await channel.send(Opcode.BINARY, b'\x03{"metadata":{},"status":"Success"}')
                await channel.close(1000, "")
            elif number == 0:
                call.note("Kubernetes API sends stdout (channel 1), then stderr (channel 2)")
                await channel.send(Opcode.BINARY, b"\x01out: " + text)
                await channel.send(Opcode.BINARY, b"\x02err: " + text)
