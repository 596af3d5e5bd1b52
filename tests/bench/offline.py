"""The gateway of `python -m app` in one process without sockets: `python -m tests.bench.offline ROW COUNT`.

The command line, the settings, the log, the application and the protocol classes are the product's, as `serve` puts
them together; only `uvicorn.Server.run` is replaced. A client and an agent stand on fake transports. The agent
registers at /agent, agrees to yamux, and answers each request with bytes that were made beforehand. COUNT requests
go one after the other on one connection, over one stream that is kept.

Deterministic, so that instructions can be counted (`tests/bench/instructions.py`): the clocks stand still, and the
loop never waits. It stands in for uvloop, and does as little; uvloop itself gives another count each time.

Ends with status 0 only if COUNT right answers reached the client over one stream of the agent; the access lines on
standard error are for the caller to count.
"""

import asyncio
import collections
import contextvars
import gc
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

HOST = "app.example.test"
CONFIG = "tests/bench/offline.toml"

WARM_UP = 100
"""Requests, of COUNT, until caches are filled and the garbage collector begins anew."""

BODY = b"hello world\n"
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)

_HANDSHAKE = (
    b"GET /agent HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer offline\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

_DATA, _WINDOW_UPDATE, _PING = 0, 1, 2
_FIRST_PINGS = 4
"""Each comes when the one before was answered."""
_SYN, _ACK = 1, 2
_GRANTED_BYTES = 1 << 30
"""Credit for every request of a run at once: none is ever given again."""


def small(_: int) -> bytes:
    """87 bytes, as a program sends it."""
    return _SMALL


_SMALL = f"GET /small?n=1 HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\nUser-Agent: bench/1.0\r\n\r\n".encode()


def browser(number: int) -> bytes:
    """16 fields, 2.2 KB, 1.5 KB of them a cookie; one field is another each time."""
    return b"%s%08d%s" % (_BROWSER[0], number, _BROWSER[1])


_COOKIE = "; ".join(f"part{number:02}={'0123456789abcdef' * 5}{number:05}" for number in range(16))
_BROWSER = (
    "GET /app/small?n=1 HTTP/1.1\r\n"
    f"Host: {HOST}\r\n"
    "Connection: keep-alive\r\n"
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"\r\n'
    "sec-ch-ua-mobile: ?0\r\n"
    'sec-ch-ua-platform: "Linux"\r\n'
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    f"Referer: https://{HOST}/app/page/".encode(),
    "\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    f"Cookie: {_COOKIE}\r\n\r\n".encode(),
)

ROWS: dict[str, Callable[[int], bytes]] = {"small": small, "browser": browser}


class Transport(asyncio.Transport):
    """A connection that takes whatever is written, and of which we are the far end.

    Not the transport of tests/fakes: each of its instructions is counted with the product's, in every release alike.
    """

    protocol: Any

    def __init__(self, loop: asyncio.AbstractEventLoop, extra: dict[str, Any]) -> None:
        super().__init__(extra)
        self._loop = loop
        self._closed = False

    def is_closing(self) -> bool:
        return self._closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def close(self) -> None:
        """The connection is gone, a turn of the loop later; idempotent."""
        if not self._closed:
            self._closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    abort = close


class Wire(Transport):
    """A connection to the gateway: what the product writes, and the way to send it something."""

    def __init__(self, server: Any, address: str) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, {"peername": (address, 50_123), "sockname": ("192.0.2.1", 8080)})
        self._written = b""
        self._wanted: tuple[bytes, asyncio.Future[bytes]] | None = None
        config = server.config
        self.protocol = config.http_protocol_class(
            config=config, server_state=server.server_state, app_state=server.lifespan.state, _loop=self._loop
        )
        self.protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        """Our bytes arrive, as a socket's do: in a turn of the loop of their own."""
        self._loop.call_soon(self.protocol.data_received, data)

    async def written_with(self, mark: bytes) -> bytes:
        """Everything written since the last call, once it has `mark` in it."""
        self._wanted = mark, self._loop.create_future()
        self.write(b"")
        return await self._wanted[1]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it until somebody waits for it."""
        self._written += data
        if self._wanted is not None and self._wanted[0] in self._written:
            self._wanted[1].set_result(self._written)
            self._wanted = None
            self._written = b""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


def masked(opcode: int, payload: bytes) -> bytes:
    """One whole WebSocket frame of a client; its mask is zero."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def envelope(kind: str, payload: dict[str, Any]) -> bytes:
    """A control message in its frame."""
    text = json.dumps({"type": kind, "payload": payload, "timestamp": "1970-01-01T00:00:01.000Z"})
    return masked(1, text.encode())


def frame(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """A yamux header."""
    return bytes([0, kind]) + flags.to_bytes(2, "big") + stream_id.to_bytes(4, "big") + length.to_bytes(4, "big")


class Agent(Wire):
    """Answers every request with the same bytes; knows the one stream that it has."""

    serving = False
    streams = 0
    """Opened by the gateway."""
    _stream = b""  # the id of the stream that spoke last, as it stands in each frame
    _answer = b""

    async def register(self) -> None:
        """Until requests may come."""
        self.feed(_HANDSHAKE)
        await self.written_with(b"\r\n\r\n")
        self.feed(envelope("register", {"agent_id": "a1", "cluster_id": "c1", "features": {"supports_yamux": True}}))
        await self.written_with(b'"gateway_hello"')
        self.feed(envelope("gateway_hello_ack", {"use_yamux": True}))
        ping = frame(_PING, _SYN, 0, 0)[:8]
        for _ in range(_FIRST_PINGS):
            _, _, asked = (await self.written_with(ping)).partition(ping)
            self.feed(masked(2, frame(_PING, _ACK, 0, int.from_bytes(asked[:4], "big"))))
        self.serving = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """A request ends with its head; all else that the gateway sends meanwhile is credit."""
        if not self.serving:
            super().write(data)
        elif data[-4:] == b"\r\n\r\n":
            if data[8:12] != self._stream:  # after 4 bytes of WebSocket header and 4 of yamux
                self._accept(bytes(data[8:12]))
            else:
                self.feed(self._answer)

    def _accept(self, stream: bytes) -> None:
        self.streams += 1
        self._stream = stream
        stream_id = int.from_bytes(stream, "big")
        answer = frame(_DATA, 0, stream_id, len(_ANSWER)) + _ANSWER
        self._answer = masked(2, answer)
        self.feed(masked(2, frame(_WINDOW_UPDATE, _ACK, stream_id, _GRANTED_BYTES) + answer))


class Client(Wire):
    """Asks, and asks again when it is answered."""

    answers = 0
    """That were whole and right."""
    _answer = b""

    async def ask(self, request: Callable[[int], bytes], count: int) -> None:
        """So many requests, one after the other."""
        self._request = request
        self._left = count
        self._over = self._loop.create_future()
        self._next()
        await self._over

    def _next(self) -> None:
        if self._left:
            self._left -= 1
            self.protocol.data_received(self._request(self._left))
        else:
            self._over.set_result(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """The answer, in one piece or in several."""
        self._answer += data
        if self._answer.endswith(BODY):
            if self._answer.startswith(b"HTTP/1.1 200 OK\r\n") and self._answer.endswith(b"\r\n\r\n" + BODY):
                self.answers += 1
            self._answer = b""
            self._loop.call_soon(self._next)


class _Handle:
    """A callback that is due."""

    __slots__ = ("_cancelled", "call")

    def __init__(self, call: tuple[Any, ...]) -> None:
        self.call = call
        self._cancelled = False

    def cancel(self) -> None:
        self.call = (_nothing,)
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled


def _nothing() -> None: ...


class StillLoop(asyncio.SelectorEventLoop):
    """Nothing comes from outside, and no time passes: what is to be done later is not done."""

    time = staticmethod(itertools.repeat(1_000.0).__next__)  # type: ignore[assignment]
    _ready: collections.deque[_Handle]

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> _Handle:
        handle = _Handle(((context or contextvars.copy_context()).run, callback, *args))
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return asyncio.TimerHandle(when, callback, args, self, context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return asyncio.TimerHandle(delay, callback, args, self, context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It was never waited for."""

    def _run_once(self) -> None:
        """One turn: what is due at its beginning. An error in a callback ends the run."""
        ready = self._ready
        if not ready:
            raise RuntimeError("stuck: nothing is left to be done, and the answers are not all there")
        for _ in range(len(ready)):
            run, *args = ready.popleft().call
            run(*args)


async def carry(server: Any, row: str, count: int) -> None:
    """Start what a server starts, and carry the requests."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.lifespan.startup()
    agent = Agent(server, "198.51.100.7")
    await agent.register()
    client = Client(server, "203.0.113.9")
    await client.ask(ROWS[row], min(count, WARM_UP))
    gc.collect()  # a full collection costs as much as twenty requests: the next one is far off now
    await client.ask(ROWS[row], max(0, count - WARM_UP))
    client.close()
    await server.lifespan.shutdown()
    if client.answers != count or agent.streams != 1:
        raise AssertionError(f"{client.answers} right answers of {count}, over {agent.streams} streams")


def main(row: str, count: int) -> None:
    """Run the gateway's own entrance with a server that has no sockets."""
    # Built-in callables, as those they replace; the product's modules may keep them from the moment of their import.
    time.monotonic = itertools.repeat(1_000.0).__next__
    time.time = itertools.repeat(1_000_000_000.0).__next__
    import uvicorn

    from app.__main__ import main as serve

    def run(server: Any, sockets: object = None) -> None:
        with asyncio.Runner(loop_factory=StillLoop) as runner:
            runner.run(carry(server, row, count))
        server.started = True

    uvicorn.Server.run = run  # type: ignore[method-assign]
    serve(["serve", "--config", CONFIG])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
